"""Rows by key and time: codes, order and windows are those of slow searches."""

import random

import numpy as np
import pyarrow as pa
import pytest

from gigacast.feature_store.aggregation.timeline import code_keys, sort_rows
from gigacast.feature_store.definition.window_edge import find_start

FAR = 1 << 61  # so far apart that key and time do not fit one integer
SCALES = {"near": 1, "days apart": 86_400_000, "as far as times go": FAR // 40}


def column(rng: random.Random, count: int, kind: str) -> list[object]:
    """Few distinct keys, some of them missing."""
    keys: list[object] = [rng.randrange(-2, 3) for _ in range(count)]
    keys = [f"k{key}" if kind == "text" else key for key in keys]
    return [None if rng.random() < 0.15 else key for key in keys]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kinds", [["text"], ["int"], ["text", "int"], ["int", "text", "int"]])
def test_equal_keys_have_equal_codes_and_a_missing_or_unknown_key_has_none(
    kinds: list[str], seed: int
) -> None:
    rng = random.Random(seed)
    rows = [column(rng, 30, kind) for kind in kinds]
    queries = [column(rng, 30, kind) for kind in kinds]
    mine, theirs, count = code_keys([pa.array(c) for c in rows], [pa.array(c) for c in queries])
    keys = [None if None in key else key for key in zip(*rows, strict=True)]
    asked = [None if None in key else key for key in zip(*queries, strict=True)]
    assert [code == -1 for code in mine] == [key is None for key in keys]
    code_of = {key: code for key, code in zip(keys, mine.tolist(), strict=True) if key is not None}
    assert sorted(code_of.values()) == list(range(len(code_of)))
    assert [code_of.get(key, -1) if key is not None else -1 for key in keys] == mine.tolist()
    assert [code_of.get(key, -1) if key is not None else -1 for key in asked] == theirs.tolist()
    assert count >= len(code_of)
    if len(kinds) > 1:
        assert count == len(code_of)


def test_keys_of_queries_may_have_another_type() -> None:
    mine, theirs, _ = code_keys([pa.array([5, 7])], [pa.array([7, 5, 6], pa.int8())])
    assert (mine.tolist(), theirs.tolist()) == ([0, 1], [1, 0, -1])


def test_a_missing_key_is_not_found_among_keys_that_are_all_missing() -> None:
    mine, theirs, _ = code_keys([pa.nulls(3)], [pa.nulls(2)])
    assert (mine.tolist(), theirs.tolist()) == ([-1, -1, -1], [-1, -1])


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("seed", range(6))
def test_windows_hold_the_rows_of_their_key_between_start_and_end(seed: int, scale: str) -> None:
    rng = random.Random(seed)
    step, count, keys_known = SCALES[scale], rng.randrange(1, 40), rng.randrange(1, 5)
    keys = np.array([rng.randrange(-1, keys_known) for _ in range(count)])
    times = np.array([rng.randrange(-20, 20) * step for _ in range(count)])
    timeline = sort_rows(keys, times, keys_known)
    rows = list(zip(keys.tolist(), times.tolist(), range(count), strict=True))
    assert timeline.order.tolist() == [row for key, _, row in sorted(rows) if key >= 0]
    asked = [(k, t * step) for k in range(-1, keys_known) for t in range(-22, 23)]
    for length in (None, step, 3 * step):
        ranges = timeline.windows(
            np.array([k for k, _ in asked]), np.array([t for _, t in asked]), length
        )
        for (key, at), start, stop in zip(asked, ranges.start, ranges.stop, strict=True):
            first = find_start(length, np.array([at]))[0]
            expected = {
                row for owner, time, row in rows if owner == key >= 0 and first <= time < at
            }
            assert set(timeline.order[start:stop].tolist()) == expected


def test_rows_of_one_time_stay_in_their_order() -> None:
    times = np.array([2, 1, 2, 1, 2])
    assert sort_rows(np.zeros(5, np.int64), times, 1).order.tolist() == [1, 3, 0, 2, 4]


@pytest.mark.parametrize("keys", [[], [-1, -1]])
def test_without_a_row_of_a_key_every_window_is_empty(keys: list[int]) -> None:
    timeline = sort_rows(np.array(keys, np.int64), np.arange(len(keys)), 3)
    ranges = timeline.windows(np.array([0, -1]), np.array([5, 5]), None)
    assert (len(timeline.order), ranges.start.tolist(), ranges.stop.tolist()) == (0, [0, 0], [0, 0])


@pytest.mark.parametrize(
    "count", [1 << 40, *((1 << bits) // 12 for bits in (59, 60, 61, 62)), (1 << 62) // 12 + 1]
)
def test_many_keys_and_long_spans_do_not_overflow(count: int) -> None:
    """The span of 10 ms takes 12 numbers a key: up to that many keys fit one integer."""
    last = count - 1
    keys, times = np.array([last, 0, last, 0]), np.array([10, 10, 0, 0])
    timeline = sort_rows(keys, times, count)
    assert timeline.order.tolist() == [3, 1, 2, 0]
    assert (np.diff(timeline.moments) > 0).all()
    assert (timeline.times is None) == (count <= (1 << 62) // 12)
    ranges = timeline.windows(np.array([last, 0]), np.array([11, 10]), None)
    assert [ranges.start.tolist(), ranges.stop.tolist()] == [[2, 0], [4, 1]]
