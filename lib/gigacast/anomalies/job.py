"""What a search for anomalies is of, and within which limits."""

from dataclasses import dataclass, field

from gigacast.anomalies.kernel import Limits
from gigacast.forecasting.rows import LATEST
from gigacast.job.forecast_job import ForecastJob


@dataclass(frozen=True)
class AnomalyJob:
    """The values to compare, and the limits of what is expected.

    Parameters
    ----------
    forecast : ForecastJob
        Addresses, selection, columns; model and method of rolling forecasts.
    limits : Limits
    windows : int
        Horizons at the end of each series that rolling forecasts are made of.
    rolling : bool
        Whether to make forecasts although some are stored.
    model, version : str, optional
        Model and version whose stored forecasts are compared; the latest by default.
    origin : str
        Stored forecasts to compare: ``latest``, ``all`` that are kept, or those of a day or step,
        see `gigacast.forecasting.read.OriginReader`.
    """

    forecast: ForecastJob
    limits: Limits = field(default_factory=Limits)
    windows: int = 1
    rolling: bool = False
    model: str | None = None
    version: str | None = None
    origin: str = LATEST
