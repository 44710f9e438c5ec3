"""Plain values of a job, made from the settings: addresses, selection, method, resources."""

import logging
import re
from collections.abc import Callable
from dataclasses import fields
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gigacast.core.address import without_credentials
from gigacast.core.cost.array_plan import Machine
from gigacast.core.cost.price import PriceTable
from gigacast.core.partition.name import NamingPattern
from gigacast.core.time.frequency import Frequency
from gigacast.core.time.month import IntRange, LatestMonth, MonthFilter
from gigacast.core.time.zone import check_zone
from gigacast.core.utf8 import check_path
from gigacast.errors import ConfigError
from gigacast.job.batch_options import ArrayOptions
from gigacast.job.forecast_job import ForecastJob, Method, ModelChoice, Resources, Synthetic
from gigacast.lake.plan.discovery import Selection
from gigacast.lake.table.address import is_table
from gigacast.series.csv.dialect import CsvOptions
from gigacast.series.source import ColumnNames
from gigacast.settings.field import Section
from gigacast.settings.load import load_prices
from gigacast.settings.model import ForecastSettings, Settings
from gigacast.settings.naming import rename
from gigacast.settings.run import RunSettings
from gigacast.settings.table import table_of, table_url
from gigacast.storage.opening import BUCKET_SCHEMES, unescape_file_url
from gigacast.storage.store import StoreAddress

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

logger = logging.getLogger(__name__)
T = TypeVar("T")
_SCHEMES = (*(f"{scheme}://" for scheme in BUCKET_SCHEMES), "file://", "memory://")
_DEFAULT_MACHINES = {ArrayOptions().cpu_instance, ArrayOptions().gpu_instance}
"""Machines that a price table need not have: the user has not named them."""


def _named_as_written(function: Callable[[Settings], T]) -> Callable[[Settings], T]:
    """Make errors of a function of settings name flag, keyword, variable, or file and key."""

    @wraps(function)
    def call(settings: Settings) -> T:
        try:
            return function(settings)
        except ConfigError as error:
            raise rename(error, settings.written) from error

    return call


def bucket_url(bucket: str) -> str:
    """Return the URL of a bucket, from its name, its URL or the path of a folder.

    A path begins with ``/``, ``~/``, ``./`` or ``../``, so that it is no name of a bucket.

    Raises
    ------
    ConfigError
        If the text is none of them.
    """
    if bucket.startswith(("/", "~/", "./", "../")) or bucket in {".", "..", "~"}:
        check_path(bucket)
        return f"file://{Path(bucket).expanduser().resolve()}"
    if bucket.startswith(_SCHEMES):
        bucket = unescape_file_url(bucket)
        # "memory://" is a whole address: its slashes stay.
        return bucket.rstrip("/") if not bucket.endswith("://") else bucket
    # The rules of S3 for names of buckets: 3 to 63 characters, no capitals, no underscores.
    if re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket):
        return f"s3://{bucket}"
    raise ConfigError(
        f"run.bucket: {without_credentials(bucket)!r} is no bucket",
        hint="give a bucket name, s3://bucket, gs://bucket, az://container, or the path of a "
        "folder: /folder or ./folder",
    )


def root_url(root_dir: str) -> str:
    """Return the URL of ``parquet_loader.data_paths.root_dir``, which may be a folder's path."""
    # Not both: a path has no escapes, and its percent signs are those of the folder's name.
    return (
        bucket_url(root_dir)
        if "://" in root_dir
        else f"file://{Path(root_dir).expanduser().absolute()}"
    )


def bucket_of(run: RunSettings, root_dir: str | None = None) -> StoreAddress:
    """Return the address of a run's bucket or folder, without the prefix.

    Raises
    ------
    ConfigError
        If none is named.
    """
    if run.bucket is None and root_dir:
        return StoreAddress(root_url(root_dir), run.endpoint_url, run.region, run.verify_datasets)
    if run.bucket is None:
        raise ConfigError(
            "run.bucket: no bucket named",
            hint="use --bucket NAME, s3://..., or the path of a folder: /folder or ./folder",
        )
    return StoreAddress(bucket_url(run.bucket), run.endpoint_url, run.region, run.verify_datasets)


