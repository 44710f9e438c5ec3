"""Values of bins, compared with loops over their rows."""

import math

import numpy as np
import pytest

from gigacast.series.aggregation.reduce import reduce_categories, reduce_numbers
from gigacast.series.value import NO_TEXT

OPERATIONS = ("sum", "mean", "last", "first", "min", "max", "count")
GROUPS: tuple[tuple[float, ...], ...] = (
    (1.0, 2.5, -3.0),
    (math.nan,),
    (math.nan, 4.0),
    (4.0, math.nan),
    (math.inf, 1.0),
    (-math.inf, 1.0),
    (0.0,),
)


def slow(group: tuple[float, ...], operation: str) -> float:
    present = [value for value in group if not math.isnan(value)]
    if operation == "count":
        return len(present)
    if not present:
        return math.nan
    made = {"sum": sum, "min": min, "max": max, "mean": lambda v: sum(v) / len(v)}
    if operation in made:
        return made[operation](present)
    return present[-1] if operation == "last" else present[0]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_group_has_the_value_of_its_rows(operation: str) -> None:
    groups = [g for g in GROUPS if operation not in {"sum", "mean"} or -math.inf not in g]
    starts = np.cumsum([0, *map(len, groups)])[:-1]
    values = np.array([value for group in groups for value in group])
    reduced = reduce_numbers(values, starts, operation)
    np.testing.assert_array_equal(reduced, [slow(group, operation) for group in groups])


@pytest.mark.parametrize("operation", ["sum", "mean"])
def test_infinities_of_both_signs_are_no_missing_value(operation: str) -> None:
    values = np.array([math.inf, -math.inf, 1.0, 2.0, -math.inf])
    reduced = reduce_numbers(values, np.array([0, 2]), operation)
    assert np.isinf(reduced).all()


def test_sums_of_small_floats_are_taken_in_large_ones() -> None:
    values = np.array([2.0**24, *[1.0] * 5], np.float32)
    assert reduce_numbers(values, np.array([0]), "sum").tolist() == [2.0**24 + 5]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_without_groups_there_are_no_values(operation: str) -> None:
    reduced = reduce_numbers(np.empty(0, np.float32), np.empty(0, np.int64), operation)
    assert reduced.tolist() == []
    assert reduced.dtype == np.float64


def test_categories_have_their_last_text() -> None:
    codes = np.array([0.0, 1.0, 2.0, NO_TEXT, NO_TEXT, math.nan, 3.0])
    starts = np.array([0, 2, 4, 5])
    assert reduce_categories(codes, starts).tolist() == [1.0, 2.0, NO_TEXT, 3.0]
    assert reduce_categories(codes[:2], starts[:1]).tolist() == [1.0]
    assert reduce_categories(np.empty(0), np.empty(0, np.int64)).tolist() == []
