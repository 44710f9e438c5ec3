"""Columns are compared exactly: values, lists and maps, against plain Python."""

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.feature_store.trust.equality import as_floats, edits, equal, symmetric_errors
from tests.support.features.vectors import read_vector

INTEGERS = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))
SMALL = st.one_of(st.none(), st.integers(0, 3))
LISTS = st.one_of(st.none(), st.lists(SMALL, max_size=6))
MAPS = st.one_of(st.none(), st.dictionaries(st.sampled_from("abcd"), SMALL, max_size=4))
KINDS: list[tuple[Any, pa.DataType]] = [
    (INTEGERS, pa.int64()),
    (st.one_of(st.none(), st.floats(allow_nan=False)), pa.float64()),
    (st.one_of(st.none(), st.text(max_size=2)), pa.string()),
    (st.one_of(st.none(), st.booleans()), pa.bool_()),
    (st.one_of(st.none(), st.binary(max_size=2)), pa.binary()),
    (LISTS, pa.list_(pa.int64())),
    (st.one_of(st.none(), st.lists(LISTS, max_size=3)), pa.list_(pa.list_(pa.int64()))),
    (MAPS, pa.map_(pa.string(), pa.int64())),
]


@pytest.mark.parametrize(("values", "kind"), KINDS, ids=[str(kind) for _, kind in KINDS])
@given(data=st.data())
def test_rows_are_equal_as_python_says(values: Any, kind: pa.DataType, data: Any) -> None:
    pairs = data.draw(st.lists(st.tuples(values, values), max_size=6))
    # Equal rows, too: two random lists are seldom the same.
    pairs += [(value, value) for value, _ in pairs]
    served, right = ([pair[side] for pair in pairs] for side in (0, 1))
    same = equal(pa.array(served, kind), pa.array(right, kind))
    assert [*same] == [a == b for a, b in pairs]


def test_maps_are_equal_in_any_order() -> None:
    kind = pa.map_(pa.string(), pa.int64())
    served = pa.array([[("a", 1), ("b", 2)], [("a", 1), ("b", 2)]], kind)
    right = pa.array([[("b", 2), ("a", 1)], [("b", 1), ("a", 2)]], kind)
    assert [*equal(served, right)] == [True, False]


def test_slices_are_compared_by_their_own_rows() -> None:
    kind = pa.map_(pa.string(), pa.int64())
    served = pa.array([[("x", 9)], [("a", 1)], None, [("b", 2)]], kind).slice(1)
    right = pa.array([[("a", 1)], None, [("b", 3)]], kind)
    assert [*equal(served, right)] == [True, True, False]
    lists = pa.array([[9], [1, 2], None, []]).slice(1)
    assert [*equal(lists, pa.array([[1, 2], None, [0]]))] == [True, True, False]


def test_numbers_of_other_types_are_equal_by_value() -> None:
    assert [*equal(pa.array([1, 2, None]), pa.array([1.0, 2.5, None]))] == [True, False, True]
    assert [*equal(pa.array([7], pa.int32()), pa.array([7], pa.int64()))] == [True]


def longest_common(served: list[Any], right: list[Any]) -> int:
    """Return the length of the longest common subsequence by recursion."""
    if not served or not right:
        return 0
    if served[-1] == right[-1]:
        return longest_common(served[:-1], right[:-1]) + 1
    return max(longest_common(served[:-1], right), longest_common(served, right[:-1]))


@given(st.lists(st.tuples(LISTS, LISTS), max_size=8))
def test_edits_are_those_of_a_plain_recursion(pairs: list[tuple[Any, Any]]) -> None:
    kind = pa.list_(pa.int64())
    served, right = (pa.array([pair[side] for pair in pairs], kind) for side in (0, 1))
    insert, delete = edits(served, right)
    for n, (a, b) in enumerate(pairs):
        common = longest_common(a or [], b or [])
        assert (insert[n], delete[n]) == (len(a or []) - common, len(b or []) - common)


def test_edits_are_those_of_chronons_tests() -> None:
    for case in read_vector("edit_distance")["cases"]:
        served, right = (
            [*side] if side is not None else None for side in (case["left"], case["right"])
        )
        kind = pa.list_(pa.string() if "c" in str(case["left"]) else pa.int64())
        insert, delete = edits(pa.array([served], kind), pa.array([right], kind))
        outcome = {"total": insert[0] + delete[0], "insert": insert[0], "delete": delete[0]}
        expected = {name: case[name] for name in outcome if name in case}
        assert {name: outcome[name] for name in expected} == expected, case


@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)), max_size=8))
def test_symmetric_errors_are_those_of_the_formula(pairs: list[tuple[float, float]]) -> None:
    served, right = (np.array([pair[side] for pair in pairs], float) for side in (0, 1))
    for value, (a, b) in zip(symmetric_errors(served, right), pairs, strict=True):
        size = abs(a) + abs(b)
        assert value == (0 if size == 0 else 2 * abs(a - b) / size)


def test_null_is_no_number() -> None:
    assert math.isnan(as_floats(pa.array([None, 1]))[0])
