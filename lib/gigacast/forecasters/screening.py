"""Which series of a batch a model can forecast, and why not the others."""

import numpy as np

from gigacast.core.array import BoolArray, ByteArray, IntArray
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.reason import Reason


def screen(batch: SeriesBatch, context_length: int, min_length: int) -> ByteArray:
    """Return the `Reason` why a model cannot forecast each series, int8 [N]; 0 if it can.

    Parameters
    ----------
    batch : SeriesBatch
        N series; a reason found by the reader is kept.
    context_length : int
        Steps at the end of each series that the model sees; only these count.
    min_length : int
        Minimum number of values within these steps, missing values not counted; at least 1.
    """
    starts = window_starts(batch, context_length)
    is_finite = np.isfinite(batch.values)
    finite = count_between(is_finite, starts, batch.offsets[1:])
    present = finite
    # Mostly all are: one look at the values instead of two.
    if not is_finite.all():
        present = count_between(~np.isnan(batch.values), starts, batch.offsets[1:])
    reasons = batch.reasons.copy()
    # From the most to the least specific: the first reason that applies is kept.
    for reason, applies in (
        (Reason.EMPTY, batch.lengths == 0),
        (Reason.NOT_FINITE, present > finite),
        (Reason.ALL_NULL, finite == 0),
        (Reason.TOO_SHORT, finite < min_length),
    ):
        reasons[(reasons == Reason.OK) & applies] = reason
    return reasons


def window_starts(batch: SeriesBatch, context_length: int) -> IntArray:
    """Return where the last ``context_length`` steps of each series start in ``values``, [N]."""
    return np.maximum(batch.offsets[:-1], batch.offsets[1:] - context_length)


def count_between(flags: BoolArray, starts: IntArray, stops: IntArray) -> IntArray:
    """Return the number of set flags in each range, int64 [N]; ranges may be empty."""
    if flags.all():  # the common case, and ten times as fast
        return stops - starts
    totals = np.concatenate([np.zeros(1, np.int64), np.cumsum(flags, dtype=np.int64)])
    counts: IntArray = totals[stops] - totals[starts]
    return counts
