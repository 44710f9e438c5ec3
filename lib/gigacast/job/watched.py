"""Forecasters whose time is measured."""

from gigacast.core.array import FloatArray
from gigacast.core.series.forecast import ForecastRequest
from gigacast.forecasters.forecaster import Forecaster, ForecasterInfo, PendingForecast, start
from gigacast.forecasters.portfolio.forecaster import PortfolioForecaster
from gigacast.job.worker import Stopwatch


class Watched:
    """A forecaster whose time counts as the stage ``predict``."""

    def __init__(self, forecaster: Forecaster, watch: Stopwatch) -> None:
        self._forecaster = forecaster
        self._watch = watch

    @property
    def info(self) -> ForecasterInfo:
        """Name, version and abilities of the forecaster."""
        return self._forecaster.info

    def predict(self, request: ForecastRequest) -> FloatArray:
        """Forecast a batch."""
        return self.start(request)()

    def start(self, request: ForecastRequest) -> PendingForecast:
        """Begin to forecast a batch; return a function that waits for the result."""
        # On a GPU, `start` returns while the device computes: the wait counts as well.
        with self._watch.measure("predict"):
            started = start(self._forecaster, request)

        def result() -> FloatArray:
            with self._watch.measure("predict"):
                return started()

        return result


def watched(forecaster: Forecaster, watch: Stopwatch) -> Forecaster:
    """Return a forecaster whose time counts as the stage ``predict``; so of each of a portfolio."""
    if isinstance(forecaster, PortfolioForecaster):
        return forecaster.with_members(lambda member: Watched(member, watch))
    return Watched(forecaster, watch)
