"""All settings, each declared once: frozen, validated, unknown keys refused.

Defaults < file < environment < arguments. Only the command line, the handlers and the public
functions load settings; everything below takes the plain values of `ForecastJob`, which `assembly`
makes of them. `gigacast.settings.options` makes the table of all options from these classes.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from gigacast.forecasters.around.enhancement import Enhancement
from gigacast.forecasters.around.horizon import LongHorizon
from gigacast.forecasters.around.regression import CovariateRegressor
from gigacast.forecasters.options import Fallback, MissingFuture
from gigacast.job.forecast_job import KEEP_ORIGINS, Layout, Method, ModelChoice, Resources
from gigacast.series.source import Aggregate, DuplicatePolicy, PartialBins
from gigacast.settings.batch import BatchSettings
from gigacast.settings.field import Section, option, refuse_truth
from gigacast.settings.level import ValueSource, VariableSource
from gigacast.settings.loader import Numbers, ParquetLoaderSettings, Strings
from gigacast.settings.option import ENV_PREFIX
from gigacast.settings.quality import QualitySettings
from gigacast.settings.report import ReportSettings
from gigacast.settings.run import RunSettings
from gigacast.settings.written import Written

MAX_HORIZON = 100_000
"""Maximum steps ahead: ten weeks of minutes. More is taken for a typing error."""

_METHOD, _MODEL, _RESOURCES = Method(), ModelChoice(), Resources()
"""Values of jobs, whose defaults are those of the settings they are made of."""

Levels = Annotated[Numbers, Field(min_length=1)]


class ModelSettings(Section):
    """The model, and its horizon."""

    model_path: str | None = option(
        None,
        "Shipped model, folder or its URL, NAME/VERSION under models/, or hub id.",
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
        details="Timestamps without a zone are wall time of that zone; forecasts of bins shorter "
        "than a day have the zone.",
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
    enhance: Enhancement | None = option(
        _METHOD.enhance,
        "Changes of series before the model, and passes that are averaged; none by default.",
        group="how",
        details="`trend` removes the trend and adds it to the forecast, `seasonal_difference` "
        "forecasts differences to the season before, `flip` averages the forecast of the series "
        "upside down, `zeros` mixes zeros and past sizes into quantiles of demand that is mostly "
        "zero, `auto` chooses by season and length. `plan` shows the passes.",
    )
    long_horizon: LongHorizon = option(
        _METHOD.long_horizon,
        "Steps beyond the horizon that the model was trained for: bands that go on to widen, "
        "direct passes averaged in (dilated), or what the model gives (stock).",
        group="how",
        details="Forecasts within the trained horizon do not depend on it.",
    )
    calibrate: bool = option(
        _METHOD.calibrate,
        "Calibrate quantiles by the last `backtest --calibrate` or `evaluate --calibrate` of the "
        "same model and settings.",
        group="how",
        details="A backtest with it measures how far off each quantile is at each step, and stores "
        "that for forecasts.",
    )
    mean: bool = option(
        _METHOD.mean,
        "Write the mean of each forecast beside its median, in a column `mean`.",
        group="how",
        details="It is that of the distribution which the quantiles describe. Means of series add "
        "up to the mean of their sum; medians do not.",
    )
    covariate_regressor: CovariateRegressor | None = option(
        _METHOD.covariate_regressor,
        "Regression of each series on its known covariates, for models that take none; the model "
        "forecasts what is left of the series.",
        group="covariates",
        details="`ridge` sees the context of the series only, and finds no effect rather than a "
        "doubtful one. `pooled` gives a series of fewer than 50 values without a clear effect of "
        "its own those that the series of its partition have in common.",
    )
    calendar: bool = option(
        _METHOD.calendar,
        "Take weekdays, ends of months and the time of the year as known covariates.",
        group="covariates",
        flag="known_calendar",
        details="No column is needed. Steps longer than a day have their working days instead.",
    )
    holidays: Strings = option(
        _METHOD.holidays,
        "Countries whose public holidays are known covariates, as GB,US-CA; none by default.",
        group="covariates",
        flag="known_holidays",
        details="Needs the package holidays where the run is planned.",
    )
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
    keep_origins: int = option(
        KEEP_ORIGINS,
        "Number of the last forecasts of a partition that are kept, the latest included.",
        details="Each is made from another state of its input. 1 keeps the latest only.",
        ge=1,
        le=10_000,
    )

    @field_validator("quantiles")
    @classmethod
    def _ascending(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        # 0.1 + 0.2 is 0.3: the same levels are the same spec, however they were computed.
        return tuple(sorted(float(f"{level:.10g}") for level in levels))


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

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_truth(cls, value: Any, info: ValidationInfo) -> Any:
        return refuse_truth(cls, value, info)

    model: ModelSettings = ModelSettings()
    run: RunSettings = RunSettings()
    forecast: ForecastSettings = ForecastSettings()
    parquet_loader: ParquetLoaderSettings = ParquetLoaderSettings()
    batch: BatchSettings = BatchSettings()
    quality: QualitySettings = QualitySettings()
    report: ReportSettings = ReportSettings()
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
        "Share of the answers that are logged, 0 to 1; those of joins are compared by "
        "`feature-store consistency`.",
        ge=0,
        le=1,
    )

    _written: Written = PrivateAttr(default_factory=Written)

    @property
    def written(self) -> Written:
        """What was written where these settings were read from."""
        return self._written

    def remember(self, written: Written) -> None:
        """Keep what was written, for errors that are found later."""
        self._written = written

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
