"""The parts of what becomes of duplicates: against loops over groups of rows."""

import math
import warnings

import numpy as np
import pyarrow as pa
import pytest

from gigacast.series.columns import JOIN_HALVES
from gigacast.series.duplicates import (
    SAMPLE,
    cause_of,
    conflict_error,
    conflict_limit,
    count_conflicts,
    pick,
    remedy_of,
    settle_duplicates,
    sums_of,
    warn_of_dropped,
    warn_of_no_rows,
)
from gigacast.series.rows import ItemRows
from gigacast.series.source import ConflictSample, ReadStats

NAN, INF = float("nan"), float("inf")


def items_of(times: list[list[int]], *columns: list[float]) -> ItemRows:
    """Items with rows at some times, and columns of values over all rows."""
    offsets = np.cumsum([0, *map(len, times)], dtype=np.int64)
    return ItemRows(
        pa.array([f"i{n}" for n in range(len(times))]),
        offsets,
        np.array([time for own in times for time in own], np.int64),
        tuple(np.array(column) for column in columns),
        np.ones(len(times), bool),
    )


# -- groups ----------------------------------------------------------------------------------------


def groups(seed: int) -> tuple[list[list[float]], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    chosen = [
        rng.choice([1.0, 2.0, -3.5, NAN, 1e9, INF], int(rng.integers(1, 5))).tolist()
        for _ in range(30)
    ]
    starts = np.cumsum([0, *map(len, chosen)])[:-1]
    return chosen, np.array([v for own in chosen for v in own]), starts


@pytest.mark.parametrize("seed", range(3))
def test_a_group_has_its_first_and_last_value_and_their_sum(seed: int) -> None:
    chosen, values, starts = groups(seed)
    present = [[v for v in own if not math.isnan(v)] for own in chosen]
    np.testing.assert_array_equal(
        pick(values, starts, last=False), [own[0] if own else NAN for own in present]
    )
    np.testing.assert_array_equal(
        pick(values, starts, last=True), [own[-1] if own else NAN for own in present]
    )
    np.testing.assert_allclose(
        sums_of(values, starts), [math.fsum(own) if own else NAN for own in present]
    )
    assert pick(values.astype(np.float32), starts, last=True).dtype == np.float32


def test_a_sum_is_the_same_for_any_order_of_its_rows() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=60).astype(np.float32) * np.float32(10) ** rng.integers(-9, 9, 60)
    starts = np.array([0, 20, 50])
    sums = {sums_of(np.concatenate([rng.permutation(part) for part in np.split(values, [20, 50])]),
                    starts).tobytes() for _ in range(6)}  # fmt: skip
    assert len(sums) == 1


# -- conflicts -------------------------------------------------------------------------------------


def test_conflicts_are_the_rows_beside_the_first_of_a_time_with_other_values() -> None:
    items = items_of(
        [[1, 1, 1, 2, 2], [], [1, 3, 3], [3]],
        [1.0, 2, 2, 5, 5, 7, 8, NAN, 9],
        [0.0, 0, 0, 1, 1, 0, 1, 2, 9],
        [9.0, 8, 7, 6, 5, 4, 3, 2, 1],  # states frequencies: no value
    )
    stats = ReadStats()
    first = count_conflicts(items, 2, stats)
    assert first is not None
    assert first.tolist() == [True, False, False, True, False, True, True, False, True]
    assert (stats.compared, stats.conflicts) == (9, 3)
    assert stats.sample is not None
    assert stats.sample.items.to_pylist() == ["i0", "i2"]
    assert stats.sample.times.tolist() == [1, 3]
    # The sample is of the first conflicts, and counts go on.
    assert count_conflicts(items_of([[7, 7]], [1.0, 2.0]), 1, stats) is not None
    assert (stats.compared, stats.conflicts, len(stats.sample.items)) == (11, 4, 2)
    assert count_conflicts(items_of([[7, 8]], [1.0, 2.0]), 1, stats) is None
    assert (stats.compared, stats.conflicts) == (13, 4)


