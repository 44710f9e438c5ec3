"""From settings to what a `ParquetDataLoader` is made of."""

import secrets
from datetime import timedelta
from pathlib import Path

from gigacast.errors import BucketNotFoundError, ConfigError
from gigacast.feature_sets.build import parse_recipe
from gigacast.feature_sets.kernel.predefined import get_recipe
from gigacast.feature_sets.kernel.recipe import Recipe
from gigacast.job.location import open_inputs, pin_inputs
from gigacast.job.run import utc_now
from gigacast.lake.model.cache import default_cache
from gigacast.parquet_loader.column import WantedColumns
from gigacast.parquet_loader.load import LoadResources
from gigacast.parquet_loader.process import Processing
from gigacast.parquet_loader.session import SessionLog
from gigacast.series.source import ColumnNames
from gigacast.settings.assembly import addresses
from gigacast.settings.loader import ParquetLoaderSettings
from gigacast.settings.model import Settings
from gigacast.storage.opening import open_store
from gigacast.storage.parquet.table_cache import TableCache
from gigacast.storage.store import Store, StoreAddress


def roots_of(settings: Settings, otherwise: str | None = None) -> tuple[StoreAddress, StoreAddress]:
    """Return the input root, which must be there, and the output root.

    Parameters
    ----------
    settings : Settings
    otherwise : str, optional
        The root when none is named.

    Raises
    ------
    ConfigError
        When no root is named, or it is not there.
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


def cache_of(config: ParquetLoaderSettings) -> TableCache | None:
    """Return the cache of rows, where one is asked for."""
    performance = config.performance
    if not performance.cache_intermediate:
        return None
    folder = performance.cache_dir or default_cache().parent / "rows"
    return TableCache(folder.expanduser(), performance.cache_limit)


def wanted_columns_of(config: ParquetLoaderSettings) -> WantedColumns:
    """Return which columns the settings name."""
    columns = config.columns
    return WantedColumns(
        ColumnNames(columns.item_id_column, columns.datetime_column, columns.target_columns),
        columns.feature_columns,
        columns.timestamp_columns,
        None if columns.timestamp_unit == "auto" else columns.timestamp_unit,
    )


def processing_of(config: ParquetLoaderSettings) -> Processing:
    """Return what the settings ask to be done to rows."""
    asked = config.processing
    return Processing(
        nulls=asked.null_handling,
        outliers=asked.outlier_method if asked.outlier_detection else None,  # type: ignore[arg-type]
        threshold=asked.outlier_threshold,
        narrow=asked.optimize_dtypes,
        categories=asked.use_categorical,
    )


def resources_of(config: ParquetLoaderSettings) -> LoadResources:
    """Return what loading may use."""
    performance = config.performance
    return LoadResources(
        performance.memory_limit,
        performance.n_workers if performance.use_parallel else 1,
        config.processing.chunk_size,
    )


def recipe_of(config: ParquetLoaderSettings) -> Recipe | None:
    """Return the recipe of features, where one is named.

    Raises
    ------
    ConfigError
        When it is neither a file nor one that comes with the package, or cannot be read.
    """
    named = config.processing.feature_recipe
    if named is None:
        return None
    try:
        path = Path(named).expanduser()
        return parse_recipe(path.read_bytes(), named) if path.is_file() else get_recipe(named)
    except ConfigError as error:
        message = f"parquet_loader.processing.feature_recipe: {error.message}"
        raise ConfigError(message, hint=error.hint) from error


def session_log_of(config: ParquetLoaderSettings, outputs: Store) -> SessionLog:
    """Return what keeps the records of sessions."""
    audit = config.audit
    return SessionLog(
        outputs,
        utc_now,
        secrets.token_hex,
        enabled=audit.enabled,
        timeout=timedelta(hours=audit.session_timeout_hours),
        most=audit.max_log_files,
    )
