"""The score of a model on the held-out windows of its training data."""

from collections.abc import Iterable

import numpy as np

from gigacast.core.array import IntArray
from gigacast.core.series.forecast import ForecastRequest
from gigacast.forecasters.forecaster import Forecaster
from gigacast.forecasters.metric import quantile_loss
from gigacast.trainers.corpus import Windows


def score_windows(forecaster: Forecaster, windows: Iterable[Windows]) -> float | None:
    """Return the WQL over windows at the model's own levels; None if it is undefined.

    Parameters
    ----------
    forecaster : Forecaster
    windows : iterable of Windows
    """
    levels = forecaster.info.levels
    loss, actuals = 0.0, 0.0
    for part in windows:
        scorable = np.isfinite(part.context).any(axis=1) & np.isfinite(part.target).any(axis=1)
        target = part.target[scorable].astype(np.float64)
        if not len(target):
            continue
        base = 0.0 if part.bases is None else part.bases[scorable, None]
        request = _request(part, np.flatnonzero(scorable), levels)
        # Sorted, as the quantiles of every forecast are before they are written.
        predicted = forecaster.predict(request)[:: request.group_size]
        quantiles = np.sort(predicted.astype(np.float64), axis=2)
        losses = quantile_loss(target, quantiles, np.array(levels))
        loss += float(np.nansum(losses)) / len(levels)
        # Losses do not depend on a base, and the size of the values does.
        actuals += float(np.nansum(np.abs(target + base)))
    return loss / actuals if actuals > 0 else None


def _request(windows: Windows, rows: IntArray, levels: tuple[float, ...]) -> ForecastRequest:
    """Return the request to forecast some windows: each a row, followed by its covariates."""
    context, future = windows.context[rows, None], windows.future[rows]
    # As in a forecast, a covariate that lacks a step of the horizon is a past one.
    ahead = np.where(np.isnan(future).any(axis=2, keepdims=True), np.float32(np.nan), future)
    members = np.concatenate([context, windows.past[rows]], axis=1)
    size, horizon = members.shape[1], windows.target.shape[1]
    unknown = np.full((len(rows), 1, horizon), np.nan, np.float32)
    coming = np.concatenate([unknown, ahead], axis=1).reshape(-1, horizon) if size > 1 else None
    return ForecastRequest(
        context=members.reshape(-1, members.shape[2]),
        horizon=horizon,
        levels=levels,
        # Trained models use neither seasons nor seeds.
        seasons=np.ones(len(rows) * size, np.int64),
        seeds=np.zeros(len(rows) * size, np.uint64),
        group_size=size,
        future=coming,
    )
