"""The split of a batch into target series and covariates.

The reader treats a covariate like one more target of its item, on the item's grid. Here the columns
of each item are separated: the targets become series, which end at their last value, and the rest
become covariates, which may continue over the horizon.
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
    """Return the target series of a batch with the covariates of their items.

    With known covariates, the target series of an item end at the last step at which any of them
    has a value; the steps after it are the future.

    Parameters
    ----------
    batch : SeriesBatch
        Series of M items: for each item K targets, then V covariates in the order of ``columns``.
    targets : int
        Number of targets per item, K.
    columns : ColumnNames
        Names of the covariates.
    horizon : int
        Number of future steps to keep.
    categories : tuple
        Texts of the categorical covariates, as in `Covariates`; all are numbers by default.
    """
    names, known_covariates = columns.covariates, len(columns.known_covariates)
    width = targets + len(names)
    ahead = np.zeros(len(batch) // width, np.int64)
    if known_covariates:
        ahead = _steps_ahead(batch, width, targets)
    rows = np.arange(len(batch)).reshape(-1, width)[:, :targets].ravel()
    series = _shorten(batch.take(rows), np.repeat(ahead, targets))
    values, offsets, ends = _gather(batch, width, targets, ahead, horizon)
    for column, texts in enumerate(categories):
        # A series whose category has no text at all counts as empty, as a column of numbers
        # without a number does.
        if texts is not None:
            has_text = count_segments(values[column] >= 0, offsets) > 0
            values[column, ~spread(has_text, offsets)] = np.nan
    covariates = Covariates(
        names=names,
        known=known_covariates,
        categories=categories or (None,) * len(names),
        values=values,
        offsets=offsets,
        ends=ends,
        items=np.repeat(np.arange(len(ends)), targets),
    )
    return replace(series, covariates=covariates)


def _steps_ahead(batch: SeriesBatch, width: int, targets: int) -> IntArray:
    """Return the number of steps of each item after the last value of its targets, [M]."""
    # For each series the last finite position before its end is looked up; the -1 in front stands
    # for "none before".
    finite = np.append(-1, np.flatnonzero(np.isfinite(batch.values)))
    last = finite[np.searchsorted(finite, batch.offsets[1:]) - 1]
    ahead = np.where(last >= batch.offsets[:-1], batch.offsets[1:] - 1 - last, _NEVER)
    nearest: IntArray = ahead.reshape(-1, width)[:, :targets].min(axis=1)
    nearest[nearest == _NEVER] = 0
    return nearest


def _shorten(series: SeriesBatch, cut: IntArray) -> SeriesBatch:
    """Return the series without their last ``cut`` steps, [N]."""
    if not cut.any():
        return series
    lengths = np.maximum(series.lengths - cut, 0)
    return replace(
        series,
        values=series.values[take_ranges(series.offsets[:-1], lengths)],
        offsets=offsets_of(lengths),
        last_timestamps=series.times_before(cut),
    )


def _gather(
    batch: SeriesBatch, width: int, targets: int, ahead: IntArray, horizon: int
) -> tuple[FloatArray, IntArray, IntArray]:
    """Return the values of the covariates [V, R], their offsets [M + 1] and history ends [M].

    All columns of an item end at the same step; the future is cut to the horizon.
    """
    stops = batch.offsets[1:].reshape(-1, width)
    spare = np.maximum(ahead - horizon, 0)
    lengths = np.maximum(batch.lengths.reshape(-1, width) - spare[:, None], 0)
    # The reader trims leading NaN, so a covariate may be shorter than the future. All future steps
    # are kept all the same, and filled with NaN.
    offsets = offsets_of(np.maximum(lengths.max(axis=1, initial=0), np.minimum(ahead, horizon)))
    values = np.full((width - targets, offsets[-1]), np.nan, np.float32)
    for column in range(targets, width):
        own = lengths[:, column]
        source = take_ranges(stops[:, column] - spare - own, own)
        values[column - targets, take_ranges(offsets[1:] - own, own)] = batch.values[source]
    return values, offsets, offsets[1:] - np.minimum(ahead, horizon)
