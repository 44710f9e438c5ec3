"""Statistics and drift against plain Python; summaries merge to what all values give."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.errors import ConfigError
from gigacast.feature_store.trust.figures import LEVELS
from gigacast.feature_store.trust.stats import (
    SCHEMA,
    DayRange,
    DriftLimits,
    DriftQuestion,
    describe,
    find_drift,
)
from gigacast.feature_store.trust.summary import (
    EPSILON,
    POINTS,
    Summary,
    largest_distance,
    points_of,
    stability_index,
)
from tests.support.features.vectors import read_vector

NUMBERS = st.lists(st.integers(-20, 20).map(float), min_size=1, max_size=30)
NULLABLE = st.lists(st.one_of(st.none(), st.integers(-5, 5)), max_size=20)


def summary(values: list[float]) -> Summary:
    return Summary.of(points_of(np.sort(np.array(values))), len(values))


def share_up_to(values: list[float], edge: float) -> float:
    return sum(value <= edge for value in values) / len(values)


@given(NUMBERS, NUMBERS)
def test_the_largest_distance_is_that_of_all_values(
    served: list[float], right: list[float]
) -> None:
    expected = max(abs(share_up_to(served, e) - share_up_to(right, e)) for e in (*served, *right))
    assert math.isclose(largest_distance(summary(served), summary(right)), expected, abs_tol=1e-12)


@given(NUMBERS, NUMBERS)
def test_the_stability_index_of_few_values_is_that_of_their_shares(
    served: list[float], right: list[float]
) -> None:
    """Up to 64 values each one is a quantile, so each distinct one ends a bin."""
    expected = 0.0
    counts = Counter(served), Counter(right)
    for value in {*served, *right}:
        p, q = (max(c[value] / c.total(), EPSILON) for c in counts)
        expected += (p - q) * math.log(p / q)
    assert math.isclose(
        stability_index(summary(served), summary(right)), expected, rel_tol=1e-9, abs_tol=1e-9
    )


def test_stability_indices_are_those_of_chronons_tests() -> None:
    for case in read_vector("psi_drift")["cases"]:
        psi = stability_index(summary(case["reference"]), summary(case["comparison"]))
        assert psi < case.get("psi_below", math.inf)
        assert psi > case.get("psi_above", -math.inf)


@given(st.lists(NUMBERS, min_size=1, max_size=4))
def test_merged_summaries_are_that_of_all_values(parts: list[list[float]]) -> None:
    together = [value for part in parts for value in part]
    merged = Summary.merged([summary(part) for part in parts])
    assert merged.values.tolist() == sorted(together)
    assert merged.count == len(together)


def test_many_values_are_summarised_to_a_thousandth_of_their_ranks() -> None:
    random = np.random.default_rng(0)
    parts = [random.lognormal(size=n) for n in (10_000, 3_000, 70)]
    merged = Summary.merged([Summary.of(points_of(np.sort(p)), len(p)) for p in parts])
    everything = np.sort(np.concatenate(parts))
    edges = everything[::37]
    exact = np.searchsorted(everything, edges, side="right") / len(everything)
    assert len(merged.values) == 2 * POINTS + 70
    assert np.abs(merged.shares_up_to(edges) - exact).max() <= 1 / POINTS


@given(NULLABLE)
def test_statistics_are_those_of_plain_loops(values: list[int | None]) -> None:
    [row] = describe({"f": pa.chunked_array([pa.array(values, pa.int64())])}).to_pylist()
    present = sorted(value for value in values if value is not None)
    n = len(present)
    assert row == {
        "feature": "f",
        "type": "int64",
        "total": len(values),
        "nulls": values.count(None),
        "distinct": len(set(present)),
        "mean": pytest.approx(sum(present) / n) if n else None,
        "percentiles": [present[min(int(p * n), n - 1)] for p in LEVELS] if n else None,
        "points": present if n else None,
    }


@pytest.mark.parametrize(
    ("column", "numbers"),
    [
        (pa.array([[1, 2], None, []]), [0, 2]),
        (pa.array([True, None, False]), [0, 1]),
        (pa.array(["a", None]), None),
        (pa.array([1.5, float("nan"), float("inf")]), [1.5]),
        (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), None),
    ],
)
def test_each_type_has_its_numbers(column: pa.Array, numbers: list[float] | None) -> None:
    [row] = describe({"f": pa.chunked_array([column])}).to_pylist()
    assert row["points"] == numbers
    assert row["total"] == len(column)


def days(**values: list[float | None]) -> dict[str, pa.Table]:
    return {
        f"2024-01-0{name[1:]}": describe({"f": pa.chunked_array([pa.array(v, pa.float64())])})
        for name, v in values.items()
    }


@pytest.mark.parametrize(
    ("before", "after", "drifted"),
    [
        ([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0], False),
        ([1.0, 2.0, 3.0, 4.0], [11.0, 12.0, 13.0, 14.0], True),
        ([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, None, None], True),
        ([None, None], [None, None], False),
    ],
)
def test_a_change_beyond_a_limit_is_drift(
    before: list[float | None], after: list[float | None], drifted: bool
) -> None:
    question = DriftQuestion(*DayRange.parse("2024-01-01..2024-01-02:2024-01-03"))
    [change] = find_drift(days(d1=before, d2=before, d3=after), question)
    assert change.has_drifted is drifted


def test_limits_are_settings() -> None:
    stats = days(d1=[1.0, 2.0], d2=[11.0, 12.0])
    ranges = DayRange.parse("2024-01-01:2024-01-02")
    [change] = find_drift(stats, DriftQuestion(*ranges, DriftLimits(1e9, 1.0, 1.0)))
    assert not change.has_drifted
    assert (change.l_infinity, change.means) == (1.0, (1.5, 11.5))


@pytest.mark.parametrize("text", ["2024-01-01", "a:b", "2024-01-01:", "2024-01-01..x:2024-01-02"])
def test_what_are_no_ranges_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no two ranges"):
        DayRange.parse(text)


def test_a_range_without_days_is_refused() -> None:
    question = DriftQuestion(*DayRange.parse("2024-01-01:2024-02-02"))
    with pytest.raises(ConfigError, match="no statistics from 2024-02-02"):
        find_drift(days(d1=[1.0]), question)


def test_no_columns_have_no_statistics() -> None:
    rows: list[Any] = describe({}).to_pylist()
    assert rows == []
    assert describe({}).schema == SCHEMA
