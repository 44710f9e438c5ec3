"""The rows of files as a table, read in parallel within a memory limit, or chunk by chunk.

Only the requested columns are read, and only the row groups that can hold requested rows. Files
that were read completely are cached by their content.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial

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
from gigacast.parquet_loader.chunk import ChunkReader
from gigacast.parquet_loader.column import Normaliser, check_columns, settle_columns
from gigacast.parquet_loader.dataset import LoadColumns, LoadedDataset, LoadStats
from gigacast.parquet_loader.discovery import ParquetFileInfo
from gigacast.parquet_loader.file import FileRows, MemoryBudget
from gigacast.parquet_loader.process import Processing, process_rows
from gigacast.parquet_loader.recovery import Recovery
from gigacast.parquet_loader.request import LoadRequest, LoadResources
from gigacast.parquet_loader.rows import sort_rows
from gigacast.storage.parquet.table_cache import TableCache
from gigacast.storage.prefetch import Prefetched
from gigacast.storage.store import Store


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
    fallbacks : sequence of Store
        Roots that serve files in place of those that cannot be read; none by default.
    """

    def __init__(
        self,
        inputs: Store,
        resources: LoadResources,
        processing: Processing | None = None,
        cache: TableCache | None = None,
        fallbacks: Sequence[Store] = (),
    ) -> None:
        self._inputs = inputs
        self._resources = resources
        self._processing = processing or Processing()
        self._cache = cache
        self._fallbacks = tuple(fallbacks)

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
        files, recovery = self._open(request, self._resources.memory_limit_bytes)
        with _pinned(request.symbol):
            columns = _settle(files, recovery, request)
            tables, dropped = self._read_all(files, recovery, columns, request)
        label = f"{request.symbol} ({counted(len(tables), 'file')})"
        # Files may differ in the width of a type, and lack features that are younger than they.
        schema = unify_schemas([table.schema for table in tables], label)
        schema = pa.schema([schema.field(name) for name in columns.all])
        table = pa.concat_tables([conform(table, schema, label) for table in tables])
        table = sort_rows(table, columns)
        stats = files.stats
        recovery.note(stats)
        table = process_rows(table, columns, self._processing, stats)
        stats.rows, stats.null_timestamps = table.num_rows, dropped
        stats.memory_bytes = table.nbytes
        stats.seconds = time.perf_counter() - started
        read = recovery.files_read(request.files)
        return LoadedDataset(table, columns, request.symbol, read, stats)

    def iterate(
        self, request: LoadRequest, totals: LoadStats | None = None
    ) -> Iterator[LoadedDataset]:
        """Yield the rows in chunks, in the order of the files.

        A chunk holds rows of one file and takes about a quarter of the memory limit at most. The
        next chunk is read while the caller works on this one.

        Parameters
        ----------
        request : LoadRequest
        totals : LoadStats, optional
            Statistics that get those of all chunks; none by default.

        Raises
        ------
        InputChangedError, DataError, StorageError
        """
        totals = LoadStats() if totals is None else totals
        files, recovery = self._open(request, None)
        reader = ChunkReader(files, recovery, request, self._resources)
        with _pinned(request.symbol):
            columns = _settle(files, recovery, request)
            with Prefetched(reader.chunks(columns, self._processing), 1) as chunks:
                for chunk in chunks:
                    # The files are counted once, by those that read them.
                    totals.add(replace(chunk.stats, files=0))
                    yield chunk
        totals.add(files.stats)
        recovery.note(totals)

    def _open(self, request: LoadRequest, limit_bytes: int | None) -> tuple[FileRows, Recovery]:
        budget = MemoryBudget(limit_bytes, request.symbol)
        roots = (self._inputs, *self._fallbacks)
        files = FileRows(roots, budget, self._cache, self._resources.csv)
        return files, Recovery(roots, skip=self._resources.skip_bad_files)

    def _read_all(
        self, files: FileRows, recovery: Recovery, columns: LoadColumns, request: LoadRequest
    ) -> tuple[list[pa.Table], int]:
        """Return a normalised table for each file, and the number of rows without a time."""
        tables, dropped = [], 0
        normaliser = Normaliser(columns, request.columns.unit)
        since = _plain_time(request.since)

        def read(info: ParquetFileInfo) -> pa.Table | None:
            raw = files.read(info, columns, since, request.last_rows)
            if raw.num_columns:
                check_columns(raw.schema, columns, info.key)
                return raw
            # The file has no rows, or none of the columns.
            schema = files.schema(info, request.columns)
            check_columns(schema, columns, info.key) if schema is not None else None
            return None

        with ThreadPoolExecutor(self._resources.workers, "gigacast-load") as pool:
            futures = [pool.submit(recovery.attempt, info, read) for info in request.files]
            try:
                for info, future in zip(request.files, futures, strict=True):
                    raw = future.result()
                    if raw is None:
                        continue
                    # In the order of the files, as the first numbers settle the unit of times.
                    normaliser.settle(raw)
                    normalise = partial(_normalised, normaliser, raw)
                    if (rows := recovery.attempt(info, normalise)) is None:
                        continue
                    table, without_time = rows
                    tables.append(_after(table, columns.timestamp, since))
                    dropped += without_time
            finally:  # after an error, files that were not begun are not read
                for future in futures:
                    future.cancel()
        if not tables:
            recovery.check_some_left()
        return tables, dropped


def _normalised(
    normaliser: Normaliser, raw: pa.Table, info: ParquetFileInfo
) -> tuple[pa.Table, int]:
    return normaliser.apply(raw, info.key)


def _settle(files: FileRows, recovery: Recovery, request: LoadRequest) -> LoadColumns:
    """Return the columns to load, recognised in the first file that has the requested ones."""
    # Older files may lack a requested feature; the first error is raised if all files do.
    problem: SchemaError | None = None
    for info in request.files:
        schema = recovery.attempt(info, lambda file: files.schema(file, request.columns))
        if schema is None:
            continue
        try:
            return settle_columns(schema, request.columns, info.key)
        except SchemaError as error:
            problem = problem or error
    if problem is not None:
        raise problem
    recovery.check_some_left()
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
