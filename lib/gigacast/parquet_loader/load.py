"""The rows of files as a table, read in parallel within a memory limit, or chunk by chunk.

Only the requested columns are read, and only the row groups that can hold requested rows. Files
that were read completely are cached by their content.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.contract.evolution import conform, unify_schemas
from gigacast.core.plural import counted
from gigacast.errors import (
    DataNotFoundError,
    InputChangedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    SchemaError,
)
from gigacast.parquet_loader.column import (
    ColumnChoice,
    Normaliser,
    check_columns,
    loaded_schema,
    settle_columns,
)
from gigacast.parquet_loader.dataset import LoadColumns, LoadedDataset, LoadStats
from gigacast.parquet_loader.discovery import ParquetFileInfo
from gigacast.parquet_loader.file import FileRows, MemoryBudget
from gigacast.parquet_loader.process import Processing, process_rows
from gigacast.parquet_loader.rows import sort_rows
from gigacast.series.csv.dialect import CsvOptions
from gigacast.storage.parquet.table_cache import TableCache
from gigacast.storage.prefetch import Prefetched
from gigacast.storage.store import Store

_SMALLEST_CHUNK_ROWS = 1 << 10
"""Minimum rows of a chunk, however many columns share the memory limit."""


@dataclass(frozen=True)
class LoadResources:
    """Limits of loading.

    Parameters
    ----------
    memory_limit_bytes : int
        Maximum bytes of rows in memory.
    workers : int
        Number of files read at a time.
    chunk_rows : int
        Maximum rows of a chunk.
    csv : CsvOptions
        Parts of the dialect of CSV files that are named.
    """

    memory_limit_bytes: int = 1 << 30
    workers: int = 4
    chunk_rows: int = 1 << 20
    csv: CsvOptions = field(default_factory=CsvOptions)


@dataclass(frozen=True)
class LoadRequest:
    """The rows to load.

    Parameters
    ----------
    symbol : str
    files : tuple of ParquetFileInfo
        Files in the order of time; at least one.
    columns : ColumnChoice
    since : datetime, optional
        Time after which rows are loaded; without a zone in the time of the files, or in UTC if
        their times have a zone. All rows by default.
    last_rows : int, optional
        Number of latest rows of each file that suffice; all by default.
    """

    symbol: str
    files: tuple[ParquetFileInfo, ...]
    columns: ColumnChoice
    since: datetime | None = None
    last_rows: int | None = None


class RowLoader:
    """Loads the rows of files below a root.

    Parameters
    ----------
    inputs : Store
    resources : LoadResources
    processing : Processing, optional
        Rows do not change by default.
    cache : TableCache, optional
        Cache of files that are read completely; none by default.
    """

    def __init__(
        self,
        inputs: Store,
        resources: LoadResources,
        processing: Processing | None = None,
        cache: TableCache | None = None,
    ) -> None:
        self._inputs = inputs
        self._resources = resources
        self._processing = processing or Processing()
        self._cache = cache

    def load(self, request: LoadRequest) -> LoadedDataset:
        """Return all rows, in the order of item and time.

        Raises
        ------
        ConfigError
            If they do not fit the memory limit.
        InputChangedError
            If a file was replaced since it was discovered.
        DataError, StorageError
        """
        started = time.perf_counter()
        budget = MemoryBudget(self._resources.memory_limit_bytes, request.symbol)
        files = FileRows(self._inputs, budget, self._cache, self._resources.csv)
        with _pinned(request.symbol):
            columns = _settle(files, request)
            tables, dropped = self._read_all(files, columns, request)
        label = f"{request.symbol} ({counted(len(tables), 'file')})"
        # Files may differ in the width of a type, and lack features that are younger than they.
        schema = unify_schemas([table.schema for table in tables], label)
        schema = pa.schema([schema.field(name) for name in columns.all])
        table = pa.concat_tables([conform(table, schema, label) for table in tables])
        table = sort_rows(table, columns)
        stats = files.stats
        table = process_rows(table, columns, self._processing, stats)
        stats.rows, stats.null_timestamps = table.num_rows, dropped
        stats.seconds = time.perf_counter() - started
        return LoadedDataset(table, columns, request.symbol, request.files, stats)

    def iterate(self, request: LoadRequest) -> Iterator[LoadedDataset]:
        """Yield the rows in chunks, in the order of the files.

        A chunk holds rows of one file and takes about a quarter of the memory limit at most. The
        next chunk is read while the caller works on this one.

        Raises
        ------
        InputChangedError, DataError, StorageError
        """
        budget = MemoryBudget(None, request.symbol)
        files = FileRows(self._inputs, budget, csv=self._resources.csv)
        with _pinned(request.symbol):
            columns = _settle(files, request)
            with Prefetched(self._chunks(files, columns, request), 1) as chunks:
                yield from chunks

    def _chunks(
        self, files: FileRows, columns: LoadColumns, request: LoadRequest
    ) -> Iterator[LoadedDataset]:
        # Four parts of the memory limit are in use at a time: the chunk of the caller, the chunk
        # read ahead, the one being read, and the bytes it is decoded from. A value is counted as
        # 16 bytes, twice a float64, as rows are copied when they are sorted.
        max_rows = self._resources.memory_limit_bytes // 4 // (16 * len(columns.all))
        rows = min(self._resources.chunk_rows, max(_SMALLEST_CHUNK_ROWS, max_rows))
        normaliser = Normaliser(columns, request.columns.unit)
        kinds = self._types(files, columns, request)
        for info in request.files:
            for batch in files.batches(info, columns, rows):
                raw = pa.Table.from_batches([batch])
                normaliser.settle(raw)
                table, dropped = normaliser.apply(raw, info.key)
                fields = pa.schema([*kinds, table.schema.field(columns.timestamp)])
                schema = pa.schema([fields.field(name) for name in columns.all])
                table = conform(table, schema, info.key)
                stats = LoadStats(files=1, null_timestamps=dropped)
                table = process_rows(sort_rows(table, columns), columns, self._processing, stats)
                stats.rows = table.num_rows
                yield LoadedDataset(table, columns, request.symbol, (info,), stats)

    def _types(self, files: FileRows, columns: LoadColumns, request: LoadRequest) -> list[pa.Field]:
        """Return the fields of all chunks, without times: types that hold the values of all files.

        All schemas are read first, so that the chunks of all files have the same types.

        Raises
        ------
        SchemaError
            If a file lacks a column, or its types do not fit those of the other files.
        """
        times = {columns.timestamp, *columns.timestamps}
        parts = []
        # A footer is a small request, so several are read at a time.
        with ThreadPoolExecutor(self._resources.workers, "gigacast-footer") as pool:
            schemas = pool.map(lambda info: files.schema(info, request.columns), request.files)
            for info, schema in zip(request.files, schemas, strict=True):
                if schema is not None:
                    check_columns(schema, columns, info.key)
                    names = [n for n in columns.all if n in schema.names and n not in times]
                    parts.append(
                        loaded_schema(pa.schema([schema.field(n) for n in names]), columns)
                    )
        return list(unify_schemas(parts, f"{request.symbol} ({counted(len(parts), 'file')})"))

    def _read_all(
        self, files: FileRows, columns: LoadColumns, request: LoadRequest
    ) -> tuple[list[pa.Table], int]:
        """Return a normalised table for each file, and the number of rows without a time."""
        tables, dropped = [], 0
        normaliser = Normaliser(columns, request.columns.unit)
        since = _plain_time(request.since)
        with ThreadPoolExecutor(self._resources.workers, "gigacast-load") as pool:
            futures = [
                pool.submit(files.read, info, columns, since, request.last_rows)
                for info in request.files
            ]
            try:
                for info, future in zip(request.files, futures, strict=True):
                    raw = future.result()
                    if not raw.num_columns:  # the file has no rows, or none of the columns
                        schema = files.schema(info, request.columns)
                        check_columns(schema, columns, info.key) if schema is not None else None
                        continue
                    check_columns(raw.schema, columns, info.key)
                    # In the order of the files, as the first numbers settle the unit of times.
                    normaliser.settle(raw)
                    table, without_time = normaliser.apply(raw, info.key)
                    tables.append(_after(table, columns.timestamp, since))
                    dropped += without_time
            finally:  # after an error, files that were not begun are not read
                for future in futures:
                    future.cancel()
        return tables, dropped


def _settle(files: FileRows, request: LoadRequest) -> LoadColumns:
    """Return the columns to load, recognised in the first file that has the requested ones."""
    # Older files may lack a requested feature; the first error is raised if all files do.
    problem: SchemaError | None = None
    for info in request.files:
        schema = files.schema(info, request.columns)
        if schema is None:
            continue
        try:
            return settle_columns(schema, request.columns, info.key)
        except SchemaError as error:
            problem = problem or error
    if problem is not None:
        raise problem
    raise DataNotFoundError(
        f"no rows in {counted(len(request.files), 'file')}, such as {request.files[0].key}",
        hint="write them again, or load other months",
    )


def _plain_time(moment: datetime | None) -> datetime | None:
    """Return a moment without a zone, in UTC if it has one: the form of times in comparisons."""
    if moment is None or moment.tzinfo is None:
        return moment
    return (moment - moment.utcoffset()).replace(tzinfo=None)  # type: ignore[operator]


def _after(table: pa.Table, column: str, since: datetime | None) -> pa.Table:
    if since is None:
        return table
    if not pa.types.is_timestamp(table.schema.field(column).type):
        raise SchemaError(f"column {column!r} counts steps: no moment can be compared with it")
    least = int(np.datetime64(since, "us").astype(np.int64))
    return table.filter(pc.greater(table.column(column).cast(pa.int64()), least))


@contextmanager
def _pinned(symbol: str) -> Iterator[None]:
    """Raise InputChangedError if a file was replaced or deleted since it was discovered."""
    try:
        yield
    except (PreconditionFailedError, ObjectNotFoundError) as error:
        raise InputChangedError(
            f"{symbol}: a file changed while it was read: {error.message}",
            hint="discover the files again",
        ) from error
