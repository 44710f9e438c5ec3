"""Covariates taken out of a batch, and its series cut where their covariates go on.

The reader treats a covariate as one more column of values of its item, on the item's grid; here
each item's targets become its series again, and the rest what is known beside them.
"""

from dataclasses import replace

import numpy as np

from gigacast.core.array import FloatArray, IntArray
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.covariate import Covariates
from gigacast.series.segment import count_segments, offsets_of, spread, take_ranges
from gigacast.series.source import ColumnNames

_NEVER = np.iinfo(np.int64).max


def split_covariates(
    batch: SeriesBatch,
    targets: int,
    columns: ColumnNames,
    horizon: int,
    categories: tuple[tuple[str, ...] | None, ...] = (),
) -> SeriesBatch:
    """Return the series of the targets, with the covariates of their items beside them.

    With known covariates the series of an item end with the last step at which one of them has a
    value: what lies after it is the future.

    Parameters
    ----------
    batch : SeriesBatch
        M items, of each K targets, then V covariates in the order of ``columns``.
    targets : int
        K.
    columns : ColumnNames
    horizon : int
        Steps of the future to keep.
    categories : tuple
        See `Covariates`; all are numbers when absent.
    """
    names, known = columns.covariates, len(columns.known_covariates)
    width = targets + len(names)
    ahead = np.zeros(len(batch) // width, np.int64)
    if known:
        ahead = _steps_ahead(batch, width, targets)
    rows = np.arange(len(batch)).reshape(-1, width)[:, :targets].ravel()
    series = _shorten(batch.take(rows), np.repeat(ahead, targets))
    values, offsets, ends = _gather(batch, width, targets, ahead, horizon)
    for column, texts in enumerate(categories):
        if texts is not None:  # without a single text it is as empty as a column of numbers
            named = count_segments(values[column] >= 0, offsets) > 0
            values[column, ~spread(named, offsets)] = np.nan
    covariates = Covariates(
        names=names,
        known=known,
        categories=categories or (None,) * len(names),
        values=values,
        offsets=offsets,
        ends=ends,
        items=np.repeat(np.arange(len(ends)), targets),
    )
    return replace(series, covariates=covariates)


def _steps_ahead(batch: SeriesBatch, width: int, targets: int) -> IntArray:
    """Return the steps of each item after the last value of its targets, [M]."""
    finite = np.append(-1, np.flatnonzero(np.isfinite(batch.values)))
    last = finite[np.searchsorted(finite, batch.offsets[1:]) - 1]
    ahead = np.where(last >= batch.offsets[:-1], batch.offsets[1:] - 1 - last, _NEVER)
    nearest: IntArray = ahead.reshape(-1, width)[:, :targets].min(axis=1)
    nearest[nearest == _NEVER] = 0
    return nearest


def _shorten(series: SeriesBatch, cut: IntArray) -> SeriesBatch:
    """Return series without so many of their last steps."""
    if not cut.any():
        return series
    kept = np.maximum(series.lengths - cut, 0)
    return replace(
        series,
        values=series.values[take_ranges(series.offsets[:-1], kept)],
        offsets=offsets_of(kept),
        last_timestamps=series.times_before(cut),
    )


def _gather(
    batch: SeriesBatch, width: int, targets: int, ahead: IntArray, horizon: int
) -> tuple[FloatArray, IntArray, IntArray]:
    """Return the values of the covariates, [V, R], their offsets, and where their series end.

    All columns of an item end together; the future is cut to the horizon.
    """
    stops = batch.offsets[1:].reshape(-1, width)
    spare = np.maximum(ahead - horizon, 0)
    lengths = np.maximum(batch.lengths.reshape(-1, width) - spare[:, None], 0)
    # An item whose covariates begin late still has all the steps ahead.
    offsets = offsets_of(np.maximum(lengths.max(axis=1, initial=0), np.minimum(ahead, horizon)))
    values = np.full((width - targets, offsets[-1]), np.nan, np.float32)
    for column in range(targets, width):
        own = lengths[:, column]
        source = take_ranges(stops[:, column] - spare - own, own)
        values[column - targets, take_ranges(offsets[1:] - own, own)] = batch.values[source]
    return values, offsets, offsets[1:] - np.minimum(ahead, horizon)
