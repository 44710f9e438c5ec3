"""Filters: the same rows as a slow loop keeps, and nothing ruled out that could match."""

import math
from datetime import date, datetime
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.core.dataset.predicate import Predicate
from gigacast.errors import ConfigError


def day(year: int, month: int, number: int) -> datetime:
    return pd.Timestamp(year, month, number).to_pydatetime()


COMPARE = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "in": lambda a, b: a in b,
    "not in": lambda a, b: a not in b,
}
VALUES = st.lists(st.none() | st.integers(-5, 5), min_size=1, max_size=20)
CONDITION = st.one_of(
    st.tuples(
        st.just("n"), st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), st.integers(-6, 6)
    ),
    st.tuples(
        st.just("n"), st.sampled_from(["in", "not in"]), st.lists(st.integers(-6, 6), max_size=3)
    ),
)
FILTERS = st.lists(st.lists(CONDITION, min_size=1, max_size=3), min_size=1, max_size=3)


def slow(value: int | None, filters: list[list[tuple[str, str, Any]]]) -> bool:
    return value is not None and any(
        all(COMPARE[operator](value, operand) for _, operator, operand in group)
        for group in filters
    )


@given(VALUES, FILTERS)
def test_the_rows_kept_are_those_of_a_slow_loop(
    values: list[int | None], filters: list[list[tuple[str, str, Any]]]
) -> None:
    predicate = Predicate.parse(filters)
    assert predicate is not None
    table = pa.table({"n": pa.array(values, pa.int64())})
    expected = [slow(value, filters) for value in values]
    assert predicate.mask(table).to_pylist() == expected
    present = [value for value in values if value is not None]
    if present and any(expected):
        assert predicate.may_match({"n": (min(present), max(present))})


@given(st.integers(-5, 5), FILTERS)
def test_conditions_on_constant_columns_are_decided_without_the_rows(
    value: int, filters: list[list[tuple[str, str, Any]]]
) -> None:
    predicate = Predicate.parse(filters)
    assert predicate is not None
    assert predicate.settle({"n": value}) == (slow(value, filters), None)
    assert predicate.settle({"n": None}) == (False, None)
    assert predicate.settle({}) == (True, predicate)


@pytest.mark.parametrize(
    ("value", "bounds"),
    [
        ("2024-01-16", (day(2024, 1, 15), day(2024, 1, 17))),
        (date(2024, 1, 16), (day(2024, 1, 15), day(2024, 1, 17))),
        ("2024-01-16", (date(2024, 1, 15), date(2024, 1, 17))),
        (day(2024, 1, 16), (date(2024, 1, 16), date(2024, 1, 16))),
    ],
)
def test_times_compare_with_text_dates_and_times(value: object, bounds: tuple[Any, Any]) -> None:
    for operator in ("==", ">=", "<="):
        predicate = Predicate.parse([("t", operator, value)])
        assert predicate is not None
        assert predicate.may_match({"t": bounds})
    early = Predicate.parse([("t", "<", "2023-12-31")])
    assert early is not None
    assert not early.may_match({"t": bounds})


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ([("n", "~", 1)], "unknown operator '~'"),
        ([("n", "==")], "is not a filter"),
        ([("n", "in", "abc")], "takes a list"),
        (["n == 1"], "is not a filter"),
    ],
)
def test_an_invalid_filter_is_refused(filters: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Predicate.parse(filters)


def test_a_filter_that_does_not_fit_its_column_is_an_error() -> None:
    predicate = Predicate.parse([("n", "<", "much")])
    assert predicate is not None
    with pytest.raises(ConfigError, match="n < 'much' does not fit a int64 column"):
        predicate.mask(pa.table({"n": [1]}))


@pytest.mark.parametrize(
    ("operator", "value"), [("!=", 1.0), ("not in", [1.0]), ("in", [math.nan])]
)
def test_bounds_that_leave_nan_out_do_not_exclude_rows_with_nan(
    operator: str, value: object
) -> None:
    predicate = Predicate.parse([("x", operator, value)])
    assert predicate is not None
    assert predicate.mask(pa.table({"x": [1.0, math.nan]})).to_pylist() == [False, True]
    assert predicate.may_match({"x": (1.0, 1.0)})
