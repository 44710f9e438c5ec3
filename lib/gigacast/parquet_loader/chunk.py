"""The rows of files chunk by chunk, for data larger than memory.

Missing values are filled across the borders of chunks: of the chunks before, the rows with the last
known values are kept. Lines are drawn to the next known value, in whichever chunk it is; see `gap`.
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
from gigacast.parquet_loader.gap import AheadReader, ItemEnds
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
    number: int
    start: "_Start"


@dataclass(frozen=True)
class _Start:
    """A file at which chunks are read from: its place, and the number of its first chunk."""

    file: int = 0
    number: int = 0


@dataclass(frozen=True)
class _Reading:
    """What all passes over the files share."""

    columns: LoadColumns
    files: tuple[ParquetFileInfo, ...]
    shape: "_Shape"
    normaliser: Normaliser
    rows: int
    batch_bytes: int


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
        reading = self._reading(columns, processing)
        for raw, around in self._surrounded(reading, processing):
            table = process_rows(raw.table, columns, processing, raw.stats, around)
            raw.stats.rows, raw.stats.memory_bytes = table.num_rows, table.nbytes
            raw.stats.seconds = time.perf_counter() - started
            yield LoadedDataset(table, columns, self._request.symbol, (raw.info,), raw.stats)
            started = time.perf_counter()

    def _reading(self, columns: LoadColumns, processing: Processing) -> _Reading:
        # Four parts of the memory limit are in use at a time: the chunk of the caller, the chunk
        # read ahead, the one being read, and the bytes it is decoded from; six where gaps are read
        # ahead. A value is counted as 16 bytes, twice a float64, as rows are copied when they are
        # sorted.
        parts = 6 if processing.nulls == "interpolate" else 4
        part = self._resources.memory_limit_bytes // parts
        rows = max(_SMALLEST_CHUNK_ROWS, part // (16 * len(columns.all)))
        shape = _Shape(columns, self._types(columns))
        return _Reading(
            columns,
            self._recovery.files_read(self._request.files),
            shape,
            Normaliser(columns, self._request.columns.unit),
            min(self._resources.chunk_rows, rows),
            part,
        )

    def _raw(self, reading: _Reading, first: _Start) -> Iterator[_Raw]:
        """Yield the chunks from a file on."""
        number = first.number
        for place, info in enumerate(reading.files[first.file :], first.file):
            start = _Start(place, number)
            try:
                batches = self._files.chunks(
                    info, reading.columns, reading.rows, reading.batch_bytes
                )
                for batch in batches:
                    raw = pa.Table.from_batches([batch])
                    reading.normaliser.settle(raw)
                    table, dropped = reading.normaliser.apply(raw, info.key)
                    table = sort_rows(reading.shape.apply(table, info.key), reading.columns)
                    stats = LoadStats(files=1, null_timestamps=dropped)
                    yield _Raw(table, info, stats, number, start)
                    number += 1
            except BAD as error:
                # Rows before the damage may have been given: they cannot be taken back.
                self._recovery.leave_out(info, error)

    def _surrounded(
        self, reading: _Reading, processing: Processing
    ) -> Iterator[tuple[_Raw, Surroundings]]:
        """Yield each chunk with the rows that its missing values are filled from."""
        columns, ahead = reading.columns, None
        before: pa.Table | None = None
        for chunk in self._raw(reading, _Start()):
            if not processing.fills:
                yield chunk, Surroundings()
                continue
            # Most chunks of most data end with known values: nothing is read twice then.
            if ahead is None and processing.nulls == "interpolate" and _ends_open(chunk, columns):
                again = self._raw(reading, chunk.start)
                ahead = AheadReader(((raw.number, raw.table) for raw in again), columns)
            yield chunk, Surroundings(before, ahead and ahead.after(chunk.number))
            parts = [chunk.table] if before is None else [before, chunk.table]
            before = edge_rows(sort_rows(pa.concat_tables(parts), columns), columns, first=False)

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


def _ends_open(chunk: _Raw, columns: LoadColumns) -> bool:
    return chunk.table.num_rows > 0 and bool(ItemEnds(chunk.table, columns).open.any())