def test_a_sample_has_a_bound() -> None:
    count = SAMPLE + 5
    times = sorted([*range(count)] * 2)
    stats = ReadStats()
    count_conflicts(items_of([times], [*range(2 * count)]), 1, stats)
    assert stats.sample is not None
    assert stats.sample.times.tolist() == [*range(SAMPLE)]
    assert stats.conflicts == count


@pytest.mark.parametrize(
    ("policy", "averages", "expected"),
    [
        ("sum", False, [3.0, 5, 7]),
        ("first", False, [1.0, 5, 7]),
        ("last", False, [2.0, 5, 7]),
        ("mean", True, [1.5, 5, 7]),
        (None, True, [1.5, 5, 7]),
        ("error", True, [1.5, 5, 7]),
        ("mean", False, None),
        (None, False, None),
    ],
)
def test_rows_of_one_time_become_one_row_if_somebody_asks_for_it(
    policy: str | None, averages: bool, expected: list[float] | None
) -> None:
    # The last column states packed numbers, of which the greatest wins.
    items = items_of([[1, 1, 2], [2]], [1.0, 2, 5, 7], [4.0, 3, 2, 1])
    settled = settle_duplicates(
        items, ("target",), {}, policy, ReadStats(), averages=averages  # type: ignore[arg-type]
    )  # fmt: skip
    if expected is None:
        assert settled is items
        return
    assert settled.values[0].tolist() == expected
    assert settled.values[1].tolist() == [4, 2, 1]
    assert (settled.times.tolist(), settled.offsets.tolist()) == ([1, 2, 2], [0, 2, 3])
    assert settled.item_ids.to_pylist() == ["i0", "i1"]
    alone = items_of([[1, 2]], [1.0, 2])
    assert settle_duplicates(alone, ("target",), {}, "sum", ReadStats()) is alone


@pytest.mark.parametrize(
    ("policy", "limit"), [(None, 0.25), ("error", 0.0), ("mean", 1.0), ("last", 1.0)]
)
def test_a_policy_lets_conflicts_pass_up_to_a_share(policy: str | None, limit: float) -> None:
    assert conflict_limit(policy, 0.25) == limit  # type: ignore[arg-type]


# -- texts -----------------------------------------------------------------------------------------


def stats_of(conflicts: int, *, sampled: bool = True) -> ReadStats:
    stats = ReadStats()
    stats.conflicts, stats.compared = conflicts, 4000
    stats.sample = ConflictSample(pa.array(["tea"]), np.array([0])) if sampled else None
    return stats


def test_a_refusal_names_the_numbers_an_item_and_the_remedy() -> None:
    error = conflict_error("f", stats_of(1500), ("store",), ("item",))
    assert error.message == (
        "f: 1,500 of 4,000 rows have the series (such as 'tea') and the time of another row, and "
        "other values; the column 'store' tells them apart"
    )
    assert error.hint.startswith("name the columns of item ids by --item_columns item,store, or ")
    single = conflict_error("f", stats_of(1, sampled=False), ())
    assert "1 of 4,000 rows has the series and the time" in single.message
    assert single.hint.startswith("name the column of item ids by --item_column, or choose")
    halves = conflict_error("f", stats_of(2), (), (), ("day", "hour"))
    assert "; 'day' has only a part of their times, and 'hour' may have the rest" in halves.message
    assert halves.hint.startswith(f"{JOIN_HALVES}; if 'hour' is no time, name the column of item")


def test_the_cause_names_all_columns() -> None:
    assert cause_of(()) == ""
    assert cause_of(("a",)) == "; the column 'a' tells them apart"
    assert cause_of(("a", "b")) == "; the columns 'a' and 'b' tell them apart"
    assert remedy_of(("a", "b"), ("b",)) == "name the columns of item ids by --item_columns b,a"


def test_rows_that_are_left_out_are_warned_of() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_dropped(0)
    with pytest.warns(UserWarning, match="are left out: 1,200$"):
        warn_of_dropped(1200)
    with pytest.warns(UserWarning, match="the data has no rows"):
        warn_of_no_rows()
