"""Stored calibrations: which forecasts they are for, and what damage to them does."""

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from gigacast.core.time.frequency import Frequency
from gigacast.errors import ConfigError, CorruptedFileError
from gigacast.forecasters.around.calibration import Calibration
from gigacast.forecasters.around.wrapping import _REVISIONS, are_outdated, revised
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.job.calibration import (
    StoredCalibration,
    calibration_name,
    with_calibration,
    write_calibration,
)
from gigacast.job.forecast_job import Method
from gigacast.series.source import ColumnNames
from gigacast.storage.memory import MemoryStore

LEVELS = (0.1, 0.5, 0.9)
INFO = ForecasterInfo("m", "v", "d", "engine-1", "cpu", "float32", 512, 64, LEVELS)
METHOD = Method(horizon=2, levels=LEVELS, calibrate=True)
STORED = StoredCalibration(
    LEVELS, ((0.5, 1.0, 2.0), (0.25, 1.0, 4.0)), 40, (0.2, None, 0.8), (0.1, None, 0.9)
)


@pytest.fixture
def store(request: pytest.FixtureRequest) -> MemoryStore:
    return MemoryStore(request.node.name)


def written(store: MemoryStore, stored: StoredCalibration = STORED) -> str:
    return write_calibration(store, INFO, calibration_name(INFO, METHOD, 2), stored)


def test_a_calibration_is_applied_as_it_was_measured(store: MemoryStore) -> None:
    key = written(store)
    assert key.startswith("calibrations/m/v/h2-q3-")
    method = with_calibration(METHOD, INFO, store)
    assert method == replace(METHOD, calibration=Calibration(LEVELS, STORED.factors))


def test_a_horizon_that_is_not_named_is_that_of_the_model(store: MemoryStore) -> None:
    name = calibration_name(INFO, METHOD, 64)
    write_calibration(store, INFO, name, STORED)
    assert with_calibration(replace(METHOD, horizon=None), INFO, store).calibration is not None
    with pytest.raises(ConfigError, match="no backtest or evaluation has measured m v") as caught:
        with_calibration(METHOD, INFO, store)
    assert "backtest --calibrate" in caught.value.hint


def test_every_bit_of_a_stored_calibration_counts(store: MemoryStore) -> None:
    key = written(store)
    content = store.get(key)
    calibration = with_calibration(METHOD, INFO, store).calibration
    for place in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        store.put(key, bytes(damaged))
        with suppress(CorruptedFileError):
            assert with_calibration(METHOD, INFO, store).calibration == calibration


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"digest": "0" * 32}, "digest"),
        ({"digest": None, "format": 2}, "digest"),
        ({"digest": None, "factors": [[1.0, 1.0], [1.0, 1.0]]}, "factors"),
        ({"digest": None, "factors": [[1.0] * 3, [1.0] * 2]}, "factors"),
        ({"digest": None, "levels": [0.2, 0.5, 0.9]}, "factors"),
    ],
)
def test_what_does_not_fit_is_refused(
    store: MemoryStore, changes: dict[str, Any], says: str
) -> None:
    key = written(store)
    store.put(key, json.dumps({**json.loads(store.get(key)), **changes}).encode())
    with pytest.raises(CorruptedFileError, match=says):
        with_calibration(METHOD, INFO, store)


def test_one_that_was_stored_without_a_digest_is_read(store: MemoryStore) -> None:
    key = written(store)
    values = json.loads(store.get(key))
    assert list(values) == sorted(values)  # equal calibrations are equal bytes
    assert values["format"] == 1
    assert len(values.pop("digest")) == 32
    store.put(key, json.dumps(values).encode())
    assert with_calibration(METHOD, INFO, store).calibration is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"context_length": 100},
        {"columns": ColumnNames(item_id="id")},
        {"columns": ColumnNames(items=("store", "sku"))},
        {"columns": ColumnNames(targets=("sales",))},
        {"columns": ColumnNames(past_covariates=("price",))},
        {"columns": ColumnNames(known_covariates=("price",))},
        {"joint_targets": True},
        {"frequency": Frequency.parse("D")},
        {"aggregate": "sum"},
        {"levels": (0.1, 0.5, 0.8)},
        {"extrapolate_levels": True},
        {"enhance": "trend"},
    ],
    ids=str,
)
def test_forecasts_made_otherwise_have_a_calibration_of_their_own(changes: dict[str, Any]) -> None:
    name = calibration_name(INFO, METHOD, 2)
    assert calibration_name(INFO, replace(METHOD, **changes), 2) != name


def test_names_do_not_depend_on_what_moves_no_quantile() -> None:
    name = calibration_name(INFO, METHOD, 2)
    elsewhere = replace(INFO, engine="engine-2", precision="bfloat16", device="cuda")
    assert calibration_name(elsewhere, METHOD, 2) == name
    assert calibration_name(INFO, replace(METHOD, context_length=512), 2) == name
    assert calibration_name(INFO, replace(METHOD, context_length=9999), 2) == name
    assert calibration_name(replace(INFO, digest="e"), METHOD, 2) != name
    past, ahead = ("b", "a"), ("d", "c")
    orders = [
        ColumnNames(past_covariates=past[::step], known_covariates=ahead[::step])
        for step in (1, -1)
    ]
    assert len({calibration_name(INFO, replace(METHOD, columns=c), 2) for c in orders}) == 1


def test_the_treatment_of_long_horizons_counts_only_beyond_the_trained_one() -> None:
    ways = [replace(METHOD, long_horizon=way) for way in ("bands", "dilated")]
    assert len({calibration_name(INFO, way, 64) for way in ways}) == 1
    assert len({calibration_name(INFO, way, 65) for way in ways}) == 2


@pytest.mark.parametrize(
    ("changes", "horizon", "field", "value"),
    [({"enhance": "auto"}, 2, "enhance", "auto"), ({}, 65, "long_horizon", "bands")],
    ids=["enhanced", "long"],
)
def test_another_revision_of_what_is_done_around_the_model_needs_a_measurement_of_its_own(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], horizon: int, field: str, value: str
) -> None:
    method = replace(METHOD, **changes)
    before = calibration_name(INFO, method, horizon)
    assert not are_outdated({field: revised(field, value)})
    made = {field: revised(field, value)}
    monkeypatch.setitem(_REVISIONS, field, {value: 99})
    assert calibration_name(INFO, method, horizon) != before
    assert are_outdated(made)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "h2-q3-89bb4fce"),
        ({"enhance": "trend"}, "h2-q3-88b56a73"),
        ({"enhance": "auto"}, "h2-q3-191fa4d8"),
        ({"covariate_regressor": "ridge"}, "h2-q3-a5f3cbf2"),
        ({"columns": ColumnNames(items=("store", "sku")), "calendar": True}, "h2-q3-1031cc2d"),
    ],
    ids=str,
)
def test_the_names_of_calibrations_stay_what_they_are(changes: dict[str, Any], name: str) -> None:
    # Under another name, what backtests have measured would not be found.
    assert calibration_name(INFO, replace(METHOD, **changes), 2) == name
