"""Comparisons with earlier rows: lags, differences, returns, spreads."""

import numpy as np

from gigacast.core.array import DoubleArray, IntArray


def lag(values: DoubleArray, offsets: IntArray, steps: int) -> DoubleArray:
    """Return the values ``steps`` rows earlier within each item, [R]; NaN if there is no such row.

    With negative ``steps``, values of later rows: for targets, never for features.
    """
    rows = np.arange(len(values)) - steps
    lengths = np.diff(offsets)
    first = np.repeat(offsets[:-1], lengths)
    stop = np.repeat(offsets[1:], lengths)
    inside = (rows >= first) & (rows < stop)
    # Index 0 stands in for rows outside the item, whose result is NaN.
    return np.where(inside, values[np.where(inside, rows, 0)] if len(values) else values, np.nan)


def difference(
    values: DoubleArray, offsets: IntArray, order: int = 1, steps: int = 1
) -> DoubleArray:
    """Return the differences to the values ``steps`` rows earlier, taken ``order`` times, [R]."""
    for _ in range(order):
        values = values - lag(values, offsets, steps)
    return values


def simple_return(values: DoubleArray, offsets: IntArray, steps: int = 1) -> DoubleArray:
    """Return the relative change since ``steps`` rows earlier, [R]; NaN if that value is zero."""
    before = lag(values, offsets, steps)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(before != 0, values / before - 1, np.nan)


def log_return(values: DoubleArray, offsets: IntArray, steps: int = 1) -> DoubleArray:
    """Return the log of the ratio to ``steps`` rows earlier, [R]; NaN unless both are positive."""
    return log_ratio(values, lag(values, offsets, steps))


def log_ratio(above: DoubleArray, below: DoubleArray) -> DoubleArray:
    """Return ln(above / below), [R]; NaN unless both are positive."""
    positive = (above > 0) & (below > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(positive, np.log(above / below), np.nan)


def relative_spread(bid: DoubleArray, ask: DoubleArray) -> DoubleArray:
    """Return the spread of quotes divided by their mean, [R]; NaN if that is zero."""
    middle = (bid + ask) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(middle != 0, (ask - bid) / middle, np.nan)
