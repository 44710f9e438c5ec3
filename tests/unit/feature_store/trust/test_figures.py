"""Figures of two columns by hour, against plain loops."""

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from gigacast.feature_store.trust.figures import LEVELS, SCHEMA, Pair, figures_by_hour
from tests.support.features.vectors import read_vector

HOUR = 3_600_000
NUMBER = st.one_of(st.none(), st.integers(-5, 5))
LIST = st.one_of(st.none(), st.lists(st.integers(0, 2), max_size=4))


def nearest(values: list[float]) -> list[float] | None:
    ordered = sorted(values)
    n = len(ordered)
    return [ordered[min(int(level * n), n - 1)] for level in LEVELS] if n else None


def rows_of(hours: list[int], pairs: list[Pair]) -> dict[tuple[int, str], dict[str, Any]]:
    table = figures_by_hour(np.array(hours, np.int64), pairs)
    assert table.schema == SCHEMA
    return {(row["hour"], row["feature"]): row for row in table.to_pylist()}


@given(st.lists(st.tuples(st.integers(0, 2), NUMBER, NUMBER, st.booleans()), max_size=20))
def test_figures_of_numbers_are_those_of_plain_loops(rows: list[tuple[Any, ...]]) -> None:
    hours, served, right, failed = ([row[n] for row in rows] for n in range(4))
    pair = Pair(
        "f",
        pa.array(served, pa.int64()),
        pa.array(right, pa.float64()),
        failed=np.array(failed, np.bool_),
    )
    figures = rows_of([hour * HOUR for hour in hours], [pair])
    for hour in set(hours):
        mine = [(a, b) for h, a, b, bad in rows if h == hour and not bad]
        both = [(a, b) for a, b in mine if a is not None and b is not None]
        terms = [2 * abs(a - b) / (abs(a) + abs(b)) if a or b else 0 for a, b in both]
        row = figures[hour * HOUR, "f"]
        smape = row.pop("smape")
        assert smape is None if not terms else abs(smape - sum(terms) / len(terms)) < 1e-12
        assert row == {
            "hour": hour * HOUR,
            "feature": "f",
            "total": hours.count(hour),
            "failed": hours.count(hour) - len(mine),
            "both_null": sum(a is None and b is None for a, b in mine),
            "left_null": sum(a is None and b is not None for a, b in mine),
            "right_null": sum(a is not None and b is None for a, b in mine),
            "mismatch": sum(a != b for a, b in both),
            "mismatch_length": 0,
            "left_minus_right_percentiles": nearest([a - b for a, b in both]),
            "left_percentiles": nearest([a for a, _ in mine if a is not None]),
            "right_percentiles": nearest([b for _, b in mine if b is not None]),
            "edit_insert_percentiles": None,
            "edit_delete_percentiles": None,
            "left_length_percentiles": None,
            "right_length_percentiles": None,
        }


@given(st.lists(st.tuples(LIST, LIST), min_size=1, max_size=10))
def test_figures_of_lists_count_edits_and_lengths(pairs: list[tuple[Any, Any]]) -> None:
    kind = pa.list_(pa.int64())
    served, right = (pa.array([pair[side] for pair in pairs], kind) for side in (0, 1))
    [row] = rows_of([0] * len(pairs), [Pair("f", served, right)]).values()
    both = [(a, b) for a, b in pairs if a is not None and b is not None]
    assert row["mismatch"] == sum(a != b for a, b in both)
    assert row["mismatch_length"] == sum(len(a) != len(b) for a, b in both)
    assert row["left_length_percentiles"] == nearest([len(a) for a, _ in pairs if a is not None])
    assert row["edit_insert_percentiles"] is not None
    if all(a == b for a, b in both) and len(both) == len(pairs):
        assert row["edit_insert_percentiles"] == [0.0] * len(LEVELS)
        assert row["edit_delete_percentiles"] == [0.0] * len(LEVELS)


def test_a_sketch_differs_out_of_its_bounds_only() -> None:
    served, right = pa.array([1, 2, None, 4]), pa.array([2, 2, 3, None])
    inside = np.array([True, False, False, False])
    [row] = rows_of([0] * 4, [Pair("f", served, right, inside)]).values()
    assert (row["mismatch"], row["left_null"], row["right_null"]) == (1, 1, 1)


def test_rows_differ_where_chronons_tests_say() -> None:
    """Without the case of keys, which are matched before."""
    case = read_vector("compare")["cases"][0]
    for name, expected in case["mismatches"].items():
        place = case["columns"].index(name)
        served, right = ([row[place] for row in case[side]] for side in ("left", "right"))
        kind = pa.float64() if name == "rating" else pa.int64()
        pair = Pair(name, pa.array(served, kind), pa.array(right, kind))
        assert pair.mismatches().astype(int).tolist() == expected
