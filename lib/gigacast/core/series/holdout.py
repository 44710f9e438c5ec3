"""The division of series at an origin into contexts for a forecaster and actual values after it.

A context contains nothing from after its origin: no value, no timestamp and no past covariate.
Known covariates keep their values over the horizon.
"""

from dataclasses import dataclass, replace

import numpy as np

from gigacast.core.array import FloatArray, IntArray
from gigacast.core.series.base import add_bases
from gigacast.core.series.batch import SeriesBatch


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Contexts up to an origin, and the actual values after it.

    Parameters
    ----------
    rows : int64 [N]
        Indices of the series in the batch. Series without a value before the origin or after it
        are left out.
    contexts : SeriesBatch
        Series up to the origin, N.
    actuals : float32 [N, H]
        Values of the H steps after the origin; NaN if missing. They are float64 if the batch has
        bases, which are added to them.
    """

    rows: IntArray
    contexts: SeriesBatch
    actuals: FloatArray


def end_before(batch: SeriesBatch, steps: int) -> SeriesBatch:
    """Return series without their last steps; those that are no longer than these become empty.

    Known covariates keep their values over the steps that are left out.
    """
    if steps == 0:
        return batch
    cut = np.minimum(batch.lengths, steps)
    ends = batch.offsets[1:] - cut
    owner = np.repeat(np.arange(len(batch)), batch.lengths)
    covariates = batch.covariates
    return replace(
        batch,
        values=batch.values[np.arange(len(batch.values)) < ends[owner]],
        offsets=batch.offsets - np.concatenate([np.zeros(1, np.int64), np.cumsum(cut)]),
        last_timestamps=batch.times_before(cut),
        covariates=covariates and covariates.ended_before(steps),
    )


def hold_out(batch: SeriesBatch, horizon: int, *, later: int = 0) -> HeldOut:
    """Divide series ``horizon + later`` steps before their ends.

    Parameters
    ----------
    batch : SeriesBatch
        Complete series.
    horizon : int
        Steps to hold out, H.
    later : int
        Steps after the held-out ones, which are dropped; 0 by default.
    """
    cut = horizon + later
    rows = np.flatnonzero(batch.lengths > cut)
    long = batch.take(rows)
    origins = long.offsets[1:] - cut
    actuals = long.values[origins[:, None] + np.arange(horizon)]
    if long.bases is not None:
        actuals = add_bases(actuals, long.bases[:, None])  # as forecasts have them
    owner = np.repeat(np.arange(len(rows)), long.lengths)
    is_past = np.arange(len(long.values)) < origins[owner]
    # A series without a value in its context or in its actuals cannot be scored.
    past_values = np.bincount(owner[is_past & np.isfinite(long.values)], minlength=len(rows))
    usable = np.flatnonzero((past_values > 0) & np.isfinite(actuals).any(axis=1))
    contexts = replace(
        long,
        values=long.values[is_past],
        # Each series before lost `cut` values, so the n-th border moves by n times as many.
        offsets=long.offsets - cut * np.arange(len(long.offsets)),
        last_timestamps=long.times_before(cut),
        # Values of known covariates stay: those after the origin are now in the horizon.
        covariates=long.covariates and long.covariates.ended_before(cut),
    )
    return HeldOut(rows[usable], contexts.take(usable), actuals[usable])
