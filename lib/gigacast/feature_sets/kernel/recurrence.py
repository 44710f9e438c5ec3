"""Averages over all earlier rows, by the recurrence y[t] = x[t] + d y[t-1].

All blocks of rows of all items advance together, a row at a time. The values carried from block to
block follow the same recurrence over blocks. So a few dozen steps suffice for any number of rows.
"""

import numpy as np

from gigacast.core.array import BoolArray, DoubleArray, IntArray
from gigacast.feature_sets.kernel.block import buckets

_BLOCK = 32  # rows; the steps are 32 for each level of blocks over blocks


def exponential_mean(values: DoubleArray, offsets: IntArray, span: int) -> DoubleArray:
    """Return the exponential moving average of each item, float64 [R].

    It starts at the first value of the item; the weight of the newest value is 2 / (span + 1). Rows
    without a value are skipped and have no average, nor have the item's first ``span - 1`` values.
    """
    weight = 2 / (span + 1)
    packed, inner, present = _packed(values, offsets)
    place = _places(inner)
    entering = np.where(place == 0, packed, weight * packed)
    mean = recurrence(entering, inner, 1 - weight)
    return _unpacked(np.where(place >= span - 1, mean, np.nan), present)


def wilder_mean(values: DoubleArray, offsets: IntArray, window: int) -> DoubleArray:
    """Return Wilder's moving average of each item, float64 [R] (Wilder 1978).

    It starts at the mean of the first ``window`` values; the weight of the newest value is
    1 / window. Missing values are skipped as in `exponential_mean`.
    """
    packed, inner, present = _packed(values, offsets)
    place = _places(inner)
    sums = np.zeros(len(packed))
    starting = np.flatnonzero(place == window - 1)
    # Added in one order for all items, so that the last digits do not depend on other items.
    for back in range(window):
        sums[starting] += packed[starting - back]
    entering = np.where(place == window - 1, sums / window, packed / window)
    entering[place < window - 1] = 0.0
    mean = recurrence(entering, inner, 1 - 1 / window)
    return _unpacked(np.where(place >= window - 1, mean, np.nan), present)


def recurrence(values: DoubleArray, offsets: IntArray, decay: float) -> DoubleArray:
    """Return y[t] = x[t] + decay * y[t-1] within each item, [R]. No value may be missing."""
    result = np.empty(len(values))
    for bucket in buckets(offsets):
        bucket.put(_recur(bucket.take(values, 0.0), decay), result)
    return result


def _recur(matrix: DoubleArray, decay: float) -> DoubleArray:
    """Return the recurrence along each row of a matrix [S, L]."""
    rows, length = matrix.shape
    if length <= _BLOCK:
        return _within_blocks(matrix[:, None, :], decay)[:, 0, :]
    count = -(-length // _BLOCK)
    padded = np.zeros((rows, count * _BLOCK))
    padded[:, :length] = matrix
    blocks = _within_blocks(padded.reshape(rows, count, _BLOCK), decay)
    carried = np.zeros((rows, count))
    carried[:, 1:] = _recur(blocks[:, :, -1], decay**_BLOCK)[:, :-1]
    blocks += carried[:, :, None] * decay ** np.arange(1, _BLOCK + 1)
    return blocks.reshape(rows, -1)[:, :length]


def _within_blocks(blocks: DoubleArray, decay: float) -> DoubleArray:
    """Return the recurrence along the last axis, one place of all blocks at a time."""
    # A product with a matrix of powers would be as fast. But how it groups its sums, and so its
    # last digits, depends on the number of blocks: appended rows would change earlier features.
    result = np.empty_like(blocks)
    last = np.zeros(blocks.shape[:-1])
    for place in range(blocks.shape[-1]):
        last = blocks[..., place] + decay * last
        result[..., place] = last
    return result


def _packed(values: DoubleArray, offsets: IntArray) -> tuple[DoubleArray, IntArray, BoolArray]:
    """Return the known values, the offsets of the items among them, and which rows are known."""
    present = ~np.isnan(values)
    return values[present], np.append(0, np.cumsum(present))[offsets], present


def _places(offsets: IntArray) -> IntArray:
    """Return the place of each row within its item."""
    return np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))


def _unpacked(values: DoubleArray, present: BoolArray) -> DoubleArray:
    column = np.full(len(present), np.nan)
    column[present] = values
    return column
