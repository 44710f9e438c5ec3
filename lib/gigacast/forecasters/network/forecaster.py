"""What all forecasters that are networks of torch share: a batch there, its quantiles back.

Checks the request, takes contexts into the range where float32 is exact, and overlaps copies with
computation on a GPU.
"""

from abc import ABC, abstractmethod
from functools import partial

import torch
from torch import Tensor

from gigacast.core.array import FloatArray
from gigacast.core.series.forecast import ForecastRequest
from gigacast.errors import UnsupportedForecastError
from gigacast.forecasters.forecaster import ForecasterInfo, Started
from gigacast.forecasters.levels import interpolate_levels, plan_levels
from gigacast.forecasters.network.centring import ground
from gigacast.forecasters.network.device import translate_memory_errors
from gigacast.forecasters.network.transfer import Fetched, make_transfer


class NetworkForecaster(ABC):
    """A forecaster whose numbers come from torch; see `StartingForecaster`.

    Parameters
    ----------
    info : ForecasterInfo
        What it is.
    device : torch.device
        Where it computes.
    centre : bool
        Whether the network takes each context's mean away itself, so that it may be done before.
    """

    def __init__(self, info: ForecasterInfo, device: torch.device, *, centre: bool) -> None:
        self._info = info
        self._device = device
        self._centre = centre
        self._transfer = make_transfer(device)

    @property
    def info(self) -> ForecasterInfo:
        """What this forecaster is."""
        return self._info

    def predict(self, request: ForecastRequest) -> FloatArray:
        """Forecast one batch; see `Forecaster.predict`."""
        return self.start(request)()

    def start(self, request: ForecastRequest) -> Started:
        """Begin to forecast one batch; see `StartingForecaster.start`."""
        if request.horizon < 1:
            raise UnsupportedForecastError(f"horizon: {request.horizon} is less than 1")
        plan_levels(request.levels, self._info.levels)  # refuses what the model cannot give
        recent = request.context[:, -self._info.context_length :]
        with translate_memory_errors(), torch.inference_mode():
            grounded = ground(self._transfer.send(recent), centre=self._centre)
            future = None
            if request.future is not None:
                future = grounded.apply(self._transfer.send(request.future))
            raw = self._quantiles(grounded.context, future, request)
            fetched = self._transfer.fetch(grounded.restore(raw).transpose(1, 2))
        return partial(self._finish, fetched, request.levels)

    def _finish(self, fetched: Fetched, levels: tuple[float, ...]) -> FloatArray:
        with translate_memory_errors():
            values = fetched()
        if self._info.levels:
            return interpolate_levels(values, self._info.levels, levels)
        return values

    @abstractmethod
    def _quantiles(
        self, context: Tensor, future: Tensor | None, request: ForecastRequest
    ) -> Tensor:
        """Return raw quantiles of grounded contexts, float32 [B, K, H], on the device.

        ``future`` is grounded as well.

        At the trained levels; at those of the request where any level is as good.
        """
