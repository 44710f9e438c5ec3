"""Settings: frozen, validated, unknown keys refused. Defaults < file < environment < arguments.

Only the command line, the handlers and the public functions load them; everything below takes the
plain values of `ForecastJob`, which ``assembly`` makes of them.
"""

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from gigacast.forecasters.options import DEFAULT_LEVELS
from gigacast.lake.model.resolve import DEFAULT_MODEL
from gigacast.settings.loader import ParquetLoaderSettings, Section, Strings, split_list

ENV_PREFIX = "GIGACAST_"
MAX_HORIZON = 100_000
"""Ten weeks of minutes; more is a slip of the finger, and no forecast."""

Levels = Annotated[tuple[float, ...], NoDecode, BeforeValidator(split_list), Field(min_length=1)]


class ModelSettings(Section):
    """Which model forecasts, and how far."""

    prediction_length: int | None = Field(None, ge=1, le=MAX_HORIZON, description="Steps ahead.")
    model_path: str | None = Field(None, description="Folder, key under models/, or hub id.")
    model_type: str = Field(DEFAULT_MODEL, description="Name of a model; model_path overrides it.")
    version: str | None = Field(None, description="Version of the model.")
    loading_mode: Literal["inference"] = "inference"
    auto_detect_mode: bool = Field(True, description="Look beyond model_path when it is missing.")


class ForecastSettings(Section):
    """How series become forecasts."""

    quantiles: Levels = DEFAULT_LEVELS
    context_length: int | None = Field(None, ge=1)
    context_partitions: int = Field(0, ge=0, le=1200)
    partition_by: Literal["object", "month"] = "object"
    freq: str | None = None
    layout: Literal["long", "wide"] = "long"
    min_length: int = Field(1, ge=1)
    fallback: Literal["seasonal_naive", "drop"] = "seasonal_naive"
    non_negative: bool = False
    integer: bool = False
    extrapolate_levels: bool = False
    seed: int = Field(0, ge=0)
    joint_targets: bool = False
    missing_future: Literal["error", "past"] = "error"
    unsupported_covariates: Literal["error", "ignore"] = "error"

    @field_validator("quantiles")
    @classmethod
    def _ascending(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        # 0.1 + 0.2 is 0.3: the same levels are the same spec, however they were computed.
        return tuple(sorted(float(f"{level:.10g}") for level in levels))


class RunSettings(Section):
    """Where a run reads and writes, what it selects and what it may use."""

    bucket: str | None = None
    prefix: str = ""
    input_prefix: str | None = None
    endpoint_url: str | None = None
    region: str | None = None
    years: str | None = None
    months: str | None = None
    symbols: Strings = ()
    timeframes: Strings = ()
    executor: Literal["auto", "inline", "joblib", "dask", "ray", "batch"] = "auto"
    n_jobs: int | None = Field(None, ge=-1)
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    batch_size: int | None = Field(None, ge=1)
    n_partitions: int | None = Field(None, ge=1)
    series_per_partition: int = Field(1000, ge=1)
    overwrite: bool = False
    limit: int | None = Field(None, ge=1)

    @field_validator("n_jobs")
    @classmethod
    def _some_jobs(cls, n_jobs: int | None) -> int | None:
        if n_jobs == 0:
            raise ValueError("0 processes can do nothing; use -1 for all cores")
        return n_jobs

    @field_validator("device")
    @classmethod
    def _known_device(cls, device: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", device):
            raise ValueError("not one of auto, cpu, cuda, cuda:N")
        return device


class QualitySettings(Section):
    """What is expected of data, spelled as in `core.quality` and `core.trading_calendar`."""

    warn: Strings = ()
    fail: Strings = ()
    calendar: str = "24/7"
    holidays: Strings = ()


class BatchSettings(Section):
    """How a run is divided over AWS Batch; `pipeline.array_option` says what each one means."""

    stack: str = Field("gigacast", pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")
    queue: Literal["auto", "cpu", "gpu"] = "auto"
    children: int | None = Field(None, ge=1)
    child_minutes: float = Field(15.0, gt=0)
    child_timeout_minutes: int = Field(360, ge=1, le=10_080)
    plan_hours: int = Field(168, ge=1, le=8_760)
    cpu_instance: str = "c7i.4xlarge"
    gpu_instance: str = "g6.xlarge"
    cpu_speed: float = Field(8.0, gt=0)
    gpu_speed: float = Field(60.0, gt=0)
    cpu_startup_s: float = Field(120.0, ge=0)
    gpu_startup_s: float = Field(300.0, ge=0)


class Settings(BaseSettings):
    """All settings. Load them with `load_settings`."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        protected_namespaces=(),
    )

    model: ModelSettings = ModelSettings()
    parquet_loader: ParquetLoaderSettings = ParquetLoaderSettings()
    forecast: ForecastSettings = ForecastSettings()
    run: RunSettings = RunSettings()
    batch: BatchSettings = BatchSettings()
    quality: QualitySettings = QualitySettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, then the file (handed in under one reserved name)."""
        assert isinstance(init_settings, InitSettingsSource)  # noqa: S101 - pydantic's own contract
        arguments = dict(init_settings.init_kwargs)
        from_file = arguments.pop(FROM_FILE, {})
        return (
            InitSettingsSource(settings_cls, arguments),
            EnvSettingsSource(settings_cls),
            InitSettingsSource(settings_cls, from_file),
        )


FROM_FILE = "_from_file"
