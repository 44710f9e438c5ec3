"""The value of each bin: groups of rows in the order of time."""

import numpy as np

from gigacast.core.array import BoolArray, DoubleArray, IntArray, RealArray
from gigacast.series.duplicates import pick
from gigacast.series.source import Aggregate
from gigacast.series.value import NO_TEXT


def reduce_numbers(values: RealArray, starts: IntArray, how: Aggregate) -> RealArray:
    """Return one value per group of rows, without NaN; NaN for groups of NaN only, but count 0.

    Parameters
    ----------
    values : float [R]
        Rows in the order of time, so that the same rows have the same sum, bit by bit.
    starts : int64 [B]
        Start of each group; no group is empty.
    how : str
        See `Aggregation`.

    Returns
    -------
    float [B]
    """
    if len(starts) == 0:
        return np.empty(0, np.float64)
    if how in {"first", "last"}:
        return pick(values, starts, last=how == "last")
    if how == "min":
        return np.fmin.reduceat(values, starts)
    if how == "max":
        return np.fmax.reduceat(values, starts)
    has_value = ~np.isnan(values)
    counts = np.add.reduceat(has_value, starts, dtype=np.int64)
    if how == "count":
        return counts.astype(np.float64)
    sums = _sums(values, has_value, starts)
    return np.where(counts > 0, sums if how == "sum" else sums / np.maximum(counts, 1), np.nan)


def reduce_categories(codes: RealArray, starts: IntArray) -> RealArray:
    """Return the last text of each group, as its code; `NO_TEXT` for groups without one."""
    if len(starts) == 0:
        return np.empty(0, np.float64)
    texts = pick(np.where(codes == NO_TEXT, np.nan, codes), starts, last=True)
    return np.where(np.isnan(texts), NO_TEXT, texts)


def _sums(values: RealArray, has_value: BoolArray, starts: IntArray) -> DoubleArray:
    # Not in float32: the sum of a million values would lose digits.
    terms = np.where(has_value, values, 0.0).astype(np.float64)
    is_infinite = np.isinf(terms)
    if not is_infinite.any():
        sums: DoubleArray = np.add.reduceat(terms, starts)
        return sums
    # Infinities of both signs would make NaN, which is a missing value.
    sums = np.add.reduceat(np.where(is_infinite, 0.0, terms), starts)
    return np.where(np.logical_or.reduceat(is_infinite, starts), np.inf, sums)
