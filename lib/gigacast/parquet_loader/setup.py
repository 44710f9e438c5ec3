"""The parts of a `ParquetDataLoader`, made from settings."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from gigacast.core.partition.name import NamingPattern
from gigacast.errors import BucketNotFoundError, ConfigError
from gigacast.feature_sets.build import parse_recipe
from gigacast.feature_sets.kernel.predefined import get_recipe
from gigacast.feature_sets.kernel.recipe import Recipe
from gigacast.job.location import open_inputs, pin_inputs
from gigacast.job.run import utc_now
from gigacast.lake.model.cache import default_cache
from gigacast.lake.table.address import is_table
from gigacast.parquet_loader.check import QualityLimits
from gigacast.parquet_loader.column import ColumnChoice
from gigacast.parquet_loader.discovery import (
    FileDiscovery,
    ParquetFileInfo,
    check_one_series,
    check_some_files,
)
from gigacast.parquet_loader.frame import SchemaValidator
from gigacast.parquet_loader.ledger import ProcessedLedger
from gigacast.parquet_loader.load import RowLoader
from gigacast.parquet_loader.process import Processing
from gigacast.parquet_loader.request import LoadRequest, LoadResources
from gigacast.parquet_loader.session import SessionLog
from gigacast.series.csv.dialect import CsvOptions
from gigacast.series.source import ColumnNames
from gigacast.settings.assembly import addresses, bucket_url
from gigacast.settings.loader import ParquetLoaderSettings
from gigacast.settings.model import Settings
from gigacast.storage.opening import open_store
from gigacast.storage.parquet.table_cache import TableCache
from gigacast.storage.store import Store, StoreAddress


@dataclass(frozen=True)
class LoaderParts:
    """The parts of a `ParquetDataLoader`.

    Parameters
    ----------
    inputs : mapping of str to Store
        Folders of the files for ``training``, ``prediction`` and ``incremental`` loading.
    discovery : mapping of str to FileDiscovery
        Discovery of files in each of these folders.
    ledger : ProcessedLedger
    sessions : SessionLog
    records : Store
        Root of receipts and sessions.
    resources : LoadResources
    columns : ColumnChoice
    processing : Processing
    cache : TableCache, optional
    recipe : Recipe, optional
    fallbacks : tuple of Store
        Roots in place of missing months and of files that cannot be read.
    limits : QualityLimits
    """

    inputs: Mapping[str, Store]
    discovery: Mapping[str, FileDiscovery]
    ledger: ProcessedLedger
    sessions: SessionLog
    records: Store
    resources: LoadResources
    columns: ColumnChoice
    processing: Processing
    cache: TableCache | None
    recipe: Recipe | None
    fallbacks: tuple[Store, ...] = ()
    limits: QualityLimits = field(default_factory=QualityLimits)

    def row_loader(self, kind: str, processing: Processing | None = None) -> RowLoader:
        """Return a loader for a kind of folder; with the settings' processing by default."""
        chosen = self.processing if processing is None else processing
        return RowLoader(self.inputs[kind], self.resources, chosen, self.cache, self.fallbacks)

    @property
    def schema_validator(self) -> SchemaValidator:
        """Checks of frames by the settings' columns, limits and processing."""
        return SchemaValidator(self.columns, self.limits, self.processing)

    def request(
        self,
        symbol: str,
        files: Sequence[ParquetFileInfo],
        targets: Sequence[str] | None,
        features: Sequence[str] | None,
        since: datetime | None = None,
    ) -> LoadRequest:
        """Return a request of the rows of files, which must be of one series.

        Raises
        ------
        DataNotFoundError, ConfigError
        """
        check_some_files(symbol, files, self.inputs["training"])
        check_one_series(symbol, files)
        columns = self.columns.with_chosen(targets, features)
        return LoadRequest(symbol, tuple(files), columns, since)


def assemble_loader(settings: Settings) -> LoaderParts:
    """Return the parts of a loader.

    Raises
    ------
    ConfigError
        If no root is named, the root does not exist, or the recipe cannot be read.
    """
    config = settings.parquet_loader
    check_sections(config)
    root, outputs = roots_of(settings)
    paths = config.data_paths
    inputs = {
        "training": open_below(root, paths.training_subdir),
        "prediction": open_below(root, paths.prediction_subdir),
        "incremental": open_below(root, paths.incremental_subdir),
    }
    pattern = pattern_of(config)
    fallbacks = tuple(
        open_below(replace(root, url=bucket_url(url)), None)
        for url in config.data_paths.fallback_roots
    )
    records = open_store(outputs)
    algorithm = config.idempotency.checksum_algorithm
    return LoaderParts(
        inputs=inputs,
        discovery={
            name: FileDiscovery(store, pattern, fallbacks) for name, store in inputs.items()
        },
        ledger=ProcessedLedger(inputs["training"], records, algorithm, utc_now),
        sessions=SessionLog(records, **session_rules(config)),
        records=records,
        resources=_resources_of(config),
        columns=_columns_of(config),
        processing=_processing_of(config),
        cache=_cache_of(config),
        recipe=_recipe_of(config),
        fallbacks=fallbacks,
        limits=QualityLimits.parse(settings.quality.fail),
    )


