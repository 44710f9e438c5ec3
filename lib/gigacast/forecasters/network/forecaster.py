"""Base class of forecasters that run a network in torch.

It checks requests, brings contexts into the range where float32 is exact, and overlaps copies with
computation on a GPU.
"""

from abc import ABC, abstractmethod
from functools import partial

import torch
from torch import Tensor

from gigacast.core.array import FloatArray
from gigacast.core.series.forecast import ForecastRequest
from gigacast.errors import UnsupportedForecastError
from gigacast.forecasters.forecaster import ForecasterInfo, PendingForecast
from gigacast.forecasters.levels import interpolate_levels
from gigacast.forecasters.network.centring import centre_contexts
from gigacast.forecasters.network.device import translate_memory_errors
from gigacast.forecasters.network.transfer import PendingArray, make_transfer


class NetworkForecaster(ABC):
    """A `StartingForecaster` that computes in torch.

    Parameters
    ----------
    info : ForecasterInfo
    device : torch.device
        Device of the network.
    centre : bool
        Whether the network subtracts each context's mean itself, so that subtracting it before
        changes nothing; see `centre_contexts`.
    """

    def __init__(self, info: ForecasterInfo, device: torch.device, *, centre: bool) -> None:
        self._info = info
        self._device = device
        self._centre = centre
        self._transfer = make_transfer(device)

    @property
    def info(self) -> ForecasterInfo:
        """Identity and limits of this forecaster."""
        return self._info

    def predict(self, request: ForecastRequest) -> FloatArray:
        """Forecast one batch; see `Forecaster.predict`."""
        return self.start(request)()

    def start(self, request: ForecastRequest) -> PendingForecast:
        """Start to forecast one batch; see `StartingForecaster.start`."""
        if request.horizon < 1:
            raise UnsupportedForecastError(f"horizon: {request.horizon} is less than 1")
        recent = request.context[:, -self._info.context_length :]
        with translate_memory_errors(), torch.inference_mode():
            centred = centre_contexts(self._transfer.send(recent), centre=self._centre)
            future = None
            if request.future is not None:
                future = centred.to_model(self._transfer.send(request.future))
            raw = self._quantiles(centred.context, future, request)
            pending = self._transfer.fetch(centred.from_model(raw).transpose(1, 2))
        return partial(self._finish, pending, request.levels)

    def _finish(self, pending: PendingArray, levels: tuple[float, ...]) -> FloatArray:
        # A GPU reports errors of earlier work here, where the host waits for it.
        with translate_memory_errors():
            values = pending()
        if self._info.levels:
            return interpolate_levels(values, self._info.levels, levels)
        return values

    @abstractmethod
    def _quantiles(
        self, context: Tensor, future: Tensor | None, request: ForecastRequest
    ) -> Tensor:
        """Return raw quantiles of centred contexts, float32 [B, K, H], on the device.

        K are the trained levels; without trained levels, those of the request. ``future`` is
        centred like the contexts.
        """
