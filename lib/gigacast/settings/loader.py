"""Section ``parquet_loader`` of the settings: place, names, columns and reading of partitions."""

import re
from collections.abc import Mapping
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from gigacast.core.partition.name import NAMED_PATTERN, PANEL_PATTERN
from gigacast.core.plural import counted
from gigacast.core.problem import Source
from gigacast.core.record import decode_json
from gigacast.errors import ConfigError
from gigacast.series.csv.dialect import DateOrder, Header
from gigacast.series.source import TimestampUnit
from gigacast.settings.field import Section, option

_SIZE = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>[KMGT]?)(?:i?B)?", re.IGNORECASE)
_LEAST_BYTES, _END_OF_BYTES = 1000, 2**63
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def parse_size(value: object) -> object:
    """Return the bytes of ``2GB`` or ``512 MiB`` (powers of 1024), and other values as they are."""
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    # Other values are passed on, so that pydantic refuses them and names the field.
    if match is None:
        return value
    size = float(match["number"]) * _UNITS[match["unit"].upper()]
    return int(size) if isfinite(size) else value


def check_size(size: int) -> int:
    """Return a size of at least a kilobyte: fewer bytes are a number whose unit was forgotten."""
    if size >= _END_OF_BYTES:
        raise ValueError("more bytes than a machine can count")
    if size < _LEAST_BYTES:
        raise ValueError(f"{counted(size, 'byte')} is too little; write the unit, as {size}GB")
    return size


def split_list(value: object) -> object:
    """Return the list of ``a,b`` or of JSON, and other values as they are."""
    # Environment variables and flags are text. pydantic-settings would take JSON only, hence
    # `NoDecode` beside this function.
    if isinstance(value, str) and value.lstrip().startswith("["):
        with suppress(ConfigError):
            return decode_json(value, Source("", ConfigError))
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def flatten_groups(value: object) -> object:
    """Return the names of columns by group, as ``{indices: [vix, dxy]}``, in one list."""
    if isinstance(value, Mapping):
        # The groups are for the reader of the file; columns have no group anywhere below.
        lists = [entry if isinstance(entry, list | tuple) else [entry] for entry in value.values()]
        return [name for names in lists for name in names]
    return split_list(value)


def parse_jobs(value: object) -> object:
    """Return ``None`` for ``auto``, and other numbers of processes as they are."""
    if value == "auto":
        return None
    if isinstance(value, str) and not re.fullmatch(r"\s*[+-]?\d+\s*", value):
        raise ValueError("should be auto, -1, or 1 and more")
    return value


Jobs = Annotated[int | None, BeforeValidator(parse_jobs)]
Size = Annotated[int, BeforeValidator(parse_size), Field(gt=0), AfterValidator(check_size)]
Strings = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_list)]
Numbers = Annotated[tuple[float, ...], NoDecode, BeforeValidator(split_list)]
Grouped = Annotated[tuple[str, ...], NoDecode, BeforeValidator(flatten_groups)]


class DataPaths(Section):
    """Folders of the data, used if no bucket is named."""

    root_dir: str | None = option(
        None,
        "Folder, s3://... or file:///... to read from and write to; used without a bucket.",
    )
    training_subdir: str | None = option(None, "Folder below the root with training data.")
    prediction_subdir: str | None = option(None, "Folder below the root with prediction data.")
    incremental_subdir: str | None = option(None, "Folder below the root with incremental data.")
    fallback_roots: Strings = option(
        (),
        "Roots that `ParquetDataLoader` reads in place of missing months and files that cannot be "
        "read, in order (comma-separated).",
    )