def pattern_of(config: ParquetLoaderSettings) -> NamingPattern:
    """Return the pattern of file names."""
    patterns = config.file_patterns
    return NamingPattern(patterns.naming_regex, patterns.panel_regex)


def check_sections(config: ParquetLoaderSettings) -> None:
    """Check that the sections of names and columns, where given, name what the loader goes by.

    Raises
    ------
    ConfigError
    """
    for section, entries, name, otherwise in (
        ("file_patterns", config.file_patterns, "naming_regex", "leave out the section"),
        ("schema", config.columns, "datetime_column", "write null, to have it recognised"),
    ):
        if entries.model_fields_set and name not in entries.model_fields_set:
            raise ConfigError(
                f"Required configuration field missing: parquet_loader.{section}.{name}",
                hint=f"name it, or {otherwise}",
            )


def roots_of(settings: Settings, otherwise: str | None = None) -> tuple[StoreAddress, StoreAddress]:
    """Return the input root, which must exist, and the output root.

    Parameters
    ----------
    settings : Settings
    otherwise : str, optional
        Input root if the settings name none; required by default.

    Raises
    ------
    ConfigError
        If no root is named, or the input root does not exist.
    """
    root_dir = settings.parquet_loader.data_paths.root_dir
    if not root_dir and not settings.run.bucket:
        root_dir = otherwise
    if not root_dir and not settings.run.bucket:
        raise ConfigError(
            "parquet_loader.data_paths.root_dir is required and cannot be empty",
            hint="give a folder or s3://bucket/prefix; there is no default",
        )
    inputs, outputs = addresses(settings.run, root_dir)
    inputs = pin_inputs(inputs)
    # Checked at once, so that a wrong path fails here and does not read as "no files".
    if is_table(inputs.url):
        return inputs, outputs  # it was opened to find its snapshot
    try:
        open_store(inputs).check()
    except BucketNotFoundError as error:
        field = "run.bucket" if settings.run.bucket else "parquet_loader.data_paths.root_dir"
        raise ConfigError(
            f"{field}: Root directory does not exist: {inputs.url}",
            hint="create it, or correct the path",
        ) from error
    return inputs, outputs


def open_below(root: StoreAddress, subdir: str | None) -> Store:
    """Open the root, or a folder below it."""
    return open_inputs(root.child(subdir) if subdir else root)


def _cache_of(config: ParquetLoaderSettings) -> TableCache | None:
    performance = config.performance
    if not performance.cache_intermediate:
        return None
    folder = performance.cache_dir or default_cache().parent / "rows"
    return TableCache(folder.expanduser(), performance.cache_limit)


def _columns_of(config: ParquetLoaderSettings) -> ColumnChoice:
    columns = config.columns
    return ColumnChoice(
        ColumnNames(
            columns.item_id_column,
            columns.datetime_column,
            columns.target_columns,
            items=columns.item_columns,
        ),
        columns.feature_columns,
        columns.timestamp_columns,
        None if columns.timestamp_unit == "auto" else columns.timestamp_unit,
    )


def _processing_of(config: ParquetLoaderSettings) -> Processing:
    section = config.processing
    outliers = section.outlier_method if section.outlier_detection else None
    return Processing(
        nulls=section.null_handling,
        outliers=outliers,
        threshold=section.outlier_threshold,
        narrow=section.optimize_dtypes,
        categories=section.use_categorical,
    )


def _resources_of(config: ParquetLoaderSettings) -> LoadResources:
    performance = config.performance
    return LoadResources(
        performance.memory_limit,
        performance.n_workers if performance.use_parallel else 1,
        config.processing.chunk_size,
        CsvOptions(**config.csv.model_dump()),
        skip_bad_files=config.processing.on_bad_file == "skip",
    )


def _recipe_of(config: ParquetLoaderSettings) -> Recipe | None:
    """Return the recipe that the settings name: a file, or one that comes with the package."""
    name = config.processing.feature_recipe
    if name is None:
        return None
    try:
        path = Path(name).expanduser()
        return parse_recipe(path.read_bytes(), name) if path.is_file() else get_recipe(name)
    except ConfigError as error:
        message = f"parquet_loader.processing.feature_recipe: {error.message}"
        raise ConfigError(message, hint=error.hint) from error


def session_rules(config: ParquetLoaderSettings) -> dict[str, Any]:
    """Return the arguments of `SessionLog` besides the place of its records."""
    audit = config.audit
    return {
        "clock": utc_now,
        "entropy": secrets.token_hex,
        "enabled": audit.enabled,
        "timeout": timedelta(hours=audit.session_timeout_hours),
        "max_records": audit.max_log_files,
    }
