"""AutoETS and AutoTheta of Nixtla's statsforecast: what people compare models with.

An extra (``gigacast[baselines]``): statsforecast is imported when one of these is first used. They
fit each series by itself, so they are slow, and run where models are compared, not in volume.
"""

from importlib.metadata import version
from typing import Any

import numpy as np

from gigacast.core.array import DoubleArray, FloatArray
from gigacast.core.series.forecast import ForecastRequest
from gigacast.errors import MissingExtraError
from gigacast.forecasters.forecaster import ForecasterInfo

CONTEXT_LENGTH = 1024
"""More history costs time and changes little: these models forget."""
KINDS = {"auto-ets": "AutoETS", "auto-theta": "AutoTheta"}


def describe_statistical(name: str) -> ForecasterInfo:
    """Return what one of `KINDS` will be.

    Raises
    ------
    MissingExtraError
        When statsforecast is not installed.
    """
    _models()
    return ForecasterInfo(
        name=name,
        version="1",
        digest=f"{name}-1",
        engine=f"statsforecast-{version('statsforecast')}",
        device="cpu",
        precision="float32",
        context_length=CONTEXT_LENGTH,
        prediction_length=64,
        levels=(),
    )


class StatisticalForecaster:
    """A `Forecaster` that fits a statistical model to every series.

    Parameters
    ----------
    name : str
        One of `KINDS`.

    Raises
    ------
    MissingExtraError
        When statsforecast is not installed.
    """

    def __init__(self, name: str) -> None:
        self._info = describe_statistical(name)
        self._kind = getattr(_models(), KINDS[name])

    @property
    def info(self) -> ForecasterInfo:
        """What this forecaster is."""
        return self._info

    def predict(self, request: ForecastRequest) -> FloatArray:
        """Forecast one batch; see `Forecaster.predict`. A series that can't be fitted gives NaN."""
        rows = [
            self._forecast(values, int(season), request)
            for values, season in zip(request.context, request.seasons, strict=True)
        ]
        shape = (len(rows), request.horizon, len(request.levels))
        return np.array(rows, np.float32).reshape(shape)

    def _forecast(self, context: FloatArray, season: int, request: ForecastRequest) -> DoubleArray:
        values = _filled(context[-CONTEXT_LENGTH:])
        widths = sorted({_width(level) for level in request.levels} - {0.0})
        # A season must fit in twice, or there is nothing to estimate it from.
        model = self._kind(season_length=season if len(values) >= 2 * season else 1)
        try:
            made = model.forecast(values, request.horizon, level=widths or None)
        except Exception:
            # Whatever stops a fit: the caller sees NaN, counts it, and gives the fallback.
            return np.full((request.horizon, len(request.levels)), np.nan)
        return np.stack([_column(made, level) for level in request.levels], axis=1)


def _models() -> Any:
    try:
        from statsforecast import models  # noqa: PLC0415 - an extra, and a second to import
    except ImportError as error:
        raise MissingExtraError(
            f"statsforecast is not installed, and {' and '.join(KINDS)} are its",
            hint="pip install 'gigacast[baselines]'",
        ) from error
    return models


def _filled(context: FloatArray) -> DoubleArray:
    """Return the values from the first known one on; gaps repeat what was before."""
    known = np.flatnonzero(np.isfinite(context))
    values = context[known[0] :].astype(np.float64)
    last = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(len(values)), 0))
    filled: DoubleArray = values[last]
    return filled


def _width(level: float) -> float:
    """Return the percent of the interval that ends at a quantile."""
    return round(abs(1 - 2 * level) * 100, 6)


def _column(made: dict[str, Any], level: float) -> DoubleArray:
    width = _width(level)
    if width == 0:
        return np.asarray(made["mean"], np.float64)
    side = "lo" if level < 0.5 else "hi"
    return np.asarray(made[f"{side}-{width}"], np.float64)
