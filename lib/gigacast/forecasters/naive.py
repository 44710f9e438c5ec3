"""Seasonal naive forecasts, used as a baseline, as the fallback and in tests.

Point forecasts repeat the last value observed at the same phase of the season. The spread is
Gaussian: the root mean square of the in-sample seasonal differences, growing with the square root
of the number of seasons ahead (Hyndman and Athanasopoulos, Forecasting: Principles and Practice,
3rd ed., section 5.5; the same as ``SeasonalNaive`` of Nixtla's statsforecast).
"""

import numpy as np

from gigacast.core.array import DoubleArray, FloatArray
from gigacast.core.series.forecast import ForecastRequest
from gigacast.forecasters.forecaster import NAIVE_ENGINE, ForecasterInfo
from gigacast.forecasters.levels import normal_score

CONTEXT_LENGTH = 8192
"""Steps of history: twelve of the longest common seasons, a week of quarter hours (672 steps)."""


class SeasonalNaive:
    """A deterministic `Forecaster` without a model, which gives any quantile level directly.

    Parameters
    ----------
    context_length : int
        Maximum steps of history.
    """

    def __init__(self, context_length: int = CONTEXT_LENGTH) -> None:
        self._info = ForecasterInfo(
            name="seasonal-naive",
            version="1",
            digest=NAIVE_ENGINE,
            engine=NAIVE_ENGINE,
            device="cpu",
            precision="float32",
            context_length=context_length,
            prediction_length=64,  # the horizon of jobs that name none; any other is possible too
            levels=(),
            patch_size=16,
        )

    @property
    def info(self) -> ForecasterInfo:
        """Identity and limits of this forecaster."""
        return self._info

    def predict(self, request: ForecastRequest) -> FloatArray:
        """Forecast one batch, see `Forecaster.predict`; NaN for rows without a value."""
        context = request.context[:, -self._info.context_length :]
        shape = (len(context), request.horizon, len(request.levels))
        quantiles = np.empty(shape, dtype=np.float32)
        scores = np.array([normal_score(level) for level in request.levels])
        seasons = np.maximum(request.seasons, 1)
        # One array operation per season length, because each reshapes contexts to whole seasons.
        for season in np.unique(seasons):
            rows = np.flatnonzero(seasons == season)
            point, spread = _forecast(
                context[rows].astype(np.float64), int(season), request.horizon
            )
            # A quantile beyond float32 becomes infinite, and the caller treats it as a failure.
            with np.errstate(over="ignore"):
                quantiles[rows] = point[..., None] + spread[..., None] * scores
        return quantiles


def _forecast(context: DoubleArray, season: int, horizon: int) -> tuple[DoubleArray, DoubleArray]:
    """Return point forecasts and standard deviations, both [B, H], of series of one season."""
    steps = np.arange(horizon)
    point = last_season(context, season)[:, steps % season]
    sigma = _residual_sigma(context, season)
    # The errors of k seasons ahead are sums of k independent seasonal differences.
    growth = np.sqrt(steps // season + 1)
    if season > 1:
        # A series too short for a single seasonal difference gets the spread of a random walk:
        # without one, its quantiles would all be equal and look certain.
        missing = np.isnan(sigma)[:, None]
        walk = _residual_sigma(context, 1)[:, None] * np.sqrt(steps + 1)
        return point, np.nan_to_num(np.where(missing, walk, sigma[:, None] * growth))
    return point, np.nan_to_num(sigma)[:, None] * growth


def last_season(context: DoubleArray, season: int) -> DoubleArray:
    """Return the last value at each phase of the season, [B, season].

    Phase 0 is the first step after the context. A phase without any value gets the last value of
    the series.
    """
    rows, length = context.shape
    padding = np.full((rows, -length % season), np.nan)
    by_season = np.concatenate([padding, context], axis=1).reshape(rows, -1, season)
    phases = _last_observed(by_season)
    return np.where(np.isnan(phases), _last_observed(context)[:, None], phases)


def _last_observed(values: DoubleArray) -> DoubleArray:
    """Return the last value along axis 1 that is not NaN; NaN if there is none."""
    observed = ~np.isnan(values)
    if not values.shape[1]:
        return np.full((values.shape[0], *values.shape[2:]), np.nan)
    position = values.shape[1] - 1 - observed[:, ::-1].argmax(axis=1)
    return np.take_along_axis(values, np.expand_dims(position, 1), axis=1).squeeze(1)


def _residual_sigma(context: DoubleArray, season: int) -> DoubleArray:
    """Return the root mean square of the seasonal differences, [B]; NaN without any difference."""
    squares = np.square(context[:, season:] - context[:, :-season])
    count = (~np.isnan(squares)).sum(axis=1)
    total = np.nansum(squares, axis=1)
    mean: DoubleArray = np.full(len(total), np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return np.sqrt(mean)