def addresses(run: RunSettings, root_dir: str | None = None) -> tuple[StoreAddress, StoreAddress]:
    """Return the input and the output root.

    ``input_prefix`` is a folder below ``prefix``. With a leading ``/`` it is a folder below the
    bucket's root, and as a URL it is another bucket, or a table.

    Raises
    ------
    ConfigError
        If no bucket is named.
    """
    root = bucket_of(run, root_dir)
    outputs = root.child(run.prefix) if run.prefix.strip("/") else root
    chosen = run.input_prefix
    if chosen is None or not chosen.strip("/"):
        return outputs, outputs
    if is_table(chosen):
        address = StoreAddress(
            table_url(chosen, outputs), run.endpoint_url, run.region, run.verify_datasets
        )
        return address, outputs
    if "://" in chosen:
        return StoreAddress(
            bucket_url(chosen), run.endpoint_url, run.region, run.verify_datasets
        ), outputs
    return (root if chosen.startswith("/") else outputs).child(chosen), outputs


@_named_as_written
def registry_of(settings: Settings) -> StoreAddress | None:
    """Return the address of the model registry's root; ``None`` if the settings name no bucket.

    Raises
    ------
    ConfigError
        If the bucket's name is malformed.
    """
    root_dir = settings.parquet_loader.data_paths.root_dir
    if settings.run.bucket is None and root_dir is None:
        return None
    return addresses(settings.run, root_dir)[1]


@_named_as_written
def job_of(settings: Settings) -> ForecastJob:
    """Return the forecasting job of the settings.

    Raises
    ------
    ConfigError
        If values that are valid alone contradict each other.
    """
    run, loader = settings.run, settings.parquet_loader
    inputs, outputs = addresses(run, loader.data_paths.root_dir)
    synthetic = Synthetic(run.n_partitions, run.series_per_partition) if run.n_partitions else None
    return ForecastJob(
        inputs=inputs,
        outputs=outputs,
        bucket=bucket_of(run, loader.data_paths.root_dir),
        model=choice_of(settings),
        method=method_of(settings),
        pattern=NamingPattern(loader.file_patterns.naming_regex, loader.file_patterns.panel_regex),
        selection=selection_of(settings),
        resources=resources_of(settings),
        synthetic=synthetic,
        overwrite=run.overwrite,
        incremental=run.incremental,
        table=table_of(run, outputs),
        limit=run.limit,
        keep_origins=settings.forecast.keep_origins,
        prices=_prices_if_sound(),
    )


def choice_of(settings: Settings) -> ModelChoice:
    """Return the model of the settings, with where it may be searched and what stands in."""
    model, run = settings.model, settings.run
    return ModelChoice(
        reference=model.model_path or model.model_type,
        version=model.version,
        # `model_type` is the model itself without a path, and its stand-in beside one. Only
        # where somebody named it: the default must not stand in for a misspelt model.
        otherwise=(
            model.model_type
            if model.model_path and "model_type" in model.model_fields_set
            else None
        ),
        detect=model.auto_detect_mode,
        engine=run.model_engine,
        **shared_values(run, ModelChoice),
    )


def resources_of(settings: Settings) -> Resources:
    """Return the processes and memory of a run."""
    return Resources(
        **shared_values(settings.run, Resources),
        memory_limit_bytes=settings.parquet_loader.performance.memory_limit,
    )


def _prices_if_sound() -> PriceTable | None:
    """Return the price table; ``None``, with a warning, if it is broken.

    A run must not fail over its prices: its costs are then left out.
    """
    try:
        return load_prices()
    except ConfigError as error:
        logger.warning("costs are left out: %s", error.message)
        return None


@_named_as_written
def array_options_of(settings: Settings) -> ArrayOptions:
    """Return how a run is divided over array jobs.

    Prices are those of the price table, if there is a sound one.

    Raises
    ------
    ConfigError
        If a machine that the settings name is not in the price table.
    """
    batch, default = settings.batch, ArrayOptions()
    try:
        prices = load_prices()
    except ConfigError:  # `job_of` has logged the reason
        prices = None

    def dollars(kind: str, default_price: float) -> float:
        name = getattr(batch, kind)
        if prices is None or (name in _DEFAULT_MACHINES and not prices.has(name)):
            return default_price
        # The queues buy spot machines, see infra/batch.yaml.
        try:
            machine = prices.find(name)
        except ConfigError as error:
            raise ConfigError(f"batch.{kind}: {error.message}", hint=error.hint) from error
        return machine.dollars_per_hour("spot") or machine.on_demand

    return ArrayOptions(
        **shared_values(batch, ArrayOptions),
        target_s=batch.child_minutes * 60,
        timeout_s=batch.child_timeout_minutes * 60,
        valid_for=timedelta(hours=batch.plan_hours),
        cpu=Machine(
            batch.cpu_startup_s,
            batch.cpu_speed,
            dollars("cpu_instance", default.cpu.dollars_per_hour),
        ),
        gpu=Machine(
            batch.gpu_startup_s,
            batch.gpu_speed,
            dollars("gpu_instance", default.gpu.dollars_per_hour),
        ),
        prices=prices,
    )


