"""The one protocol every forecaster keeps."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from gigacast.core.array import FloatArray
from gigacast.core.series.forecast import ForecastRequest

Started = Callable[[], FloatArray]
"""Waits for a forecast that is under way, and returns it, float32 [B, H, Q]."""


@dataclass(frozen=True, slots=True)
class ForecasterInfo:
    """What a forecaster is: all of it goes into the spec, so all of it is resolved.

    Parameters
    ----------
    name, version, digest : str
        Which model; the digest covers its files (a constant for models without files).
    engine : str
        Which code runs it and its revision, as ``chronos-2.3.2`` or ``seasonal-naive-1``.
    device, precision : str
        ``cpu`` or ``cuda``; ``float32`` or ``bfloat16``. Never ``auto``.
    context_length : int
        The most steps of history it uses; what lies before is cut.
    prediction_length : int
        The horizon it was trained for; longer ones are possible, at a cost.
    levels : tuple of float
        The quantile levels it was trained for, ascending; empty when any level is as good.
    patch_size : int
        Context lengths are padded to multiples of this: a batch within one multiple wastes nothing.
    samples : int
        Sample paths drawn per series; 0 for a model that gives quantiles at once. A model that
        samples follows ``ForecastRequest.seeds``.
    takes_groups : bool
        Whether it forecasts series together, and with covariates.
    """

    name: str
    version: str
    digest: str
    engine: str
    device: str
    precision: str
    context_length: int
    prediction_length: int
    levels: tuple[float, ...]
    patch_size: int = 1
    samples: int = 0
    takes_groups: bool = False


@runtime_checkable
class Forecaster(Protocol):
    """Turns padded contexts into quantiles. Pure: no state changes from call to call."""

    @property
    def info(self) -> ForecasterInfo:
        """What this forecaster is."""
        ...

    def predict(self, request: ForecastRequest) -> FloatArray:
        """Forecast one batch.

        Parameters
        ----------
        request : ForecastRequest
            B contexts of up to T steps, the horizon H and the Q levels. Contexts longer than
            ``info.context_length`` are cut at their start.

        Returns
        -------
        float32 [B, H, Q]
            Row b depends on row b of the request alone, and on the rows of its group: on their
            values, season and seed, not on padding or neighbours. Not necessarily monotone along
            Q, and not finite where the model fails on a row.

        Raises
        ------
        UnsupportedForecastError
            When a level lies outside what the model was trained for.
        MemoryError
            When the batch is too large for the device; the caller halves it.
        """
        ...


@runtime_checkable
class StartingForecaster(Forecaster, Protocol):
    """A forecaster that can be given the next batch while it computes the last one."""

    def start(self, request: ForecastRequest) -> Started:
        """Begin to forecast one batch; the call of what is returned waits for it.

        Raises
        ------
        UnsupportedForecastError, MemoryError
            As `Forecaster.predict`, and before anything is returned.
        """
        ...


def start(forecaster: Forecaster, request: ForecastRequest) -> Started:
    """Begin to forecast one batch, or forecast it at once where the forecaster cannot wait."""
    if isinstance(forecaster, StartingForecaster):
        return forecaster.start(request)
    values = forecaster.predict(request)
    return lambda: values
