"""Known covariates for models that forecast each series alone.

The effect of an item's covariates on its series is found by a regression over the context. The
model forecasts what is left of the series, and the effect over the horizon is added to that.
"""

from dataclasses import replace
from typing import Literal

import numpy as np

from gigacast.core.array import DoubleArray, FloatArray, IntArray
from gigacast.core.series.forecast import ForecastRequest
from gigacast.forecasters.around.pool import Pool
from gigacast.forecasters.around.ridge import Effects, Panel, find_effects
from gigacast.forecasters.forecaster import Forecaster, ForecasterInfo, PendingForecast, start

CovariateRegressor = Literal["ridge", "pooled"]
REGRESSOR_REVISION = 1
"""Part of the spec of forecasts with a regression. Raise it when their numbers change."""
_CHUNK_VALUES = 1 << 20
"""Values of covariates that are looked at together, so that their copies stay small."""


class RegressedForecaster:
    """A `StartingForecaster` for series with covariates, around one for series without.

    Each group is one series with its covariates. A series without an effect reaches the inner
    forecaster unchanged.

    Parameters
    ----------
    inner : Forecaster
    pool : Pool, optional
        Effects for short series that have none of their own; none by default.
    """

    def __init__(self, inner: Forecaster, pool: Pool | None = None) -> None:
        self.inner = inner
        self._pool = pool

    @property
    def info(self) -> ForecasterInfo:
        """Identity and limits of the inner forecaster, which now takes groups."""
        return replace(self.inner.info, takes_groups=True)

    def predict(self, request: ForecastRequest) -> FloatArray:
        """Forecast one batch; see `Forecaster.predict`."""
        return self.start(request)()

    def start(self, request: ForecastRequest) -> PendingForecast:
        """Start to forecast one batch; see `StartingForecaster.start`."""
        size = request.group_size
        if size == 1 or request.future is None:
            return start(self.inner, request)
        request = replace(request, context=request.context[:, -self.info.context_length :])
        effects = effects_of(request, self._pool)
        context, is_any = request.context[::size], effects.is_any
        with np.errstate(over="ignore"):
            reduced = (context - effects.past).astype(np.float32)
        pending = start(
            self.inner,
            replace(
                request,
                # Bit for bit what it was: subtracting zero would make a copy of another type.
                context=np.where(is_any[:, None], reduced, context),
                seasons=request.seasons[::size],
                seeds=request.seeds[::size],
                frequencies=None if request.frequencies is None else request.frequencies[::size],
                group_size=1,
                future=None,
                spare=request.spare // size,
            ),
        )

        def finish() -> FloatArray:
            own = pending()
            # Covariates have no forecast; nobody reads their rows.
            rows = np.full((len(request.context), *own.shape[1:]), np.nan, np.float32)
            rows[::size] = np.where(is_any[:, None, None], _added(own, effects.ahead), own)
            return rows

        return finish


def _added(quantiles: FloatArray, effect: DoubleArray) -> FloatArray:
    """Return quantiles, [G, H, Q], with the effect at each step added."""
    with np.errstate(over="ignore", invalid="ignore"):
        added: FloatArray = (quantiles + effect[:, :, None]).astype(np.float32)
    return added


def effects_of(request: ForecastRequest, pool: Pool | None = None) -> Effects:
    """Return the effects of covariates on the series of a request with groups."""
    size, future = request.group_size, request.future
    assert future is not None  # noqa: S101 - the caller has looked
    count, length = len(request.context) // size, request.context.shape[1]
    context = request.context.reshape(count, size, length)
    ahead = future.reshape(count, size, request.horizon)
    chunk = max(1, _CHUNK_VALUES // (size * length))
    parts = []
    for first in range(0, count, chunk):
        rows = slice(first, first + chunk)
        panel = Panel(
            context[rows, 0].astype(np.float64),
            context[rows, 1:].astype(np.float64),
            ahead[rows, 1:].astype(np.float64),
            _seasons(request)[rows],
        )
        own = find_effects(panel)
        parts.append(own if pool is None else pool.fill(panel, own))
    return Effects(
        np.concatenate([part.past for part in parts]),
        np.concatenate([part.ahead for part in parts]),
    )


def _seasons(request: ForecastRequest) -> IntArray:
    return np.maximum(request.seasons[:: request.group_size], 1)
