"""Calibrations made from the scores in the outputs of a backtest."""

import io
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.backtesting.calibration import (
    CalibrationPlace,
    Measured,
    calibration_blocks,
    measure_calibrations,
)
from gigacast.backtesting.losses import SCORES
from gigacast.core.partition.task import Task
from gigacast.forecasters.around.calibration import LEAST_FORECASTS, ScoreCounts
from gigacast.forecasters.naive import SeasonalNaive
from gigacast.job.calibration import StoredCalibration, calibration_name, with_calibration
from gigacast.job.forecast_job import Method
from gigacast.report.document import Document
from gigacast.report.markdown import render_markdown
from gigacast.storage.memory import MemoryStore

LEVELS = (0.1, 0.5, 0.9)
INFO = SeasonalNaive().info
METHOD = Method(levels=LEVELS, context_length=INFO.context_length)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(str(uuid4()))


def side_of(store: MemoryStore) -> Any:
    return SimpleNamespace(outputs=store, info=INFO, job=SimpleNamespace(method=METHOD))


def scores_of(rows: int, horizon: int, seed: int) -> np.ndarray:
    return np.abs(np.random.default_rng(seed).normal(1, 0.3, (rows, horizon, 3)))


def put(store: MemoryStore, name: str, items: list[str], horizon: int) -> tuple[Task, str]:
    """Write the losses of a partition: the scores of each item's windows."""
    scores = scores_of(len(items), horizon, len(name))
    flat = pa.array(scores.ravel())
    offsets = pa.array(np.arange(len(items) + 1, dtype=np.int32) * horizon * 3)
    table = pa.table({"item_id": items, SCORES: pa.ListArray.from_arrays(offsets, flat)})
    content = io.BytesIO()
    pq.write_table(table, content)
    store.put(f"backtests/{name}", content.getvalue())
    return Task(name, "2024-01", (), 1, horizon, "s", "k"), f"backtests/{name}"


def counts_of(parts: list[tuple[list[str], int, int]]) -> ScoreCounts:
    """Count the scores of partitions, the windows of an item in one half of them."""
    total: ScoreCounts | None = None
    for items, horizon, seed in parts:
        numbers = {item: place for place, item in enumerate(dict.fromkeys(items))}
        half = np.array([numbers[item] % 2 for item in items])
        own = ScoreCounts.count(LEVELS, scores_of(len(items), horizon, seed), half)
        total = own if total is None else total + own
    assert total is not None
    return total


def test_the_scores_of_all_partitions_of_a_horizon_are_one_calibration(store: MemoryStore) -> None:
    items = [f"i{n // 3}" for n in range(24)]
    outputs = {
        "aa": put(store, "aa", items, 2),
        "b": put(store, "b", items[:21], 2),
        "cccc": put(store, "cccc", items, 4),
        "empty": put(store, "empty", [], 2),
    }
    short, long = measure_calibrations(side_of(store), "naive 1", outputs)
    assert (short.model, short.horizon, short.forecasts) == ("naive 1", 2, 45)
    assert (long.horizon, long.forecasts, long.stored, long.key) == (4, 24, None, "")
    counts = counts_of([(items, 2, 2), (items[:21], 2, 1)])
    assert short.stored is not None
    assert short.stored.factors == counts.fit().factors
    before, after = counts.coverage()
    for got, shares in ((short.stored.before, before), (short.stored.after, after)):
        assert [*got] == [round(float(shares[0]), 4), None, round(float(shares[2]), 4)]
    assert short.stored.levels == LEVELS
    # The forecasts of the same settings find it.
    method = with_calibration(replace(METHOD, horizon=2, calibrate=True), INFO, store)
    assert method.calibration is not None
    assert method.calibration.factors == counts.fit().factors
    assert short.key.endswith(f"/{calibration_name(INFO, METHOD, 2)}.json")


@pytest.mark.parametrize("count", [LEAST_FORECASTS - 1, LEAST_FORECASTS])
def test_too_few_forecasts_are_not_stored(count: int, store: MemoryStore) -> None:
    counts = counts_of([([f"i{n}" for n in range(count)], 2, 5)])
    place = CalibrationPlace(store, INFO, METHOD)
    measured = place.store("naive", 2, counts)
    assert measured.forecasts == count
    assert (measured.stored is None) == (measured.key == "") == (count < LEAST_FORECASTS)


STORED = StoredCalibration(LEVELS, ((1.0, 1.0, 1.0),), 40, (0.05, None, 0.97), (0.1, None, 0.9))


def test_the_values_of_a_calibration_are_shares_by_level() -> None:
    assert Measured("m", 2, STORED, 40, "k").to_json() == {
        "model": "m",
        "horizon": 2,
        "forecasts": 40,
        "key": "k",
        "below": {"0.1": [0.05, 0.1], "0.5": [None, None], "0.9": [0.97, 0.9]},
    }
    few = Measured("m", 2, None, 3).to_json()
    assert (few["key"], few["below"]) == (None, None)


def test_shares_are_a_table_and_models_with_too_few_forecasts_are_named() -> None:
    few = Measured("little", 4, None, 3)
    odd = replace(STORED, after=(None, None, 0.9))
    blocks = calibration_blocks(iter([Measured("m", 2, odd, 40, "k"), few]))
    text = render_markdown(Document(tuple(blocks)))
    assert "97.0%" in text
    assert "90.0%" in text
    assert "| 0.1 " not in text.replace("  ", " ")
    assert "| 0.5 " not in text.replace("  ", " ")
    assert (
        f"little is not calibrated at 4 steps: 3 forecasts are fewer than {LEAST_FORECASTS}" in text
    )
    assert text.count("not calibrated") == 1
    assert len(calibration_blocks([few])) == 1
    assert len(calibration_blocks([Measured("m", 2, STORED, 40, "k")])) == 2
