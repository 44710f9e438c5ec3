"""Forecasts joined with actual values, against loops over rows."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.backtesting.evaluation.join import (
    match,
    read_forecasts,
    select_actuals,
    whole_series,
)
from gigacast.core.series.batch import NO_TIME

ITEMS = st.lists(st.sampled_from("abcd"), min_size=1, max_size=4, unique=True)
POINTS = st.lists(
    st.tuples(
        st.sampled_from("abcdz"),
        st.one_of(st.integers(0, 9), st.just(NO_TIME)),
        st.sampled_from([1.0, 2.0, float("nan")]),
    ),
    max_size=20,
)


def predictions(items, start: int = 3, horizon: int = 2) -> pa.Table:
    count = len(items) * horizon
    return pa.table(
        {
            "item_id": np.repeat(list(items), horizon),
            "timestamp": np.tile(np.arange(start, start + horizon), len(items)),
            "target_name": pa.array(["target"] * count).dictionary_encode(),
            "predictions": np.arange(count, dtype=np.float32),
            "0.1": np.arange(count, dtype=np.float32) - 1,
            "0.9": np.arange(count, dtype=np.float32) + 1,
            "fallback": pa.nulls(count, pa.string()),
        }
    )


def rows_of(points):
    """Each point is a run of its own."""
    items = pa.array([item for item, _, _ in points], pa.string()).dictionary_encode()
    times = np.array([time for _, time, _ in points], np.int64)
    values = np.array([value for _, _, value in points], np.float32)
    return (items, np.arange(len(points) + 1), times, (values,)), ("target",)


def slow_match(items, points, start=3, horizon=2):
    matched = np.full((len(items), horizon), np.nan)
    for n, item in enumerate(items):
        for step in range(horizon):
            came = [v for i, t, v in points if i == item and t == start + step and math.isfinite(v)]
            if came:
                matched[n, step] = sum(came) / len(came)
    return matched


@given(ITEMS, POINTS)
def test_each_step_gets_the_mean_of_its_actual_values(items, points):
    forecasts = read_forecasts(predictions(items), 2)
    matched = match(forecasts, select_actuals([rows_of(points)], forecasts).table)
    np.testing.assert_allclose(matched, slow_match(items, points))


@pytest.mark.parametrize("horizon", [1, 2, 3])
def test_each_series_has_its_item_and_its_first_time(horizon):
    forecasts = read_forecasts(predictions("cab", horizon=horizon), horizon)
    assert forecasts.first_times.tolist() == [3, 3, 3]
    assert forecasts.items.to_pydict() == {"item": [*"cab"], "target": ["target"] * 3}
    assert forecasts.median.shape == (3, horizon)


@given(ITEMS, POINTS)
def test_only_actuals_of_forecast_items_and_times_are_kept(items, points):
    actuals = select_actuals([rows_of(points)], read_forecasts(predictions(items), 2)).table
    assert set(actuals["item"].to_pylist()) <= set(items)
    assert all(3 <= time <= 4 for time in actuals["time"].to_pylist())


@given(st.integers(0, 7), st.integers(1, 4), st.integers(1, 5), st.integers(1, 12), st.booleans())
def test_parts_hold_complete_series_and_add_up_to_the_file(count, horizon, batch, limit, is_wide):
    table = predictions([f"i{n}" for n in range(count)], horizon=horizon)
    if is_wide:
        grouped = {"item_id": table["item_id"].to_pylist()[::horizon]}
        steps = table["predictions"].to_pylist()
        grouped["predictions"] = [
            steps[n : n + horizon] for n in range(0, count * horizon, horizon)
        ]
        lists = pa.schema([("item_id", pa.string()), ("predictions", pa.list_(pa.float32()))])
        table = pa.table(grouped, lists)
    rows_each = 1 if is_wide else horizon
    parts = list(whole_series(table.to_batches(batch), horizon, limit))
    assert all(part.num_rows % rows_each == 0 for part in parts)
    assert all(part.num_rows <= max(1, limit // horizon) * rows_each for part in parts)
    rows = [row for part in parts for row in part.to_pylist()]
    assert rows == table.to_pylist()


def test_conflicts_are_the_rows_beyond_the_first_of_a_step_whose_values_differ():
    forecasts = read_forecasts(predictions("ab"), 2)
    points = [("a", 3, 1.0), ("a", 3, 2.0), ("a", 3, 2.0), ("b", 3, 1.0), ("b", 3, 1.0)]
    found = select_actuals([rows_of(points)], forecasts)
    assert (found.conflicts, found.compared) == (2, 5)


def test_columns_of_levels_are_those_between_zero_and_one():
    table = predictions("ab")
    for name in ("0", "1", "1.5", "-0.5", "nan", "price", "0.05"):
        table = table.append_column(name, table["predictions"])
    forecasts = read_forecasts(table, 2)
    assert sorted(forecasts.levels) == [0.05, 0.1, 0.9]
    assert forecasts.quantiles.shape == (2, 2, 3)


def test_the_bounds_of_forecasts_are_their_first_and_last_time():
    bounds = read_forecasts(predictions("ab", start=3, horizon=4), 4).bounds
    assert (bounds.first, bounds.last) == (3, 6)
    empty = read_forecasts(predictions("ab").slice(0, 0), 2).bounds
    assert empty.first > empty.last


def test_conflicts_are_the_values_beside_the_first_of_a_time_and_a_sample_names_them():
    forecasts = read_forecasts(predictions("ab"), 2)
    points = [("a", 3, 1.0), ("a", 3, 1.0), ("a", 4, 1.0), ("a", 4, 2.0), ("a", 4, 2.0),
              ("b", 3, 5.0), ("b", 3, 7.0), ("b", 9, 1.0), ("z", 3, 1.0)]  # fmt: skip
    found = select_actuals([rows_of(points)], forecasts)
    assert (found.conflicts, found.compared) == (3, 7)
    assert found.sample is not None
    assert [*zip(found.sample.items.to_pylist(), found.sample.times.tolist(), strict=True)] == [
        ("a", 4),
        ("b", 3),
    ]
    assert select_actuals([rows_of(points[:3])], forecasts).sample is None
    for policy, value in (("sum", 12.0), ("first", 5.0), ("last", 7.0), ("mean", 6.0), (None, 6.0)):
        matched = match(forecasts, select_actuals([rows_of(points)], forecasts, policy).table)
        assert matched[1, 0] == value


@pytest.mark.parametrize("is_double", [True, False])
def test_numbers_keep_their_precision(is_double):
    kind = pa.float64() if is_double else pa.float32()
    table = predictions("a")
    for place, name in enumerate(table.column_names):
        if name in ("predictions", "0.1", "0.9"):
            table = table.set_column(place, name, pa.array([None, 0.1], kind))
    forecasts = read_forecasts(table, 2)
    expected = np.float64 if is_double else np.float32
    assert forecasts.median.dtype == forecasts.quantiles.dtype == expected
    assert np.isnan(forecasts.median[0, 0])
