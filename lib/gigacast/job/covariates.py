"""What is asked to be seen, before and beside the targets, and whether the model can. Values only.

Covariates and joint targets need a model that takes groups of series. With another one they are
refused before a run begins, or left out because the settings say so; never without a word.
"""

from dataclasses import dataclass, field, replace

from gigacast.core.series.batch import SeriesBatch
from gigacast.errors import ConfigError, SchemaError
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.job.forecast_job import Method

JOINT = "joint targets"


def fit_method(method: Method, info: ForecasterInfo) -> tuple[Method, tuple[str, ...]]:
    """Return the method as a model can follow it, and what of it is ignored.

    Raises
    ------
    ConfigError
        When the model forecasts series alone, and that is not to be ignored.
    """
    asked = (*method.columns.covariates, *((JOINT,) if method.joint_targets else ()))
    if not asked or info.takes_groups:
        return method, ()
    if method.unsupported_covariates == "error":
        raise ConfigError(
            f"{info.name} forecasts each series alone: it has no use for {', '.join(asked)}",
            hint="take a Chronos-2 model, or --unsupported_covariates ignore",
        )
    # Rows that hold nothing but what is known ahead are no end of a series: they are still cut.
    columns = replace(method.columns, past_covariates=())
    lenient = replace(method, columns=columns, joint_targets=False, missing_future="past")
    return lenient, asked


def check_context(method: Method, info: ForecasterInfo) -> None:
    """Refuse a context that a model can't look back over: its forecasts would not be those meant.

    Raises
    ------
    ConfigError
    """
    asked = method.context_length
    if asked is not None and asked > info.context_length:
        raise ConfigError(
            f"forecast.context_length: {asked:,}, but {info.name} looks back over "
            f"{info.context_length:,} steps at most",
            hint="leave it out, ask for less, or take a model with a longer context",
        )


def describe_companions(method: Method, ignored: tuple[str, ...]) -> dict[str, list[str]]:
    """Return what forecasts were made with beside the targets, as receipts list it."""
    columns = method.columns
    told = {
        "past": sorted(columns.past_covariates),
        "known": sorted({*columns.known_covariates} - {*ignored}),
        "joint": list(columns.targets) if method.joint_targets else [],
        "ignored": list(ignored),
    }
    return {name: names for name, names in told.items() if names}


@dataclass(slots=True)
class Futures:
    """Which series of a partition lack what was said to be known ahead."""

    series: int = 0
    lacking: int = 0
    names: set[str] = field(default_factory=set)

    def add(self, batch: SeriesBatch, horizon: int) -> None:
        """Look at one more batch."""
        self.series += len(batch)
        if batch.covariates is not None:
            self.lacking += int(batch.covariates.lack_future(horizon).sum())
            self.names |= batch.covariates.lacking_names(horizon)

    def refuse_if_all_lack(self, partition: str, method: Method) -> None:
        """Refuse a partition none of whose series has what was said to be known.

        Raises
        ------
        SchemaError
        """
        if self.series and self.lacking == self.series and method.missing_future == "error":
            raise SchemaError(
                f"{partition}: no series has values of {', '.join(sorted(self.names))} over the "
                "horizon",
                hint="add rows after the last value of the targets, with the targets empty, to the "
                "partition itself; or --missing_future past to take them as known so far only",
            )
