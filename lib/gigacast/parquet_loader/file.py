"""The rows of one file: out of the cache, or read as far as they are wanted."""

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from threading import Lock

import pyarrow as pa

from gigacast.core.dataset.predicate import Predicate
from gigacast.errors import ConfigError
from gigacast.parquet_loader.column import WantedColumns
from gigacast.parquet_loader.dataset import LoadColumns, LoadStats
from gigacast.parquet_loader.discovery import ParquetFileInfo
from gigacast.series.formats import Limits, OpenTable, open_table, read_batches
from gigacast.series.source import ColumnNames, SeriesSource
from gigacast.storage.parquet.read import open_object, open_parquet, translated_parquet
from gigacast.storage.parquet.scan import Scan, ScanStats, scan_parquet
from gigacast.storage.parquet.table_cache import TableCache, entry_name
from gigacast.storage.parquet.tail import read_tail
from gigacast.storage.parquet.time import groups_after
from gigacast.storage.store import ObjectMeta, Store

_BATCH_ROWS = 1 << 17
_TEXT_MEMORY_BYTES = 1 << 30  # what JSON, which cannot be streamed, may take


class Held:
    """How much is held, over all threads, and how much may be.

    Parameters
    ----------
    limit_bytes : int, optional
    what : str
        For the error.
    """

    def __init__(self, limit_bytes: int | None, what: str) -> None:
        self.limit_bytes = limit_bytes
        self._what = what
        self._bytes = 0
        self._lock = Lock()

    def add(self, size_bytes: int) -> None:
        """Hold so much more.

        Raises
        ------
        ConfigError
            When it is too much.
        """
        with self._lock:
            self._bytes += size_bytes
            held = self._bytes
        if self.limit_bytes is not None and held > self.limit_bytes:
            raise ConfigError(
                f"{self._what}: the rows asked for take more than {self.limit_bytes / 1e6:,.0f} MB "
                "(parquet_loader.performance.memory_limit)",
                hint="iterate_training_data gives them chunk by chunk; or ask for fewer months or "
                "columns, or raise the limit",
            )


