"""Changes of contexts before a forecast, and what is added back to the quantiles after it.

Each change is of a row alone: rows of a batch, and padding on their left, do not matter to it.
"""

from typing import NamedTuple

import numpy as np

from gigacast.core.array import DoubleArray, IntArray, RealArray
from gigacast.forecasters.naive import last_season

TREND_SEASONS = 8
"""Seasons at the end of a context whose steps from one to the next give the trend."""


class Windows(NamedTuple):
    """Rows that are forecast with the same change: contexts, their future values, seasons.

    Parameters
    ----------
    context : float64 [B, T]
        NaN for missing values and padding.
    future : float64 [B, H], optional
        Values that are known ahead; NaN where not.
    seasons : int64 [B]
        Steps of a season, at least 1.
    """

    context: DoubleArray
    future: DoubleArray | None
    seasons: IntArray


def count_differences(context: RealArray, seasons: IntArray) -> IntArray:
    """Return the number of steps of each row whose value a season before is there too, [B]."""
    counts = np.zeros(len(context), np.int64)
    for season in np.unique(seasons):
        rows = np.flatnonzero(seasons == season)
        present = np.isfinite(context[rows])
        counts[rows] = (present[:, season:] & present[:, :-season]).sum(axis=1)
    return counts


def find_slopes(context: DoubleArray, seasons: IntArray) -> DoubleArray:
    """Return the trend of each row per step, [B]; 0 where no value has another a season before.

    It is the median difference to the value a season before, over the last `TREND_SEASONS`
    seasons, divided by the steps of a season: a season cancels itself, and a median does not mind
    single outliers or a break.
    """
    slopes = np.zeros(len(context))
    for season in np.unique(seasons):
        rows = np.flatnonzero(seasons == season)
        recent = context[rows, -(TREND_SEASONS + 1) * season :]
        steps = recent[:, season:] - recent[:, :-season]
        has_step = np.isfinite(steps).any(axis=1)
        if has_step.any():
            slopes[rows[has_step]] = np.nanmedian(steps[has_step], axis=1) / season
    return slopes


def without_trend(windows: Windows, slopes: DoubleArray) -> Windows:
    """Return windows less a line of these slopes, which is zero at the last step."""
    steps = np.arange(1 - windows.context.shape[1], 1)
    future = windows.future
    if future is not None:
        future = future - slopes[:, None] * np.arange(1, future.shape[1] + 1)
    return windows._replace(context=windows.context - slopes[:, None] * steps, future=future)


def with_trend(quantiles: DoubleArray, slopes: DoubleArray) -> DoubleArray:
    """Return quantiles, [B, H, Q], with the line of `without_trend` added back."""
    steps = np.arange(1, quantiles.shape[1] + 1)
    return quantiles + (slopes[:, None] * steps)[:, :, None]


def seasonal_differences(windows: Windows) -> Windows:
    """Return windows less their values a season before; the first season becomes NaN."""
    steps = windows.context
    length = steps.shape[1]
    if windows.future is not None:
        steps = np.concatenate([steps, windows.future], axis=1)
    differences = np.full(steps.shape, np.nan)
    for season in np.unique(windows.seasons):
        rows = np.flatnonzero(windows.seasons == season)
        differences[rows, season:] = steps[rows, season:] - steps[rows, :-season]
    future = None if windows.future is None else differences[:, length:]
    return windows._replace(context=differences[:, :length], future=future)


def from_differences(quantiles: DoubleArray, median: DoubleArray, windows: Windows) -> DoubleArray:
    """Return quantiles of values, [B, H, Q], from those of their seasonal differences.

    In the first season a difference is added to the last value of its phase. Later ones are sums
    of one difference a season: medians are added, and distances from the median as those of
    independent errors are, by the root of the sum of their squares.

    Parameters
    ----------
    quantiles : float64 [B, H, Q]
        Ascending along Q.
    median : float64 [B, H]
        Medians of the differences.
    windows : Windows
        Rows before they were differenced.
    """
    horizon = quantiles.shape[1]
    values = np.empty_like(quantiles)
    for season in np.unique(windows.seasons):
        rows = np.flatnonzero(windows.seasons == season)
        steps = np.arange(horizon)
        last = last_season(windows.context[rows], int(season))[:, steps % season]
        apart = quantiles[rows] - median[rows, :, None]
        middle = last + _sum_by_season(median[rows], int(season))
        squares = _sum_by_season(np.square(apart), int(season))
        values[rows] = middle[:, :, None] + np.sign(apart) * np.sqrt(squares)
    return values


def _sum_by_season(values: DoubleArray, season: int) -> DoubleArray:
    """Return running sums along axis 1, [B, H, ...], each over the steps of one phase."""
    rows, horizon = values.shape[:2]
    padding = [(0, 0), (0, -horizon % season), *[(0, 0)] * (values.ndim - 2)]
    by_season = np.pad(values, padding).reshape(rows, -1, season, *values.shape[2:])
    total: DoubleArray = by_season.cumsum(axis=1).reshape(rows, -1, *values.shape[2:])
    return total[:, :horizon]
