"""How well a model forecasts the windows that training held out."""

from collections.abc import Iterable

import numpy as np

from gigacast.core.series.forecast import ForecastRequest
from gigacast.forecasters.forecaster import Forecaster
from gigacast.forecasters.metric import quantile_loss
from gigacast.trainers.corpus import Windows


def score_windows(forecaster: Forecaster, windows: Iterable[Windows]) -> float | None:
    """Return the WQL over windows at the model's own levels; ``None`` where nothing defines it.

    Parameters
    ----------
    forecaster : Forecaster
    windows : iterable of Windows
    """
    levels = forecaster.info.levels
    loss, actuals = 0.0, 0.0
    for part in windows:
        known = np.isfinite(part.context).any(axis=1) & np.isfinite(part.target).any(axis=1)
        context, target = part.context[known], part.target[known].astype(np.float64)
        if not len(context):
            continue
        request = ForecastRequest(
            context=context,
            horizon=target.shape[1],
            levels=levels,
            seasons=np.ones(len(context), np.int64),
            seeds=np.zeros(len(context), np.uint64),
        )
        quantiles = np.sort(forecaster.predict(request).astype(np.float64), axis=2)
        losses = quantile_loss(target, quantiles, np.array(levels))
        loss += float(np.nansum(losses)) / len(levels)
        actuals += float(np.nansum(np.abs(target)))
    return loss / actuals if actuals > 0 else None
