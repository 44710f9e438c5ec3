"""Quantiles of demand that is mostly zero: those of a mixture of zeros and of sizes.

A model smooths what is zero on most days into small numbers that never come. Here a level up to the
share of zeros is zero, and a higher one is the mean of the model's quantile and of the quantile of
past sizes that has this level among zeros and sizes together (Croston, 1972, for the division).
Chosen on synthetic series, see docs/benchmarks.md.
"""

from collections.abc import Sequence

import numpy as np

from gigacast.core.array import BoolArray, DoubleArray, FloatArray, RealArray

LEAST_SHARE = 0.5
"""Share of zeros from which on demand is intermittent."""
LEAST_VALUES = 8
"""Values from the first demand on that such a series has."""


def with_zeros(
    quantiles: FloatArray, context: RealArray, levels: Sequence[float]
) -> tuple[FloatArray, BoolArray]:
    """Return quantiles, and which rows are of intermittent demand, bool [B]; others stay.

    Parameters
    ----------
    quantiles : float32 [B, H, Q]
        Forecasts, ascending.
    context : float [B, T]
        Series; NaN where missing.
    levels : sequence of float
        Q levels.
    """
    values = context.astype(np.float64)
    # What was before the first demand says when it began, and not how often it comes.
    is_counted = np.isfinite(values) & (np.maximum.accumulate(values > 0, axis=1))
    number = is_counted.sum(axis=1)
    zeros = (is_counted & (values == 0)).sum(axis=1)
    is_rare = (number >= LEAST_VALUES) & (zeros >= LEAST_SHARE * number)
    is_rare &= ~(values < 0).any(axis=1)
    rows = np.flatnonzero(is_rare)
    if not len(rows):
        return quantiles, is_rare
    share = ((zeros[rows] + 0.5) / (number[rows] + 1))[:, None]
    ranks = (np.asarray(levels) - share) / (1 - share)
    sizes = _quantiles_of_sizes(values[rows], np.clip(ranks, 0.0, 1.0))[:, None, :]
    own = np.maximum(quantiles[rows].astype(np.float64), 0.0)
    mixed = np.where((ranks > 0)[:, None, :], (own + sizes) / 2, 0.0)
    # A row on which the model failed is not finite, and the caller treats it so.
    mixed[~np.isfinite(quantiles[rows])] = np.nan
    changed = quantiles.copy()
    changed[rows] = mixed
    return changed, is_rare


def _quantiles_of_sizes(values: DoubleArray, levels: DoubleArray) -> DoubleArray:
    """Return quantiles [B, Q] of the values above zero of each row, at levels [B, Q]."""
    ordered = np.sort(np.where(values > 0, values, np.inf), axis=1)
    place = levels * ((values > 0).sum(axis=1)[:, None] - 1)
    low = np.floor(place).astype(np.int64)
    high = np.ceil(place).astype(np.int64)
    first, second = (np.take_along_axis(ordered, edge, axis=1) for edge in (low, high))
    between: DoubleArray = first + (second - first) * (place - low)
    return between
