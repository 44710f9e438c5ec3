"""Options of a forecast beside the data and the model."""

from dataclasses import dataclass
from typing import Literal

from gigacast.core.series.calendar import CalendarColumns, HolidayTable
from gigacast.errors import ConfigError
from gigacast.forecasters.around.calibration import Calibration
from gigacast.forecasters.around.enhancement import Enhancement
from gigacast.forecasters.around.horizon import LongHorizon
from gigacast.forecasters.around.pool import Pool
from gigacast.forecasters.around.regression import CovariateRegressor
from gigacast.forecasters.around.wrapping import Around
from gigacast.forecasters.levels import check_levels

DEFAULT_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

Fallback = Literal["seasonal_naive", "drop"]
MissingFuture = Literal["error", "past"]


@dataclass(frozen=True, slots=True)
class ForecastOptions:
    """Options of a forecast.

    All fields but ``batch_size`` change the numbers and are part of the spec.

    Parameters
    ----------
    horizon : int
        Steps to forecast, H.
    levels : tuple of float
        Q quantile levels in ascending order.
    context_length : int or None
        Maximum steps of history; all that the model can use by default.
    min_length : int
        Minimum number of values within the context; series with fewer get the fallback.
    fallback : {"seasonal_naive", "drop"}
        Result for series that cannot be forecast: a flagged seasonal naive forecast, or NaN.
    non_negative, integer : bool
        Clip quantiles at zero; round them to whole numbers.
    batch_size : int or "auto"
        Series per call of the model. Changes the numbers by float rounding only.
    extrapolate_levels : bool
        Extrapolate quantiles beyond the trained levels instead of raising an error; see
        `extrapolated_levels`.
    seed : int
        Seed of models that sample.
    season : int, optional
        Steps of a season for forecasters that need one; derived from the frequency by default.
    joint : bool
        Forecast the targets of an item jointly, if the batch names the item of each series.
    missing_future : {"error", "past"}
        Treatment of series whose known covariates lack a value over the horizon: ``error`` gives
        them the fallback, ``past`` uses these covariates as past covariates.
    enhance : {"seasonal_difference", "trend", "flip", "zeros", "auto"}, optional
        Changes of contexts before the model, and passes that are averaged; none by default. See
        `forecasters.around.enhancement`.
    long_horizon : {"bands", "dilated", "stock"}
        Treatment of steps beyond the trained horizon; see `forecasters.around.horizon`.
    calibration : Calibration, optional
        Factors of the model's quantiles, the last change before post-processing; none by default.
    mean : bool
        Whether the mean is computed from the quantiles.
    covariate_regressor : {"ridge", "pooled"}, optional
        Regression of each series on its known covariates, whose residual the model forecasts; see
        `forecasters.around.regression`.
    pool : Pool, optional
        Effects of ``pooled``, which `forecasters.pooling` finds; they are no setting.
    calendar : bool
        Whether the calendar is among the known covariates.
    holiday_tables : tuple of HolidayTable
        Public holidays among the known covariates.

    Raises
    ------
    ConfigError
        If a field is out of range; the message names it.
    """

    horizon: int
    levels: tuple[float, ...] = DEFAULT_LEVELS
    context_length: int | None = None
    min_length: int = 1
    fallback: Fallback = "seasonal_naive"
    non_negative: bool = False
    integer: bool = False
    batch_size: int | Literal["auto"] = "auto"
    extrapolate_levels: bool = False
    seed: int = 0
    season: int | None = None
    joint: bool = False
    missing_future: MissingFuture = "error"
    enhance: Enhancement | None = None
    long_horizon: LongHorizon = "bands"
    calibration: Calibration | None = None
    mean: bool = False
    covariate_regressor: CovariateRegressor | None = None
    calendar: bool = False
    holiday_tables: tuple[HolidayTable, ...] = ()
    pool: Pool | None = None

    @property
    def around(self) -> Around:
        """What is done around the model."""
        return Around(self.enhance, self.long_horizon, self.covariate_regressor)

    @property
    def calendar_columns(self) -> CalendarColumns:
        """Columns of the calendar that become known covariates."""
        is_compact = self.covariate_regressor is None
        return CalendarColumns(self.calendar, self.holiday_tables, is_compact)

    def __post_init__(self) -> None:
        check_levels(self.levels)
        _check_at_least("horizon", self.horizon, 1)
        _check_at_least("min_length", self.min_length, 1)
        # With a shorter context no series could have enough values, and all would get the fallback.
        if self.context_length is not None:
            _check_at_least("context_length", self.context_length, self.min_length)
        if self.season is not None:
            _check_at_least("season", self.season, 1)
        if self.batch_size != "auto":
            _check_at_least("batch_size", self.batch_size, 1)
        if self.fallback not in ("seasonal_naive", "drop"):
            raise ConfigError(f"fallback: {self.fallback!r} is not one of seasonal_naive, drop")


def _check_at_least(field: str, value: int, minimum: int) -> None:
    if value < minimum:
        raise ConfigError(f"{field}: {value} is less than {minimum}")