class FilePatterns(Section):
    """Patterns of object names."""

    naming_regex: str = option(
        NAMED_PATTERN,
        "Pattern of the names of one symbol's files: symbol, timeframe, horizon, year, month, "
        "hash, extension, as seven groups in this order or as named ones.",
    )
    panel_regex: str = option(PANEL_PATTERN, "Pattern of the names of panel files.")
    parquet_extension: Literal[".parquet"] = option(
        ".parquet",
        "Extension of Parquet files.",
        without_effect="Parquet files end in .parquet; leave it out, and name files by "
        "parquet_loader.file_patterns.naming_regex",
    )
    json_extension: Literal[".json"] = option(
        ".json",
        "Extension of JSON files.",
        without_effect="JSON files end in .json; leave it out, and name files by "
        "parquet_loader.file_patterns.naming_regex",
    )


class DirectoryStructure(Section):
    """Spelling of months in folders: ``2014/03``; ``year=2014/month=03`` is read too."""

    year_format: Literal["YYYY"] = option(
        "YYYY",
        "Spelling of years.",
        without_effect="folders are 2014/03 or year=2014/month=03, both are read; leave it out",
    )
    month_format: Literal["MM"] = option(
        "MM",
        "Spelling of months.",
        without_effect="folders are 2014/03 or year=2014/month=03, both are read; leave it out",
    )


class SchemaSettings(Section):
    """Names and types of columns; recognised from the data by default."""

    item_id_column: str | None = option(
        None,
        "Column of item ids; recognised by default.",
        group="columns",
        flag="item_column",
        aliases=("item_id_column",),
    )
    item_columns: Strings = option(
        (),
        "Columns that identify an item together, as store_id,sku (comma-separated).",
        group="columns",
        details="Forecasts have these columns in place of `item_id`. Hive levels of the key, as "
        "`store=12/`, are columns too.",
    )
    datetime_column: str | None = option(
        None,
        "Column of timestamps; recognised by default.",
        group="columns",
        flag="timestamp_column",
    )
    target_columns: Strings = option(
        (),
        "Target columns (comma-separated); recognised by default.",
        group="columns",
        flag="targets",
    )
    timestamp_unit: Literal["auto", TimestampUnit] = option(
        "auto", "Unit of integer timestamps, since 1970.", group="columns"
    )
    past_covariates: Grouped = option(
        (),
        "Columns known up to the last value of the targets (Chronos-2).",
        group="covariates",
    )
    known_covariates: Grouped = option(
        (),
        "Columns known over the horizon as well; rows go on after the targets (Chronos-2, or "
        "--covariate_regressor).",
        group="covariates",
        details="In these rows the targets are empty. A forecast begins after the last "
        "value of the targets, not after the last row.",
    )
    feature_columns: Grouped = option(
        (), "Columns that `ParquetDataLoader` loads beside the targets."
    )
    timestamp_columns: Strings = option((), "Feature columns that hold timestamps.")


class CsvSettings(Section):
    """Dialect of CSV files; every part that is not named is found for each file."""

    separator: str | None = option(
        None,
        "Character between fields, such as ';' or tab; found for each file by default.",
        group="csv",
        flag="csv_separator",
        details="Commas, semicolons, tabs and bars are found.",
    )
    decimal: str | None = option(
        None,
        "Decimal mark of numbers: '.' or ','; found for each file by default.",
        group="csv",
        flag="csv_decimal",
    )
    thousands: str | None = option(
        None,
        "Mark between groups of three digits: '.', ',', a space, an apostrophe, or none; found by "
        "default.",
        group="csv",
        flag="csv_thousands",
    )
    quote: str | None = option(
        None,
        "Character around fields that hold a separator, or none; found by default.",
        group="csv",
        flag="csv_quote",
    )
    encoding: str | None = option(
        None,
        "Encoding of the text, such as utf-8, utf-16 or cp1252; found by default.",
        group="csv",
        flag="csv_encoding",
        details="UTF-8, UTF-16 and Western European texts (cp1252, latin-1) are found.",
    )
    dates: DateOrder | None = option(
        None,
        "Order of dates such as 01/02/2024; found by days after the 12th by default.",
        group="csv",
        flag="csv_dates",
        details="Without such a day in the first rows the file is refused.",
    )
    header: Header | None = option(
        None,
        "Whether the first row has the names of the columns; found by default.",
        group="csv",
        flag="csv_header",
        details="Columns of a file without a header are called `column_1`, `column_2`, ...",
    )


