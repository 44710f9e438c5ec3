"""Rows in the order of group and time, against numpy's stable sort by two keys."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigacast.core.series.batch import NO_TIME
from gigacast.series import segment
from gigacast.series.arrange import find_gaps
from gigacast.series.complete import group_items
from gigacast.series.rows import ItemRows
from gigacast.series.segment import sort_order

DAY = 86_400_000_000
MOMENTS = (NO_TIME, -(2**62), -DAY, -1, 0, 1, DAY, 2**62 - 1)
SPANS = (1, 977, 1_000_000, 3_600_000_000, DAY)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(0, 300),
    groups=st.sampled_from([1, 3, 40, 2**31 - 1]),
    unit=st.sampled_from(SPANS),
    bound=st.sampled_from([2, 30, 5000, 2**40]),
    nulls=st.sampled_from([0.0, 0.1]),
)
def test_rows_are_sorted_by_group_and_time_and_keep_their_order_where_equal(
    seed: int, rows: int, groups: int, unit: int, bound: int, nulls: float
) -> None:
    rng = np.random.default_rng(seed)
    bound = min(bound, (1 << 62) // unit)
    times = rng.integers(-bound, bound, rows) * unit
    times[rng.random(rows) < nulls] = NO_TIME
    codes = rng.integers(0, groups, rows)
    order = sort_order(codes, times)
    np.testing.assert_array_equal(order, np.lexsort((np.arange(rows), times, codes)))


@pytest.mark.parametrize("way", ["cells", "keys", "ranks"])
def test_every_way_is_taken_by_some_rows(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regular rows have cells of their own, days a key, and any microseconds two sorts."""
    rng = np.random.default_rng(0)
    shuffled = rng.permutation(5000)
    times = {
        "cells": shuffled % 50 * DAY,
        "keys": rng.integers(0, 9000, 5000) * DAY,
        "ranks": rng.integers(0, 1 << 61, 5000),
    }[way]
    codes = shuffled // 50
    ways = []
    for name in ("_order_of_cells", "_order_of_keys", "_order_of_ranks"):
        function = getattr(segment, name)

        def spied(*facts: object, name: str = name, function: object = function) -> object:
            order = function(*facts)  # type: ignore[operator]
            ways.extend([name] * (order is not None))
            return order

        monkeypatch.setattr(segment, name, spied)
    order = sort_order(codes, times)
    assert ways == [f"_order_of_{way}"]
    np.testing.assert_array_equal(order, np.lexsort((times, codes)))


def test_dictionaries_with_repeated_and_unused_ids_are_grouped_as_texts() -> None:
    ids = pa.DictionaryArray.from_arrays(pa.array([2, 0, 1, 2]), pa.array(["b", "c", "b", "x"]))
    plain = pa.array(["a", "b"])

    def part(ids: pa.Array) -> ItemRows:
        count = len(ids)
        times = np.arange(count, 0, -1)
        return ItemRows(ids, np.arange(count + 1), times, (times * 1.0,), np.ones(count, np.bool_))

    for parts in ([part(ids), part(plain)], [part(plain), part(ids), part(ids)]):
        texts = [p.item_ids for p in parts]
        texts_of_all = pa.concat_arrays([t.cast(pa.string()) for t in texts])
        grouped = group_items(parts)
        assert grouped.item_ids.to_pylist() == sorted(set(texts_of_all.to_pylist()))
        counts = {
            name: texts_of_all.to_pylist().count(name) for name in grouped.item_ids.to_pylist()
        }
        assert np.diff(grouped.offsets).tolist() == list(counts.values())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.sampled_from(MOMENTS), max_size=4), max_size=4), st.booleans())
def test_gaps_are_found_where_all_times_are_there_and_rise(
    series: list[list[int]], is_sorted: bool
) -> None:
    series = [sorted(set(times)) for times in series] if is_sorted else series
    offsets = np.cumsum([0, *map(len, series)]).astype(np.int64)
    times = np.array([time for own in series for time in own], np.int64)
    ids = pa.array([str(n) for n in range(len(series))])
    gaps = find_gaps(ItemRows(ids, offsets, times, (), np.ones(len(series), np.bool_)))
    rise = all(own and NO_TIME not in own and own == sorted(set(own)) for own in series)
    # Gaps of steps that are half of all numbers apart are left to those who look at each.
    widest = max((b - a for own in series for a, b in pairwise(own)), default=0)
    assert (gaps is not None) == (rise and bool(series) and widest < 2**62)
    if gaps is not None:
        steps = [[b - a for a, b in pairwise(own)] or [1] for own in series]
        assert gaps.least.tolist() == [min(own) for own in steps]
        assert gaps.greatest.tolist() == [max(own) for own in steps]
