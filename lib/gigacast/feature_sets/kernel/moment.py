"""Counts, means and sums of squares of windows.

The two parts of a window (see `kernel.window`) are combined by the formula of Chan, Golub and
LeVeque (1979). Squares are of distances from values in the window, so they are exact at any level.
"""

from typing import NamedTuple

import numpy as np

from gigacast.core.array import BoolArray, DoubleArray, IntArray
from gigacast.feature_sets.kernel.block import block_width, blocks_of, buckets, end_before


class Spread(NamedTuple):
    """Mean of windows, and sum of squared distances from it, float64 [R] each.

    The mean is split into a value of the window (``base``) and the distance from it (``apart``): at
    a level of 1e12 a single number would lose the digits that a spread consists of.
    """

    base: DoubleArray
    apart: DoubleArray
    square: DoubleArray

    @property
    def mean(self) -> DoubleArray:
        """Mean of each window, float64 [R]."""
        return self.base + self.apart


class Moments(NamedTuple):
    """Counts, spreads and sums of products of two columns in windows, float64 [R] each."""

    counts: DoubleArray
    x: Spread
    y: Spread
    cross: DoubleArray


Parts = tuple[DoubleArray, tuple[Spread, ...], DoubleArray | None]
"""Counts, the spread of each column, and the sums of products of two columns."""


def rolling_spread(
    values: DoubleArray, offsets: IntArray, window: int
) -> tuple[DoubleArray, Spread]:
    """Return the number of values in each window, [R], and their spread."""
    counts, (spread,), _ = _rolling((values,), offsets, window)
    return counts, spread


def rolling_moments(x: DoubleArray, y: DoubleArray, offsets: IntArray, window: int) -> Moments:
    """Return the moments of windows of two columns, which are missing in the same rows."""
    counts, (of_x, of_y), cross = _rolling((x, y), offsets, window)
    assert cross is not None  # noqa: S101 - of two columns
    return Moments(counts, of_x, of_y, cross)


def _rolling(columns: tuple[DoubleArray, ...], offsets: IntArray, window: int) -> Parts:
    rows = len(columns[0])
    counts, cross = np.zeros(rows), np.zeros(rows) if len(columns) > 1 else None
    spreads = tuple(Spread(*(np.zeros(rows) for _ in Spread._fields)) for _ in columns)
    for bucket in buckets(offsets, window, complete=False):
        width = block_width(bucket, window)
        blocks = [blocks_of(bucket.take(column), width) for column in columns]
        # The end of a block is the beginning of the block read backwards.
        turned = [part[:, :, ::-1] for part in blocks]
        moments = _joined(_ends(_running(turned)), _running(blocks))
        bucket.put(_flat(moments[0]), counts)
        for into, spread in zip(spreads, moments[1], strict=True):
            for target, values in zip(into, spread, strict=True):
                bucket.put(_flat(values), target)
        if cross is not None and moments[2] is not None:
            bucket.put(_flat(moments[2]), cross)
    return counts, spreads, cross


def _flat(blocks: DoubleArray) -> DoubleArray:
    return blocks.reshape(len(blocks), -1)


def _running(columns: list[DoubleArray]) -> Parts:
    """Return the moments of the beginnings of blocks, up to each place, [S, B, W].

    Sums are of distances from the block's first value, which is in every beginning that has one.
    """
    present = ~np.isnan(columns[0])
    counts = np.cumsum(present, axis=2, dtype=np.float64)
    divisors = np.maximum(counts, 1.0)
    spreads, sums, moved = [], [], []
    for blocks in columns:
        base = _first_value(blocks, present)
        apart = np.where(present, blocks - base, 0.0)
        total = np.cumsum(apart, axis=2)
        # Exact enough, as distances are from a value of the block and not from zero.
        square = np.cumsum(apart * apart, axis=2) - total * total / divisors
        mean = total / divisors
        spread = Spread(np.broadcast_to(base, blocks.shape), mean, np.maximum(square, 0.0))
        spreads.append(spread)
        sums.append(total)
        moved.append(apart)
    cross = None
    if len(columns) > 1:
        cross = np.cumsum(moved[0] * moved[1], axis=2) - sums[0] * sums[1] / divisors
    return counts, tuple(spreads), cross


def _first_value(blocks: DoubleArray, present: BoolArray) -> DoubleArray:
    place = present.argmax(axis=2)[:, :, None]
    first: DoubleArray = np.nan_to_num(np.take_along_axis(blocks, place, axis=2))
    return first


def _ends(turned: Parts) -> Parts:
    """Return the moments of the part of each window that is in the block before."""

    def before(part: DoubleArray) -> DoubleArray:
        return end_before(part[:, :, ::-1], 0.0)

    counts, spreads, cross = turned
    moved = tuple(Spread(*(before(part) for part in spread)) for spread in spreads)
    return before(counts), moved, None if cross is None else before(cross)


def _joined(ends: Parts, beginnings: Parts) -> Parts:
    """Return the moments of windows from those of their two parts (Chan et al. 1979)."""
    counts = ends[0] + beginnings[0]
    share = ends[0] / np.maximum(counts, 1.0)
    weight = share * beginnings[0]  # 0 unless both parts have values
    both, has_second = weight > 0, beginnings[0] > 0
    spreads, gaps = [], []
    for first, second in zip(ends[1], beginnings[1], strict=True):
        gap = np.where(both, (second.base - first.base) + (second.apart - first.apart), 0.0)
        gaps.append(gap)
        spreads.append(
            Spread(
                np.where(has_second, second.base, first.base),
                np.where(has_second, second.apart - gap * share, first.apart),
                first.square + second.square + gap * gap * weight,
            )
        )
    cross = None
    if ends[2] is not None and beginnings[2] is not None:
        cross = ends[2] + beginnings[2] + gaps[0] * gaps[1] * weight
    return counts, tuple(spreads), cross
