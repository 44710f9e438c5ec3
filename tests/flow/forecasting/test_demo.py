"""The demo, and the examples people start from."""

import doctest
import importlib
import json
import pkgutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import gigacast
from gigacast import ChronosLoader
from gigacast.cli.program import run
from gigacast.errors import ModelNotFoundError
from gigacast.settings.load import load_settings
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress
from tests.support.panels import put_frame

ROOT = Path(__file__).parents[3]
DAYS = pd.date_range("2024-01-01", periods=40)


def test_the_demo_forecasts_shows_draws_and_skips_on_the_second_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["demo", "--output", str(tmp_path), "--n_jobs", "1"]) == 0
    out = capsys.readouterr().out
    assert "6 done" in out
    assert "6 skipped" in out
    assert "site-003" in out
    assert (tmp_path / "forecast.png").read_bytes().startswith(b"\x89PNG")


def test_the_demo_answers_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["demo", "--output", str(tmp_path), "--n_jobs", "1", "--model", "seasonal-naive"]
    assert run([*words, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    counts = [(one["partitions"]["done"], one["partitions"]["skipped"]) for one in shown["runs"]]
    assert counts == [(6, 0), (0, 6)]
    assert shown["series"][0]["item_id"] == "site-003"
    assert Path(shown["picture"]).is_file()


def test_the_shipped_settings_are_the_defaults() -> None:
    shipped = load_settings(file=ROOT / "config" / "settings.yaml")
    defaults = load_settings()
    changed = {"naming_regex"}  # written out, as an example of plain groups
    patterns = shipped.parquet_loader.file_patterns.model_dump(exclude=changed)
    assert patterns == defaults.parquet_loader.file_patterns.model_dump(exclude=changed)
    for section in ("model", "forecast", "run"):
        assert getattr(shipped, section) == getattr(defaults, section)
    assert shipped.parquet_loader.performance == defaults.parquet_loader.performance


def test_a_loader_predicts_one_context_or_many() -> None:
    loader = ChronosLoader()
    context = 10 + np.sin(np.arange(96) / 24 * 2 * np.pi)
    forecast = loader.predict(context, prediction_length=24)
    assert forecast.quantiles.shape == (1, 24, 9)
    assert forecast.median.shape == (1, 24)
    assert (np.diff(forecast.quantiles, axis=-1) >= 0).all()
    many = loader.predict([context, context[:50]], prediction_length=24)
    np.testing.assert_allclose(many.median[0], forecast.median[0], atol=0.02)
    assert loader.predict(np.stack([context, context])).median.shape == (2, 64)


def test_a_loader_reads_its_context_from_a_file_or_the_configured_root(tmp_path: Path) -> None:
    store = open_store(StoreAddress(f"file://{tmp_path}"))
    times = pd.date_range("2014-03-01", periods=90, freq="min")
    frame = pd.DataFrame({"ds": times, "target_close": np.arange(90.0)})
    key = "2014/03/SYMBOL_1min_h15_2014_03_769b531dbb2ff3cb.parquet"
    put_frame(store, key, frame)
    settings = tmp_path / "settings.yaml"
    settings.write_text(f"parquet_loader: {{data_paths: {{root_dir: '{tmp_path}'}}}}\n")
    loader = ChronosLoader(str(settings), model="seasonal-naive")
    context = loader.load_context_from_parquet(symbol="SYMBOL", year=2014, month=3)
    np.testing.assert_array_equal(context, np.arange(90.0, dtype=np.float32))
    np.testing.assert_array_equal(loader.load_context_from_parquet(tmp_path / key), context)
    short = loader.load_context_from_parquet(symbol="SYMBOL", year=2014, month=3, context_length=7)
    np.testing.assert_array_equal(short, np.arange(83.0, 90.0, dtype=np.float32))
    assert loader.predict(context, prediction_length=3).median.tolist() == [[89.0, 89.0, 89.0]]


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("{model_type: seasonal-naive}", "seasonal-naive"),
        ("{model_path: data/no/v1.0, model_type: seasonal-naive}", "seasonal-naive"),
        ("{model_path: data/no/v1.0}", None),
        ("{model_path: absent, model_type: seasonal-naive, auto_detect_mode: false}", None),
    ],
)
def test_a_loader_takes_the_models_that_settings_name_and_let_it_look_for(
    tmp_path: Path, model: str, name: str | None
) -> None:
    (tmp_path / "settings.yaml").write_text(f"model: {model}\n")
    loader = ChronosLoader(tmp_path / "settings.yaml")
    if name is not None:
        assert loader.forecaster.info.name == name
        return
    with pytest.raises(ModelNotFoundError):
        loader.predict([1.0, 2.0])


def test_the_program_without_arguments_does_what_the_settings_of_the_folder_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run([]) == 0
    assert "Usage: gigacast" in capsys.readouterr().out
    frame = pd.DataFrame({"item_id": "a", "timestamp": DAYS, "target": np.arange(40.0)})
    put_frame(open_store(StoreAddress(f"file://{tmp_path}/lake")), "2024/01/part-0.parquet", frame)
    (tmp_path / "config").mkdir()
    settings = tmp_path / "config" / "settings.yaml"
    settings.write_text(
        f"run: {{bucket: 'file://{tmp_path}/lake'}}\n"
        "model: {model_path: seasonal-naive, prediction_length: 3}\n"
    )
    assert run([]) == 0
    (forecast,) = (tmp_path / "lake" / "forecasts").rglob("part-0.parquet")
    assert len(pd.read_parquet(forecast)) == 3


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda loader: loader.load_context_from_parquet(), "give file_path, or symbol"),
        (lambda loader: loader.load_context_from_parquet("x.txt"), "expected a .parquet"),
        (lambda loader: loader.predict([[[1.0]]]), "expected"),
        (lambda loader: loader.predict("text"), "expected numbers"),
        (lambda loader: loader.predict([1.0], quantile_levels=[2.0]), "2.0"),
    ],
)
def test_a_loader_used_wrongly_raises_with_a_hint(call: object, says: str) -> None:
    with pytest.raises(gigacast.GigacastError) as caught:
        call(ChronosLoader(model="seasonal-naive"))  # type: ignore[operator]
    assert says in str(caught.value)


def modules() -> list[str]:
    names = [name for _, name, _ in pkgutil.walk_packages(gigacast.__path__, "gigacast.")]
    return ["gigacast", *(name for name in names if ">>>" in source_of(name))]


def source_of(name: str) -> str:
    path = ROOT / "lib" / name.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return file.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", modules())
def test_the_examples_in_docstrings_run(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name), raise_on_error=True).attempted > 0
