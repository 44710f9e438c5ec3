"""Rows back in time: lags, differences, returns, spreads."""

import numpy as np

from gigacast.core.array import DoubleArray, IntArray


def lag(values: DoubleArray, offsets: IntArray, steps: int) -> DoubleArray:
    """Return the values so many rows before, within each item, [R]; NaN where there is none.

    With ``steps`` below zero the values so many rows after: for targets, never for features.
    """
    rows = np.arange(len(values)) - steps
    lengths = np.diff(offsets)
    first = np.repeat(offsets[:-1], lengths)
    stop = np.repeat(offsets[1:], lengths)
    inside = (rows >= first) & (rows < stop)
    return np.where(inside, values[np.where(inside, rows, 0)] if len(values) else values, np.nan)


def difference(
    values: DoubleArray, offsets: IntArray, order: int = 1, steps: int = 1
) -> DoubleArray:
    """Return the differences from so many rows before, taken ``order`` times, [R]."""
    for _ in range(order):
        values = values - lag(values, offsets, steps)
    return values


def simple_return(values: DoubleArray, offsets: IntArray, steps: int = 1) -> DoubleArray:
    """Return the relative change from so many rows before, [R]; NaN from zero."""
    before = lag(values, offsets, steps)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(before != 0, values / before - 1, np.nan)


def log_return(values: DoubleArray, offsets: IntArray, steps: int = 1) -> DoubleArray:
    """Return the logarithm of the ratio to so many rows before, [R]; NaN where one is not > 0."""
    return log_ratio(values, lag(values, offsets, steps))


def log_ratio(above: DoubleArray, below: DoubleArray) -> DoubleArray:
    """Return ln(above / below), [R]; NaN where either is not positive."""
    positive = (above > 0) & (below > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(positive, np.log(above / below), np.nan)


def relative_spread(bid: DoubleArray, ask: DoubleArray) -> DoubleArray:
    """Return the spread of a quote by its middle, [R]; NaN where that is zero."""
    middle = (bid + ask) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(middle != 0, (ask - bid) / middle, np.nan)
