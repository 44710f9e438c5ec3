"""Series cut at an origin: what a forecaster may see, and what came after. Pure.

Nothing of what comes after the origin is in the context: not a value, not a later timestamp, nor
a past covariate. Known ones keep their values over the horizon.
"""

from dataclasses import dataclass, replace

import numpy as np

from gigacast.core.array import FloatArray, IntArray
from gigacast.core.series.batch import SeriesBatch


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Series without their ends, and the ends.

    Parameters
    ----------
    rows : int64 [N]
        Which series of the batch: the others have no value before the origin, or none after it.
    contexts : SeriesBatch
        N series that end at the origin.
    actuals : float32 [N, H]
        The H steps after it; NaN where missing.
    """

    rows: IntArray
    contexts: SeriesBatch
    actuals: FloatArray


def hold_out(batch: SeriesBatch, horizon: int, *, later: int = 0) -> HeldOut:
    """Cut series ``horizon + later`` steps before their ends.

    Parameters
    ----------
    batch : SeriesBatch
    horizon : int
        Steps held out, H.
    later : int
        Steps after these, which nobody sees.
    """
    cut = horizon + later
    rows = np.flatnonzero(batch.lengths > cut)
    long = batch.take(rows)
    origins = long.offsets[1:] - cut
    actuals = long.values[origins[:, None] + np.arange(horizon)]
    owner = np.repeat(np.arange(len(rows)), long.lengths)
    is_past = np.arange(len(long.values)) < origins[owner]
    seen = np.bincount(owner[is_past & np.isfinite(long.values)], minlength=len(rows))
    kept = np.flatnonzero((seen > 0) & np.isfinite(actuals).any(axis=1))
    contexts = replace(
        long,
        values=long.values[is_past],
        offsets=long.offsets - cut * np.arange(len(long.offsets)),
        last_timestamps=long.times_before(cut),
        # What was known ahead is still known: it now lies after the origin.
        covariates=long.covariates and long.covariates.ended_before(cut),
    )
    return HeldOut(rows[kept], contexts.take(kept), actuals[kept])
