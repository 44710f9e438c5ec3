"""Quantiles of many segments at once.

Segments of similar length are padded and stacked into a block, which is sorted in one call. So the
number of calls grows with the number of powers of two among the lengths, not with the segments.
"""

import numpy as np

from gigacast.core.array import DoubleArray, IntArray
from gigacast.series.segment import take_ranges

_BLOCK_CELLS = 1 << 22  # 32 MiB of float64
_LONG_SEGMENT = 1 << 12
"""Longer segments get a call each, which costs less than sorting a padded block."""


def segment_quantiles(
    values: DoubleArray, offsets: IntArray, levels: tuple[float, ...]
) -> DoubleArray:
    """Return quantiles of each segment, interpolated linearly; NaN for empty segments.

    Parameters
    ----------
    values : float64 [R]
        Values without NaN.
    offsets : int64 [N + 1]
    levels : tuple of float
        Q quantile levels.

    Returns
    -------
    float64 [N, Q]
    """
    lengths = np.diff(offsets)
    quantiles = np.full((len(lengths), len(levels)), np.nan)
    # The longest segment of a class is less than twice as long as the shortest, which bounds the
    # padding.
    classes = np.where(lengths > 0, np.ceil(np.log2(np.maximum(lengths, 1))), -1)
    for size in np.unique(classes[classes >= 0]):
        members = np.flatnonzero(classes == size)
        # Memory is bounded by the block, not by the number of segments.
        block_rows = max(1, int(_BLOCK_CELLS // 2**size))
        for start in range(0, len(members), block_rows):
            rows = members[start : start + block_rows]
            quantiles[rows] = _of_block(values, offsets[rows], lengths[rows], levels)
    return quantiles


def _of_block(
    values: DoubleArray, starts: IntArray, lengths: IntArray, levels: tuple[float, ...]
) -> DoubleArray:
    longest = int(lengths.max())
    if longest > _LONG_SEGMENT and (len(starts) > 1):
        each = range(len(starts))
        parts = [_of_block(values, starts[n : n + 1], lengths[n : n + 1], levels) for n in each]
        return np.concatenate(parts)
    places = np.multiply.outer(lengths - 1, levels)
    low = np.floor(places).astype(np.int64)
    high = np.minimum(low + 1, (lengths - 1)[:, None])
    if (lengths == longest).all():  # the same places in all rows: no need to sort them
        # A copy, because the next step works in place and the block may be a view of the input.
        # Only the needed places are put in order, which is cheaper than a sort.
        block = _side_by_side(values, starts, longest).copy()
        block.partition(np.unique([*low[0], *high[0]]), axis=1)
    else:
        # Padded with infinity, which sorts behind all values.
        block = np.full((len(starts), longest), np.inf)
        inside = np.arange(longest) < lengths[:, None]
        stop = int(starts[-1] + lengths[-1])
        adjacent = (np.diff(starts) == lengths[:-1]).all()  # one slice, without gathering
        block[inside] = (
            values[starts[0] : stop] if adjacent else values[take_ranges(starts, lengths)]
        )
        block.sort(axis=1)
    below, above = (np.take_along_axis(block, at, axis=1) for at in (low, high))
    result: DoubleArray = below + (above - below) * (places - low)
    return result


def _side_by_side(values: DoubleArray, starts: IntArray, length: int) -> DoubleArray:
    if len(starts) == 1:
        return values[None, starts[0] : starts[0] + length]
    if (np.diff(starts) == length).all():
        return values[starts[0] : starts[0] + length * len(starts)].reshape(-1, length)
    return values[take_ranges(starts, np.full(len(starts), length))].reshape(-1, length)
