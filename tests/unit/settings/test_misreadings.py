"""Values of options that would mean something else than they say are refused."""

import os

import pyarrow as pa
import pytest

import gigacast
from gigacast.core.utf8 import check_path
from gigacast.errors import ConfigError, ModelNotFoundError
from gigacast.lake.model.resolve import resolve_model
from gigacast.settings.assembly import job_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import ARGUMENTS, OPTIONS, nest_arguments
from gigacast.storage.memory import MemoryStore

NUMBERS = [option for option in OPTIONS if option.kind in {"integer", "number", "size", "jobs"}]


@pytest.mark.parametrize("option", NUMBERS, ids=lambda option: option.setting)
def test_a_truth_is_no_number(option: object) -> None:
    nested: dict[str, object] = {}
    *sections, key = option.path  # type: ignore[attr-defined]
    section = nested
    for part in sections:
        section = section.setdefault(part, {})  # type: ignore[assignment]
    section[key] = True
    with pytest.raises(ConfigError, match="expected a number"):
        load_settings(nested)


def test_switches_are_truths() -> None:
    switches = [o for o in ARGUMENTS.values() if o.kind == "switch"]
    for option in switches:
        assert option.read(load_settings(nest_arguments({option.name: True}))) is True


@pytest.mark.parametrize("level", [0.8, "0.95", [0.9], "80,0.5"])
def test_a_share_is_no_percentage(level: object) -> None:
    with pytest.raises(ConfigError, match="is less than one percent"):
        load_settings(nest_arguments({"level": level}))


def test_partial_bins_without_bins_are_refused() -> None:
    options = {"bucket": "memory://x", "partial_bins": "keep"}
    with pytest.raises(ConfigError, match="no bins without"):
        job_of(load_settings(nest_arguments(options)))
    job_of(load_settings(nest_arguments({**options, "aggregate": "sum", "freq": "W"})))


def test_a_version_of_a_model_without_versions_is_refused() -> None:
    store = MemoryStore("no-models")
    for version in (None, "1"):
        assert resolve_model("seasonal-naive", store, version=version).version == "1"
    with pytest.raises(ModelNotFoundError, match="has no version v9"):
        resolve_model("seasonal-naive", store, version="v9")


def test_a_frame_without_rows_is_noticed() -> None:
    table = pa.table({"item_id": ["a"], "timestamp": [1], "target": [1.0]})
    reader = table.to_reader()
    reader.read_all()
    for empty in (table.slice(1), reader):
        with pytest.warns(UserWarning, match="the data has no rows"):
            gigacast.forecast(empty, model="seasonal-naive", horizon=1)


def test_a_path_that_the_process_cannot_spell_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_path("/tmp/käse")
    monkeypatch.setattr(os, "fsencode", lambda path: path.encode("ascii"))
    with pytest.raises(ConfigError, match="file names of this process are"):
        check_path("/tmp/käse")
