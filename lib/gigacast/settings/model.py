"""All settings, each declared once: frozen, validated, unknown keys refused.

Defaults < file < environment < arguments. Only the command line, the handlers and the public
functions load settings; everything below takes the plain values of `ForecastJob`, which `assembly`
makes of them. `gigacast.settings.options` makes the table of all options from these classes.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from gigacast.forecasters.options import Fallback, MissingFuture
from gigacast.job.forecast_job import Layout, Method, ModelChoice, Resources
from gigacast.series.source import Aggregate, DuplicatePolicy, PartialBins
from gigacast.settings.batch import BatchSettings
from gigacast.settings.field import Section, option
from gigacast.settings.level import ValueSource, VariableSource
from gigacast.settings.loader import Numbers, ParquetLoaderSettings, Strings
from gigacast.settings.option import ENV_PREFIX
from gigacast.storage.store import Verify

MAX_HORIZON = 100_000
"""Maximum steps ahead: ten weeks of minutes. More is taken for a typing error."""

_METHOD, _MODEL, _RESOURCES = Method(), ModelChoice(), Resources()
"""Values of jobs, whose defaults are those of the settings they are made of."""

Levels = Annotated[Numbers, Field(min_length=1)]


class ModelSettings(Section):
    """The model, and its horizon."""

    model_path: str | None = option(
        None,
        "Shipped model, folder, NAME/VERSION under models/, or hub id.",
        group="how",
        flag="model",
    )
    model_type: str = option(
        _MODEL.reference, "Model to use without model_path, or if that does not exist."
    )
    version: str | None = option(
        None,
        "Version of the model, if its name does not include one.",
        group="how",
        flag="model_version",
    )
    prediction_length: int | None = option(
        None,
        "Steps to forecast; by default those in the file name (h15), else the model's own.",
        group="how",
        flag="horizon",
        details="`h15` is 15 minutes, whatever the timeframe, rounded up to whole steps.",
        ge=1,
        le=MAX_HORIZON,
    )
    loading_mode: Literal["inference"] = option(
        "inference",
        "Use of the model.",
        without_effect="models are always loaded for inference; leave it out, and train by "
        "`gigacast train`",
    )
    auto_detect_mode: bool = option(
        True, "If model_path does not exist, look for model_type in the bucket and on the hub."
    )


class ForecastSettings(Section):
    """The method by which series become forecasts."""

    quantiles: Levels = option(_METHOD.levels, "Quantile levels, as 0.1,0.5,0.9.", group="how")
    level: Numbers = option(
        (),
        "Central intervals in percent, as 80,95, in place of --quantiles.",
        group="how",
        details="80 stands for the quantiles 0.1 and 0.9; the median is always there.",
    )
    context_length: int | None = option(
        _METHOD.context_length,
        "Maximum steps of history; all the model can use by default.",
        group="how",
        details="A longer context than the model can use is an error. When several models are "
        "compared, each uses what it can.",
        ge=1,
    )
    context_partitions: int = option(
        0,
        "Number of earlier months to read as context.",
        group="which",
        details="The months are of the same symbol or part.",
        ge=0,
        le=1200,  # a hundred years
    )
    partition_by: Literal["object", "month", "bucket"] = option(
        "object",
        "A partition is an object, or all panel parts of a month, or of a folder below one.",
        group="which",
        details="`month` is for items that span parts, `bucket` for folders of `data bucket`.",
    )
    freq: str | None = option(
        None,
        "Frequency of all series, as 15min, h, D, B, W, MS, QE; inferred per series by default.",
        group="how",
    )
    aggregate: Aggregate | None = option(
        None,
        "Value of the calendar bins of --freq, made of finer rows; by default they are refused.",
        group="how",
        details="Bins are those of pandas: `W-MON`, `MS`, `QE-FEB`, ... Covariates that are "
        "numbers get their mean, categories their last text.",
    )
    partial_bins: PartialBins = option(
        _METHOD.partial_bins,
        "Treatment of the first and last bin of a series that its rows do not cover.",
        group="how",
    )
    zone: str | None = option(
        None,
        "Time zone in which --aggregate cuts days and longer bins; that of the timestamps by "
        "default.",
        group="how",
        details="Timestamps without a zone are wall time.",
    )
    layout: Layout = option(
        _METHOD.layout,
        "Rows per step (long) or per series with list columns (wide).",
        group="how",
    )
    min_length: int = option(
        _METHOD.min_length, "Series with fewer values get the fallback.", group="how", ge=1
    )
    fallback: Fallback = option(
        _METHOD.fallback,
        "Forecast of a series that the model cannot forecast: seasonal naive, or none.",
        group="how",
        details="A seasonal naive forecast is flagged in the column `fallback`.",
    )
    non_negative: bool = option(
        _METHOD.non_negative, "Replace quantiles below zero by zero.", group="how"
    )
    integer: bool = option(_METHOD.integer, "Round quantiles to whole numbers.", group="how")
    extrapolate_levels: bool = option(
        _METHOD.extrapolate_levels,
        "Allow quantile levels outside the range the model was trained for.",
        group="how",
        details="The file's metadata marks them.",
    )
    seed: int = option(_METHOD.seed, "Seed of models that sample.", group="how", ge=0)
    joint_targets: bool = option(
        _METHOD.joint_targets,
        "Forecast the targets of an item together (Chronos-2).",
        group="covariates",
        details="They are one multivariate series.",
    )
    missing_future: MissingFuture = option(
        _METHOD.missing_future,
        "Treatment of series whose known covariates lack a value over the horizon: the fallback, "
        "with a reason (error), or these covariates as past covariates (past).",
        group="covariates",
        details="The reason is `no_future`; a partition in which all series have it fails. With "
        "`past`, `unknown_futures` in receipt and summary counts these series. A category may be "
        "empty: only a step without a row is missing.",
    )
    unsupported_covariates: Literal["error", "ignore"] = option(
        _METHOD.unsupported_covariates,
        "Covariates and joint targets that the model cannot use: an error, or ignored.",
        group="covariates",
        details="Bolt, T5 and the baselines forecast each series alone. Summary, audit and receipt "
        "name what was ignored.",
    )

    duplicates: DuplicatePolicy | None = option(
        None,
        "Value where rows of one series and time differ: by default the mean, but of a few only.",
        group="how",
        details="More than `forecast.duplicate_share` are refused; `error` refuses any.",
    )
    duplicate_share: float = option(
        _METHOD.duplicate_share,
        "Share of rows that differ from another of their series and time, above which they are "
        "refused.",
        ge=0,
        le=1,
    )

    @field_validator("quantiles")
    @classmethod
    def _ascending(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        # 0.1 + 0.2 is 0.3: the same levels are the same spec, however they were computed.
        return tuple(sorted(float(f"{level:.10g}") for level in levels))


class RunSettings(Section):
    """Inputs and outputs of a run, its selection, and its resources."""

    bucket: str | None = option(
        None,
        "Bucket name, s3://BUCKET, or file:///FOLDER (the same job on a plain folder).",
        group="where",
        details="The bucket or folder must exist.",
    )
    prefix: str = option(
        "",
        "Folder in the bucket that inputs are read from and forecasts written to.",
        group="where",
    )
    input_prefix: str | None = option(
        None,
        "Read inputs from this folder below the prefix instead ('/...' counts from the bucket's "
        "root; s3://... is another bucket).",
        group="where",
    )
    endpoint_url: str | None = option(
        None,
        "S3 endpoint; that of AWS by default.",
        group="where",
        details="The variable `AWS_ENDPOINT_URL` sets it as well.",
    )
    region: str | None = option(
        None,
        "AWS region.",
        group="where",
        details="The AWS environment and profile set it as well.",
    )
    years: str | None = option(
        None,
        "Year or range of years, as 2014 or 2014:2016.",
        group="which",
        aliases=("year",),
        details="Years without data are skipped.",
    )
    months: str | None = option(
        None,
        "Month or range of months of each year, as 3 or 1:6, or latest: the newest month.",
        group="which",
        aliases=("month",),
    )
    symbols: Strings = option(
        (), "Only these symbols (comma-separated).", group="which", flag="symbol"
    )
    timeframes: Strings = option(
        (), "Only these timeframes, as 1min (comma-separated).", group="which", flag="timeframe"
    )
    executor: Literal["auto", "inline", "joblib", "dask", "ray", "batch"] = option(
        _RESOURCES.executor,
        "Where tasks run: in this process, over processes, a cluster, or AWS Batch.",
        group="with",
        details="`auto` is joblib for more than one job, else inline.",
    )
    n_jobs: int | None = option(
        _RESOURCES.n_jobs,
        "Processes; -1 for all cores. By default one, or one for each GPU.",
        group="with",
        details="-1 is one for each core (each GPU), the fastest on a CPU. Each process loads the "
        "model once; threads are divided between them.",
        ge=-1,
    )
    device: str = option(
        _MODEL.device,
        "Device of the model: auto, cpu, cuda (all GPUs, in turn) or cuda:N.",
        group="with",
    )
    precision: Literal["auto", "float32", "bfloat16"] = option(
        _MODEL.precision,
        "Precision of the model's arithmetic; auto is bfloat16 where the hardware computes in it.",
        group="with",
    )
    batch_size: int | None = option(
        _RESOURCES.batch_size,
        "Series per call of the model; found automatically by default.",
        group="with",
        details="It is halved when memory runs out.",
        ge=1,
    )
    outage_minutes: float = option(
        _RESOURCES.outage_minutes,
        "Minutes that a run waits for a store that does not answer; then it ends with code 75.",
        group="with",
        details="What is finished is kept, and the same command continues.",
        ge=0,
    )
    verify_datasets: Verify = option(
        "sample",
        "Files of published datasets whose recorded SHA-256 is checked before they are read.",
        group="with",
        details="`sample` checks a random one of sixteen, in each process. Checksums of pages and "
        "counts of rows are always checked.",
    )
    n_partitions: int | None = option(
        None,
        "Number of synthetic partitions; missing ones are generated first.",
        group="synthetic",
        ge=1,
    )
    series_per_partition: int = option(
        1000, "Series in each synthetic partition.", group="synthetic", ge=1
    )
    overwrite: bool = option(False, "Forecast again partitions that are done.", group="amount")
    limit: int | None = option(
        None, "Maximum number of partitions to forecast.", group="amount", ge=1
    )

    @field_validator("n_jobs")
    @classmethod
    def _some_jobs(cls, n_jobs: int | None) -> int | None:
        if n_jobs == 0:
            raise ValueError("0 processes can do nothing; use -1 for all cores")
        return n_jobs

    @field_validator("device")
    @classmethod
    def _known_device(cls, device: str) -> str:
        # Checked by form only: loading settings must not import torch to count the GPUs.
        if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", device):
            raise ValueError("not one of auto, cpu, cuda, cuda:N")
        return device


class QualitySettings(Section):
    """Expectations of data, spelled as in `core.quality` and `core.trading_calendar`."""

    warn: Strings = option((), "Limits above which a measure warns, as missing=0.01.")
    fail: Strings = option((), "Limits above which a measure fails, as missing=0.2.")
    calendar: str = option(
        "24/7", "When rows are expected: 24/7, weekdays, or 'mon-fri 09:30-16:00 Asia/Tokyo'."
    )
    holidays: Strings = option((), "Days without rows, as 2024-12-25.")


class Settings(BaseSettings):
    """All settings. Load them with `load_settings`."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        # Templates set a variable to an empty text where the user chose nothing (infra/).
        env_ignore_empty=True,
        protected_namespaces=(),
    )

    model: ModelSettings = ModelSettings()
    run: RunSettings = RunSettings()
    forecast: ForecastSettings = ForecastSettings()
    parquet_loader: ParquetLoaderSettings = ParquetLoaderSettings()
    batch: BatchSettings = BatchSettings()
    quality: QualitySettings = QualitySettings()
    tables: Mapping[str, str] = option(
        {},
        "Places of the feature store's tables by name: a folder, file or URL, or a dataset as "
        "cleaned/EURUSD.",
    )
    online_store: str | None = option(
        None,
        "Store of served features: sqlite:FILE, lmdb:FOLDER, dynamodb:TABLE or "
        "redis://HOST:PORT/0; by default a SQLite file in the feature store's folder.",
    )
    log_share: float = option(
        0.0,
        "Share of the answers of joins that are logged for `feature-store consistency`, 0 to 1.",
        ge=0,
        le=1,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources, first the strongest: arguments, environment, file.

        The file's content comes among the arguments, under the reserved name `FROM_FILE`.
        """
        assert isinstance(init_settings, InitSettingsSource)  # noqa: S101 - pydantic's own contract
        arguments = dict(init_settings.init_kwargs)
        from_file = arguments.pop(FROM_FILE, {})
        return (
            ValueSource(settings_cls, arguments),
            VariableSource(settings_cls),
            ValueSource(settings_cls, from_file),
        )


FROM_FILE = "_from_file"
"""Name under which `load_settings` hands the file's content in; no section can have it."""
