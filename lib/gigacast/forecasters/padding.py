"""From ragged series to padded batches that waste little. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gigacast.core.array import FloatArray, IntArray

CALL_OVERHEAD_TOKENS = 256
"""What one more call costs, in tokens (measured with Bolt's tiny shape on a CPU): up to that much
padding is cheaper."""


@dataclass(frozen=True, slots=True)
class Group:
    """Series of similar length, forecast together.

    Parameters
    ----------
    rows : int64 [G]
        Which series.
    length : int
        Steps they are padded to, T.
    """

    rows: IntArray
    length: int


def group_by_length(lengths: IntArray, patch_size: int) -> list[Group]:
    """Group series so that next to no padding is computed, the longest first.

    Series of equal length in patches share a group; neighbouring lengths share one as well when
    the padding costs less than another call would.

    Parameters
    ----------
    lengths : int64 [N]
        Steps of each series, at least 1.
    patch_size : int
        Groups are padded to multiples of this.
    """
    patches = -(-lengths // patch_size)
    order = np.argsort(-patches, kind="stable")
    sizes, counts = np.unique(-patches, return_counts=True)
    stops = np.cumsum(counts)
    return [
        Group(order[first:last], size * patch_size)
        for size, first, last in _merge(-sizes, stops - counts, stops)
    ]


def pad_left(values: FloatArray, starts: IntArray, stops: IntArray, length: int) -> FloatArray:
    """Return ranges of ``values`` as rows, float32 [B, length], NaN before each start."""
    places = stops[:, None] + np.arange(-length, 0)
    rows: FloatArray = values[np.maximum(places, 0)]
    rows[places < starts[:, None]] = np.nan
    return rows


def _merge(sizes: IntArray, starts: IntArray, stops: IntArray) -> Iterator[tuple[int, int, int]]:
    """Join runs of neighbouring sizes, largest first, while the padding stays below a call."""
    head = 0
    wasted = 0
    for n in range(1, len(sizes) + 1):
        if n < len(sizes):
            wasted += int((sizes[head] - sizes[n]) * (stops[n] - starts[n]))
            if wasted <= CALL_OVERHEAD_TOKENS:
                continue
        yield int(sizes[head]), int(starts[head]), int(stops[n - 1])
        head, wasted = n, 0
