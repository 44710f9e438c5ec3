"""Rolling statistics of the last W rows of each item.

Rows are cut into blocks of W, so that a window is the end of one block and the beginning of the
next (van Herk 1992, Gil and Werman 1993). Both are running sums within their block, so the cost
does not grow with W. Nothing is subtracted from a longer sum, so no digits cancel and no value
outside the window affects the result. Medians and quantiles sort each window.
"""

from collections.abc import Callable, Iterator

import numpy as np

from gigacast.core.array import DoubleArray, IntArray
from gigacast.feature_sets.kernel.block import block_width, blocks_of, buckets, end_before
from gigacast.feature_sets.kernel.moment import rolling_moments, rolling_spread

CHUNK_VALUES = 1 << 18
"""Number of values of the windows in memory at a time."""


def rolling_sum(
    values: DoubleArray, offsets: IntArray, window: int, min_count: int | None = None
) -> DoubleArray:
    """Return the sum of windows [R]; NaN where a window has too few values.

    Parameters
    ----------
    values : float64 [R]
        Values, NaN if missing.
    offsets : int64 [N + 1]
    window : int
        W, the rows of a window.
    min_count : int, optional
        Number of values that a window needs; W by default.
    """
    return _accumulated(values, offsets, window, min_count, np.add, 0.0)


def rolling_min(
    values: DoubleArray, offsets: IntArray, window: int, min_count: int | None = None
) -> DoubleArray:
    """Return the least value of windows [R]; see `rolling_sum`."""
    return _accumulated(values, offsets, window, min_count, np.minimum, np.inf)


def rolling_max(
    values: DoubleArray, offsets: IntArray, window: int, min_count: int | None = None
) -> DoubleArray:
    """Return the greatest value of windows [R]; see `rolling_sum`."""
    return _accumulated(values, offsets, window, min_count, np.maximum, -np.inf)


def rolling_mean(
    values: DoubleArray, offsets: IntArray, window: int, min_count: int | None = None
) -> DoubleArray:
    """Return the mean of windows [R]; see `rolling_sum`."""
    total = rolling_sum(values, offsets, window, min_count)
    present = (~np.isnan(values)).astype(np.float64)
    mean: DoubleArray = total / np.maximum(rolling_sum(present, offsets, window, 1), 1.0)
    return mean


def rolling_std(
    values: DoubleArray, offsets: IntArray, window: int, min_count: int | None = None, ddof: int = 1
) -> DoubleArray:
    """Return the standard deviation of windows [R]; see `rolling_sum`."""
    counts, spread = rolling_spread(values, offsets, window)
    # Fewer than ddof + 1 values have no variance.
    enough = counts >= max(_needed(window, min_count), ddof + 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(enough, np.sqrt(spread.square / (counts - ddof)), np.nan)


def rolling_correlation(
    x: DoubleArray, y: DoubleArray, offsets: IntArray, window: int, min_count: int | None = None
) -> DoubleArray:
    """Return Pearson's correlation of windows [R]; NaN where either column does not vary.

    Rows in which either is missing do not count.
    """
    both = ~(np.isnan(x) | np.isnan(y))
    moments = rolling_moments(np.where(both, x, np.nan), np.where(both, y, np.nan), offsets, window)
    square_x, square_y = moments.x.square, moments.y.square
    # A column that varies by rounding only has no correlation.
    floor = 1e-28 * moments.counts
    varies = (square_x > floor * moments.x.mean**2) & (square_y > floor * moments.y.mean**2)
    enough = (moments.counts >= max(2, _needed(window, min_count))) & varies
    with np.errstate(invalid="ignore", divide="ignore"):
        # Two roots: the product of the squares overflows for large values.
        ratio = moments.cross / np.sqrt(square_x) / np.sqrt(square_y)
    # Rounding can exceed 1 by a few units in the last place.
    return np.where(enough, np.clip(ratio, -1, 1), np.nan)


def rolling_median(
    values: DoubleArray, offsets: IntArray, window: int, min_count: int | None = None
) -> DoubleArray:
    """Return the median of windows [R]; see `rolling_sum`. The cost of a row is W log W."""
    return rolling_quantile(values, offsets, window, 0.5, min_count)


def rolling_quantile(
    values: DoubleArray, offsets: IntArray, window: int, level: float, min_count: int | None = None
) -> DoubleArray:
    """Return a quantile of windows [R], interpolated linearly; see `rolling_sum`."""
    quantiles = np.full(len(values), np.nan)
    for rows, matrix in windows(values, offsets, window):
        matrix.sort(axis=1)  # NaN goes last
        count = (~np.isnan(matrix)).sum(axis=1)
        place = level * np.maximum(count - 1, 0)
        low = np.floor(place).astype(np.int64)
        high = np.minimum(low + 1, np.maximum(count - 1, 0))
        lower = np.take_along_axis(matrix, low[:, None], 1)[:, 0]
        upper = np.take_along_axis(matrix, high[:, None], 1)[:, 0]
        between = lower + (place - low) * (upper - lower)
        quantiles[rows] = np.where(count >= _needed(window, min_count), between, np.nan)
    return quantiles


def windows(
    values: DoubleArray, offsets: IntArray, window: int
) -> Iterator[tuple[slice, DoubleArray]]:
    """Yield the windows of n rows at a time as a matrix [n, W]; NaN before an item's first row."""
    if not len(values):
        return
    place = np.arange(len(values)) - np.repeat(offsets[:-1], np.diff(offsets))
    padded = np.concatenate([np.full(window - 1, np.nan), values])
    # A view: only the rows of a chunk are copied.
    every = np.lib.stride_tricks.sliding_window_view(padded, window)
    back = np.arange(window - 1, -1, -1)
    step = max(1, CHUNK_VALUES // window)
    for first in range(0, len(values), step):
        rows = slice(first, min(first + step, len(values)))
        matrix = every[rows].copy()
        # Windows at the start of an item would reach into the item before.
        short = np.flatnonzero(place[rows] < window - 1)
        if len(short):
            matrix[short] = np.where(back > place[rows][short, None], np.nan, matrix[short])
        yield rows, matrix


def _needed(window: int, min_count: int | None) -> int:
    return max(1, window if min_count is None else min_count)


def _accumulated(
    values: DoubleArray,
    offsets: IntArray,
    window: int,
    min_count: int | None,
    add: np.ufunc,
    empty: float,
) -> DoubleArray:
    """Return the result of an associative operation over windows, [R]."""
    result = np.full(len(values), np.nan)
    for bucket in buckets(offsets, window, complete=False):
        width = block_width(bucket, window)
        blocks = blocks_of(bucket.take(values), width)
        missing = np.isnan(blocks)
        total = _over_windows(np.where(missing, empty, blocks), add, empty)
        count = _over_windows((~missing).astype(np.float64), np.add, 0.0)
        enough = count >= _needed(window, min_count)
        bucket.put(np.where(enough, total, np.nan), result)
    return result


def _over_windows(blocks: DoubleArray, add: np.ufunc, empty: float) -> DoubleArray:
    beginning = add.accumulate(blocks, axis=2)
    end = add.accumulate(blocks[:, :, ::-1], axis=2)[:, :, ::-1]
    joined: DoubleArray = add(end_before(end, empty), beginning)
    return joined.reshape(len(blocks), -1)


STATISTICS: dict[str, Callable[[DoubleArray, IntArray, int, int | None], DoubleArray]] = {
    "mean": rolling_mean,
    "std": rolling_std,
    "min": rolling_min,
    "max": rolling_max,
    "median": rolling_median,
    "sum": rolling_sum,
}
