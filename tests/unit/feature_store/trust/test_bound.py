"""Served sketches are within their bounds whatever the values, and wrong answers are not."""

from collections import Counter
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gigacast.feature_store import Aggregation, EventSource, GroupBy, Operation, Query, select
from gigacast.feature_store.aggregation.sketch import (
    DistinctSketch,
    HistogramSketch,
    QuantileSketch,
)
from gigacast.feature_store.trust.bound import (
    bounding,
    columns_of_bounds,
    inside,
    rank_error,
    sketched,
)

SIZES = (1, 3, 40, 200, 3000)
MAP = pa.map_(pa.string(), pa.int64())
LEVELS = (0.1, 0.5, 0.9)


def answer(operation: Any, values: list[Any]) -> Any:
    """Return what is served: the states of several batches and days, merged."""
    parts = [values[start::3] for start in range(3)]
    states = [
        reduce(lambda state, value: operation.update(state, value, 0), part, None)
        for part in parts
        if part
    ]
    return operation.finish(reduce(operation.merge, states))


def draw(seed: int, size: int) -> list[int]:
    """Return values of which few are frequent and many rare."""
    return np.random.default_rng(seed).zipf(1.5, size).clip(1, 10**6).tolist()


def exact_percentiles(values: list[float], levels: list[float]) -> list[float]:
    ordered = sorted(float(np.float32(value)) for value in values)
    return [ordered[min(int(level * len(ordered)), len(ordered) - 1)] for level in levels]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", range(3))
def test_counts_of_distinct_values_are_inside(seed: int, size: int) -> None:
    values = [*range(seed, seed + size)]
    served = answer(DistinctSketch(None), values)
    exact = pa.array([size, size, size])
    wrong = pa.array([served, size + size // 2 + 2, 0])
    operation = Operation.APPROX_UNIQUE_COUNT
    assert inside(operation, wrong, exact).tolist() == [True, False, size <= 1]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", range(3))
def test_percentiles_are_inside(seed: int, size: int) -> None:
    values = [float(value) for value in draw(seed, size)]
    operation = Operation.APPROX_PERCENTILE(LEVELS)
    served = answer(QuantileSketch(LEVELS, None), values)
    error = rank_error(None)
    levels = [min(max(p + step, 0), 1) for step in (-error, error) for p in LEVELS]
    exact = pa.array([exact_percentiles(values, levels)] * 3)
    far = [value + 1e7 for value in served]
    answers = pa.array([served, far, served[:1]])
    assert inside(operation, answers, exact).tolist() == [True, False, False]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", range(3))
def test_histograms_are_inside(seed: int, size: int) -> None:
    values = [str(value) for value in draw(seed, size)]
    counts = Counter(values)
    served = answer(HistogramSketch(4), values)
    operation = Operation.APPROX_HISTOGRAM_K(4)
    more = {name: n + size + 1 for name, n in served.items()}
    exact = pa.array([[*counts.items()]] * 3, MAP)
    answers = pa.array([[*served.items()], [*more.items()], [("x", size + 1)]], MAP)
    assert inside(operation, answers, exact).tolist() == [True, False, False]


def test_few_values_are_counted_exactly() -> None:
    exact = pa.array([[("a", 5), ("b", 1)]] * 3, MAP)
    answers = pa.array([[("b", 1), ("a", 5)], [("a", 5), ("b", 2)], [("a", 5)]], MAP)
    assert inside(Operation.APPROX_HISTOGRAM_K(4), answers, exact).tolist() == [True, False, False]


def test_null_is_inside_of_nothing() -> None:
    operation = Operation.APPROX_UNIQUE_COUNT
    assert inside(operation, pa.array([None, 1]), pa.array([1, None])).tolist() == [False, False]


def test_bounds_are_computed_by_a_group_by_of_their_own() -> None:
    source = EventSource(
        table="data.t", query=Query(selects=select("user", "v", "kind"), time_column="ts")
    )
    parts = [
        Aggregation(input_column="v", operation=Operation.APPROX_PERCENTILE, windows=("2d",)),
        Aggregation(input_column="v", operation=Operation.APPROX_UNIQUE_COUNT, buckets=("kind",)),
        Aggregation(input_column="v", operation=Operation.SUM),
    ]
    group_by = GroupBy(name="a.b", sources=[source], keys=["user"], aggregations=parts)
    assert set(sketched(group_by)) == {"v_approx_percentile_2d", "v_approx_unique_count_by_kind"}
    assert [*columns_of_bounds(group_by)] == ["v_approx_percentile_2d"]
    bounds = bounding(group_by)
    assert bounds is not None
    [part] = bounds.aggregations or ()
    assert len(part.operation.percentiles) == 2
    plain = GroupBy(name="a.c", sources=[source], keys=["user"], aggregations=parts[2:])
    assert bounding(plain) is None
