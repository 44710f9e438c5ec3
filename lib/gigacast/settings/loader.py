"""Settings of what is read: where partitions lie, how they are named, which columns, with what.

The section ``parquet_loader`` of `gigacast.settings.model`, which alone loads it.
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import NoDecode

from gigacast.core.partition.name import NAMED_PATTERN, PANEL_PATTERN

_SIZE = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>[KMGT]?)(?:i?B)?", re.IGNORECASE)
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def parse_size(value: object) -> object:
    """Turn ``2GB`` or ``512 MiB`` into bytes (powers of 1024); other values pass through."""
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return value
    return int(float(match["number"]) * _UNITS[match["unit"].upper()])


def split_list(value: object) -> object:
    """Turn ``a,b`` (or JSON) into ``[a, b]``: environment variables and flags are text."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        with suppress(ValueError):
            return json.loads(value)
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def flatten_groups(value: object) -> object:
    """Turn columns by group, as ``{indices: [vix, dxy]}``, into one list."""
    if isinstance(value, Mapping):
        lists = [entry if isinstance(entry, list | tuple) else [entry] for entry in value.values()]
        return [name for one in lists for name in one]
    return split_list(value)


Size = Annotated[int, BeforeValidator(parse_size), Field(gt=0)]
Strings = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_list)]
Grouped = Annotated[tuple[str, ...], NoDecode, BeforeValidator(flatten_groups)]


class Section(BaseModel):
    """One section of the settings: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class DataPaths(Section):
    """Where the data is, when no bucket is named: a folder, ``s3://...`` or ``file:///...``."""

    root_dir: str | None = None
    training_subdir: str | None = None
    prediction_subdir: str | None = None
    incremental_subdir: str | None = None


class FilePatterns(Section):
    """How object names are read."""

    naming_regex: str = NAMED_PATTERN
    panel_regex: str = PANEL_PATTERN
    parquet_extension: Literal[".parquet"] = ".parquet"
    json_extension: Literal[".json"] = ".json"


class DirectoryStructure(Section):
    """How months are spelt: ``2014/03``; ``year=2014/month=03`` is read too."""

    year_format: Literal["YYYY"] = "YYYY"
    month_format: Literal["MM"] = "MM"


class SchemaSettings(Section):
    """Column names; recognised from the data when absent."""

    datetime_column: str | None = None
    item_id_column: str | None = None
    target_columns: Strings = ()
    past_covariates: Grouped = ()
    known_covariates: Grouped = ()
    feature_columns: Grouped = ()
    timestamp_columns: Strings = ()
    timestamp_unit: Literal["auto", "s", "ms", "us", "ns", "step"] = "auto"


class ProcessingSettings(Section):
    """What is done to rows as they are read; nothing when absent."""

    null_handling: Literal["forward_fill", "interpolate", "drop"] | None = None
    outlier_detection: bool = False
    outlier_method: Literal["iqr", "zscore", "isolation_forest"] = "iqr"
    outlier_threshold: float = Field(3.0, gt=0)
    optimize_dtypes: bool = False
    use_categorical: bool = False
    feature_recipe: str | None = Field(None, description="A YAML file, or one that comes along.")
    chunk_size: int = Field(1 << 20, ge=1, description="Rows of a chunk, at most.")


class PerformanceSettings(Section):
    """What reading may use."""

    memory_limit: Size = Field(2**30, description="Per process, before spilling to disk.")
    use_parallel: bool = True
    n_workers: int = Field(4, ge=1, le=256)
    cache_intermediate: bool = False
    cache_dir: Path | None = None
    cache_limit: Size = Field(10 * 2**30, description="Of the cache on disk.")


class IdempotencySettings(Section):
    """How what was processed is remembered: by receipts; ``state_file`` has no effect."""

    enabled: bool = True
    state_file: str | None = None
    checksum_algorithm: Literal["md5", "sha1", "sha256"] = "sha256"


class AuditSettings(Section):
    """How sessions are recorded, under ``audit/``; ``log_dir`` has no effect."""

    enabled: bool = True
    log_dir: str | None = None
    session_timeout_hours: float = Field(24.0, gt=0)
    max_log_files: int = Field(100, ge=1)


class ParquetLoaderSettings(Section):
    """How partitions are found and read."""

    data_paths: DataPaths = DataPaths()
    file_patterns: FilePatterns = FilePatterns()
    directory_structure: DirectoryStructure = DirectoryStructure()
    columns: SchemaSettings = Field(SchemaSettings(), alias="schema")
    processing: ProcessingSettings = ProcessingSettings()
    performance: PerformanceSettings = PerformanceSettings()
    idempotency: IdempotencySettings = IdempotencySettings()
    audit: AuditSettings = AuditSettings()

    @property
    def schema(self) -> SchemaSettings:  # type: ignore[override]
        """The section by its name in the file, which pydantic has a method by."""
        return self.columns
