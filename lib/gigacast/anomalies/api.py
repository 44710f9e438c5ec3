"""`detect_anomalies`: values that forecasts did not expect, from Python.

It loads settings, as the command does; everything below takes plain values.
"""

from pathlib import Path
from typing import Any, TypeVar, Unpack, overload

import pyarrow as pa

from gigacast.anomalies.frame import search_table
from gigacast.anomalies.kernel import Limits
from gigacast.anomalies.result import AnomalyReport
from gigacast.anomalies.run import AnomalyJob, find_anomalies_in
from gigacast.errors import ConfigError
from gigacast.forecasting.frame import load_chosen
from gigacast.job.run import RunEvents
from gigacast.series.frame import give_back, table_of
from gigacast.settings.argument import as_path, check_argument
from gigacast.settings.assembly import job_of, registry_of
from gigacast.settings.command.anomalies import AnomalyOptions
from gigacast.settings.doors import check_used, keywords_of
from gigacast.settings.flag import rows_of
from gigacast.settings.keywords import Options
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.settings.signature import with_options

F = TypeVar("F")


@overload
def detect_anomalies(
    data: str | Path,
    *,
    band: float = 99.0,
    shift_steps: int = 5,
    stuck_steps: int = 6,
    flat_steps: int = 8,
    windows: int = 1,
    rolling: bool = False,
    origin: str = "latest",
    config: str | Path | None = None,
    events: RunEvents | None = None,
    **options: Unpack[Options],
) -> AnomalyReport: ...


@overload
def detect_anomalies(
    data: F,
    *,
    band: float = 99.0,
    shift_steps: int = 5,
    stuck_steps: int = 6,
    flat_steps: int = 8,
    windows: int = 1,
    config: str | Path | None = None,
    bucket: str | None = None,
    **options: Unpack[Options],
) -> F: ...


@with_options(keywords_of("detect_anomalies"), own=rows_of(AnomalyOptions))
def detect_anomalies(  # noqa: PLR0913 - keywords, each the name of a flag
    data: Any,
    *,
    band: float = AnomalyOptions.band,
    shift_steps: int = AnomalyOptions.shift_steps,
    stuck_steps: int = AnomalyOptions.stuck_steps,
    flat_steps: int = AnomalyOptions.flat_steps,
    windows: int = AnomalyOptions.windows,
    rolling: bool = False,
    origin: str = AnomalyOptions.origin,
    config: str | Path | None = None,
    bucket: str | None = None,
    events: RunEvents | None = None,
    **options: Unpack[Options],
) -> Any:
    """Find values that the forecasts of a bucket, or of a data frame, did not expect.

    Parameters
    ----------
    data : str, path or frame
        Bucket name, ``s3://...``, ``file:///folder`` or `Path`: the latest stored forecasts are
        compared with what has come since. Or a frame, as for `gigacast.forecast`: the last steps of
        its series are forecast from before them.
    rolling : bool
        Forecast the last steps from before them, although forecasts are stored (buckets only).
    origin : str
        Stored forecasts to compare (buckets only): ``latest``, ``all`` that are kept, or those of a
        day, as ``2024-01-31``.
    config : path, optional
        Settings file; none by default.
    bucket : str, optional
        Bucket whose ``models/``, below ``prefix``, is searched as well (data frames only).
    events : RunEvents, optional
        Callbacks for the run's progress (buckets only).
    **options
        As for `gigacast.forecast`.

    Returns
    -------
    AnomalyReport or frame
        Counts and the worst series; the anomalies are written to the bucket. For a frame a row per
        anomaly, as a frame of the same library: ``score`` in standard deviations of the forecast,
        ``level`` (the share of values that are expected nearer to the median), ``direction``,
        ``kind`` (``spike``, ``level_shift``, ``zeros``, ``stuck`` or ``flat``) and ``run``, the
        number of anomalies in a row.

    Raises
    ------
    ConfigError
        If an option is unknown or out of its range.
    DataNotFoundError
        If there is nothing to compare.
    StorageError, DataError, ModelError

    Examples
    --------
    >>> import pandas as pd, gigacast
    >>> days = pd.date_range("2024-01-01", periods=60, freq="D")
    >>> sales = pd.DataFrame({"item_id": "a", "timestamp": days, "target": [5.0, 6.0] * 30})
    >>> sales.loc[57, "target"] = 40.0
    >>> found = gigacast.detect_anomalies(sales, horizon=7, model="seasonal-naive")
    >>> found[["timestamp", "direction", "kind"]].to_dict("records")
    [{'timestamp': Timestamp('2024-02-27 00:00:00'), 'direction': 'above', 'kind': 'spike'}]
    """
    check_argument("band", band, float)
    check_argument("origin", origin, str)
    counts = {"shift_steps": shift_steps, "stuck_steps": stuck_steps, "flat_steps": flat_steps}
    for name, value in {**counts, "windows": windows}.items():
        check_argument(name, value, int)
    limits = limits_of(
        AnomalyOptions(
            band=band,
            shift_steps=shift_steps,
            stuck_steps=stuck_steps,
            flat_steps=flat_steps,
            windows=windows,
        )
    )
    check_used("detect_anomalies", options, is_frame=not isinstance(data, str | Path))
    if isinstance(data, str | Path):
        if bucket is not None:
            raise ConfigError(f"bucket: {str(data)!r} is the bucket already", hint="leave it out")
        job = job_of(_settings(_url_of(data), config, options))
        model, version = options.get("model"), options.get("model_version")
        search = AnomalyJob(job, limits, windows, rolling, model, version, origin)
        return find_anomalies_in(search, events=events)
    if rolling or events is not None or origin != AnomalyOptions.origin:
        raise ConfigError(
            "rolling, origin and events are for buckets", hint="leave them out for a frame"
        )
    table = table_of(data, takes="a bucket")
    job = job_of(_settings("memory://frame", config, options))
    registry = registry_of(_settings(_url_of(bucket), config, options))
    forecaster = load_chosen(job.model, registry)
    anomalies = search_table(
        table, forecaster, job.method, limits, windows, job.resources.batch_size
    )
    return give_back(anomalies, data, _to_pandas)


def limits_of(options: AnomalyOptions) -> Limits:
    """Return the limits that options name.

    Raises
    ------
    ConfigError
        If one is out of its range.
    """
    if options.band >= 100:
        raise ConfigError(
            f"band: {options.band:g} % holds every value", hint="use less than 100, as 99.9"
        )
    for row in rows_of(AnomalyOptions):
        value, bounds = getattr(options, row.keyword), row.range
        if bounds is not None and not _is_within(value, bounds.least, bounds.most):
            raise ConfigError(
                f"{row.name}: {value} is out of its range",
                hint=f"use {bounds.least} to {bounds.most}" if bounds.most is not None
                else f"use {bounds.least} or more",
            )  # fmt: skip
    return Limits(options.band / 100, options.shift_steps, options.stuck_steps, options.flat_steps)


def _is_within(value: float, low: float | None, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)


def _settings(bucket: Any, config: str | Path | None, options: Options) -> Any:
    arguments = nest_arguments({**options, "bucket": bucket})
    return load_settings(arguments, file=as_path("config", config))


def _url_of(bucket: Any) -> Any:
    return bucket.expanduser().absolute().as_uri() if isinstance(bucket, Path) else bucket


def _to_pandas(table: pa.Table) -> Any:
    return table.to_pandas()
