"""Rows of files, read in parallel within a limit of memory, or chunk by chunk.

Only the columns asked for are read, and only the row groups that can hold rows asked for; what was
read whole is kept in a cache by its content. Parquet is read by `storage.parquet_scan`, JSON and
CSV by `series.formats`: the readers of the datasets and the job.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.contract.evolution import conform, unify_schemas
from gigacast.errors import (
    DataNotFoundError,
    InputChangedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    SchemaError,
)
from gigacast.parquet_loader.column import (
    Normaliser,
    WantedColumns,
    check_columns,
    settle_columns,
)
from gigacast.parquet_loader.dataset import LoadColumns, LoadedDataset, LoadStats
from gigacast.parquet_loader.discovery import ParquetFileInfo
from gigacast.parquet_loader.file import FileRows, Held
from gigacast.parquet_loader.process import Processing, process_rows
from gigacast.parquet_loader.rows import sort_rows
from gigacast.storage.parquet.table_cache import TableCache
from gigacast.storage.prefetch import Prefetched
from gigacast.storage.store import Store

_SMALLEST_CHUNK_ROWS = 1 << 10


@dataclass(frozen=True)
class LoadResources:
    """What loading may use.

    Parameters
    ----------
    memory_limit_bytes : int
        Of the rows held at once.
    workers : int
        Files read at a time.
    chunk_rows : int
        Rows of a chunk, at most.
    """

    memory_limit_bytes: int = 1 << 30
    workers: int = 4
    chunk_rows: int = 1 << 20


@dataclass(frozen=True)
class LoadRequest:
    """What is asked for.

    Parameters
    ----------
    symbol : str
    files : tuple of ParquetFileInfo
        In the order of time, one at least.
    wanted : WantedColumns
    since : datetime, optional
        Only rows after it; without a zone it is taken as the files' own time, or UTC.
    last_rows : int, optional
        Each file's latest rows of that number are enough.
    """

    symbol: str
    files: tuple[ParquetFileInfo, ...]
    wanted: WantedColumns
    since: datetime | None = None
    last_rows: int | None = None


class RowLoader:
    """Reads files of one root.

    Parameters
    ----------
    inputs : Store
    resources : LoadResources
    processing : Processing
    cache : TableCache, optional
        Of what is read whole.
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
        """Return all rows as one table, by item and time.

        Raises
        ------
        ConfigError
            When they do not fit the memory limit.
        InputChangedError
            When a file was replaced since it was found.
        DataError, StorageError
        """
        started = time.perf_counter()
        held = Held(self._resources.memory_limit_bytes, request.symbol)
        files = FileRows(self._inputs, held, self._cache)
        with _pinned(request.symbol):
            columns = _settle(files, request)
            tables, dropped = self._read_all(files, columns, request)
        where = f"{request.symbol} ({len(tables)} files)"
        schema = unify_schemas([table.schema for table in tables], where)
        schema = pa.schema([schema.field(name) for name in columns.all])
        table = pa.concat_tables([conform(one, schema, where) for one in tables])
        table = sort_rows(table, columns)
        stats = files.stats
        table = process_rows(table, columns, self._processing, stats)
        stats.rows, stats.null_timestamps = table.num_rows, dropped
        stats.seconds = time.perf_counter() - started
        return LoadedDataset(table, columns, request.symbol, request.files, stats)

    def iterate(self, request: LoadRequest) -> Iterator[LoadedDataset]:
        """Yield the rows chunk by chunk, in the order of the files.

        A chunk holds rows of one file, about a quarter of the memory limit at most, and the next
        one is read while it is worked on.

        Raises
        ------
        InputChangedError, DataError, StorageError
        """
        files = FileRows(self._inputs, Held(None, request.symbol))
        with _pinned(request.symbol):
            columns = _settle(files, request)
            with Prefetched(self._chunks(files, columns, request), 1) as chunks:
                yield from chunks

    def _chunks(
        self, files: FileRows, columns: LoadColumns, request: LoadRequest
    ) -> Iterator[LoadedDataset]:
        # A chunk, the one ahead of it, the next one, and what that is decoded from.
        most = self._resources.memory_limit_bytes // 4 // (16 * len(columns.all))
        rows = min(self._resources.chunk_rows, max(_SMALLEST_CHUNK_ROWS, most))
        normaliser = Normaliser(columns, request.wanted.unit)
        kinds = self._types(files, columns, request)
        for info in request.files:
            for batch in files.batches(info, columns, rows):
                raw = pa.Table.from_batches([batch])
                normaliser.settle(raw)
                table, dropped = normaliser.apply(raw, info.key)
                whole = pa.schema([*kinds, table.schema.field(columns.timestamp)])
                given = pa.schema([whole.field(name) for name in columns.all])
                table = conform(table, given, info.key)
                stats = LoadStats(files=1, null_timestamps=dropped)
                table = process_rows(sort_rows(table, columns), columns, self._processing, stats)
                stats.rows = table.num_rows
                yield LoadedDataset(table, columns, request.symbol, (info,), stats)

    def _types(self, files: FileRows, columns: LoadColumns, request: LoadRequest) -> list[pa.Field]:
        """Return what all chunks have, but for the time: the types that hold every file's values.

        Raises
        ------
        SchemaError
            When a file lacks a column, or its types do not fit the others'.
        """
        times = {columns.timestamp, *columns.timestamps}
        found = []
        with ThreadPoolExecutor(self._resources.workers, "gigacast-footer") as pool:
            schemas = pool.map(lambda info: files.schema(info, request.wanted), request.files)
            for info, schema in zip(request.files, schemas, strict=True):
                if schema is not None:
                    check_columns(schema, columns, info.key)
                    names = [n for n in columns.all if n in schema.names and n not in times]
                    found.append(pa.schema([schema.field(name) for name in names]))
        return list(unify_schemas(found, f"{request.symbol} ({len(found)} files)"))

    def _read_all(
        self, files: FileRows, columns: LoadColumns, request: LoadRequest
    ) -> tuple[list[pa.Table], int]:
        """Read a few files at a time, and normalise them in their order."""
        tables, dropped = [], 0
        normaliser = Normaliser(columns, request.wanted.unit)
        since = _plain_time(request.since)
        with ThreadPoolExecutor(self._resources.workers, "gigacast-load") as pool:
            futures = [
                pool.submit(files.read, info, columns, since, request.last_rows)
                for info in request.files
            ]
            try:
                for info, future in zip(request.files, futures, strict=True):
                    raw = future.result()
                    if not raw.num_columns:  # it has no rows at all, or none of the columns
                        schema = files.schema(info, request.wanted)
                        check_columns(schema, columns, info.key) if schema is not None else None
                        continue
                    check_columns(raw.schema, columns, info.key)
                    normaliser.settle(raw)
                    table, without = normaliser.apply(raw, info.key)
                    tables.append(_after(table, columns.timestamp, since))
                    dropped += without
            finally:
                for future in futures:
                    future.cancel()
        return tables, dropped


def _settle(files: FileRows, request: LoadRequest) -> LoadColumns:
    """Decide on the columns by the first file that has those asked for."""
    problem: SchemaError | None = None
    for info in request.files:
        schema = files.schema(info, request.wanted)
        if schema is None:
            continue
        try:
            return settle_columns(schema, request.wanted, info.key)
        except SchemaError as error:
            problem = problem or error
    if problem is not None:
        raise problem
    raise DataNotFoundError(
        f"none of {len(request.files)} files has rows, as {request.files[0].key}",
        hint="write them again, or ask for other months",
    )


def _plain_time(moment: datetime | None) -> datetime | None:
    """Return a moment in UTC without a zone, as times are compared."""
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
    """Turn a broken If-Match into what it means for the reader."""
    try:
        yield
    except (PreconditionFailedError, ObjectNotFoundError) as error:
        raise InputChangedError(
            f"{symbol}: a file changed while it was read: {error.message}",
            hint="discover the files again",
        ) from error
