"""Group series of different lengths and pad them, so that little padding is computed."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gigacast.core.array import FloatArray, IntArray

CALL_OVERHEAD_TOKENS = 256
"""Cost of one more call of the model, in tokens; measured with Bolt's tiny shape on a CPU. Up to
this many tokens of padding are cheaper than splitting a group."""


@dataclass(frozen=True, slots=True)
class Group:
    """Series of similar length that share a batch.

    Parameters
    ----------
    rows : int64 [G]
        Indices of the series.
    length : int
        Number of steps they are padded to, T.
    """

    rows: IntArray
    length: int


def group_by_length(lengths: IntArray, patch_size: int) -> list[Group]:
    """Group series by length, with little padding.

    Series with equal numbers of patches share a group. Neighbouring numbers share one as well if
    the padding costs less than another call. The longest series come first, so that a batch that
    does not fit into memory is found at the start.

    Parameters
    ----------
    lengths : int64 [N]
        Steps of each series, at least 1.
    patch_size : int
        Steps per patch; groups are padded to multiples of it.
    """
    patches = -(-lengths // patch_size)
    # A stable sort keeps the order of series of equal length, so that batches are the same on
    # every machine.
    order = np.argsort(-patches, kind="stable")
    sizes, counts = np.unique(-patches, return_counts=True)
    stops = np.cumsum(counts)
    return [
        Group(order[first:last], size * patch_size)
        for size, first, last in _merge(-sizes, stops - counts, stops)
    ]


def pad_left(values: FloatArray, starts: IntArray, stops: IntArray, length: int) -> FloatArray:
    """Return ranges of ``values`` as rows, float32 [B, length], with NaN before each start.

    Padding is on the left, because models expect the last step of a context at its end.
    """
    rows = _last_steps(values, stops, length)
    lengths = stops - starts
    # Of a group of similar lengths only the first few steps may be padding.
    width = length - int(lengths.min(initial=length))
    if width > 0:
        is_before = np.arange(width) < (length - lengths)[:, None]
        np.copyto(rows[:, :width], np.float32(np.nan), where=is_before)
    return rows


def _last_steps(values: FloatArray, stops: IntArray, length: int) -> FloatArray:
    """Return the ``length`` values before each stop; any values where there are not as many."""
    firsts = stops - length
    is_whole = firsts >= 0
    if is_whole.all() and len(values) >= length:
        # Whole rows are copied: several times as fast as value by value.
        rows: FloatArray = _stretches(values, length)[firsts]
        return rows
    rows = np.empty((len(stops), length), values.dtype)
    if is_whole.any():
        rows[is_whole] = _stretches(values, length)[firsts[is_whole]]
    places = firsts[~is_whole, None] + np.arange(length)
    rows[~is_whole] = values[np.maximum(places, 0)]
    return rows


def _stretches(values: FloatArray, length: int) -> FloatArray:
    """Return a view of all stretches of ``length`` values, [N - length + 1, length]."""
    # As `sliding_window_view`, which takes longer to check its arguments than a call to copy rows.
    shape = (len(values) - length + 1, length)
    (step,) = values.strides
    return np.ndarray(shape, values.dtype, values, strides=(step, step))


def _merge(sizes: IntArray, starts: IntArray, stops: IntArray) -> Iterator[tuple[int, int, int]]:
    """Join neighbouring sizes, largest first, while padding costs less than a call."""
    # Sizes are in patches and count as tokens: each series of a smaller size is padded by the
    # difference to the first size of its run.
    head = 0
    wasted = 0
    for n in range(1, len(sizes) + 1):
        if n < len(sizes):
            wasted += int((sizes[head] - sizes[n]) * (stops[n] - starts[n]))
            if wasted <= CALL_OVERHEAD_TOKENS:
                continue
        yield int(sizes[head]), int(starts[head]), int(stops[n - 1])
        head, wasted = n, 0
