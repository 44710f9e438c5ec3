"""Groups of series that are forecast together: the targets of an item and its covariates.

A group consists of K target series and V covariates. A network that takes groups attends to the
rows of a group and to nothing outside. A series on its own is a group of one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gigacast.core.array import FloatArray, IntArray
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.covariate import Covariates
from gigacast.forecasters.encoding import encode_categories
from gigacast.forecasters.padding import pad_left


@dataclass(frozen=True, slots=True)
class Windows:
    """The part of each series that a forecaster sees.

    Parameters
    ----------
    batch : SeriesBatch
        N series.
    values : float32 [sum of T_n]
        Values of the batch, or a changed copy of them.
    starts, stops : int64 [N]
        The window of series n is ``values[starts[n]:stops[n]]``.
    """

    batch: SeriesBatch
    values: FloatArray
    starts: IntArray
    stops: IntArray

    @property
    def lengths(self) -> IntArray:
        """Number of steps of each window, int64 [N]."""
        return self.stops - self.starts


@dataclass(frozen=True, slots=True)
class Members:
    """The input rows of G groups.

    Parameters
    ----------
    context : float32 [G * (K + V), T]
        Group by group: its K series, then its V covariates.
    future : float32 [G * (K + V), H] or None
        Known values over the horizon, NaN elsewhere; ``None`` without covariates.
    size : int
        Rows per group, K + V.
    """

    context: FloatArray
    future: FloatArray | None
    size: int


def group_rows(rows: IntArray, covariates: Covariates | None, *, joint: bool) -> Iterator[IntArray]:
    """Yield groups with equal numbers of series, int64 [G, K]; each series is in one group.

    Parameters
    ----------
    rows : int64 [N]
        Indices of series; the series of an item are adjacent.
    covariates : Covariates, optional
        Names the item of each series.
    joint : bool
        Whether the series of an item form a group; otherwise each series is a group of one.
    """
    if covariates is None or not joint:
        yield rows[:, None]
        return
    items = covariates.items[rows]
    firsts = np.flatnonzero(np.append(True, items[1:] != items[:-1])) if len(rows) else rows
    counts = np.diff(np.append(firsts, len(rows)))
    # A batch is a rectangular array of groups, so items with different numbers of series go into
    # different batches.
    for count in np.unique(counts):
        starts = firsts[counts == count]
        yield rows[starts[:, None] + np.arange(count)]


def gather_members(
    windows: Windows, groups: IntArray, covariates: Covariates | None, length: int, horizon: int
) -> Members:
    """Return the input rows of groups: their series, then their covariates.

    Parameters
    ----------
    windows : Windows
    groups : int64 [G, K]
        Indices of the series of each group.
    covariates : Covariates, optional
    length : int
        Number of steps that windows are padded to, T.
    horizon : int
        Steps to forecast, H.
    """
    flat = groups.ravel()
    context = pad_left(windows.values, windows.starts[flat], windows.stops[flat], length)
    if covariates is None or not covariates.names:
        return Members(context, None, groups.shape[1])
    targets = context.reshape(*groups.shape, length)
    items = covariates.items[groups[:, 0]]
    past, ahead = covariates.windows(items, length), covariates.future(items, horizon)
    # A covariate that is not known for the whole horizon is used as a past covariate.
    ahead[np.isnan(ahead).any(axis=2)] = np.nan
    # Covariate values before the group's first target step are removed. Otherwise a short series
    # would be forecast differently in a batch of long ones, whose windows are wider.
    longest = windows.lengths[groups].max(axis=1)
    before_start = np.arange(length) < length - longest[:, None]
    past[np.broadcast_to(before_start[:, None], past.shape)] = np.nan
    for column, texts in enumerate(covariates.categories):
        if texts is not None:
            encoded = encode_categories(past[:, column], ahead[:, column], texts, targets)
            past[:, column], ahead[:, column] = encoded
    unknown = np.full((*groups.shape, horizon), np.nan, np.float32)
    size = groups.shape[1] + len(covariates.names)
    return Members(
        np.concatenate([targets, past], axis=1).reshape(-1, length),
        np.concatenate([unknown, ahead], axis=1).reshape(-1, horizon),
        size,
    )


def season_lengths(batch: SeriesBatch, fixed: int | None) -> IntArray:
    """Return the season length of each series, int64 [N]; 1 if the frequency is unknown."""
    if fixed is not None:
        return np.full(len(batch), fixed, dtype=np.int64)
    lengths = [frequency.season_length for frequency in batch.frequencies]
    # Series of unknown frequency have the code -1, which selects the 1 at the end.
    return np.array([*lengths, 1], dtype=np.int64)[batch.frequency_codes]
