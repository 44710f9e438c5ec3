"""Grouping by length and padding: every series is computed, with little padding."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gigacast.forecasters.padding import CALL_OVERHEAD_TOKENS, group_by_length, pad_left

LENGTHS = st.lists(st.integers(1, 3000), max_size=60).map(lambda n: np.array(n, np.int64))


@settings(deadline=None)
@given(LENGTHS, st.sampled_from([1, 16]))
def test_every_series_is_in_one_group_that_is_long_enough(lengths: np.ndarray, patch: int):
    groups = group_by_length(lengths, patch)
    rows = np.concatenate([np.empty(0, np.int64), *(group.rows for group in groups)])
    assert sorted(rows.tolist()) == list(range(len(lengths)))
    assert all(lengths[group.rows].max() <= group.length for group in groups)
    assert all(group.length % patch == 0 for group in groups)


@settings(deadline=None)
@given(LENGTHS)
def test_padding_costs_less_than_the_calls_it_saves(lengths: np.ndarray):
    for group in group_by_length(lengths, 16):
        own_patches = -(-lengths[group.rows] // 16)
        assert (group.length // 16 - own_patches).sum() <= CALL_OVERHEAD_TOKENS


def test_long_series_come_first():
    groups = group_by_length(np.array([16, 30000, 32] * 200), 16)
    assert [group.length for group in groups] == [30000, 32]


def test_many_series_of_each_length_are_not_padded_at_all():
    lengths = np.repeat([100, 150, 200], 1000)
    assert [group.length for group in group_by_length(lengths, 16)] == [208, 160, 112]


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(-5, 5, width=32), max_size=6), min_size=1, max_size=8))
def test_padding_equals_a_loop(series: list[list[float]]):
    values = np.array([value for row in series for value in row] or [9.0], np.float32)
    offsets = np.cumsum([0, *map(len, series)])
    expected = [[np.nan] * (7 - len(row)) + row for row in series]
    padded = pad_left(values, offsets[:-1], offsets[1:], 7)
    assert np.array_equal(padded, np.array(expected, np.float32), equal_nan=True)
