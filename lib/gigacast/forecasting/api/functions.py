"""The public functions: the same job, plan and forecasts as the command line's, from Python.

They load settings, as the commands do; everything below takes plain values.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, overload

import pyarrow as pa

from gigacast.errors import ConfigError
from gigacast.forecasting.frame import forecast_table, load_chosen
from gigacast.forecasting.plan import PlanReport, report_plan
from gigacast.forecasting.read import choose_generation, read_generation
from gigacast.forecasting.run import RunResult, run_forecast
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.run import RunEvents
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
        A bucket name, ``s3://...`` or ``file:///folder``: every pending partition is forecast and
        the predictions are written there. A data frame in any form the readers know (long with
        ``item_id``, ``timestamp``, ``target``; ``unique_id``, ``ds``, ``y``; wide with ``ds`` and
        ``target_*``): its forecasts are returned.
    config : path, optional
        A settings file.
    dry_run : bool
        Plan, and write nothing (buckets only).
    events : RunEvents, optional
        Told how the run goes on (buckets only).
    bucket : str, optional
        Whose ``models/``, below ``prefix``, is looked in as well (data frames only).
    **options
        Flags of the command line by name. The environment, the settings file and then the default
        decide on options that are left out.

    Returns
    -------
    RunResult or pandas.DataFrame
        How the run ended; or the predictions, as `read_forecasts` gives them.

    Raises
    ------
    ConfigError
        When an option is unknown or out of its range.
    StorageError, DataError, ModelError
        When the run can't start. A partition that fails is in the result.

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
        return run_forecast(job, events=events, dry_run=dry_run)
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
    if not hasattr(data, "columns"):
        raise ConfigError(f"data: expected a bucket or a DataFrame, got {type(data).__name__}")
    # Where models are looked for; the job itself works in memory.
    given = nest_arguments({**options, "bucket": bucket})
    settings = load_settings(given, file=Path(config) if config else None)
    job = _job("memory://frame", config, options)
    forecaster = load_chosen(job.model, registry_of(settings))
    table = pa.Table.from_pandas(data, preserve_index=False)
    predictions = forecast_table(table, forecaster, job.method, job.resources.batch_size)
    return to_frame(predictions)


@with_options()
def plan(
    bucket: str, *, config: str | Path | None = None, **options: Unpack[Options]
) -> PlanReport:
    """Tell what is left to forecast in a bucket; nothing is read but listings, nothing written.

    Parameters
    ----------
    bucket : str
        As for `forecast`.
    config : path, optional
    **options
        Flags of the command line by name. The environment, the settings file and then the default
        decide on options that are left out.

    Returns
    -------
    PlanReport
        ``plan.tasks`` are the partitions left; ``estimate`` what they will take.

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
    """Read the forecasts of one consistent generation: what the last finished run left.

    Parameters
    ----------
    bucket, prefix, endpoint_url, region
        Where the job wrote.
    model, version, spec : str, optional
        Which forecasts; the ones finished last when absent. ``attrs`` of the result says which.
    years, months : str, optional
        ``2014`` or ``2014:2016``.
    partitions, items, columns : sequence, optional
        Only these.

    Returns
    -------
    pandas.DataFrame
        ``item_id``, ``timestamp``, ``target_name``, ``predictions``, a column per quantile level,
        ``fallback``.

    Raises
    ------
    DataNotFoundError
        When there is no finished run, or nothing that was asked for.
    InputChangedError
        When a forecast was replaced since that run ended.
    """
    given = {"bucket": bucket, "prefix": prefix}
    given |= {name: str(v) for name, v in {"years": years, "months": months}.items() if v}
    where = {"endpoint_url": endpoint_url, "region": region}
    settings = load_settings(nest_arguments(given | where))
    outputs = open_store(addresses(settings.run)[1])
    outputs.check()
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
    """Return one name as a list of it: a text is a sequence too, of letters nobody means."""
    return [values] if isinstance(values, str) else values


def to_frame(table: pa.Table) -> "pd.DataFrame":
    """Return predictions as a data frame for people: names as plain strings."""
    frame: Any = table.to_pandas()
    for name in ("target_name", "fallback"):
        if name in frame.columns:
            frame[name] = frame[name].astype(object)
    result: pd.DataFrame = frame
    return result
