"""What is asked to be seen beside the targets, and whether the model can see it. Values only.

Covariates and joint targets need a model that takes groups of series. With another one they are
refused before a run begins, or left out because the settings say so; never without a word.
"""

from dataclasses import replace

from gigacast.core.series import SeriesBatch
from gigacast.errors import ConfigError, SchemaError
from gigacast.forecast.forecaster import ForecasterInfo
from gigacast.pipeline.job import Method

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


def count_unknown_futures(batch: SeriesBatch, horizon: int) -> int:
    """Return how many series have a known covariate without a value over the horizon."""
    return 0 if batch.covariates is None else int(batch.covariates.lack_future(horizon).sum())


def refuse_all_unknown(partition: str, method: Method, series: int, lacking: int) -> None:
    """Refuse a partition none of whose series has what was said to be known.

    Raises
    ------
    SchemaError
    """
    if series and lacking == series and method.missing_future == "error":
        names = ", ".join(sorted(method.columns.known_covariates))
        raise SchemaError(
            f"{partition}: no series has values of {names} over the horizon",
            hint="add rows after the last value of the targets, with the targets empty; or "
            "--missing_future past to take them as known so far only",
        )
