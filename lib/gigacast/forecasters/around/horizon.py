"""Horizons beyond the trained one: bands that do not collapse, and direct passes over them.

A model continues its own quantiles beyond the steps it was trained for, block by block, and its
intervals narrow where they should widen. `keep_bands` lets no step have a narrower band than the
same season of the block before. `DilatedForecaster` asks the model for every n-th step instead,
which one pass reaches, once for each of the n phases.
"""

from dataclasses import replace
from typing import Literal

import numpy as np

from gigacast.core.array import BoolArray, DoubleArray, FloatArray, IntArray
from gigacast.core.series.forecast import ForecastRequest
from gigacast.forecasters.forecaster import Forecaster, ForecasterInfo, PendingForecast, start
from gigacast.forecasters.levels import MEDIAN, find_level, select_levels, union_levels

LongHorizon = Literal["bands", "dilated", "stock"]
LONG_HORIZON_REVISION = 1
"""Part of the spec of long horizons. Raise it when their numbers change."""
LEAST_VALUES = 2
"""Values that a context needs in each phase of a direct forecast."""


def is_continued(info: ForecasterInfo, horizon: int) -> bool:
    """Return whether a model continues its own quantiles to reach a horizon."""
    return bool(info.levels) and not info.samples and horizon > info.prediction_length


class BandedForecaster:
    """A `StartingForecaster` whose bands beyond the trained horizon do not narrow.

    Parameters
    ----------
    inner : Forecaster
    """

    def __init__(self, inner: Forecaster) -> None:
        self._inner = inner

    @property
    def info(self) -> ForecasterInfo:
        """Identity and limits of the forecaster."""
        return self._inner.info

    def predict(self, request: ForecastRequest) -> FloatArray:
        """Forecast one batch; see `Forecaster.predict`."""
        return self.start(request)()

    def start(self, request: ForecastRequest) -> PendingForecast:
        """Start to forecast one batch; see `StartingForecaster.start`."""
        info = self.info
        if not is_continued(info, request.horizon):
            return start(self._inner, request)
        levels = union_levels(request.levels, (MEDIAN,))
        pending = start(self._inner, replace(request, levels=levels))
        seasons = np.maximum(request.seasons, 1)

        def finish() -> FloatArray:
            raw = np.sort(pending(), axis=-1)
            widened = keep_bands(raw, levels, seasons, info.prediction_length)
            return select_levels(widened, levels, request.levels)

        return finish


def keep_bands(
    quantiles: FloatArray, levels: tuple[float, ...], seasons: IntArray, block: int
) -> FloatArray:
    """Return quantiles whose distances from the median are at least those of the block before.

    A step is compared with the last one of its season's phase that is in an earlier block; where
    there is none, or no season, with the mean distance of the block before. Medians and the first
    block stay as they are.

    Parameters
    ----------
    quantiles : float32 [B, H, Q]
        Ascending along Q.
    levels : tuple of float
        Q levels, one of which is the median.
    seasons : int64 [B]
        Steps of a season; 1 without one.
    block : int
        Steps of the trained horizon.
    """
    values = quantiles.astype(np.float64)
    middle = values[..., find_level(MEDIAN, levels), None]
    with np.errstate(invalid="ignore"):
        apart = values - middle
        for first in range(block, values.shape[1], block):
            steps = np.arange(first, min(first + block, values.shape[1]))
            least = _least(apart, steps, seasons, block)
            apart[:, steps] = np.where(
                np.array(levels) < MEDIAN,
                np.minimum(apart[:, steps], least),
                np.maximum(apart[:, steps], least),
            )
        beyond = (middle + apart)[:, block:]
    widened = quantiles.copy()
    with np.errstate(over="ignore"):
        widened[:, block:] = beyond
    return widened


def _least(apart: DoubleArray, steps: IntArray, seasons: IntArray, block: int) -> DoubleArray:
    """Return the distances that those of some steps must reach, [B, S, Q]."""
    first = steps[0]
    mean = apart[:, first - block : first].mean(axis=1, keepdims=True)
    back = seasons[:, None] * -(-(steps - first + 1) // seasons[:, None])
    earlier = steps - back
    same = np.take_along_axis(apart, np.maximum(earlier, 0)[:, :, None], axis=1)
    has_same = (earlier >= 0) & (seasons[:, None] > 1)
    least: DoubleArray = np.where(has_same[:, :, None], same, mean)
    return least


class DilatedForecaster:
    """A `StartingForecaster` that averages a direct forecast into steps beyond the trained horizon.

    For n trained horizons the direct forecast takes n passes: pass k sees every n-th value of the
    context, so that a season of the series is there in fewer steps, and its trained horizon reaches
    over the whole one. Known covariates are thinned out in the same way.

    Parameters
    ----------
    inner : Forecaster
    """

    def __init__(self, inner: Forecaster) -> None:
        self._inner = inner

    @property
    def info(self) -> ForecasterInfo:
        """Identity and limits of the forecaster."""
        return self._inner.info

    def predict(self, request: ForecastRequest) -> FloatArray:
        """Forecast one batch; see `Forecaster.predict`."""
        return self.start(request)()

    def start(self, request: ForecastRequest) -> PendingForecast:
        """Start all passes over a batch; see `StartingForecaster.start`."""
        block = self.info.prediction_length
        if not is_continued(self.info, request.horizon):
            return start(self._inner, request)
        request = replace(request, context=request.context[:, -self.info.context_length :])
        continued = start(self._inner, request)
        stride = -(-request.horizon // block)
        requests = [phase_of(request, stride, phase) for phase in range(stride)]
        # Rows with too few values in a phase keep the continued forecast. No request may have a
        # row without a value, so they are asked for something else.
        present = [np.isfinite(phase.context).sum(axis=1) for phase in requests]
        usable = np.min(present, axis=0) >= LEAST_VALUES
        phases = [start(self._inner, _filled(phase, ~usable)) for phase in requests]

        def finish() -> FloatArray:
            values = np.sort(continued(), axis=-1)
            direct = np.empty_like(values)
            for phase, pending in enumerate(phases):
                direct[:, phase::stride] = np.sort(pending(), axis=-1)
            values[usable, block:] = (values[usable, block:] + direct[usable, block:]) / 2
            return values

        return finish


def _filled(request: ForecastRequest, rows: BoolArray) -> ForecastRequest:
    """Return a request with zeros in place of the contexts of some rows."""
    return replace(request, context=np.where(rows[:, None], np.float32(0), request.context))


def phase_of(request: ForecastRequest, stride: int, phase: int) -> ForecastRequest:
    """Return the request for the steps ``phase + 1``, ``phase + 1 + stride``, ... ahead.

    Its context are the values that are whole strides before these steps.
    """
    length = request.context.shape[1]
    # The last step of the context that is a whole stride before the first step of the phase.
    last = length + phase - stride
    context = request.context[:, last % stride : last + 1 : stride] if last >= 0 else None
    if context is None or not context.shape[1]:
        context = np.full((len(request.context), 1), np.nan, np.float32)
    seasons = np.where(request.seasons % stride == 0, request.seasons // stride, request.seasons)
    future = request.future
    return replace(
        request,
        context=np.ascontiguousarray(context),
        horizon=len(range(phase, request.horizon, stride)),
        seasons=seasons,
        future=None if future is None else np.ascontiguousarray(future[:, phase::stride]),
    )