class FileRows:
    """Reads the rows of files; from several threads at once.

    Parameters
    ----------
    inputs : Store
    held : Held
    cache : TableCache, optional
    """

    def __init__(self, inputs: Store, held: Held, cache: TableCache | None = None) -> None:
        self.stats = LoadStats()
        self._inputs = inputs
        self._held = held
        self._cache = cache
        self._lock = Lock()

    def schema(self, info: ParquetFileInfo, wanted: WantedColumns) -> pa.Schema | None:
        """Return a file's columns; ``None`` when it has no rows.

        Raises
        ------
        CorruptedFileError, SchemaError, PreconditionFailedError
        """
        if not info.is_parquet:
            opened = self._open_text(info, wanted.names)
            return opened.schema if opened is not None else None
        known = self._cached(info, "schema")
        if known is None:
            with (
                open_parquet(self._inputs, _meta(info), selective=True) as file,
                translated_parquet(self._inputs, info.key),
            ):
                kinds = file.schema_arrow.remove_metadata()
                known = kinds.empty_table() if file.metadata.num_rows else pa.table({})
            self._keep(info, "schema", known)
        return known.schema if known.num_columns else None

    def read(
        self,
        info: ParquetFileInfo,
        columns: LoadColumns,
        since: datetime | None = None,
        last_rows: int | None = None,
    ) -> pa.Table:
        """Return the rows of a file, as it has them, of the columns it has.

        Parameters
        ----------
        info : ParquetFileInfo
        columns : LoadColumns
        since : datetime, optional
            Rows up to it may be left out.
        last_rows : int, optional
            At least so many of the latest rows are enough.

        Raises
        ------
        ConfigError
            When no more may be held.
        CorruptedFileError, SchemaError, PreconditionFailedError
        """
        whole = since is None and (last_rows is None or not info.is_parquet)
        if whole and (known := self._cached(info, columns.all)) is not None:
            self._held.add(known.nbytes)
            return known
        if info.is_parquet and last_rows is not None and since is None:
            table = self._read_tail(info, columns, last_rows)
        else:
            table = self._read_batches(info, columns, since)
        if whole:
            self._keep(info, columns.all, table)
        return table

    def batches(
        self,
        info: ParquetFileInfo,
        columns: LoadColumns,
        batch_rows: int = _BATCH_ROWS,
        since: datetime | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Iterate over the rows of a file, of the columns it has.

        Raises
        ------
        CorruptedFileError, SchemaError, PreconditionFailedError
        """
        if info.is_parquet:
            yield from self._parquet_batches(info, columns, batch_rows, since)
            return
        names = ColumnNames(columns.item_id, columns.timestamp, columns.targets)
        opened = self._open_text(info, names)
        if opened is not None:
            there = [name for name in columns.all if name in opened.schema.names]
            yield from read_batches(opened, there, Limits(batch_rows, _TEXT_MEMORY_BYTES))
        self._count(files=1)

    def _parquet_batches(
        self, info: ParquetFileInfo, columns: LoadColumns, batch_rows: int, since: datetime | None
    ) -> Iterator[pa.RecordBatch]:
        predicate = row_groups = None
        kind = self._time_kind(info, columns.timestamp) if since is not None else None
        if since is not None and kind is not None:
            if pa.types.is_timestamp(kind):
                predicate = Predicate.parse([(columns.timestamp, ">", since)])
            else:  # text is decoded before its rows are compared
                row_groups = partial(groups_after, column=columns.timestamp, since=since)
        seen = ScanStats()
        scan = Scan(columns.all, predicate, batch_rows=batch_rows, row_groups=row_groups)
        yield from scan_parquet(self._inputs, _meta(info), scan, seen)
        self._count_scan(seen)

    def _time_kind(self, info: ParquetFileInfo, column: str) -> pa.DataType | None:
        """Return how times are stored in a file."""
        schema = self.schema(info, WantedColumns())
        known = schema is not None and column in schema.names
        return schema.field(column).type if known and schema is not None else None

    def _read_batches(
        self, info: ParquetFileInfo, columns: LoadColumns, since: datetime | None
    ) -> pa.Table:
        batches = []
        for batch in self.batches(info, columns, since=since):
            self._held.add(batch.nbytes)
            batches.append(batch)
        if batches:
            return pa.Table.from_batches(batches)
        schema = self.schema(info, WantedColumns()) if info.is_parquet else None
        return _empty(schema, columns)

    def _read_tail(self, info: ParquetFileInfo, columns: LoadColumns, rows: int) -> pa.Table:
        seen = ScanStats()
        table = read_tail(self._inputs, _meta(info), columns.all, columns.timestamp, rows, seen)
        self._count_scan(seen)
        self._held.add(table.nbytes)
        return table

    def _open_text(self, info: ParquetFileInfo, names: ColumnNames) -> OpenTable | None:
        opening = partial(open_object, self._inputs, _meta(info))
        source = SeriesSource(opening, info.extension, info.key)
        return open_table(source, names, Limits(_BATCH_ROWS, _TEXT_MEMORY_BYTES))

    # -- the cache, and what is counted ------------------------------------------------------------

    def _cached(self, info: ParquetFileInfo, what: object) -> pa.Table | None:
        if self._cache is None:
            return None
        found = self._cache.get(entry_name(self._inputs.address, _meta(info), [what]))
        self._count(cache_misses=int(found is None), cache_hits=int(found is not None))
        return found

    def _keep(self, info: ParquetFileInfo, what: object, table: pa.Table) -> None:
        if self._cache is not None:
            self._cache.put(entry_name(self._inputs.address, _meta(info), [what]), table)

    def _count_scan(self, seen: ScanStats) -> None:
        groups = {"row_groups": seen.row_groups, "row_groups_skipped": seen.row_groups_skipped}
        self._count(files=seen.files, **groups)

    def _count(self, **more: int) -> None:
        with self._lock:
            for name, number in more.items():
                setattr(self.stats, name, getattr(self.stats, name) + number)


def _meta(info: ParquetFileInfo) -> ObjectMeta:
    return ObjectMeta(info.key, info.etag, info.size_bytes, 0)


def _empty(schema: pa.Schema | None, columns: LoadColumns) -> pa.Table:
    names = [name for name in columns.all if schema is not None and name in schema.names]
    return pa.schema([schema.field(name) for name in names]).empty_table()  # type: ignore[union-attr]
