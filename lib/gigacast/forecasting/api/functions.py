"""`forecast`, `plan` and `read_forecasts`: the commands of the same names, from Python.

They load settings, as the commands do; everything below takes plain values.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, overload

import pyarrow as pa

from gigacast.errors import ConfigError
from gigacast.forecasting.frame import forecast_table, load_chosen, table_of_frame
from gigacast.forecasting.plan import PlanReport, report_plan
from gigacast.forecasting.read import choose_generation, read_generation
from gigacast.forecasting.run import RunResult, run_forecast
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.run import RunEvents
from gigacast.series.duplicates import warn_of_conflicts
from gigacast.settings.assembly import addresses, job_of, registry_of
from gigacast.settings.keywords import Options
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.settings.signature import with_options
from gigacast.storage.opening import open_store

if TYPE_CHECKING:
    import pandas as pd


@overload
def forecast(
    data: str,
    *,
    config: str | Path | None = None,
    dry_run: bool = False,
    events: RunEvents | None = None,
    **options: Unpack[Options],
) -> RunResult: ...


@overload
def forecast(
    data: "pd.DataFrame",
    *,
    config: str | Path | None = None,
    bucket: str | None = None,
    **options: Unpack[Options],
) -> "pd.DataFrame": ...


@with_options()
def forecast(
    data: "str | pd.DataFrame",
    *,
    config: str | Path | None = None,
    dry_run: bool = False,
    events: RunEvents | None = None,
    bucket: str | None = None,
    **options: Unpack[Options],
) -> "RunResult | pd.DataFrame":
    """Forecast a bucket, or a data frame.

    Parameters
    ----------
    data : str or pandas.DataFrame
        Bucket name, ``s3://...`` or ``file:///folder``: every pending partition is forecast, and
        the predictions are written there. Or a data frame, long (``item_id``, ``timestamp``,
        ``target``; or ``unique_id``, ``ds``, ``y``) or wide (``ds`` and ``target_*``): its
        forecasts are returned.
    config : path, optional
        Settings file; none by default.
    dry_run : bool
        Plan, and write nothing (buckets only).
    events : RunEvents, optional
        Callbacks for the run's progress (buckets only).
    bucket : str, optional
        Bucket whose ``models/``, below ``prefix``, is searched as well (data frames only).
    **options
        Flags of the command line by name. The environment, the settings file and then the default
        decide on options that are left out.

    Returns
    -------
    RunResult or pandas.DataFrame
        Result of the run; or the predictions, in the form of `read_forecasts`.

    Raises
    ------
    ConfigError
        If an option is unknown or out of its range.
    StorageError, DataError, ModelError
        If the run cannot start. A partition that fails is in the result.

    Examples
    --------
    >>> import pandas as pd, gigacast
    >>> days = pd.date_range("2024-01-01", periods=60, freq="D")
    >>> sales = pd.DataFrame({"item_id": "a", "timestamp": days, "target": range(60)})
    >>> gigacast.forecast(sales, horizon=7, model="seasonal-naive").shape
    (7, 14)
    """
    if isinstance(data, str):
        if bucket is not None:
            raise ConfigError(f"bucket: {data!r} is the bucket already", hint="leave it out")
        job = _job(data, config, options)
        result = run_forecast(job, events=events, dry_run=dry_run)
        warn_of_conflicts(result.totals.repairs.get("conflicts", 0), job.method.duplicates)
        return result
    if dry_run or events is not None:
        raise ConfigError(
            "dry_run and events are for buckets", hint="leave them out for a DataFrame"
        )
    return _forecast_frame(data, config, bucket, options)


def _job(bucket: str, config: str | Path | None, options: Options) -> ForecastJob:
    arguments = nest_arguments({**options, "bucket": bucket})
    return job_of(load_settings(arguments, file=Path(config) if config else None))


def _forecast_frame(
    data: "pd.DataFrame", config: str | Path | None, bucket: str | None, options: Options
) -> "pd.DataFrame":
    # Not `isinstance`: importing pandas is a good part of the time that a small forecast takes.
    if not hasattr(data, "columns"):
        raise ConfigError(f"data: expected a bucket or a DataFrame, got {type(data).__name__}")
    # The bucket is only the place of models: the job itself works in memory.
    arguments = nest_arguments({**options, "bucket": bucket})
    settings = load_settings(arguments, file=Path(config) if config else None)
    job = _job("memory://frame", config, options)
    forecaster = load_chosen(job.model, registry_of(settings))
    table = table_of_frame(data)
    predictions = forecast_table(table, forecaster, job.method, job.resources.batch_size)
    return to_frame(predictions)


@with_options()
def plan(
    bucket: str, *, config: str | Path | None = None, **options: Unpack[Options]
) -> PlanReport:
    """Return the pending partitions of a bucket, and an estimate of the time they take.

    Only listings and receipts are read, and nothing is written.

    Parameters
    ----------
    bucket : str
        Bucket name, ``s3://...`` or ``file:///folder``.
    config : path, optional
        Settings file; none by default.
    **options
        Flags of the command line by name. The environment, the settings file and then the default
        decide on options that are left out.

    Returns
    -------
    PlanReport
        ``plan.tasks`` are the pending partitions; ``estimate`` has their series and seconds.

    Raises
    ------
    ConfigError, StorageError, ModelError
    """
    return report_plan(_job(bucket, config, options))


def read_forecasts(  # noqa: PLR0913 - keywords, each the name of a flag
    bucket: str,
    *,
    prefix: str = "",
    model: str | None = None,
    version: str | None = None,
    spec: str | None = None,
    years: str | None = None,
    months: str | None = None,
    partitions: Sequence[str] | None = None,
    items: Sequence[object] | None = None,
    columns: Sequence[str] | None = None,
    endpoint_url: str | None = None,
    region: str | None = None,
) -> "pd.DataFrame":
    """Read the forecasts of the last finished run as one consistent set.

    Parameters
    ----------
    bucket, prefix, endpoint_url, region : str, optional
        Place of the forecasts, as for `forecast`.
    model, version, spec : str, optional
        Model, version and spec of the forecasts; by default those that were finished last. The
        result's ``attrs`` name them.
    years, months : str, optional
        Year or range of years, month or range of months, as ``2014`` or ``2014:2016``; all by
        default.
    partitions, items, columns : sequence, optional
        Names of partitions, items and columns to read; all by default.

    Returns
    -------
    pandas.DataFrame
        ``item_id``, ``timestamp``, ``target_name``, ``predictions``, a column per quantile level,
        ``fallback``.

    Raises
    ------
    DataNotFoundError
        If there is no finished run, or none of the partitions, items or columns.
    InputChangedError
        If a forecast was replaced since that run ended.
    """
    arguments = {"bucket": bucket, "prefix": prefix}
    arguments |= {name: str(v) for name, v in {"years": years, "months": months}.items() if v}
    place = {"endpoint_url": endpoint_url, "region": region}
    settings = load_settings(nest_arguments(arguments | place))
    outputs = open_store(addresses(settings.run)[1])
    outputs.check()  # so that a misspelt bucket is not reported as one without forecasts
    generation = choose_generation(outputs, model=model, version=version, spec=spec)
    table = read_generation(
        outputs,
        generation,
        months=job_of(settings).selection.months,
        partitions=_listed(partitions),
        items=_listed(items),
        columns=_listed(columns),
    )
    frame = to_frame(table)
    frame.attrs.update(model=generation.model, version=generation.version, spec=generation.spec)
    return frame


def _listed(values: Any) -> Any:
    """Return a list for a single name, and any other value as it is."""
    # A text is a sequence as well, of letters.
    return [values] if isinstance(values, str) else values


def to_frame(table: pa.Table) -> "pd.DataFrame":
    """Return predictions as a data frame, with names as plain strings instead of categories."""
    frame: Any = table.to_pandas()
    for name in ("target_name", "fallback"):
        if name in frame.columns:
            frame[name] = frame[name].astype(object)
    result: pd.DataFrame = frame
    return result
