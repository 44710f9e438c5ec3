"""Every setting is traced to what has set it: the strongest of argument, environment and file."""

import pytest

from gigacast.errors import ConfigError
from gigacast.settings.load import load_settings
from gigacast.settings.options import OPTIONS
from gigacast.settings.origin import SettingOrigin, trace_settings


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text(
        "run: {prefix: from-file, n_jobs: 3}\nparquet_loader: {schema: {datetime_column: when}}\n"
    )
    return file


def by_name(origins: tuple[SettingOrigin, ...]) -> dict[str, SettingOrigin]:
    return {origin.option.setting: origin for origin in origins}


def test_without_any_source_all_settings_are_defaults():
    origins = trace_settings()
    assert [origin.option for origin in origins] == list(OPTIONS)
    assert {origin.source for origin in origins} == {"default"}
    assert {origin.place for origin in origins} == {""}


def test_the_strongest_source_is_named(file, monkeypatch):
    monkeypatch.setenv("GIGACAST_RUN__N_JOBS", "2")
    monkeypatch.setenv("GIGACAST_MODEL", '{"version": "v1"}')
    origins = by_name(trace_settings({"run": {"n_jobs": 1}, "model": {}}, file=file))
    assert (origins["run.n_jobs"].value, origins["run.n_jobs"].place) == (1, "--n_jobs")
    assert origins["run.prefix"].source == "file"
    assert origins["run.prefix"].place == str(file)
    assert origins["model.version"].source == "environment"
    assert origins["model.version"].value == "v1"
    assert origins["parquet_loader.schema.datetime_column"].value == "when"
    assert origins["run.limit"].source == "default"


@pytest.mark.parametrize("value", ["3", "null"])
def test_the_value_is_the_one_in_force(file, value):
    file.write_text(f"run: {{n_jobs: {value}}}\n")
    settings = load_settings(file=file)
    for origin in trace_settings(file=file):
        assert origin.value == origin.option.read(settings)
    assert by_name(trace_settings(file=file))["run.n_jobs"].source == "file"


def test_wrong_settings_are_refused(file):
    file.write_text("run: {n_job: 3}\n")
    with pytest.raises(ConfigError, match="n_job"):
        trace_settings(file=file)