@_named_as_written
def method_of(settings: Settings) -> Method:
    """Return the method of the settings: how series become forecasts.

    Raises
    ------
    ConfigError
        If a column is both a past and a known covariate, or levels and lengths are out of range.
    """
    forecast, columns = settings.forecast, settings.parquet_loader.columns
    method = Method(
        **shared_values(forecast, Method),
        horizon=settings.model.prediction_length,
        levels=forecast.quantiles,
        columns=ColumnNames(
            item_id=columns.item_id_column,
            timestamp=columns.datetime_column,
            targets=columns.target_columns,
            # A column may stand in several groups of the settings; it is read once.
            past_covariates=tuple(dict.fromkeys(columns.past_covariates)),
            known_covariates=tuple(dict.fromkeys(columns.known_covariates)),
            items=columns.item_columns,
        ),
        frequency=Frequency.parse(forecast.freq) if forecast.freq else None,
        timestamp_unit=None if columns.timestamp_unit == "auto" else columns.timestamp_unit,
        csv=csv_of(settings),
    )
    _check_bins(forecast)
    ambiguous = {*columns.past_covariates} & {*columns.known_covariates}
    if ambiguous:
        raise ConfigError(
            f"{', '.join(sorted(ambiguous))}: both past and known", hint="name each covariate once"
        )
    # The forecaster's options check levels and lengths. Made here, they refuse a wrong setting
    # before anything is read; the horizon may be open until a file's name is read.
    method.options(method.horizon or 1, None)
    return method


def _check_bins(forecast: ForecastSettings) -> None:
    """Check that the options of calendar bins make sense together.

    Raises
    ------
    ConfigError
        If bins have no frequency, are cut in an unknown zone, or are not asked for.
    """
    if forecast.aggregate is not None and not forecast.freq:
        raise ConfigError(
            "forecast.aggregate: the bins have no frequency", hint="give --freq, such as W or MS"
        )
    if forecast.zone is not None and forecast.aggregate is None:
        raise ConfigError(
            "forecast.zone: a zone only decides how --aggregate cuts bins",
            hint="give --aggregate too, or write timestamps with their zone",
        )
    if forecast.partial_bins != "drop" and forecast.aggregate is None:
        raise ConfigError(
            "forecast.partial_bins: there are no bins without --aggregate",
            hint="give --aggregate too, or leave it out",
        )
    check_zone(forecast.zone)


@_named_as_written
def csv_of(settings: Settings) -> CsvOptions:
    """Return the parts of the dialect of CSV that the settings name.

    Raises
    ------
    ConfigError
        If a part is not possible.
    """
    return CsvOptions(**settings.parquet_loader.csv.model_dump())


def shared_values(section: Section, job_value: type["DataclassInstance"]) -> dict[str, Any]:
    """Return the settings of a section that a part of the job has under the same name.

    A new option of the same name in both reaches the job without another line here.
    """
    names = {field.name for field in fields(job_value)} & set(type(section).model_fields)
    return {name: getattr(section, name) for name in names}


@_named_as_written
def selection_of(settings: Settings) -> Selection:
    """Return the selection of partitions.

    Raises
    ------
    ConfigError
        If a range of years or months is malformed.
    """
    run = settings.run
    return Selection(
        months=_months_of(run),
        symbols=frozenset(run.symbols),
        timeframes=frozenset(run.timeframes),
        context_partitions=settings.forecast.context_partitions,
        by_month=settings.forecast.partition_by != "object",
        by_bucket=settings.forecast.partition_by == "bucket",
    )


def _months_of(run: RunSettings) -> MonthFilter:
    years = _range("years", run.years, 1000, 9999)
    if (run.months or "").strip().lower() == "latest":
        return LatestMonth(years)
    return MonthFilter(years, _range("months", run.months, 1, 12))


def _range(flag: str, text: str | None, least: int, greatest: int) -> IntRange | None:
    if not text:
        return None
    chosen = IntRange.parse(text, f"run.{flag}")
    if chosen.first < least or chosen.last > greatest:
        raise ConfigError(
            f"run.{flag}: {text} is not within {least} to {greatest}",
            hint=f"write --{flag} N or --{flag} FIRST:LAST",
        )
    return chosen
