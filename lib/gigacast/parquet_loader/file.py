"""The rows of a file, from the cache or the store. No more is read than requested."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from threading import Lock

import pyarrow as pa

from gigacast.core.dataset.predicate import Predicate
from gigacast.core.partition.name import hive_levels
from gigacast.core.plain import plain_batch, plain_schema, plain_table
from gigacast.errors import ConfigError
from gigacast.parquet_loader.column import ColumnChoice
from gigacast.parquet_loader.dataset import LoadColumns, LoadStats
from gigacast.parquet_loader.discovery import ParquetFileInfo
from gigacast.series.csv.dialect import CsvOptions
from gigacast.series.formats import Limits, OpenTable, open_table, read_batches, with_numbers
from gigacast.series.made import add_levels, check_levels, with_levels
from gigacast.series.source import ColumnNames, SeriesSource
from gigacast.storage.parquet.read import open_object, open_parquet, translated_parquet
from gigacast.storage.parquet.scan import Scan, ScanStats, scan_parquet
from gigacast.storage.parquet.statistics import groups_after
from gigacast.storage.parquet.table_cache import TableCache, entry_name
from gigacast.storage.parquet.tail import read_tail
from gigacast.storage.store import ObjectMeta, Store

_BATCH_ROWS = 1 << 17
_TEXT_MEMORY_BYTES = 1 << 30  # limit for JSON, which cannot be streamed


class MemoryBudget:
    """Counts the bytes of rows in memory over all threads, up to a limit.

    Parameters
    ----------
    limit_bytes : int, optional
        No limit by default.
    symbol : str
        Symbol to name in the error.
    """

    def __init__(self, limit_bytes: int | None, symbol: str) -> None:
        self.limit_bytes = limit_bytes
        self._symbol = symbol
        self._bytes = 0
        self._lock = Lock()

    def add(self, size_bytes: int) -> None:
        """Count more bytes.

        Raises
        ------
        ConfigError
            If the limit is exceeded.
        """
        # Under the lock, as files are read by several threads.
        with self._lock:
            self._bytes += size_bytes
            total = self._bytes
        if self.limit_bytes is not None and total > self.limit_bytes:
            raise ConfigError(
                f"{self._symbol}: the rows take more than {self.limit_bytes / 1e6:,.0f} MB "
                "(parquet_loader.performance.memory_limit)",
                hint="iterate_training_data yields them chunk by chunk; or load fewer months or "
                "columns, or raise the limit",
            )


class FileRows:
    """Reads the rows of files. Several threads may use it.

    Parameters
    ----------
    roots : sequence of Store
        Root of the files, then the fallback roots.
    budget : MemoryBudget
    cache : TableCache, optional
    csv : CsvOptions, optional
        Parts of the dialect of CSV that are named; all are found for each file by default.
    """

    def __init__(
        self,
        roots: Sequence[Store],
        budget: MemoryBudget,
        cache: TableCache | None = None,
        csv: CsvOptions | None = None,
    ) -> None:
        self.stats = LoadStats()
        self._roots = roots
        self._budget = budget
        self._cache = cache
        self._csv = csv or CsvOptions()
        self._lock = Lock()

    def schema(self, info: ParquetFileInfo, choice: ColumnChoice) -> pa.Schema | None:
        """Return the schema of a file; ``None`` if it has no rows.

        Raises
        ------
        CorruptedFileError, SchemaError, PreconditionFailedError
        """
        if not info.is_parquet:
            opened = self._open_text(info, choice.names)
            return opened.schema if opened is not None else None
        # The cache holds tables, so a schema is kept as a table without rows.
        empty = self._cached(info, "schema")
        if empty is None:
            with (
                open_parquet(self._store(info), _meta(info), selective=True) as file,
                translated_parquet(self._store(info), info.key),
            ):
                kinds = plain_schema(file.schema_arrow.remove_metadata())
                empty = kinds.empty_table() if file.metadata.num_rows else pa.table({})
            self._keep(info, "schema", empty)
        if not empty.num_columns:
            return None
        return with_levels(empty.schema, choice.names, hive_levels(info.key))

    def read(
        self,
        info: ParquetFileInfo,
        columns: LoadColumns,
        since: datetime | None = None,
        last_rows: int | None = None,
    ) -> pa.Table:
        """Return the rows of a file in its order, with those of the columns that it has.

        Parameters
        ----------
        info : ParquetFileInfo
        columns : LoadColumns
        since : datetime, optional
            Rows at or before this time may be left out; all are read by default.
        last_rows : int, optional
            Number of latest rows that suffice; all are read by default.

        Raises
        ------
        ConfigError
            If the memory limit is exceeded.
        CorruptedFileError, SchemaError, PreconditionFailedError
        """
        # JSON and CSV are always read completely, whatever number of rows would suffice.
        is_complete = since is None and (last_rows is None or not info.is_parquet)
        if is_complete and (cached := self._cached(info, self._part(columns))) is not None:
            self._budget.add(cached.nbytes)
            return cached
        if info.is_parquet and last_rows is not None and since is None:
            table = self._read_tail(info, columns, last_rows)
        else:
            table = self._read_batches(info, columns, since)
        if is_complete:  # parts of a file are not cached: another request needs other parts
            self._keep(info, self._part(columns), table)
        return table

    def batches(
        self,
        info: ParquetFileInfo,
        columns: LoadColumns,
        batch_rows: int = _BATCH_ROWS,
        since: datetime | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a file in batches, with those of the columns that it has.

        Raises
        ------
        CorruptedFileError, SchemaError, PreconditionFailedError
        """
        if info.is_parquet:
            yield from self._parquet_batches(info, columns, batch_rows, since)
            return
        opened = self._open_text(info, columns.names)
        if opened is not None:
            present = [name for name in columns.all if name in opened.schema.names]
            read = with_numbers(opened, present)
            yield from read_batches(read, present, Limits(batch_rows, _TEXT_MEMORY_BYTES))
        self._count(files=1, bytes_read=info.size_bytes)

    def chunks(
        self, info: ParquetFileInfo, columns: LoadColumns, rows: int, kept_bytes: int
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a file in batches, from the cache if it has them.

        A file whose rows take at most ``kept_bytes`` is cached once it is read to its end.

        Raises
        ------
        CorruptedFileError, SchemaError, PreconditionFailedError
        """
        if (cached := self._cached(info, self._part(columns))) is not None:
            yield from cached.combine_chunks().to_batches(max_chunksize=rows)
            return
        batches: list[pa.RecordBatch] | None = [] if self._cache is not None else None
        size_bytes = 0
        for batch in self.batches(info, columns, rows):
            size_bytes += batch.nbytes
            # The rows of a larger file are not collected: chunks are for data beyond memory.
            if size_bytes > kept_bytes:
                batches = None
            if batches is not None:
                batches.append(batch)
            yield batch
        if batches:
            self._keep(info, self._part(columns), pa.Table.from_batches(batches))

    def _parquet_batches(
        self, info: ParquetFileInfo, columns: LoadColumns, batch_rows: int, since: datetime | None
    ) -> Iterator[pa.RecordBatch]:
        predicate = row_groups = None
        kind = self._time_kind(info, columns.timestamp) if since is not None else None
        if since is not None and kind is not None:
            if pa.types.is_timestamp(kind):
                predicate = Predicate.parse([(columns.timestamp, ">", since)])
            else:  # rows with text times are compared after decoding; row groups may be skipped
                row_groups = partial(groups_after, column=columns.timestamp, since=since)
        stats = ScanStats()
        scan = Scan(columns.all, predicate, batch_rows=batch_rows, row_groups=row_groups)
        levels = hive_levels(info.key)
        for batch in scan_parquet(self._store(info), _meta(info), scan, stats):
            check_levels(batch, columns.ids, levels, info.key)
            yield add_levels(plain_batch(batch), columns.all, levels)
        self._count_scan(info, stats)

    def _time_kind(self, info: ParquetFileInfo, column: str) -> pa.DataType | None:
        """Return the type of a time column in a file; ``None`` if the file lacks it."""
        schema = self.schema(info, ColumnChoice())
        if schema is None or column not in schema.names:
            return None
        return schema.field(column).type

    def _read_batches(
        self, info: ParquetFileInfo, columns: LoadColumns, since: datetime | None
    ) -> pa.Table:
        batches = []
        for batch in self.batches(info, columns, since=since):
            self._budget.add(batch.nbytes)
            batches.append(batch)
        if batches:
            return pa.Table.from_batches(batches)
        # Without rows the schema is still needed, to check the columns.
        schema = self.schema(info, ColumnChoice()) if info.is_parquet else None
        return _empty(schema, columns)

    def _read_tail(self, info: ParquetFileInfo, columns: LoadColumns, rows: int) -> pa.Table:
        stats = ScanStats()
        tail = read_tail(
            self._store(info), _meta(info), columns.all, columns.timestamp, rows, stats
        )
        levels = hive_levels(info.key)
        check_levels(tail, columns.ids, levels, info.key)
        table = add_levels(plain_table(tail), columns.all, levels)
        self._count_scan(info, stats)
        self._budget.add(table.nbytes)
        return table

    def _open_text(self, info: ParquetFileInfo, names: ColumnNames) -> OpenTable | None:
        opening = partial(open_object, self._store(info), _meta(info))
        source = SeriesSource(opening, info.extension, info.key)
        return open_table(source, names, Limits(_BATCH_ROWS, _TEXT_MEMORY_BYTES), self._csv)

    def _part(self, columns: LoadColumns) -> object:
        """Return the name of these columns in the cache."""
        # A named dialect gives other rows of the same bytes.
        return [columns.all, self._csv.named] if self._csv.named else columns.all

    def _store(self, info: ParquetFileInfo) -> Store:
        """Return the root that has a file."""
        return next((s for s in self._roots[1:] if s.address.url == info.root), self._roots[0])

    # -- cache and statistics ----------------------------------------------------------------------

    def _cached(self, info: ParquetFileInfo, part: object) -> pa.Table | None:
        if self._cache is None:
            return None
        table = self._cache.get(entry_name(self._store(info).address, _meta(info), [part]))
        self._count(cache_misses=int(table is None), cache_hits=int(table is not None))
        return table

    def _keep(self, info: ParquetFileInfo, part: object, table: pa.Table) -> None:
        if self._cache is not None:
            self._cache.put(entry_name(self._store(info).address, _meta(info), [part]), table)

    def _count_scan(self, info: ParquetFileInfo, stats: ScanStats) -> None:
        groups = {"row_groups": stats.row_groups, "row_groups_skipped": stats.row_groups_skipped}
        self._count(files=stats.files, bytes_read=stats.files * info.size_bytes, **groups)

    def _count(self, **numbers: int) -> None:
        with self._lock:  # threads that read other files count in the same statistics
            for name, number in numbers.items():
                setattr(self.stats, name, getattr(self.stats, name) + number)


def _meta(info: ParquetFileInfo) -> ObjectMeta:
    return ObjectMeta(info.key, info.etag, info.size_bytes, 0)


def _empty(schema: pa.Schema | None, columns: LoadColumns) -> pa.Table:
    names = [name for name in columns.all if schema is not None and name in schema.names]
    return pa.schema([schema.field(name) for name in names]).empty_table()  # type: ignore[union-attr]
