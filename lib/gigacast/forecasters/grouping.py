"""Series that are forecast together: the targets of an item, and its covariates. Pure; numpy.

A group is K series that are wanted and V covariates beside them; a network that takes groups
attends over them and to nothing outside. Series alone are groups of one.
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
        Where the series come from.
    values : float32 [sum of T_n]
        Its values.
    starts, stops : int64 [N]
        The window of series n is ``values[starts[n]:stops[n]]``.
    """

    batch: SeriesBatch
    values: FloatArray
    starts: IntArray
    stops: IntArray

    @property
    def lengths(self) -> IntArray:
        """Steps of each window, int64 [N]."""
        return self.stops - self.starts


@dataclass(frozen=True, slots=True)
class Members:
    """The rows of groups, and what a network is given of them.

    Parameters
    ----------
    context : float32 [G * (K + V), T]
        Group by group: its K series, then its V covariates.
    future : float32 [G * (K + V), H] or None
        What is known over the horizon, NaN elsewhere; ``None`` where there are no covariates.
    size : int
        K + V.
    """

    context: FloatArray
    future: FloatArray | None
    size: int


def group_rows(rows: IntArray, covariates: Covariates | None, *, joint: bool) -> Iterator[IntArray]:
    """Yield groups of equally many series, int64 [G, K]; each series is in one of them.

    Parameters
    ----------
    rows : int64 [N]
        Which series; those of an item follow each other.
    covariates : Covariates, optional
        It names the item of each series.
    joint : bool
        Whether the series of an item are a group; each is one of its own else.
    """
    if covariates is None or not joint:
        yield rows[:, None]
        return
    items = covariates.items[rows]
    firsts = np.flatnonzero(np.append(True, items[1:] != items[:-1])) if len(rows) else rows
    counts = np.diff(np.append(firsts, len(rows)))
    for count in np.unique(counts):
        starts = firsts[counts == count]
        yield rows[starts[:, None] + np.arange(count)]


def gather_members(
    windows: Windows, groups: IntArray, covariates: Covariates | None, length: int, horizon: int
) -> Members:
    """Return what a network is given of groups.

    Parameters
    ----------
    windows : Windows
    groups : int64 [G, K]
        The series of each group.
    covariates : Covariates, optional
    length : int
        Steps windows are padded to, T.
    horizon : int
        H.
    """
    flat = groups.ravel()
    context = pad_left(windows.values, windows.starts[flat], windows.stops[flat], length)
    if covariates is None or not covariates.names:
        return Members(context, None, groups.shape[1])
    targets = context.reshape(*groups.shape, length)
    items = covariates.items[groups[:, 0]]
    past, ahead = covariates.windows(items, length), covariates.future(items, horizon)
    ahead[np.isnan(ahead).any(axis=2)] = np.nan  # what ends too soon is a past covariate
    # A group begins with its first series: what was known before is not looked at.
    longest = windows.lengths[groups].max(axis=1)
    past[np.broadcast_to((np.arange(length) < length - longest[:, None])[:, None], past.shape)] = (
        np.nan
    )
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
