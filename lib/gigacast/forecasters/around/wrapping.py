"""The forecaster that a job asks: the model with everything around it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, get_args

from gigacast.errors import ConfigError
from gigacast.forecasters.around.enhancement import (
    ENHANCEMENT_REVISIONS,
    EnhancedForecaster,
    Enhancement,
    count_passes,
)
from gigacast.forecasters.around.horizon import (
    LONG_HORIZON_REVISIONS,
    BandedForecaster,
    DilatedForecaster,
    LongHorizon,
    carry_bands,
    is_continued,
    keep_bands,
)
from gigacast.forecasters.around.pool import Pool
from gigacast.forecasters.around.regression import (
    REGRESSOR_REVISION,
    CovariateRegressor,
    RegressedForecaster,
)
from gigacast.forecasters.forecaster import Forecaster, ForecasterInfo

_REVISIONS: Mapping[str, Mapping[str, int]] = {
    "enhance": ENHANCEMENT_REVISIONS,
    "long_horizon": LONG_HORIZON_REVISIONS,
    "covariate_regressor": dict.fromkeys(get_args(CovariateRegressor), REGRESSOR_REVISION),
}
"""Revisions by field of the spec and its value; 1 by default."""


@dataclass(frozen=True, slots=True)
class Around:
    """What is done around a model.

    Parameters
    ----------
    enhance : {"seasonal_difference", "trend", "flip", "zeros", "auto"}, optional
        Changes of contexts; none by default.
    long_horizon : {"bands", "dilated", "stock"}
        Treatment of steps beyond the trained horizon.
    covariate_regressor : {"ridge", "pooled"}, optional
        Regression on known covariates, whose residual the model forecasts; none by default.
        ``pooled`` gives short series the effects that the series of a partition have in common.
    """

    enhance: Enhancement | None = None
    long_horizon: LongHorizon = "bands"
    covariate_regressor: CovariateRegressor | None = None

    def wrap(self, forecaster: Forecaster, pool: Pool | None = None) -> Forecaster:
        """Return a forecaster with all of this around it.

        Raises
        ------
        ConfigError
            If pooled effects are asked for, and there are none.
        """
        if self.covariate_regressor == "pooled" and pool is None:
            raise ConfigError(
                "covariate_regressor: pooled effects are found by forecasts and backtests only",
                hint="take --covariate_regressor ridge",
            )
        if self.long_horizon == "dilated":
            # Direct passes see the whole horizon at once: nothing is to be carried over.
            forecaster = BandedForecaster(DilatedForecaster(forecaster), keep_bands)
        elif self.long_horizon == "bands":
            forecaster = BandedForecaster(forecaster, carry_bands)
        if self.enhance is not None:
            forecaster = EnhancedForecaster(forecaster, self.enhance)
        if self.covariate_regressor is None:
            return forecaster
        return RegressedForecaster(forecaster, pool)

    def passes(self, info: ForecasterInfo, horizon: int) -> int:
        """Return the passes over the model that a series takes at most, as one with its horizon."""
        is_direct = self.long_horizon == "dilated" and is_continued(info, horizon)
        direct = -(-horizon // info.prediction_length) if is_direct else 0
        return count_passes(self.enhance) * (1 + direct)

    def changes(self, info: ForecasterInfo, horizon: int) -> bool:
        """Return whether forecasts differ from the model's own."""
        is_long = self.long_horizon != "stock" and is_continued(info, horizon)
        return is_long or self.enhance is not None or self.covariate_regressor is not None

    @property
    def fields(self) -> Mapping[str, object]:
        """Fields of the spec, for every horizon; empty for the default."""
        own = {"enhance": self.enhance, "covariate_regressor": self.covariate_regressor}
        return {name: revised(name, value) for name, value in own.items() if value}

    def long_fields(self, info: ForecasterInfo) -> Mapping[str, object]:
        """Return fields of the spec beyond the trained horizon; empty for stock numbers."""
        if self.long_horizon == "stock" or not is_continued(info, info.prediction_length + 1):
            return {}
        return {"long_horizon": revised("long_horizon", self.long_horizon)}

    @classmethod
    def of_fields(
        cls, enhance: str | None, long_horizon: str | None, regressor: str | None = None
    ) -> Self:
        """Return what the fields of a spec say was done.

        Raises
        ------
        ConfigError
            If they name something unknown, as a later release may.
        """
        around = cls(
            _name(enhance),  # type: ignore[arg-type]
            _name(long_horizon) or "stock",  # type: ignore[arg-type]
            _name(regressor),  # type: ignore[arg-type]
        )
        choices = (
            (around.enhance, Enhancement),
            (around.long_horizon, LongHorizon),
            (around.covariate_regressor, CovariateRegressor),
        )
        for value, names in choices:
            if value is not None and value not in get_args(names):
                raise ConfigError(
                    f"the forecasts were made with {value!r}, which this release does not know",
                    hint="use the release that made them, or a later one",
                )
        return around


def revised(name: str, value: str) -> str:
    """Return what a field of the spec says of something done around a model: with its revision."""
    return f"{value}-{_REVISIONS[name].get(value, 1)}"


def are_outdated(fields: Mapping[str, object]) -> bool:
    """Return whether the fields of a spec name another revision than today's."""
    named = {name: str(fields[name]) for name in _REVISIONS if fields.get(name) is not None}
    return any(field != revised(name, _name(field) or "") for name, field in named.items())


def _name(field: str | None) -> str | None:
    """Return a field without its revision."""
    return None if field is None else field.rpartition("-")[0]


def unchanged_of(forecaster: Forecaster) -> int:
    """Return the groups that a wrapped forecaster found too short to be enhanced, so far."""
    inner = forecaster.inner if isinstance(forecaster, RegressedForecaster) else forecaster
    return inner.short if isinstance(inner, EnhancedForecaster) else 0
