"""Counts, means and sums of squares of windows.

The two parts of a window, see `features.window`, are put together by the formula of Chan, Golub and
LeVeque (1979): squares are of distances from values in the window, whatever their level.
"""

from typing import NamedTuple

import numpy as np

from gigacast.core.array import BoolArray, DoubleArray, IntArray
from gigacast.feature_sets.kernel.block import block_width, blocks_of, buckets, end_before


class Spread(NamedTuple):
    """The mean of windows, and the sum of squares about it, each [R].

    The mean is a value of the window (``base``) and the distance from it (``apart``): at a level of
    1e12 a mean alone has lost the digits that a spread is made of.
    """

    base: DoubleArray
    apart: DoubleArray
    square: DoubleArray

    @property
    def mean(self) -> DoubleArray:
        """The mean, [R]."""
        return self.base + self.apart


class Moments(NamedTuple):
    """Of the values in windows: how many, their spread; of two columns that of products too."""

    counts: DoubleArray
    x: Spread
    y: Spread
    cross: DoubleArray


Parts = tuple[DoubleArray, tuple[Spread, ...], DoubleArray | None]
"""Counts, the spread of each column, and the sum of products of two."""


def rolling_spread(
    values: DoubleArray, offsets: IntArray, window: int
) -> tuple[DoubleArray, Spread]:
    """Return how many values windows have, [R], and their spread."""
    counts, (spread,), _ = _rolling((values,), offsets, window)
    return counts, spread


def rolling_moments(x: DoubleArray, y: DoubleArray, offsets: IntArray, window: int) -> Moments:
    """Return the moments of windows of two columns, which are missing together."""
    counts, (of_x, of_y), cross = _rolling((x, y), offsets, window)
    assert cross is not None  # noqa: S101 - of two columns
    return Moments(counts, of_x, of_y, cross)


def _rolling(columns: tuple[DoubleArray, ...], offsets: IntArray, window: int) -> Parts:
    rows = len(columns[0])
    counts, cross = np.zeros(rows), np.zeros(rows) if len(columns) > 1 else None
    spreads = tuple(Spread(*(np.zeros(rows) for _ in Spread._fields)) for _ in columns)
    for bucket in buckets(offsets, window, whole=False):
        width = block_width(bucket, window)
        blocks = [blocks_of(bucket.take(one), width) for one in columns]
        turned = [one[:, :, ::-1] for one in blocks]
        found = _joined(_ends(_running(turned)), _running(blocks))
        bucket.put(_flat(found[0]), counts)
        for into, made in zip(spreads, found[1], strict=True):
            for one, other in zip(into, made, strict=True):
                bucket.put(_flat(other), one)
        if cross is not None and found[2] is not None:
            bucket.put(_flat(found[2]), cross)
    return counts, spreads, cross


def _flat(blocks: DoubleArray) -> DoubleArray:
    return blocks.reshape(len(blocks), -1)


def _running(columns: list[DoubleArray]) -> Parts:
    """Return the moments of the beginnings of blocks [S, B, W].

    Sums are of differences from the block's first known value, which lies in every beginning that
    has any.
    """
    known = ~np.isnan(columns[0])
    counts = np.cumsum(known, axis=2, dtype=np.float64)
    some = np.maximum(counts, 1.0)
    spreads, sums, moved = [], [], []
    for blocks in columns:
        base = _first_known(blocks, known)
        apart = np.where(known, blocks - base, 0.0)
        total = np.cumsum(apart, axis=2)
        square = np.cumsum(apart * apart, axis=2) - total * total / some
        spread = Spread(np.broadcast_to(base, blocks.shape), total / some, np.maximum(square, 0.0))
        spreads.append(spread)
        sums.append(total)
        moved.append(apart)
    cross = None
    if len(columns) > 1:
        cross = np.cumsum(moved[0] * moved[1], axis=2) - sums[0] * sums[1] / some
    return counts, tuple(spreads), cross


def _first_known(blocks: DoubleArray, known: BoolArray) -> DoubleArray:
    place = known.argmax(axis=2)[:, :, None]
    first: DoubleArray = np.nan_to_num(np.take_along_axis(blocks, place, axis=2))
    return first


def _ends(turned: Parts) -> Parts:
    """Return, for each place, the moments of what of its window lies in the block before."""

    def before(part: DoubleArray) -> DoubleArray:
        return end_before(part[:, :, ::-1], 0.0)

    counts, spreads, cross = turned
    moved = tuple(Spread(*(before(part) for part in spread)) for spread in spreads)
    return before(counts), moved, None if cross is None else before(cross)


def _joined(one: Parts, two: Parts) -> Parts:
    """Return the moments of windows from those of their two parts (Chan et al. 1979)."""
    counts = one[0] + two[0]
    some = np.maximum(counts, 1.0)
    share = one[0] / some
    weight = share * two[0]  # 0 unless both have values
    both, has_two = weight > 0, two[0] > 0
    spreads, gaps = [], []
    for first, second in zip(one[1], two[1], strict=True):
        gap = np.where(both, (second.base - first.base) + (second.apart - first.apart), 0.0)
        gaps.append(gap)
        spreads.append(
            Spread(
                np.where(has_two, second.base, first.base),
                np.where(has_two, second.apart - gap * share, first.apart),
                first.square + second.square + gap * gap * weight,
            )
        )
    cross = None
    if one[2] is not None and two[2] is not None:
        cross = one[2] + two[2] + gaps[0] * gaps[1] * weight
    return counts, tuple(spreads), cross
