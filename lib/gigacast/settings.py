"""Settings: frozen, validated, unknown keys refused. Defaults < file < environment < arguments.

Only the command line, the handlers and the public functions load them; everything below takes the
plain values of `ForecastJob`, which ``assembly`` makes of them. Imports values of what is below.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from gigacast.core.price import PriceTable
from gigacast.errors import ConfigError
from gigacast.forecast.option import DEFAULT_LEVELS
from gigacast.lake.model import DEFAULT_MODEL
from gigacast.runtime.instance import VARIABLES
from gigacast.settings_loader import ParquetLoaderSettings, Section, Strings, split_list

ENV_PREFIX = "GIGACAST_"
DEFAULT_PRICES = Path("config/prices.yaml")
_NO_SETTINGS = {f"{ENV_PREFIX}CACHE", *VARIABLES}
"""Variables that are read elsewhere: they say what this machine is like."""
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
        from_file = arguments.pop(_FILE, {})
        return (
            InitSettingsSource(settings_cls, arguments),
            EnvSettingsSource(settings_cls),
            InitSettingsSource(settings_cls, from_file),
        )


_FILE = "_from_file"

ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "bucket": ("run", "bucket"),
    "prefix": ("run", "prefix"),
    "input_prefix": ("run", "input_prefix"),
    "endpoint_url": ("run", "endpoint_url"),
    "region": ("run", "region"),
    "years": ("run", "years"),
    "months": ("run", "months"),
    "symbol": ("run", "symbols"),
    "timeframe": ("run", "timeframes"),
    "model": ("model", "model_path"),
    "model_version": ("model", "version"),
    "horizon": ("model", "prediction_length"),
    "quantiles": ("forecast", "quantiles"),
    "context_length": ("forecast", "context_length"),
    "context_partitions": ("forecast", "context_partitions"),
    "partition_by": ("forecast", "partition_by"),
    "freq": ("forecast", "freq"),
    "layout": ("forecast", "layout"),
    "min_length": ("forecast", "min_length"),
    "fallback": ("forecast", "fallback"),
    "non_negative": ("forecast", "non_negative"),
    "integer": ("forecast", "integer"),
    "extrapolate_levels": ("forecast", "extrapolate_levels"),
    "seed": ("forecast", "seed"),
    "item_column": ("parquet_loader", "schema", "item_id_column"),
    "timestamp_column": ("parquet_loader", "schema", "datetime_column"),
    "targets": ("parquet_loader", "schema", "target_columns"),
    "past_covariates": ("parquet_loader", "schema", "past_covariates"),
    "known_covariates": ("parquet_loader", "schema", "known_covariates"),
    "joint_targets": ("forecast", "joint_targets"),
    "missing_future": ("forecast", "missing_future"),
    "unsupported_covariates": ("forecast", "unsupported_covariates"),
    "timestamp_unit": ("parquet_loader", "schema", "timestamp_unit"),
    "memory_limit": ("parquet_loader", "performance", "memory_limit"),
    "executor": ("run", "executor"),
    "n_jobs": ("run", "n_jobs"),
    "device": ("run", "device"),
    "precision": ("run", "precision"),
    "batch_size": ("run", "batch_size"),
    "n_partitions": ("run", "n_partitions"),
    "series_per_partition": ("run", "series_per_partition"),
    "overwrite": ("run", "overwrite"),
    "limit": ("run", "limit"),
    "stack": ("batch", "stack"),
    "queue": ("batch", "queue"),
    "children": ("batch", "children"),
}
"""The names flags and keyword arguments have, and the setting each one sets."""


def nest_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """Turn flags by name into settings by section; ``None`` counts as not given.

    Raises
    ------
    ConfigError
        When a name is no argument's.
    """
    nested: dict[str, Any] = {}
    for name, value in given.items():
        if name not in ARGUMENTS:
            raise ConfigError(f"{name}: no such argument", hint=f"one of {', '.join(ARGUMENTS)}")
        if value is None:
            continue
        *sections, last = ARGUMENTS[name]
        place = nested
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    if given.get("model") is not None:
        # A model named by hand is meant: `model_type` must not stand in for one that is missing.
        nested["model"]["model_type"] = given["model"]
    return nested


def load_settings(
    arguments: Mapping[str, Any] | None = None, *, file: Path | None = None
) -> Settings:
    """Read the settings once.

    Parameters
    ----------
    arguments : mapping, optional
        By section, as ``{"model": {"prediction_length": 7}}``; see `nest_arguments`.
    file : Path, optional
        A YAML file with the sections ``model``, ``parquet_loader``, ``forecast``, ``run``,
        ``batch`` and ``quality``.

    Raises
    ------
    ConfigError
        When a key is unknown or a value is out of its range; the message names the field.
    """
    _refuse_unknown_variables()
    try:
        values: dict[str, Any] = {**(arguments or {}), _FILE: _read_file(file) if file else {}}
        return Settings(**values)
    except ValidationError as error:
        raise ConfigError(_first_problem(error, file)) from error
    except SettingsError as error:
        raise ConfigError(
            f"environment: {error}", hint=f"set single keys, as {ENV_PREFIX}RUN__N_JOBS=4"
        ) from error


def load_prices(file: Path = DEFAULT_PRICES) -> PriceTable:
    """Read what machines cost.

    Raises
    ------
    ConfigError
        When the file is missing, or something in it is wrong; the message names the field.
    """
    content = _read_file(file)
    try:
        return PriceTable.parse(content)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error.message}", hint=error.hint) from error


def _read_file(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{file}: no such configuration file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: can't be read: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(
            f"{file}: expected sections such as 'model:', got {type(content).__name__}"
        )
    return content


def _refuse_unknown_variables() -> None:
    """Refuse misspelt variables: pydantic looks only at names it knows."""
    sections = {f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields}
    for variable in os.environ:
        name = variable.upper()
        if not name.startswith(ENV_PREFIX) or name in _NO_SETTINGS:
            continue
        if name.split("__")[0] not in sections:
            raise ConfigError(
                f"environment variable {variable}: no such setting",
                hint=f"variables look like {ENV_PREFIX}MODEL__PREDICTION_LENGTH",
            )


def _first_problem(error: ValidationError, file: Path | None) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    what = "unknown key" if problem["type"] == "extra_forbidden" else problem["msg"]
    value = problem.get("input")
    shown = f", got {value!r}" if isinstance(value, str | int | float | bool) else ""
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    source = f" [arguments, environment or {file}]" if file else ""
    return f"{where}: {what}{shown}{more}{source}"
