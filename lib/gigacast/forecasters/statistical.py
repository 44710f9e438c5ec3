"""Models of Nixtla's statsforecast, the baselines that models are compared with.

They need the extra ``gigacast[baselines]``. They fit every series separately, which is slow: they
are meant for comparisons, not for forecasts in volume.
"""

from importlib.metadata import version
from typing import Any

import numpy as np

from gigacast.core.array import DoubleArray, FloatArray
from gigacast.core.series.forecast import ForecastRequest
from gigacast.errors import MissingExtraError
from gigacast.forecasters.forecaster import ForecasterInfo

CONTEXT_LENGTH = 1024
"""Steps of history: the weights of older steps decay, so that more cost time and change little."""
KINDS = {
    "auto-ets": "AutoETS",
    "auto-theta": "AutoTheta",
    "auto-arima": "AutoARIMA",
    "croston-sba": "CrostonSBA",
}
INTERMITTENT = frozenset({"croston-sba"})
"""Models of demand that is mostly zero. They give a rate and no intervals."""


def describe_statistical(name: str) -> ForecasterInfo:
    """Return the info of one of `KINDS`.

    Raises
    ------
    MissingExtraError
        If statsforecast is not installed.
    """
    _models()  # fails early, when a job is planned, if the extra is missing
    return ForecasterInfo(
        name=name,
        version="1",
        digest=f"{name}-1",
        engine=f"statsforecast-{version('statsforecast')}",
        device="cpu",
        precision="float32",
        context_length=CONTEXT_LENGTH,
        prediction_length=64,  # the horizon of jobs that name none; any other is possible too
        levels=(),
    )


class StatisticalForecaster:
    """A `Forecaster` that fits a statistical model to every series.

    Parameters
    ----------
    name : str
        Name of the model, one of `KINDS`.

    Raises
    ------
    MissingExtraError
        If statsforecast is not installed.
    """

    def __init__(self, name: str) -> None:
        self._info = describe_statistical(name)
        self._kind = getattr(_models(), KINDS[name])
        self._is_intermittent = name in INTERMITTENT

    @property
    def info(self) -> ForecasterInfo:
        """Identity and limits of this forecaster."""
        return self._info

    def predict(self, request: ForecastRequest) -> FloatArray:
        """Forecast one batch, see `Forecaster.predict`; NaN for series that cannot be fitted."""
        rows = [
            self._forecast(values, int(season), request)
            for values, season in zip(request.context, request.seasons, strict=True)
        ]
        shape = (len(rows), request.horizon, len(request.levels))
        return np.array(rows, np.float32).reshape(shape)

    def _forecast(self, context: FloatArray, season: int, request: ForecastRequest) -> DoubleArray:
        if self._is_intermittent:
            return self._forecast_demand(context[-CONTEXT_LENGTH:], request)
        values = _fill_gaps(context[-CONTEXT_LENGTH:])
        widths = sorted({_width(level) for level in request.levels} - {0.0})
        # A season can be estimated only if the context covers it at least twice.
        model = self._kind(season_length=season if len(values) >= 2 * season else 1)
        try:
            forecast = model.forecast(values, request.horizon, level=widths or None)
        except Exception:
            # Fits fail with errors of many types. The caller counts the series as failed and gives
            # it the fallback.
            return np.full((request.horizon, len(request.levels)), np.nan)
        return np.stack([_column(forecast, level) for level in request.levels], axis=1)

    def _forecast_demand(self, context: FloatArray, request: ForecastRequest) -> DoubleArray:
        """Return quantiles of demand, [H, Q]: those of the past, scaled to the rate to come.

        So they are zero up to the share of steps without demand, and their mean is the rate.
        """
        values = context[np.isfinite(context)].astype(np.float64)
        shape = (request.horizon, len(request.levels))
        # The method knows no demand below zero.
        if (values < 0).any():
            return np.full(shape, np.nan)
        if not values.any():
            return np.zeros(shape)
        rate = float(self._kind().forecast(values, 1)["mean"][0])
        row = np.quantile(values, request.levels) * (rate / values.mean())
        return np.broadcast_to(row, shape).copy()


def _models() -> Any:
    try:
        from statsforecast import models  # noqa: PLC0415 - an extra, and a second to import
    except ImportError as error:
        raise MissingExtraError(
            f"{' and '.join(KINDS)} need statsforecast, which is not installed",
            hint="pip install 'gigacast[baselines]'",
        ) from error
    return models


def _fill_gaps(context: FloatArray) -> DoubleArray:
    """Return the context from its first value on, with gaps filled by the value before them."""
    # Screening lets only contexts with a value through, so there is a first one.
    observed = np.flatnonzero(np.isfinite(context))
    values = context[observed[0] :].astype(np.float64)
    last = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(len(values)), 0))
    filled: DoubleArray = values[last]
    return filled


def _width(level: float) -> float:
    """Return the width in percent of the central interval that ends at a quantile level."""
    return round(abs(1 - 2 * level) * 100, 6)


def _column(forecast: dict[str, Any], level: float) -> DoubleArray:
    """Return the quantile of a level, [H], from statsforecast's means and interval bounds."""
    width = _width(level)
    # statsforecast returns no median. Its intervals are centred at the mean.
    if width == 0:
        return np.asarray(forecast["mean"], np.float64)
    side = "lo" if level < 0.5 else "hi"
    return np.asarray(forecast[f"{side}-{width}"], np.float64)
