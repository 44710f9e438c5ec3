"""Check that a model supports the requested levels, covariates, joint targets and context.

Covariates and joint targets need a model that takes groups of series. With another model they are
refused before a run begins, or left out with a note where the settings say so.
"""

import logging
from dataclasses import dataclass, field, replace

from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.calendar import CALENDAR_REVISION
from gigacast.errors import ConfigError, SchemaError
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.forecasters.levels import plan_levels
from gigacast.forecasters.portfolio.forecaster import enhanced_error, is_portfolio_engine
from gigacast.job.forecast_job import Method
from gigacast.job.holidays import holiday_table

JOINT = "joint targets"
FAR = 8
"""Multiple of a model's own length beyond which a horizon is warned of."""

logger = logging.getLogger(__name__)


def fit_method(method: Method, info: ForecasterInfo) -> tuple[Method, tuple[str, ...]]:
    """Return the method as a model supports it, and the names of ignored covariates.

    Raises
    ------
    ConfigError
        When the model forecasts each series alone, and the settings do not say ``ignore``.
    UnsupportedForecastError
        When the model cannot give the quantile levels.
    """
    # Only for its error, which comes here once instead of in every partition.
    plan_levels(method.levels, info.levels, extrapolate=method.extrapolate_levels)
    if method.enhance is not None and is_portfolio_engine(info.engine):
        raise enhanced_error(info.name)
    requested = (
        *method.columns.covariates,
        *method.calendar_names,
        *((JOINT,) if method.joint_targets else ()),
    )
    if method.covariate_regressor is not None:
        return _fit_regression(method, info)
    if not requested or info.takes_groups:
        return with_holiday_tables(method), ()
    if method.unsupported_covariates == "error":
        raise ConfigError(
            f"{info.name} forecasts each series alone: it has no use for {', '.join(requested)}",
            hint="add --covariate_regressor ridge, take a Chronos-2 model, or "
            "--unsupported_covariates ignore",
        )
    # The known covariates stay: rows that hold nothing else are not part of a series, and the
    # reader still has to cut them off.
    columns = replace(method.columns, past_covariates=())
    lenient = replace(
        method,
        columns=columns,
        joint_targets=False,
        missing_future="past",
        calendar=False,
        holidays=(),
    )
    return lenient, requested


def _fit_regression(method: Method, info: ForecasterInfo) -> tuple[Method, tuple[str, ...]]:
    """Return the method with what a regression on covariates can use, and what it cannot.

    Raises
    ------
    ConfigError
    """
    columns = method.columns
    if not columns.known_covariates and not method.calendar_names:
        raise ConfigError(
            "covariate_regressor: no covariate is known over the horizon",
            hint="name some by --known_covariates, or add --known_calendar or --known_holidays",
        )
    # What is not known ahead has no effect that could be added there.
    useless = (*columns.past_covariates, *((JOINT,) if method.joint_targets else ()))
    if useless and method.unsupported_covariates == "error":
        raise ConfigError(
            f"covariate_regressor: a regression has no use for {', '.join(useless)}",
            hint="leave them out, take a Chronos-2 model without it, or --unsupported_covariates "
            "ignore",
        )
    fitted = replace(method, columns=replace(columns, past_covariates=()), joint_targets=False)
    return with_holiday_tables(fitted), useless


def refuse_pooled(method: Method, what: str) -> None:
    """Refuse effects that series have in common.

    Parameters
    ----------
    method : Method
    what : str
        Job that does not look for them.

    Raises
    ------
    ConfigError
        If the method has them.
    """
    if method.covariate_regressor == "pooled":
        raise ConfigError(
            f"covariate_regressor: {what} has no pooled effects, which depend on all series of a "
            "partition",
            hint="take --covariate_regressor ridge",
        )


def with_holiday_tables(method: Method) -> Method:
    """Return a method with the days of its holidays."""
    if not method.holidays or method.holiday_tables:
        return method
    return replace(method, holiday_tables=tuple(map(holiday_table, method.holidays)))


def calendar_fields(method: Method) -> dict[str, object]:
    """Return the fields of the spec for calendar and holidays; empty without them."""
    fields: dict[str, object] = {}
    if method.calendar:
        fields["calendar"] = f"calendar-{CALENDAR_REVISION}"
    if method.holidays:
        tables = [[table.country, table.digest] for table in method.holiday_tables]
        fields["holidays"] = [CALENDAR_REVISION, *tables]
    return fields


def check_context(method: Method, info: ForecasterInfo) -> None:
    """Refuse a context that is longer than the model's own.

    Raises
    ------
    ConfigError
    """
    # Without the check the context would be cut silently, and the forecasts would not be the ones
    # that the settings describe.
    steps = method.context_length
    if steps is not None and steps > info.context_length:
        raise ConfigError(
            f"context_length: {steps:,}, but {info.name} looks back over "
            f"{info.context_length:,} steps at most",
            hint="leave it out, ask for less, or take a model with a longer context",
        )


def warn_of_horizon(steps: int | None, info: ForecasterInfo) -> None:
    """Log a warning when the horizon is many times that of the model."""
    # Beyond its own length a model forecasts from its forecasts. Measured on 27 sets: the 80 % band
    # holds 77 % of the values within 64 steps, and 68 % within 192.
    if steps is None or not info.levels or steps <= FAR * info.prediction_length:
        return
    logger.warning(
        "a horizon of %s is %d times the %d steps that %s forecasts at a time: the later steps are "
        "forecast from forecasts, and their bands are too narrow",
        f"{steps:,}",
        round(steps / info.prediction_length),
        info.prediction_length,
        info.name,
    )


def describe_companions(method: Method, ignored: tuple[str, ...]) -> dict[str, list[str]]:
    """Return the covariates and joint targets of forecasts, as receipts list them."""
    columns = method.columns
    names_by_kind = {
        "past": sorted(columns.past_covariates),
        "known": [*sorted({*columns.known_covariates} - {*ignored}), *method.calendar_names],
        "joint": list(columns.targets) if method.joint_targets else [],
        "ignored": list(ignored),
    }
    return {name: names for name, names in names_by_kind.items() if names}


@dataclass(slots=True)
class Futures:
    """Counts the series of a partition without values of known covariates over the horizon."""

    series: int = 0
    lacking: int = 0
    names: set[str] = field(default_factory=set)

    def add(self, batch: SeriesBatch, horizon: int) -> None:
        """Count a batch."""
        self.series += len(batch)
        if batch.covariates is not None:
            self.lacking += int(batch.covariates.lack_future(horizon).sum())
            self.names |= batch.covariates.lacking_names(horizon)

    def refuse_if_all_lack(self, partition: str, method: Method) -> None:
        """Refuse a partition in which no series has future values of its known covariates.

        Raises
        ------
        SchemaError
        """
        # A few series without future values get the flagged fallback. Without a single one that has
        # them, the settings or the data are wrong.
        if self.series and self.lacking == self.series and method.missing_future == "error":
            raise SchemaError(
                f"{partition}: no series has values of {', '.join(sorted(self.names))} over the "
                "horizon",
                hint="add rows after the last value of the targets, with the targets empty, to the "
                "partition itself; or use their past values only: --missing_future past",
            )