class ProcessingSettings(Section):
    """Processing of rows by `ParquetDataLoader`; none by default."""

    null_handling: Literal["forward_fill", "interpolate", "drop"] | None = option(
        None, "Treatment of missing values; none by default."
    )
    outlier_detection: bool = option(False, "Count outliers.")
    outlier_method: Literal["iqr", "zscore", "isolation_forest"] = option(
        "iqr", "Method that finds outliers; isolation_forest needs the extra `quality`."
    )
    outlier_threshold: float = option(
        3.0,
        "Interquartile ranges, or standard deviations, beyond which a value is an outlier.",
        details="Of an isolation forest it is the score, 0 to 1; 0.7 if the number is larger.",
        gt=0,
    )
    on_bad_file: Literal["error", "skip"] = option(
        "error", "Whether a file that cannot be read ends a load, or is left out and named."
    )
    optimize_dtypes: bool = option(
        False,
        "Load float64 columns as float32, and integers in the narrowest type of their values.",
    )
    use_categorical: bool = option(False, "Load texts as categories.")
    feature_recipe: str | None = option(
        None, "Features to compute: a YAML file, or a recipe that ships with the package."
    )
    chunk_size: int = option(1 << 20, "Maximum rows of a chunk.", ge=1)


class PerformanceSettings(Section):
    """Memory, threads and cache for reading."""

    memory_limit: Size = option(
        2**30,
        "Memory that reading may hold per process before it spills to disk, as 2GB.",
        group="with",
    )
    use_parallel: bool = option(True, "Load files in several threads.")
    n_workers: int = option(4, "Threads that load files.", ge=1, le=256)
    cache_intermediate: bool = option(
        False, "Keep the rows of completely read files in a cache on disk."
    )
    cache_dir: Path | None = option(None, "Folder of the cache; the user's cache by default.")
    cache_limit: Size = option(10 * 2**30, "Maximum size of the cache on disk.")


class IdempotencySettings(Section):
    """Receipts of files that `ParquetDataLoader` has processed."""

    enabled: bool = option(
        True, "Write receipts of processed files, and recognise these files by them."
    )
    state_file: str | None = option(
        None,
        "File of processed files.",
        without_effect="receipts beside the data say what was processed; leave it out, or switch "
        "them off by parquet_loader.idempotency.enabled",
    )
    checksum_algorithm: Literal["md5", "sha1", "sha256"] = option(
        "sha256", "Hash of a file's content in its receipt."
    )


class AuditSettings(Section):
    """Records of `ParquetDataLoader` sessions."""

    enabled: bool = option(True, "Record sessions under audit/.")
    log_dir: str | None = option(
        None,
        "Folder of logs.",
        without_effect="sessions are recorded under audit/ beside the data; leave it out, or "
        "switch records off by parquet_loader.audit.enabled",
    )
    session_timeout_hours: float = option(
        24.0, "Hours after which an open session counts as abandoned.", gt=0
    )
    max_log_files: int = option(100, "Maximum number of session records kept.", ge=1)


class ParquetLoaderSettings(Section):
    """Discovery and reading of partitions."""

    data_paths: DataPaths = DataPaths()
    file_patterns: FilePatterns = FilePatterns()
    directory_structure: DirectoryStructure = DirectoryStructure()
    columns: SchemaSettings = Field(SchemaSettings(), alias="schema")
    csv: CsvSettings = CsvSettings()
    processing: ProcessingSettings = ProcessingSettings()
    performance: PerformanceSettings = PerformanceSettings()
    idempotency: IdempotencySettings = IdempotencySettings()
    audit: AuditSettings = AuditSettings()

    @property
    def schema(self) -> SchemaSettings:  # type: ignore[override]
        """Section under its name in files; pydantic's own method of that name is deprecated."""
        return self.columns
