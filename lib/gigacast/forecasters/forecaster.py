"""The protocol that every forecaster implements."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from gigacast.core.array import FloatArray
from gigacast.core.series.forecast import ForecastRequest

API_ENGINE = "nixtla-api"
NAIVE_ENGINE = "seasonal-naive-1"
"""Code and revision of the seasonal naive forecast, as stored in specs."""
"""Beginning of the engine of a model behind an API."""

PendingForecast = Callable[[], FloatArray]
"""Waits for a started forecast and returns it, float32 [B, H, Q]."""


@dataclass(frozen=True, slots=True)
class ForecasterInfo:
    """Identity and limits of a forecaster.

    Everything here enters the spec, so every field is resolved: two machines with equal infos give
    equal numbers.

    Parameters
    ----------
    name, version, digest : str
        Model; the digest covers its files (a constant for models without files).
    engine : str
        Code that runs the model and its revision, as ``chronos-2.3.2`` or ``seasonal-naive-1``.
    device, precision : str
        ``cpu`` or ``cuda``; ``float32`` or ``bfloat16``. Never ``auto``.
    context_length : int
        Maximum steps of history; earlier steps are cut off.
    prediction_length : int
        Horizon of one pass. Longer horizons take further passes and are less certain.
    levels : tuple of float
        Trained quantile levels, ascending; empty if the forecaster gives any level directly.
    patch_size : int
        Steps per token. Contexts are padded to multiples of it, so that series whose lengths round
        up to the same multiple share a batch without waste.
    samples : int
        Sample paths per series; 0 for a model that gives quantiles directly. A model that samples
        uses ``ForecastRequest.seeds``.
    takes_groups : bool
        Whether it can forecast series jointly and with covariates.
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

    @property
    def needs_frequencies(self) -> bool:
        """Whether requests have to name frequencies: of models that are asked elsewhere."""
        return self.engine.startswith(API_ENGINE)

    @property
    def is_remote(self) -> bool:
        """Whether it, or a member of a portfolio, is asked over an API."""
        return API_ENGINE in self.engine


@dataclass(frozen=True)
class ModelFiles:
    """The files of a model, its identity, and the hardware to load it on.

    Parameters
    ----------
    folder : Path
        Folder with ``config.json`` and ``*.safetensors``.
    name, version, digest : str
        Name, version and digest in the registry, for the `ForecasterInfo`.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    precision : {"auto", "float32", "bfloat16"}
        ``auto`` is bfloat16 if the hardware computes in it, else float32. For models that sample
        it is always float32: in bfloat16 their draws would depend on the batch.
    """

    folder: Path
    name: str
    version: str
    digest: str
    device: str = "auto"
    precision: str = "auto"


@runtime_checkable
class Forecaster(Protocol):
    """Computes quantiles of padded contexts; no result depends on an earlier call."""

    @property
    def info(self) -> ForecasterInfo:
        """Identity and limits of this forecaster."""
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
            Row b depends only on the rows of its own group (their values, seasons and seeds), not
            on padding or on other groups. Not necessarily monotone along Q; not finite for rows
            on which the model fails.

        Raises
        ------
        UnsupportedForecastError
            If a level is outside the trained range.
        MemoryError
            If the batch is too large for the device; the caller halves it.
        """
        ...


@runtime_checkable
class StartingForecaster(Forecaster, Protocol):
    """A forecaster that accepts the next batch while the device computes the last one."""

    def start(self, request: ForecastRequest) -> PendingForecast:
        """Start to forecast one batch and return a function that waits for the result.

        Raises
        ------
        UnsupportedForecastError, MemoryError
            As `Forecaster.predict`; raised here, not by the returned function.
        """
        ...


def is_shift_free(info: ForecasterInfo) -> bool:
    """Return whether a model subtracts the level of a context, whatever it is.

    Chronos-Bolt, Chronos-2 and seasonal naive do. T5, which samples, divides by the level; other
    baselines may take its logarithm.
    """
    return info.engine == NAIVE_ENGINE or (bool(info.levels) and not info.samples)


def start(forecaster: Forecaster, request: ForecastRequest) -> PendingForecast:
    """Start to forecast one batch; forecasters that cannot start compute it before returning."""
    # Not `isinstance`, which takes 100 us for a protocol, as long as a small batch.
    if (begin := getattr(forecaster, "start", None)) is not None:
        pending: PendingForecast = begin(request)
        return pending
    values = forecaster.predict(request)
    return lambda: values


def usage_of(forecaster: Forecaster) -> Mapping[str, float]:
    """Return what a model behind an API has used of it so far; nothing for other models."""
    return dict(getattr(forecaster, "usage", {}))


def usage_since(before: Mapping[str, float], forecaster: Forecaster) -> dict[str, float]:
    """Return what a model behind an API has used of it since an earlier `usage_of`."""
    now = usage_of(forecaster).items()
    return {name: round(count - before.get(name, 0.0), 6) for name, count in now}
