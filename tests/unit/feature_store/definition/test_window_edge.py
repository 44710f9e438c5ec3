"""The hop of a window and its edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.feature_store.definition.window_edge import (
    BEGINNING,
    DAY,
    FIVE_MINUTES,
    HOUR,
    choose_hop,
    contains,
    find_start,
    start_finder,
)
from tests.support.features.oracle import window_start


@pytest.mark.parametrize(
    ("length", "hop"),
    [
        (HOUR, FIVE_MINUTES),
        (12 * HOUR - 1, FIVE_MINUTES),
        (12 * HOUR, HOUR),
        (12 * DAY - 1, HOUR),
        (12 * DAY, DAY),
        (365 * DAY, DAY),
    ],
)
def test_longer_windows_move_by_longer_hops(length: int, hop: int) -> None:
    assert choose_hop(length) == hop


@given(st.integers(1, 24 * 400), st.integers(-(10**13), 10**13))
def test_a_window_starts_on_a_hop_at_most_one_hop_early(hours: int, at: int) -> None:
    length = hours * HOUR
    start = find_start(length, at)
    assert start == window_start(length, at)
    assert start % choose_hop(length) == 0
    assert 0 <= at - length - start < choose_hop(length)
    assert find_start(length, np.array([at])).tolist() == [start]
    assert start_finder(length)(at) == start


def test_a_window_holds_its_start_and_not_its_end() -> None:
    at = 1_701_475_200_000
    assert contains(HOUR, at, at - HOUR)
    assert not contains(HOUR, at, at - HOUR - 1)
    assert contains(HOUR, at, at - 1)
    assert not contains(HOUR, at, at)


def test_a_window_without_length_holds_all_before() -> None:
    assert contains(None, 5, -(10**15))
    assert not contains(None, 5, 5)
    assert find_start(None, np.array([1, 2])).tolist() == [BEGINNING, BEGINNING]
    assert start_finder(None)(5) == BEGINNING


def test_hops_are_whole_parts_of_a_day() -> None:
    assert (FIVE_MINUTES, HOUR, DAY) == (300_000, 3_600_000, 86_400_000)
    assert BEGINNING == -(2**62)
