"""The rows of files chunk by chunk, for data larger than memory.

Missing values are filled across the borders of chunks: of the chunks before, the rows with the last
known values are kept. A line is drawn to the next chunk at the furthest, so gaps over a whole chunk
stay missing.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa

from gigacast.core.contract.evolution import conform, unify_schemas
from gigacast.core.plural import counted
from gigacast.parquet_loader.column import Normaliser, check_columns, loaded_schema
from gigacast.parquet_loader.dataset import LoadColumns, LoadedDataset, LoadStats
from gigacast.parquet_loader.discovery import ParquetFileInfo
from gigacast.parquet_loader.file import FileRows
from gigacast.parquet_loader.process import Processing, Surroundings, edge_rows, process_rows
from gigacast.parquet_loader.recovery import BAD, Recovery
from gigacast.parquet_loader.request import LoadRequest, LoadResources
from gigacast.parquet_loader.rows import sort_rows

_SMALLEST_CHUNK_ROWS = 1 << 10
"""Minimum rows of a chunk, however many columns share the memory limit."""


@dataclass(frozen=True)
class _Raw:
    """A chunk before it is processed."""

    table: pa.Table
    info: ParquetFileInfo
    stats: LoadStats


class ChunkReader:
    """Reads the rows of a request chunk by chunk, in the order of the files.

    Parameters
    ----------
    files : FileRows
    recovery : Recovery
    request : LoadRequest
    resources : LoadResources
    """

    def __init__(
        self, files: FileRows, recovery: Recovery, request: LoadRequest, resources: LoadResources
    ) -> None:
        self._files = files
        self._recovery = recovery
        self._request = request
        self._resources = resources

    def chunks(self, columns: LoadColumns, processing: Processing) -> Iterator[LoadedDataset]:
        """Yield the processed rows.

        Raises
        ------
        InputChangedError, DataError, StorageError
        """
        started = time.perf_counter()
        for raw, around in _surrounded(self._raw(columns), columns, processing):
            table = process_rows(raw.table, columns, processing, raw.stats, around)
            raw.stats.rows, raw.stats.memory_bytes = table.num_rows, table.nbytes
            raw.stats.seconds = time.perf_counter() - started
            yield LoadedDataset(table, columns, self._request.symbol, (raw.info,), raw.stats)
            started = time.perf_counter()

    def _raw(self, columns: LoadColumns) -> Iterator[_Raw]:
        limit = self._resources.memory_limit_bytes
        # Four parts of the memory limit are in use at a time: the chunk of the caller, the chunk
        # read ahead, the one being read, and the bytes it is decoded from. A value is counted as
        # 16 bytes, twice a float64, as rows are copied when they are sorted.
        max_rows = limit // 4 // (16 * len(columns.all))
        rows = min(self._resources.chunk_rows, max(_SMALLEST_CHUNK_ROWS, max_rows))
        shape = _Shape(columns, self._types(columns))
        normaliser = Normaliser(columns, self._request.columns.unit)
        for info in self._recovery.files_read(self._request.files):
            try:
                for batch in self._files.chunks(info, columns, rows, limit // 4):
                    raw = pa.Table.from_batches([batch])
                    normaliser.settle(raw)
                    table, dropped = normaliser.apply(raw, info.key)
                    table = sort_rows(shape.apply(table, info.key), columns)
                    yield _Raw(table, info, LoadStats(files=1, null_timestamps=dropped))
            except BAD as error:
                # Rows before the damage may have been given: they cannot be taken back.
                self._recovery.leave_out(info, error)

    def _types(self, columns: LoadColumns) -> list[pa.Field]:
        """Return the fields of all chunks, without times: types that hold the values of all files.

        All schemas are read first, so that the chunks of all files have the same types.

        Raises
        ------
        SchemaError
            If a file lacks a column, or its types do not fit those of the other files.
        """
        times = {columns.timestamp, *columns.timestamps}
        request, parts = self._request, []

        def fields(info: ParquetFileInfo) -> pa.Schema | None:
            schema = self._files.schema(info, request.columns)
            if schema is None:
                return None
            check_columns(schema, columns, info.key)
            names = [n for n in columns.all if n in schema.names and n not in times]
            return loaded_schema(pa.schema([schema.field(n) for n in names]), columns)

        # A footer is a small request, so several are read at a time.
        with ThreadPoolExecutor(self._resources.workers, "gigacast-footer") as pool:
            schemas = pool.map(lambda info: self._recovery.attempt(info, fields), request.files)
            parts = [schema for schema in schemas if schema is not None]
        if not parts:
            self._recovery.check_some_left()
        return list(unify_schemas(parts, f"{request.symbol} ({counted(len(parts), 'file')})"))


class _Shape:
    """Columns of all chunks, in the same order and of the same types."""

    def __init__(self, columns: LoadColumns, fields: list[pa.Field]) -> None:
        self._columns = columns
        self._fields = {field.name: field for field in fields}

    def apply(self, table: pa.Table, label: str) -> pa.Table:
        """Return rows in the form of all chunks.

        Raises
        ------
        SchemaError
            If a column of times has another type than in the chunks before.
        """
        for name in (self._columns.timestamp, *self._columns.timestamps):
            if name in table.column_names:
                # The form of times is known once the first are read.
                self._fields.setdefault(name, table.schema.field(name))
        # A file may lack a feature that holds times, before any file had it.
        unknown = pa.timestamp("us")
        names = self._columns.all
        fields = [self._fields.get(name, pa.field(name, unknown)) for name in names]
        return conform(table, pa.schema(fields), label)


def _surrounded(
    chunks: Iterator[_Raw], columns: LoadColumns, processing: Processing
) -> Iterator[tuple[_Raw, Surroundings]]:
    """Yield each chunk with the rows that its missing values are filled from."""
    if not processing.fills:
        for chunk in chunks:
            yield chunk, Surroundings()
        return
    before: pa.Table | None = None
    looks_ahead = processing.nulls == "interpolate"
    current = next(chunks, None)
    while current is not None:
        chunk = current
        following = next(chunks, None) if looks_ahead else None
        after = edge_rows(following.table, columns, first=True) if following else None
        yield chunk, Surroundings(before, after)
        parts = [chunk.table] if before is None else [before, chunk.table]
        before = edge_rows(sort_rows(pa.concat_tables(parts), columns), columns, first=False)
        current = following if looks_ahead else next(chunks, None)
