"""`forecast`, `plan` and `read_forecasts`: the commands of the same names, from Python.

They load settings, as the commands do; everything below takes plain values.
"""

import warnings
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload

import pyarrow as pa

from gigacast.errors import ConfigError
from gigacast.forecasting.frame import count_rows, forecast_table, load_chosen
from gigacast.forecasting.plan import PlanReport, report_plan
from gigacast.forecasting.prediction import with_names
from gigacast.forecasting.read import choose_generation, open_forecasts, read_generation
from gigacast.forecasting.run import RunResult, run_forecast
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.run import RunEvents
from gigacast.series.duplicates import warn_of_conflicts
from gigacast.series.frame import give_back, table_of
from gigacast.series.source import SeriesSource
from gigacast.settings.argument import as_path, as_text
from gigacast.settings.assembly import addresses, job_of, registry_of
from gigacast.settings.doors import check_used, keywords_of
from gigacast.settings.keywords import Options
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.settings.signature import with_options

if TYPE_CHECKING:
    import pandas as pd

F = TypeVar("F")


@overload
def forecast(
    data: str | Path,
    *,
    config: str | Path | None = None,
    dry_run: bool = False,
    events: RunEvents | None = None,
    **options: Unpack[Options],
) -> RunResult: ...


@overload
def forecast(
    data: F,
    *,
    config: str | Path | None = None,
    bucket: str | None = None,
    names: Literal["own", "nixtla"] | None = None,
    **options: Unpack[Options],
) -> F: ...


@with_options(keywords_of("forecast"))
def forecast(
    data: Any,
    *,
    config: str | Path | None = None,
    dry_run: bool = False,
    events: RunEvents | None = None,
    bucket: str | None = None,
    names: Literal["own", "nixtla"] | None = None,
    **options: Unpack[Options],
) -> Any:
    """Forecast a bucket, or a data frame.

    Parameters
    ----------
    data : str, path or frame
        Bucket name, ``s3://...``, ``file:///folder`` or `Path`: every pending partition is
        forecast, and the predictions are written there. Or a frame of pandas, polars or pyarrow
        (table, batch or reader), or any object with the Arrow C stream interface; long
        (``item_id``, ``timestamp``, ``target``; or ``unique_id``, ``ds``, ``y``) or wide (``ds``
        and ``target_*``): its forecasts are returned.
    config : path, optional
        Settings file; none by default.
    dry_run : bool
        Plan, and write nothing (buckets only).
    events : RunEvents, optional
        Callbacks for the run's progress (buckets only).
    bucket : str, optional
        Bucket whose ``models/``, below ``prefix``, is searched as well (data frames only).
    names : {"own", "nixtla"}, optional
        Names of the result's columns (data frames only): those of `read_forecasts`, or
        ``unique_id``, ``ds``, the model's name and ``MODEL-q-10`` for each quantile. The setting
        ``report.names`` by default, which is ``own``.
    **options
        Flags of the command line by name. The environment, the settings file and then the default
        decide on options that are left out.

    Returns
    -------
    RunResult or frame
        Result of the run; or the predictions, with the columns of `read_forecasts`, as a frame of
        the same library.

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
    (7, 15)
    """
    _check_names(names)
    check_used("forecast", options, is_frame=not isinstance(data, str | Path))
    if isinstance(data, str | Path):
        if names not in {None, "own"}:
            raise ConfigError("names are for data frames", hint="leave them out for a bucket")
        if bucket is not None:
            raise ConfigError(f"bucket: {str(data)!r} is the bucket already", hint="leave it out")
        job = _job(_bucket_name(data), config, options)
        result = run_forecast(job, events=events, dry_run=dry_run)
        for problem in result.look.problems:
            warnings.warn(problem, UserWarning, stacklevel=2)
        warn_of_conflicts(result.totals.repairs.get("conflicts", 0), job.method.duplicates)
        return result
    if dry_run or events is not None:
        raise ConfigError(
            "dry_run and events are for buckets", hint="leave them out for a DataFrame"
        )
    return give_back(_forecast_frame(data, config, bucket, names, options), data, to_frame)


def _check_names(names: Any) -> None:
    if names is not None and (not isinstance(names, str) or names not in {"own", "nixtla"}):
        raise ConfigError(f"names: {names!r} is not known", hint="use own or nixtla")


def _job(bucket: str, config: str | Path | None, options: Options) -> ForecastJob:
    arguments = nest_arguments({**options, "bucket": bucket})
    return job_of(load_settings(arguments, file=as_path("config", config)))


def _bucket_name(bucket: Any) -> Any:
    """Return the URL of a path, and any other value as it is."""
    return bucket.expanduser().absolute().as_uri() if isinstance(bucket, Path) else bucket


