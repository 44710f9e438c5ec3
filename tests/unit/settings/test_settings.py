"""Settings: read once, validated, the field named; defaults < file < environment < arguments."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from gigacast.core.time.month import IntRange
from gigacast.errors import ConfigError
from gigacast.settings.assembly import addresses, job_of
from gigacast.settings.keywords import Options
from gigacast.settings.load import _warn_without_effect, load_settings
from gigacast.settings.model import Settings
from gigacast.settings.option import Option
from gigacast.settings.options import ARGUMENTS, OPTIONS, nest_arguments
from gigacast.storage.store import StoreAddress

SEED_FILE = """
model:
  prediction_length: 48
  model_path: "data/model/chronos-bolt-base/v1.0"
  model_type: "chronos-bolt-base"
  version: "v1.0"
  loading_mode: "inference"
  auto_detect_mode: true
parquet_loader:
  data_paths:
    root_dir: "/path/to/parquet/data"
  file_patterns:
    naming_regex:
      "([A-Z]+)_([0-9]+min)_h([0-9]+)_([0-9]{4})_([0-9]{2})_([a-f0-9]+)\\\\.(parquet|json)$"
  schema:
    datetime_column: "ds"
    target_columns:
      - "target_bid_first"
      - "target_close"
"""


@pytest.fixture
def seed_file(tmp_path: Path) -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text(SEED_FILE)
    return path


def load(file: Path | None = None, **flat: Any) -> Settings:
    return load_settings(nest_arguments(flat), file=file)


def test_a_settings_file_with_the_familiar_keys_is_read(seed_file: Path) -> None:
    job = job_of(load(seed_file))
    assert job.inputs == StoreAddress("file:///path/to/parquet/data")
    assert job.method.horizon == 48
    assert job.method.columns.timestamp == "ds"
    assert job.method.columns.targets == ("target_bid_first", "target_close")
    assert job.model.reference == "data/model/chronos-bolt-base/v1.0"
    name = job.pattern.parse("2014/03/SYMBOL_1min_h15_2014_03_769b531dbb2ff3cb.parquet")
    assert name is not None
    assert name.symbol == "SYMBOL"


def test_arguments_beat_the_environment_and_that_beats_the_file(
    seed_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load(seed_file).model.prediction_length == 48
    monkeypatch.setenv("GIGACAST_MODEL__PREDICTION_LENGTH", "24")
    assert load(seed_file).model.prediction_length == 24
    settings = load(seed_file, horizon=12)
    assert settings.model.prediction_length == 12
    assert settings.model.version == "v1.0"  # the rest of the section still comes from the file


def test_lists_may_be_text_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(quantiles="0.9,0.1,0.5", symbol="EURUSD, GBPUSD")
    assert settings.forecast.quantiles == (0.1, 0.5, 0.9)
    assert settings.run.symbols == ("EURUSD", "GBPUSD")
    monkeypatch.setenv("GIGACAST_RUN__SYMBOLS", '["A","B"]')
    assert load().run.symbols == ("A", "B")


@pytest.mark.parametrize(("text", "size"), [("2GB", 2**31), ("512 MiB", 2**29), ("1000", 1000)])
def test_sizes_may_have_units(text: str, size: int) -> None:
    assert load(memory_limit=text).parquet_loader.performance.memory_limit == size


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ("model: {prediction_lenght: 3}", "model.prediction_lenght: unknown key"),
        ("modle: {}", "modle: unknown key"),
        ("model: {prediction_length: 0}", "model.prediction_length"),
        ("parquet_loader: {schema: {dattime: x}}", "parquet_loader.schema.dattime"),
        ("forecast: {quantiles: [0.5, 2]}", "forecast.quantiles: 2.0"),
        ("forecast: {freq: often}", "often"),
        ("run: {years: 'last year'}", "run.years"),
        ("run: {n_jobs: 0}", "run.n_jobs"),
        ("run: {executor: spark}", "run.executor"),
        ("run: {device: 'cuda:x'}", "run.device"),
        ("- a list", "expected sections"),
        ("a: [", "not valid YAML"),
        ("parquet_loader: {file_patterns: {naming_regex: '('}}", "naming_regex"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(tmp_path: Path, content: str, field: str) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        job_of(load(path, bucket="file:///x"))
    assert field in str(caught.value)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:12"])
def test_a_device_may_be_one_of_several(device: str) -> None:
    job = job_of(load(bucket="file:///x", device=device))
    assert job.model.device == device
    assert job.resources.n_jobs is None  # one, or one for each GPU


def test_yaml_cannot_run_code(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("model: !!python/object/apply:os.system ['true']")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such configuration file"):
        load(tmp_path / "none.yaml")


def test_a_misspelt_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIGACAST_MODLE__VERSION", "v1")
    with pytest.raises(ConfigError, match="GIGACAST_MODLE__VERSION"):
        load()


def test_a_misspelt_variable_below_a_section_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIGACAST_MODEL__VERSON", "v1")
    with pytest.raises(ConfigError, match="GIGACAST_MODEL__VERSON: unknown key"):
        load()


@pytest.mark.parametrize(
    ("bucket", "prefix", "input_prefix", "inputs", "outputs"),
    [
        ("my-bucket", "", None, "s3://my-bucket", "s3://my-bucket"),
        ("s3://my-bucket", "p/q/", None, "s3://my-bucket/p/q", "s3://my-bucket/p/q"),
        ("my-bucket", "p", "cleaned/v3", "s3://my-bucket/p/cleaned/v3", "s3://my-bucket/p"),
        ("my-bucket", "p", "/raw", "s3://my-bucket/raw", "s3://my-bucket/p"),
        ("my-bucket", "p", "s3://other/x", "s3://other/x", "s3://my-bucket/p"),
        ("file:///data", "p", None, "file:///data/p", "file:///data/p"),
    ],
)
def test_roots_follow_from_bucket_and_prefixes(
    bucket: str, prefix: str, input_prefix: str | None, inputs: str, outputs: str
) -> None:
    run = load(bucket=bucket, prefix=prefix, input_prefix=input_prefix).run
    assert tuple(address.url for address in addresses(run)) == (inputs, outputs)


@pytest.mark.parametrize("bucket", ["My Bucket", "a/b", "x"])
def test_a_malformed_bucket_name_is_refused(bucket: str) -> None:
    with pytest.raises(ConfigError, match=r"^bucket: "):
        job_of(load(bucket=bucket))


def test_a_missing_bucket_is_an_error_that_names_the_flag() -> None:
    with pytest.raises(ConfigError, match="bucket="):
        job_of(load())


def test_ranges_are_passed_to_the_selection() -> None:
    months = job_of(load(bucket="file:///x", years="2014:2016", months="3")).selection.months
    assert (months.years, months.months) == (IntRange(2014, 2016), IntRange(3, 3))


def test_every_keyword_is_an_argument_and_every_argument_a_keyword() -> None:
    assert set(Options.__annotations__) | {"bucket"} == set(ARGUMENTS)


def test_lists_in_the_environment_may_be_text_or_json(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("0.9,0.1", "[0.1, 0.9]"):
        monkeypatch.setenv("GIGACAST_FORECAST__QUANTILES", text)
        assert load().forecast.quantiles == (0.1, 0.9)


def test_a_section_that_is_no_json_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIGACAST_RUN", "{bad")
    with pytest.raises(ConfigError, match="GIGACAST_RUN: expected an object of JSON"):
        load()


NO_EFFECT = [option for option in OPTIONS if option.without_effect]


@pytest.fixture
def warned(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    _warn_without_effect.cache_clear()
    return caplog


def test_settings_without_effect_are_those_of_older_files() -> None:
    assert {option.path[-1] for option in NO_EFFECT} == {
        "loading_mode",
        "parquet_extension",
        "json_extension",
        "year_format",
        "month_format",
        "state_file",
        "log_dir",
    }


@pytest.mark.parametrize("option", NO_EFFECT, ids=lambda option: option.setting)
def test_a_setting_without_effect_loads_and_warns_by_name(
    option: Option, tmp_path: Path, warned: pytest.LogCaptureFixture
) -> None:
    value = option.default or "somewhere"
    content: Any = value
    for part in reversed(option.path):
        content = {part: content}
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump(content))
    for _ in range(2):  # the second time it is known
        assert option.read(load(path)) == value
    message = f"{option.setting} has no effect: {option.without_effect}"
    assert [record.getMessage() for record in warned.records] == [message]
    assert "leave it out" in message


def test_a_variable_without_effect_warns_as_well(
    monkeypatch: pytest.MonkeyPatch, warned: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GIGACAST_PARQUET_LOADER__AUDIT__LOG_DIR", "logs")
    load()
    assert "parquet_loader.audit.log_dir has no effect" in warned.text


def test_the_shipped_settings_warn_of_nothing(warned: pytest.LogCaptureFixture) -> None:
    load(Path(__file__).parents[3] / "config" / "settings.yaml")
    assert warned.records == []


def test_the_command_line_warns_on_stderr_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("model: {loading_mode: inference}")
    folder = tmp_path / "lake"
    folder.mkdir()
    command = [sys.executable, "-m", "gigacast", "plan", "--model", "seasonal-naive", "--json"]
    command += ["--bucket", f"file://{folder}", "--horizon", "3", "--config", str(path)]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line for line in process.stderr.splitlines() if "no effect" in line]
    assert len(lines) == 1
    assert lines[0].startswith("model.loading_mode has no effect: ")
    assert json.loads(process.stdout)["pending"] == 0


@pytest.mark.parametrize(
    ("arguments", "problem", "hint"),
    [
        ({"memory_limit": "2"}, "2 bytes is too little", None),
        ({"n_jobs": "many"}, "^n_jobs: ", None),
        ({"model_version": 3}, "^model_version: ", None),
        ({"horizn": 3}, "horizn: no such argument", "did you mean horizon?"),
        ({"qantiles": 3}, "qantiles: no such argument", "did you mean quantiles?"),
    ],
)
def test_errors_name_the_flag_and_what_may_be_meant(
    arguments: dict[str, Any], problem: str, hint: str | None
) -> None:
    with pytest.raises(ConfigError, match=problem) as raised:
        load(**arguments)
    assert hint is None or raised.value.hint == hint


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("model: {prediction_lenght: 3}", "did you mean prediction_length?"),
        ("modle: {}", "did you mean model?"),
        ("run: {prediction_length: 3}", "did you mean model.prediction_length?"),
    ],
)
def test_unknown_keys_are_refused_with_similar_names(tmp_path: Path, text: str, hint: str) -> None:
    (tmp_path / "settings.yaml").write_text(text)
    with pytest.raises(ConfigError, match="unknown key") as raised:
        load(tmp_path / "settings.yaml")
    assert raised.value.hint == hint


def test_a_misspelt_variable_is_refused_with_a_similar_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GIGACAST_MODLE__MODEL_PATH", "x")
    with pytest.raises(ConfigError, match="GIGACAST_MODLE") as raised:
        load()
    assert str(raised.value.hint).startswith("did you mean GIGACAST_MODEL")


@pytest.mark.parametrize("months", ["13", "0", "1:24", "99"])
def test_months_that_no_year_has_are_refused(months: str) -> None:
    with pytest.raises(ConfigError, match=r"^months: .* is not within 1 to 12"):
        job_of(load(bucket="my-bucket", months=months))


@pytest.mark.parametrize("years", ["24", "0", "23:24", "20240"])
def test_years_have_four_digits(years: str) -> None:
    with pytest.raises(ConfigError, match=r"^years: "):
        job_of(load(bucket="my-bucket", years=years))


def test_a_missing_model_is_replaced_only_by_a_configured_model_type(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("model: {model_path: amazon/chronos-blt-tiny}")
    assert job_of(load(tmp_path / "settings.yaml", bucket="b-1")).model.otherwise is None
    (tmp_path / "settings.yaml").write_text("model: {model_path: a/b, model_type: seasonal-naive}")
    job = job_of(load(tmp_path / "settings.yaml", bucket="b-1"))
    assert (job.model.reference, job.model.otherwise) == ("a/b", "seasonal-naive")
