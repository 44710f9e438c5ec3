"""Estimators of the volatility of prices over windows.

All return standard deviations of log returns per bar, float64 [R]; multiply them by the square root
of the bars of a year for annual values. A bar with a missing or non-positive price does not count.

Sources: Parkinson (1980), Garman and Klass (1980), Rogers and Satchell (1991), Yang and Zhang
(2000); realised volatility as the root of the mean squared return (Andersen and Bollerslev 1998).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gigacast.core.array import DoubleArray, IntArray
from gigacast.feature_sets.kernel.shift import lag, log_ratio
from gigacast.feature_sets.kernel.window import rolling_mean, rolling_std


class Bars(NamedTuple):
    """Prices of bars, float64 [R] each."""

    open: DoubleArray
    high: DoubleArray
    low: DoubleArray
    close: DoubleArray


def realised(bars: Bars, offsets: IntArray, window: int) -> DoubleArray:
    """Return the root of the mean squared close-to-close log return of windows."""
    moves = log_ratio(bars.close, lag(bars.close, offsets, 1))
    return np.sqrt(rolling_mean(moves**2, offsets, window))


def close_to_close(bars: Bars, offsets: IntArray, window: int) -> DoubleArray:
    """Return the standard deviation of the close-to-close log returns of windows."""
    return rolling_std(log_ratio(bars.close, lag(bars.close, offsets, 1)), offsets, window)


def parkinson(bars: Bars, offsets: IntArray, window: int) -> DoubleArray:
    """Return Parkinson's estimate, from the range of each bar."""
    reach = log_ratio(bars.high, bars.low) ** 2 / (4 * np.log(2))
    return np.sqrt(rolling_mean(reach, offsets, window))


def garman_klass(bars: Bars, offsets: IntArray, window: int) -> DoubleArray:
    """Return Garman and Klass' estimate, from range and body; ignores drift and opening gaps."""
    reach = log_ratio(bars.high, bars.low) ** 2 / 2
    body = (2 * np.log(2) - 1) * log_ratio(bars.close, bars.open) ** 2
    return np.sqrt(np.maximum(rolling_mean(reach - body, offsets, window), 0.0))


def rogers_satchell(bars: Bars, offsets: IntArray, window: int) -> DoubleArray:
    """Return Rogers and Satchell's estimate; allows for drift, ignores opening gaps."""
    return np.sqrt(np.maximum(_rogers_satchell_variance(bars, offsets, window), 0.0))


def yang_zhang(bars: Bars, offsets: IntArray, window: int) -> DoubleArray:
    """Return Yang and Zhang's estimate, which allows for drift and opening gaps.

    The window needs at least two bars.
    """
    gap = log_ratio(bars.open, lag(bars.close, offsets, 1))
    body = log_ratio(bars.close, bars.open)
    # The weight of least variance (Yang and Zhang 2000, with their constant 1.34).
    weight = 0.34 / (1.34 + (window + 1) / max(1, window - 1))
    overnight = rolling_std(gap, offsets, window) ** 2
    intraday = rolling_std(body, offsets, window) ** 2
    within = _rogers_satchell_variance(bars, offsets, window)
    variance = overnight + weight * intraday + (1 - weight) * within
    return np.sqrt(np.maximum(variance, 0.0))


def _rogers_satchell_variance(bars: Bars, offsets: IntArray, window: int) -> DoubleArray:
    up = log_ratio(bars.high, bars.close) * log_ratio(bars.high, bars.open)
    down = log_ratio(bars.low, bars.close) * log_ratio(bars.low, bars.open)
    return rolling_mean(up + down, offsets, window)


ESTIMATORS: dict[str, Callable[[Bars, IntArray, int], DoubleArray]] = {
    "realised": realised,
    "close_to_close": close_to_close,
    "parkinson": parkinson,
    "garman_klass": garman_klass,
    "rogers_satchell": rogers_satchell,
    "yang_zhang": yang_zhang,
}