def _forecast_frame(
    data: Any,
    config: str | Path | None,
    bucket: str | None,
    names: Literal["own", "nixtla"] | None,
    options: Options,
) -> pa.Table:
    table = table_of(data, takes="a bucket")
    if options.get("output_table") is not None:
        raise ConfigError("output_table is for buckets", hint="write the returned frame yourself")
    # The bucket is only the place of models: the job itself works in memory.
    arguments = nest_arguments({**options, "bucket": bucket})
    settings = load_settings(arguments, file=as_path("config", config))
    job = _job("memory://frame", config, options)
    rows = count_rows(SeriesSource.of_table(table))
    forecaster = load_chosen(job.model, registry_of(settings), rows=rows)
    predictions = forecast_table(table, forecaster, job.method, job.resources.batch_size)
    return with_names(predictions, names or settings.report.names)


@with_options(keywords_of("plan"))
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
    check_used("plan", options)
    return report_plan(_job(_bucket_name(bucket), config, options))


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
    names: Literal["own", "nixtla"] | None = None,
    endpoint_url: str | None = None,
    region: str | None = None,
    origin: str | date = "latest",
    run: str | None = None,
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
        Year or range of years, month or range of months, as ``2014`` or ``2014:2016``; the months
        may be ``latest``. All by default.
    partitions, items, columns : sequence, optional
        Names of partitions, items and columns to read; all by default. With several columns of
        items, an item is a tuple of their values.
    origin : str or date
        ``latest``: the last forecast of each partition. A day, as ``2024-01-31``: the last one
        whose newest ``cutoff`` is of that day. ``all``: every forecast that is kept; of several of
        one series and cutoff the last one made.
    names : {"own", "nixtla"}, optional
        Names of the columns; the setting ``report.names`` by default.
    run : str, optional
        Id of a run, as `gigacast ls runs` lists them: its forecasts as it left them, as far as they
        are kept. The last run by default.

    Returns
    -------
    pandas.DataFrame
        ``item_id``, ``timestamp``, ``target_name``, ``predictions``, a column per quantile level,
        ``fallback``, ``cutoff``.

    Raises
    ------
    DataNotFoundError
        If there is no finished run, or none of the partitions, items or columns.
    InputChangedError
        If a forecast was replaced since that run ended.
    """
    _check_names(names)
    arguments = {"bucket": _bucket_name(bucket), "prefix": prefix}
    spans = {"years": years, "months": months}
    arguments |= {n: as_text(n, str(v) if isinstance(v, int) else v) for n, v in spans.items()}
    place = {"endpoint_url": endpoint_url, "region": region}
    settings = load_settings(nest_arguments(arguments | place))
    outputs = open_forecasts(addresses(settings.run)[1])
    generation = choose_generation(
        outputs,
        model=as_text("model", model),
        version=as_text("version", version),
        spec=as_text("spec", spec),
        run=as_text("run", run),
    )
    table = read_generation(
        outputs,
        generation,
        months=job_of(settings).selection.months,
        partitions=_listed("partitions", partitions),
        items=_listed("items", items, texts=False),
        columns=_listed("columns", columns),
        origin=_origin_text(origin),
        run=run,
    )
    frame = to_frame(with_names(table, names or settings.report.names, generation.model))
    frame.attrs.update(model=generation.model, version=generation.version, spec=generation.spec)
    return frame


def _origin_text(origin: Any) -> str:
    """Return the text of an origin; a moment stands for its day, a number for a step."""
    if isinstance(origin, date):
        return origin.isoformat()[:10]
    return as_text("origin", str(origin) if isinstance(origin, int) else origin) or ""


def _listed(name: str, values: Any, *, texts: bool = True) -> list[Any] | None:
    """Return a list for a single name, and of any other collection.

    Raises
    ------
    ConfigError
        If the values are no collection, or no texts although only texts have a meaning.
    """
    if values is None:
        return None
    # A text is a sequence as well, of letters.
    try:
        items = [values] if isinstance(values, str | bytes | int) else list(values)
    except TypeError as error:
        raise ConfigError(
            f"{name}: expected a list, got {type(values).__name__}", hint=f'as {name}=["a", "b"]'
        ) from error
    return [as_text(name, item) for item in items] if texts else items


def to_frame(table: pa.Table) -> "pd.DataFrame":
    """Return predictions as a data frame, with names as plain strings instead of categories."""
    frame: Any = table.to_pandas()
    for name in ("target_name", "fallback"):
        if name in frame.columns:
            frame[name] = frame[name].astype(object)
    result: pd.DataFrame = frame
    return result
