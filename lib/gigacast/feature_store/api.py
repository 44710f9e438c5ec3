"""Backfills of features from Python, and their tables."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, Unpack

import pyarrow as pa

from gigacast.errors import ConfigError
from gigacast.feature_store.definition.group_by import GroupBy
from gigacast.feature_store.definition.join import Join
from gigacast.feature_store.definition.name import Definition
from gigacast.feature_store.definition.source import Query
from gigacast.feature_store.definition.staging_query import StagingQuery
from gigacast.feature_store.offline.day import read_day
from gigacast.feature_store.offline.label_run import label_days
from gigacast.feature_store.offline.result import FIRST_DAY, LAST_DAY, BackfillResult, Days
from gigacast.feature_store.offline.run import backfill_days
from gigacast.feature_store.offline.source import BoundTable, Catalog
from gigacast.feature_store.offline.stage import Backfill, make_engine
from gigacast.feature_store.published import Features, find_features, select_columns
from gigacast.feature_store.stored import find_stored
from gigacast.feature_store.table import Tables
from gigacast.job.run import RunEvents
from gigacast.settings.argument import as_path, checked
from gigacast.settings.assembly import addresses, resources_of
from gigacast.settings.command.feature_store import BackfillOptions, DayOptions
from gigacast.settings.doors import refuse_others
from gigacast.settings.flag import rows_of
from gigacast.settings.keywords import Options
from gigacast.settings.load import load_settings
from gigacast.settings.model import Settings
from gigacast.settings.option import Option
from gigacast.settings.options import ARGUMENTS, nest_arguments
from gigacast.settings.signature import with_options
from gigacast.storage.store import StoreAddress

_SHARED = tuple(
    ARGUMENTS[name]
    for name in (
        *("prefix", "endpoint_url", "region"),
        *("executor", "n_jobs", "memory_limit", "outage_minutes", "verify_datasets"),
    )
)
"""Settings that backfills share with forecasts."""
_TABLE = tuple(o for o in _SHARED if o.name not in ("executor", "n_jobs", "outage_minutes"))
"""Those of them that reading a table needs."""
_READING = tuple(option for option in _TABLE if option.name != "memory_limit")
"""Those that reading a version needs."""


@with_options(_SHARED, own=rows_of(BackfillOptions))
@checked
def backfill(  # noqa: PLR0913 - keywords, each with a default
    definition: Definition | str,
    *,
    start_ds: str | None = None,
    ds: str | None = None,
    only: str | None = None,
    engine: str = "local",
    dry_run: bool = False,
    bucket: str | None = None,
    config: str | Path | None = None,
    events: RunEvents | None = None,
    **options: Unpack[Options],
) -> BackfillResult:
    """Compute the days of a definition that are new, or of which a partition changed.

    Parameters
    ----------
    definition : Join, GroupBy, StagingQuery or str
        Definition, or the name of a compiled one.
    bucket : str, optional
        Bucket or folder of the tables; the working folder by default.
    config : path, optional
        Settings file.
    events : RunEvents, optional
        Receives the progress; ignored by default.
    **options
        Settings, see below.

    Returns
    -------
    BackfillResult
        Tables, days and failures. A day that failed does not stop the others.

    Raises
    ------
    DefinitionError
        If the definition is refused, or its tables lack columns.
    DataNotFoundError
        If a table or all days are missing.
    ConfigError, StorageError
    """
    job = open_backfill(definition, settings_of(bucket, config, options), only=only, engine=engine)
    days = read_days(start_ds, ds)
    return backfill_days(job, days, is_dry=dry_run, events=events)


@with_options(_SHARED)
@checked
def label(
    definition: Join | str,
    ds: str,
    *,
    bucket: str | None = None,
    config: str | Path | None = None,
    events: RunEvents | None = None,
    **options: Unpack[Options],
) -> tuple[BackfillResult, ...]:
    """Compute the labels of a join that are known on a day, and its features beside them.

    Parameters
    ----------
    definition : Join or str
        Join, or the name of a compiled one.
    ds : str
        Day of the labels.
    bucket : str, optional
        Bucket or folder of the tables; the working folder by default.
    config : path, optional
        Settings file.
    events : RunEvents, optional
        Receives the progress; ignored by default.
    **options
        Settings, see below.

    Returns
    -------
    tuple of BackfillResult
        The labels; and the features with labels, where the join is backfilled.

    Raises
    ------
    DefinitionError, DataNotFoundError, ConfigError, StorageError
        As `backfill`.
    """
    job = open_backfill(definition, settings_of(bucket, config, options))
    return label_days(job, read_day(ds, "ds"), events=events)


@with_options(_TABLE, own=rows_of(DayOptions))
@checked
def read_table(
    table: str,
    *,
    start_ds: str | None = None,
    ds: str | None = None,
    bucket: str | None = None,
    config: str | Path | None = None,
    **options: Unpack[Options],
) -> Any:
    """Return the rows of a table of the feature store, or of any table that definitions may name.

    Parameters
    ----------
    table : str
        Table, as ``default.quickstart_training_set_v1``.
    bucket : str, optional
        Bucket or folder of the tables; the working folder by default.
    config : path, optional
        Settings file.
    **options
        Settings, see below.

    Returns
    -------
    pandas.DataFrame
        Rows of the days; the day is the column ``ds``.

    Raises
    ------
    DataNotFoundError, ConfigError, StorageError
    """
    settings = settings_of(bucket, config, options, _TABLE)
    days = read_days(start_ds, ds)
    tables = Tables.at(root_of(settings), settings.tables)
    bound = BoundTable.of(Catalog(tables), table, Query(), "read_table")
    engine = make_engine(resources_of(settings), tables.store)
    pieces = [
        engine.rows(bound.reading(day, None, {}, days.span))
        for day in bound.days(days.first, days.last)
    ]
    if not pieces:
        raise ConfigError(f"{table}: no day from {days.first} to {days.last}", hint="see start_ds")
    return pa.concat_tables(pieces, promote_options="default").to_pandas()


@with_options(_READING, own=rows_of(DayOptions))
def read_features(  # noqa: PLR0913 - keywords, each with a default
    name: Definition | str,
    *,
    start_ds: str | None = None,
    ds: str | None = None,
    columns: Sequence[str] | None = None,
    version: str | None = None,
    as_of: str | date | None = None,
    bucket: str | None = None,
    config: str | Path | None = None,
    **options: Unpack[Options],
) -> pa.Table:
    """Return the rows of a version of features that a backfill has published.

    Parameters
    ----------
    name : Join, GroupBy, StagingQuery or str
        Definition; or the name of a compiled one, of its table
        (``default.shop_training_set_v1_labels``), or of the dataset
        (``features/v1.2/default.shop_training_set_v1``).
    columns : sequence of str, optional
        Columns to read; all by default. The day is the column ``ds``.
    version : str, optional
        Version, as ``v1.2``; the latest by default.
    as_of : str or datetime, optional
        Moment: of the versions published until then the latest is read. A day means its end (UTC).
    bucket : str, optional
        Bucket or folder of the tables; the working folder by default.
    config : path, optional
        Settings file.
    **options
        Settings, see below.

    Returns
    -------
    pyarrow.Table
        Rows of the days, in their order. Other files than those of the version are never read.

    Raises
    ------
    DataNotFoundError
        If there is no such definition or version.
    SchemaError
        If there is no such column.
    DatasetIntegrityError
        If a file of the version was removed or replaced by other programs.
    ConfigError, StorageError
    """
    selected = {"columns": columns, "version": version, "as_of": as_of}
    place = {"bucket": bucket, "config": config, **options}
    return open_features(name, start_ds=start_ds, ds=ds, **selected, **place).table()  # type: ignore[arg-type]


@with_options(_READING, own=rows_of(DayOptions))
def open_features(  # noqa: PLR0913 - keywords, each with a default
    name: Definition | str,
    *,
    start_ds: str | None = None,
    ds: str | None = None,
    columns: Sequence[str] | None = None,
    version: str | None = None,
    as_of: str | date | None = None,
    bucket: str | None = None,
    config: str | Path | None = None,
    **options: Unpack[Options],
) -> Features:
    """Return a version of features, whose rows are read in batches or by other programs.

    Parameters
    ----------
    name : Join, GroupBy, StagingQuery or str
        Definition, or a name, as for `read_features`.
    columns : sequence of str, optional
        Columns to read; all by default.
    version : str, optional
        Version, as ``v1.2``; the latest by default.
    as_of : str or datetime, optional
        Moment: of the versions published until then the latest is read. A day means its end (UTC).
    bucket : str, optional
        Bucket or folder of the tables; the working folder by default.
    config : path, optional
        Settings file.
    **options
        Settings, see below.

    Returns
    -------
    Features
        ``batches()`` yields the rows, ``table()`` returns them, ``files()`` returns the addresses
        of the files for DuckDB and others; ``dataset`` and ``schema`` say what they are.

    Raises
    ------
    DataNotFoundError
        If there is no such definition or version.
    ConfigError, StorageError
    """
    settings = settings_of(bucket, config, options, _READING)
    root = root_of(settings)
    store = Tables.at(root, settings.tables).store
    manifest = find_features(store, name, version=version, as_of=as_of)
    days = read_days(start_ds, ds)
    return Features(store, manifest, days, select_columns(columns), root.verify)


def open_backfill(
    definition: Definition | str,
    settings: Settings,
    *,
    only: str | None = None,
    engine: str = "local",
) -> Backfill:
    """Return the backfill of a definition by some settings.

    Raises
    ------
    DataNotFoundError
        If no compiled definition has the name.
    ConfigError
        If the object is no definition.
    """
    root = root_of(settings)
    if isinstance(definition, str):
        store = Tables.at(root, settings.tables).store
        definition = find_stored(store, definition).definition
    if not isinstance(definition, Join | GroupBy | StagingQuery):
        raise ConfigError(
            f"{type(definition).__name__} is no definition",
            hint="give a Join, a GroupBy or a StagingQuery, or the name of a compiled one",
        )
    return Backfill(
        definition,
        root,
        settings.tables,
        only=only,
        engine=engine,
        resources=resources_of(settings),
    )


def read_days(start_ds: str | None, ds: str | None) -> Days:
    """Return the days of a run from what a person typed.

    Raises
    ------
    ConfigError
    """
    first = FIRST_DAY if start_ds is None else read_day(start_ds, "start_ds")
    return Days(first, LAST_DAY if ds is None else read_day(ds, "ds"))


def root_of(settings: Settings) -> StoreAddress:
    """Return the folder of the tables: bucket and prefix, or the working folder."""
    root_dir = settings.parquet_loader.data_paths.root_dir
    if settings.run.bucket is None and root_dir is None:
        root_dir = str(Path.cwd())
    run = settings.run.model_copy(update={"input_prefix": None})
    return addresses(run, root_dir)[1]


def settings_of(
    bucket: str | None,
    config: str | Path | None,
    options: Any,
    used: Sequence[Option] = _SHARED,
) -> Settings:
    """Return the settings of a call: its arguments, the environment, the settings file.

    Raises
    ------
    ConfigError
        If an option is not among those that the call uses.
    """
    refuse_others("this function", options, [option.name for option in used])
    values = {**options, "bucket": bucket}
    return load_settings(nest_arguments(values), file=as_path("config", config))
