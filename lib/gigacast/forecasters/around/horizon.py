"""Horizons beyond the trained one: bands that do not collapse, and direct passes over them.

A model continues its own quantiles beyond the steps it was trained for, block by block, and takes
them for what has happened: its intervals begin anew where they should go on to widen. `carry_bands`
adds the errors of the blocks before, as far as the errors of a block add up. `DilatedForecaster`
asks the model for every n-th step instead, which one pass reaches, once for each of the n phases;
of its intervals `keep_bands` lets none be narrower than at the same season of the block before.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from gigacast.core.array import BoolArray, DoubleArray, FloatArray, IntArray
from gigacast.core.series.forecast import ForecastRequest
from gigacast.forecasters.forecaster import Forecaster, ForecasterInfo, PendingForecast, start
from gigacast.forecasters.levels import MEDIAN, find_level, select_levels, union_levels

LongHorizon = Literal["bands", "dilated", "stock"]
LONG_HORIZON_REVISIONS: Mapping[str, int] = {"bands": 2, "dilated": 1}
"""Part of the spec of long horizons. Raise one when its numbers change."""
_END_STEPS = 8
"""Steps at the end of a block whose mean band is that of its end, where there is no season."""
LEAST_VALUES = 2
"""Values that a context needs in each phase of a direct forecast."""


def is_continued(info: ForecasterInfo, horizon: int) -> bool:
    """Return whether a model continues its own quantiles to reach a horizon."""
    return bool(info.levels) and not info.samples and horizon > info.prediction_length


BandRule = Callable[[FloatArray, tuple[float, ...], IntArray, int], FloatArray]
"""Returns quantiles with other bands beyond the first block: `carry_bands` or `keep_bands`."""


class BandedForecaster:
    """A `StartingForecaster` whose bands beyond the trained horizon do not narrow.

    Parameters
    ----------
    inner : Forecaster
    rule : callable
        `keep_bands`, or `carry_bands` for a model that continues its own quantiles.
    """

    def __init__(self, inner: Forecaster, rule: BandRule) -> None:
        self._inner = inner
        self._rule = rule

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
            widened = self._rule(raw, levels, seasons, info.prediction_length)
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

    def least(size: DoubleArray, steps: IntArray) -> DoubleArray:
        return _least(size, steps, seasons, block)

    return _widened(quantiles, levels, block, least)


def carry_bands(
    quantiles: FloatArray, levels: tuple[float, ...], seasons: IntArray, block: int
) -> FloatArray:
    """Return quantiles whose distances from the median hold the errors of the blocks before.

    A distance is the root of the sum of two squares: its own, and a share of that at the end of the
    block before. The share is how far the errors of a block add up, by how the level's distance
    grows in the first block: as h ** p, it is 2 p, none for noise around a season that stays, all
    for a random walk. With a season, the distance before is that of the same phase, grown to the
    end of its block as h ** p. None is below what `keep_bands` would make it. Medians and the first
    block stay as they are.

    Parameters are those of `keep_bands`.
    """
    size = np.abs(_apart(quantiles, levels)[0][:, :block])
    power = _growth(size)

    def least(size: DoubleArray, steps: IntArray) -> DoubleArray:
        first = int(steps[0])
        own = size[:, steps]
        end = size[:, first - min(block, _END_STEPS) : first].mean(axis=1, keepdims=True)
        same, places = _same_phase(size, steps, seasons)
        ahead = np.maximum(places, 0)[:, :, None] + 1
        grown = same * (first / ahead) ** power[:, None]
        before = np.where((places >= 0)[:, :, None], grown, end)
        share = np.minimum(2 * power, 1)[:, None]
        carried: DoubleArray = np.sqrt(own**2 + share * before**2)
        return np.maximum(carried, _least(size, steps, seasons, block))

    return _widened(quantiles, levels, block, least)


def _growth(size: DoubleArray) -> DoubleArray:
    """Return the power of the steps ahead by which distances grow in a block, 0 to 1, [B, Q]."""
    block = size.shape[1]
    if block < 2:
        return np.zeros((len(size), size.shape[2]))
    half = block // 2
    # Between the middles of both halves, so that a season hardly matters.
    middles = (half + 1) / 2, (half + 1 + block) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = size[:, half:].mean(axis=1) / size[:, :half].mean(axis=1)
        power = np.log(ratio) / np.log(middles[1] / middles[0])
    growth: DoubleArray = np.clip(np.nan_to_num(power, nan=0.0), 0, 1)
    return growth


def _apart(quantiles: FloatArray, levels: tuple[float, ...]) -> tuple[DoubleArray, DoubleArray]:
    """Return the distances from the median, negative below it, and the median, [B, H, 1]."""
    values = quantiles.astype(np.float64)
    middle = values[..., find_level(MEDIAN, levels), None]
    with np.errstate(invalid="ignore"):
        return values - middle, middle


def _widened(
    quantiles: FloatArray,
    levels: tuple[float, ...],
    block: int,
    least: Callable[[DoubleArray, IntArray], DoubleArray],
) -> FloatArray:
    """Return quantiles at least as far from the median as a rule says, block by block.

    The rule gets the distances so far, [B, H, Q], and the steps of a block, [S].
    """
    apart, middle = _apart(quantiles, levels)
    size = np.abs(apart)
    with np.errstate(invalid="ignore", over="ignore"):
        for first in range(block, size.shape[1], block):
            steps = np.arange(first, min(first + block, size.shape[1]))
            size[:, steps] = np.maximum(size[:, steps], least(size, steps))
        signs = np.where(np.array(levels) < MEDIAN, -1.0, 1.0)
        beyond = (middle + signs * size)[:, block:]
        widened = quantiles.copy()
        widened[:, block:] = beyond
    return widened


def _least(size: DoubleArray, steps: IntArray, seasons: IntArray, block: int) -> DoubleArray:
    """Return the distances of earlier blocks that those of some steps must reach, [B, S, Q]."""
    same, places = _same_phase(size, steps, seasons)
    mean = size[:, steps[0] - block : steps[0]].mean(axis=1, keepdims=True)
    least: DoubleArray = np.where((places >= 0)[:, :, None], same, mean)
    return least


def _same_phase(
    size: DoubleArray, steps: IntArray, seasons: IntArray
) -> tuple[DoubleArray, IntArray]:
    """Return the distances at the last steps of the same phase before a block, and these steps.

    The steps, [B, S], are -1 without a season, or where there is no such step.
    """
    back = seasons[:, None] * -(-(steps - steps[0] + 1) // seasons[:, None])
    places = np.where(seasons[:, None] > 1, steps - back, -1)
    same = np.take_along_axis(size, np.maximum(places, 0)[:, :, None], axis=1)
    return same, np.maximum(places, -1)


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
