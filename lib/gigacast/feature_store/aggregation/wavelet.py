"""Ranks, counts and distinct values within ranges of rows, by a wavelet matrix.

A wavelet matrix takes codes bit by bit, from the highest: rows with a zero move before rows with a
one, in order otherwise. A range of rows stays a range at each level, so a walk down the levels
answers all ranges at once. One level is in memory at a time. Source: Claude and Navarro, "The
wavelet matrix", 2012.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigacast.feature_store.aggregation.limbs import Ranges

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Level:
    """One bit of all codes.

    Parameters
    ----------
    bit : int
        Position of the bit, 0 for the lowest.
    zeros : array of int32 or int64, shape (rows + 1,)
        Number of zeros before each row.
    moved : array, shape (rows,)
        Rows of the level above that come to each place of the level below.
    """

    bit: int
    zeros: NDArray[Any]
    moved: NDArray[Any] | None = None

    def below(self, at: Ints) -> tuple[Ints, Ints]:
        """Return where places go in the level below if they follow a zero, or a one."""
        zeros = self.zeros[at].astype(np.int64)
        return zeros, at - zeros + int(self.zeros[-1])


def _walk(codes: Ints, *, track: bool = False) -> Iterator[Level]:
    small = np.int32 if len(codes) < 1 << 31 else np.int64
    # Half the bytes where the codes allow: the walk is bound by memory.
    row = codes.astype(np.int32) if int(codes.max(initial=0)) < 1 << 31 else codes
    for bit in range(int(codes.max(initial=0)).bit_length() - 1, -1, -1):
        zero = (row >> bit) & 1 == 0
        zeros = np.zeros(len(row) + 1, small)
        np.cumsum(zero, out=zeros[1:])
        moved = None
        if track:
            moved = np.concatenate([np.flatnonzero(zero), np.flatnonzero(~zero)]).astype(small)
        yield Level(bit, zeros, moved)
        row = np.concatenate([row[zero], row[~zero]])


def count_below(codes: Ints, ranges: Ranges, bounds: Ints) -> Ints:
    """Return how many codes of each range are less than its bound.

    Parameters
    ----------
    codes : array of int64, shape (rows,)
        Codes from zero on.
    ranges : Ranges
        Ranges of rows.
    bounds : array of int64, shape (ranges,)
        Bounds, from zero on.
    """
    start, stop = ranges.start, ranges.stop
    counts = np.zeros(len(start), np.int64)
    for level in _walk(codes):
        is_one = ((bounds >> level.bit) & 1).astype(np.bool_)
        (low, high), (end, stay) = level.below(start), level.below(stop)
        counts += np.where(is_one, end - low, 0)
        start, stop = np.where(is_one, high, low), np.where(is_one, stay, end)
    over = bounds >= 1 << int(codes.max(initial=0)).bit_length()
    return np.where(over, ranges.stop - ranges.start, counts)


def find_rank(codes: Ints, ranges: Ranges, ranks: Ints) -> Ints:
    """Return the code of a rank in each range: rank 0 is the least.

    Parameters
    ----------
    codes : array of int64, shape (rows,)
        Codes from zero on.
    ranges : Ranges
        Ranges of rows.
    ranks : array of int64, shape (ranges,)
        Ranks, less than the ranges' lengths.
    """
    start, stop, rank = ranges.start, ranges.stop, ranks
    result = np.zeros(len(start), np.int64)
    for level in _walk(codes):
        (low, high), (end, stay) = level.below(start), level.below(stop)
        zeros = end - low
        is_one = rank >= zeros
        result |= is_one.astype(np.int64) << level.bit
        rank = np.where(is_one, rank - zeros, rank)
        start, stop = np.where(is_one, high, low), np.where(is_one, stay, end)
    return result


@dataclass(frozen=True)
class Groups:
    """Ranges divided by the code of their rows.

    Parameters
    ----------
    owner : array of int64, shape (groups,)
        Positions of the ranges that were divided, in order.
    code : array of int64, shape (groups,)
        Codes, in order within an owner.
    ranges : Ranges
        Ranges of the rows of a code, among rows in the order ``rows``.
    rows : array of int64, shape (rows,)
        Rows in their new order; those of a code follow each other in their old order.
    """

    owner: Ints
    code: Ints
    ranges: Ranges
    rows: Ints


def divide(codes: Ints, ranges: Ranges) -> Groups:
    """Return the ranges divided by code: only codes that occur in a range.

    Parameters
    ----------
    codes : array of int64, shape (rows,)
        Codes from zero on.
    ranges : Ranges
        Ranges of rows.
    """
    owner = np.flatnonzero(ranges.stop > ranges.start)
    start, stop = ranges.start[owner], ranges.stop[owner]
    code = np.zeros(len(owner), np.int64)
    rows = np.arange(len(codes))
    for level in _walk(codes, track=True):
        (low, high), (end, stay) = level.below(start), level.below(stop)
        zero, is_one = end > low, stay > high
        # Every range becomes at most two, those of zeros and of ones; empty ones end here.
        order = np.argsort(
            np.concatenate([np.flatnonzero(zero), np.flatnonzero(is_one)]), kind="stable"
        )
        start = np.concatenate([low[zero], high[is_one]])[order]
        stop = np.concatenate([end[zero], stay[is_one]])[order]
        code = np.concatenate([code[zero], code[is_one] | (1 << level.bit)])[order]
        owner = np.concatenate([owner[zero], owner[is_one]])[order]
        rows = rows[level.moved]
    return Groups(owner, code, Ranges(start, stop), rows)
