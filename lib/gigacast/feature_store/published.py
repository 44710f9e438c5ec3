"""Published versions of features: found by name, number or time, and read from their files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from functools import cached_property

import pyarrow as pa

from gigacast.core.dataset.predicate import Predicate
from gigacast.core.dataset.ref import LAYERS, DatasetRef
from gigacast.core.dataset.version import Version
from gigacast.core.mark import moment_of
from gigacast.datasets.read import DatasetRows, rows_of_version
from gigacast.errors import ConfigError, DataNotFoundError
from gigacast.feature_store.definition.group_by import GroupBy
from gigacast.feature_store.definition.join import Join
from gigacast.feature_store.definition.name import (
    DEFAULT_NAMESPACE,
    PARTITION_COLUMN,
    Definition,
    table_name,
)
from gigacast.feature_store.definition.staging_query import StagingQuery
from gigacast.feature_store.offline.result import Days
from gigacast.feature_store.stored import find_stored
from gigacast.lake.dataset.catalog import DEPRECATED, PUBLISHED, Lake
from gigacast.lake.dataset.manifest import DatasetManifest
from gigacast.lake.dataset.store import DatasetStore
from gigacast.storage.parquet.read import DEFAULT_BATCH_ROWS
from gigacast.storage.store import Store, Verify


@dataclass(frozen=True)
class Features:
    """A version of a table of features, or some days and columns of it.

    Parameters
    ----------
    store : Store
        Store of the lake.
    manifest : DatasetManifest
    days : Days
    columns : tuple of str, optional
        Columns to read; all by default.
    verify : str
        Files whose recorded digest is checked.
    """

    store: Store
    manifest: DatasetManifest
    days: Days
    columns: tuple[str, ...] | None = None
    verify: Verify = "sample"

    @property
    def dataset(self) -> str:
        """Name of the version, as ``features/v1.2/default.shop_training_set_v1``."""
        return str(self.manifest.ref)

    @property
    def schema(self) -> pa.Schema:
        """Columns and their types; the day is the column ``ds``."""
        return self._rows.given_schema(self.columns)

    @cached_property
    def _rows(self) -> DatasetRows:
        url = self.store.address.child(self.dataset)
        store = DatasetStore(self.store, self.manifest, url, self.verify)
        return rows_of_version(store, self.manifest)

    @cached_property
    def _predicate(self) -> Predicate | None:
        first, last = self.days.first, self.days.last
        return Predicate.parse([(PARTITION_COLUMN, ">=", first), (PARTITION_COLUMN, "<=", last)])

    def batches(self, batch_rows: int = DEFAULT_BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Yield the rows, day by day, in batches.

        Raises
        ------
        SchemaError
            If there is no such column.
        DatasetIntegrityError, CorruptedFileError, StorageError
        """
        return self._rows.read(self.columns, self._predicate, batch_rows=batch_rows)

    def table(self) -> pa.Table:
        """Return the rows, day by day.

        Raises
        ------
        SchemaError, DatasetIntegrityError, CorruptedFileError, StorageError
            As `batches`.
        """
        return self._rows.table(self.columns, self._predicate)

    def files(self) -> list[str]:
        """Return the addresses of the files of the days, for DuckDB and other programs.

        The day is in the name of the folder, and no column of a file.

        Raises
        ------
        DatasetIntegrityError, StorageError
        """
        store = self._rows.store
        assert isinstance(store, DatasetStore)  # noqa: S101 - made so above
        first, last = self.days.first, self.days.last
        root = self.store.address.url.rstrip("/")
        return [
            f"{root}/{store.locate(file.path)}"
            for file in self.manifest.files
            if first <= str(file.bounds[PARTITION_COLUMN][0]) <= last
        ]


def find_features(
    store: Store,
    name: Definition | str,
    *,
    version: str | None = None,
    as_of: str | date | None = None,
) -> DatasetManifest:
    """Return the manifest of a version of features.

    Parameters
    ----------
    store : Store
        Store of the lake.
    name : Join, GroupBy, StagingQuery or str
        Definition, name of a compiled one, of a table, or of a dataset.
    version : str, optional
        Version; the latest by default.
    as_of : str or datetime, optional
        Moment: of the versions published until then the latest counts.

    Raises
    ------
    DataNotFoundError
        If there is no such version.
    ConfigError, DatasetIntegrityError, StorageError
    """
    lake, ref = Lake(store), _find_ref(store, name)
    if version is not None:
        ref = ref.at(version)
    if as_of is None:
        return _read(lake, ref)
    if ref.version is not None:
        raise ConfigError("version and as_of name one version each", hint="give one of them")
    return _read_as_of(lake, ref, _moment(as_of))


def _find_ref(store: Store, name: Definition | str) -> DatasetRef:
    if isinstance(name, Join | GroupBy | StagingQuery):
        return DatasetRef("features", table_name(name))
    if not isinstance(name, str):
        raise ConfigError(
            f"{type(name).__name__} is no definition",
            hint="give a definition, or the name of one, of its table or of a dataset",
        )
    if name.partition("/")[0] in LAYERS:
        return DatasetRef.parse(name)
    try:
        return DatasetRef("features", table_name(find_stored(store, name).definition))
    except DataNotFoundError:
        table = name if "." in name else f"{DEFAULT_NAMESPACE}.{name}"
        if not Lake(store).versions(DatasetRef("features", table)):
            raise
        return DatasetRef("features", table)


def _read(lake: Lake, ref: DatasetRef) -> DatasetManifest:
    try:
        return lake.read(ref)
    except DataNotFoundError as error:
        if lake.versions(ref):
            raise
        raise DataNotFoundError(
            f"{lake.store.address.url} has no version of {ref.name} in features/",
            hint="gigacast feature-store backfill publishes one",
        ) from error


def _read_as_of(lake: Lake, ref: DatasetRef, moment: datetime) -> DatasetManifest:
    states = lake.versions(ref)
    published = [v for v, state in states.items() if state in {PUBLISHED, DEPRECATED}]
    for version in sorted(published, key=Version.parse, reverse=True):
        manifest = lake.read(replace(ref, version=version))
        if moment_of(manifest.created_at) <= moment:
            return manifest
    raise DataNotFoundError(
        f"{lake.where(ref)}: no version was published until {moment.isoformat()}",
        hint="`gigacast data versions` lists them with their times",
    )


def _moment(as_of: str | date) -> datetime:
    """Return a moment, in UTC if it names no zone; of a day its end."""
    try:
        value = _parse(as_of) if isinstance(as_of, str) else as_of
    except ValueError as error:
        raise ConfigError(
            f"as_of: {str(as_of)[:40]!r} is no time", hint="write 2024-01-31T06:00:00Z"
        ) from error
    if not isinstance(value, datetime):
        return datetime.combine(value, time.max, UTC)
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def _parse(text: str) -> date:
    return date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)


def select_columns(columns: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return columns as a value; a single text is one column.

    Examples
    --------
    >>> select_columns("user_id")
    ('user_id',)
    """
    if columns is None:
        return None
    return (columns,) if isinstance(columns, str) else tuple(columns)
