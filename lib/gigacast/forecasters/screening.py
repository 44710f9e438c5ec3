"""Which series a model can forecast, and why not the others. Pure."""

import numpy as np

from gigacast.core.array import BoolArray, ByteArray, IntArray
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.reason import Reason


def screen(batch: SeriesBatch, context_length: int, min_length: int) -> ByteArray:
    """Return the `Reason` each series cannot be forecast by a model, int8 [N]; 0 where it can.

    Parameters
    ----------
    batch : SeriesBatch
        N series; a reason the reader found stands.
    context_length : int
        Steps at the end of each series the model will see; only these count.
    min_length : int
        Values, missing ones not counted, a series needs within them; at least 1.
    """
    starts = window_starts(batch, context_length)
    finite = count_between(np.isfinite(batch.values), starts, batch.offsets[1:])
    present = count_between(~np.isnan(batch.values), starts, batch.offsets[1:])
    reasons = batch.reasons.copy()
    for reason, applies in (
        (Reason.EMPTY, batch.lengths == 0),
        (Reason.NOT_FINITE, present > finite),
        (Reason.ALL_NULL, finite == 0),
        (Reason.TOO_SHORT, finite < min_length),
    ):
        reasons[(reasons == Reason.OK) & applies] = reason  # the first that applies stands
    return reasons


def window_starts(batch: SeriesBatch, context_length: int) -> IntArray:
    """Return where in ``values`` the last ``context_length`` steps of each series start, [N]."""
    return np.maximum(batch.offsets[:-1], batch.offsets[1:] - context_length)


def count_between(flags: BoolArray, starts: IntArray, stops: IntArray) -> IntArray:
    """Return how many flags are set in each range, int64 [N]; ranges may be empty."""
    if flags.all():  # the common case, and ten times as fast
        return stops - starts
    totals = np.concatenate([np.zeros(1, np.int64), np.cumsum(flags, dtype=np.int64)])
    counts: IntArray = totals[stops] - totals[starts]
    return counts
