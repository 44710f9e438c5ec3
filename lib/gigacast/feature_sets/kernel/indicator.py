"""Momentum indicators: RSI and MACD."""

from typing import NamedTuple

import numpy as np

from gigacast.core.array import DoubleArray, IntArray
from gigacast.feature_sets.kernel.recurrence import exponential_mean, wilder_mean
from gigacast.feature_sets.kernel.shift import difference


class Macd(NamedTuple):
    """Moving average convergence and divergence, each float64 [R]."""

    line: DoubleArray
    signal: DoubleArray
    histogram: DoubleArray


def relative_strength(values: DoubleArray, offsets: IntArray, window: int = 14) -> DoubleArray:
    """Return the relative strength index, 0 to 100 [R] (Wilder 1978).

    It is 50 where the values did not change, and missing in an item's first ``window`` rows.
    """
    moves = difference(values, offsets)
    gain = wilder_mean(np.maximum(moves, 0.0), offsets, window)
    loss = wilder_mean(np.maximum(-moves, 0.0), offsets, window)
    total = gain + loss
    with np.errstate(invalid="ignore", divide="ignore"):
        # 100 * gain / (gain + loss), which equals Wilder's 100 - 100 / (1 + gain / loss) and also
        # holds without losses.
        share = np.where(total > 0, gain / total, 0.5)
    return np.where(np.isnan(total), np.nan, np.clip(100 * share, 0, 100))


def convergence(
    values: DoubleArray, offsets: IntArray, fast: int = 12, slow: int = 26, signal: int = 9
) -> Macd:
    """Return the MACD (Appel 1979): fast minus slow average, its average, and their difference.

    The line starts at an item's row ``slow``, the signal ``signal - 1`` rows later.
    """
    line = exponential_mean(values, offsets, fast) - exponential_mean(values, offsets, slow)
    mean = exponential_mean(line, offsets, signal)
    return Macd(line, mean, line - mean)
