"""An open partition that is read column by column.

Memory holds the keys (a series and a time for each row) and one column. A partition that would not
fit is refused before it is read.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gigacast.core.array import BoolArray, CodeArray, IntArray
from gigacast.core.column import to_arrow, to_numpy
from gigacast.core.contract.cast import plain_type
from gigacast.core.partition.name import hive_levels
from gigacast.core.partition.task import Task
from gigacast.core.plain import plain_batch, plain_schema, plain_table
from gigacast.core.series.batch import NO_TIME
from gigacast.core.series.item_key import ItemKey
from gigacast.core.time.frequency import Frequency
from gigacast.core.time.number import check_steps, number_range
from gigacast.errors import SchemaError
from gigacast.job.file_job import Reading
from gigacast.quality.columns import Arranged, Expectation, arrange
from gigacast.quality.csv_file import csv_as_parquet
from gigacast.series.aggregation.wall import moments_of
from gigacast.series.columns import recognise_keys
from gigacast.series.identity import id_type, read_ids
from gigacast.series.made import check_levels
from gigacast.series.source import ColumnNames
from gigacast.series.timestamp import Clock, OffsetGuard, clock_of, is_text, needs_range
from gigacast.storage.parquet.read import open_parquet, translated_parquet
from gigacast.storage.store import ObjectMeta, Store

ROW_BYTES = 80
"""Memory per row: its key as read and as arranged, and a column as read and as numbers."""
_LOOK_BYTES = 40
"""Memory per row of temporary arrays while a column is measured."""
_HELD_SHARE = 8
"""A partition of less than this part of the memory limit is read once and kept."""
_ZONED = r"(?:[Zz]|:\d\d[+-]\d\d:?\d\d)\s*$"


@dataclass(frozen=True)
class Keys:
    """The series and the time of each row of a partition.

    Parameters
    ----------
    codes : int32 [R], optional
        Number of the series; ``None`` with a single series.
    times : int64 [R]
        Microseconds in UTC, or plain step numbers.
    names : pa.Array, optional
        Ids of the series by code, in ascending order.
    clock : Clock
    arranged : Arranged
        The keys in order.
    """

    codes: CodeArray | None
    times: IntArray
    names: pa.Array | None
    clock: Clock
    arranged: Arranged

    @cached_property
    def ranks(self) -> CodeArray | None:
        """Number of the series of each arranged row, from 0; ``None`` with a single series."""
        arranged = self.arranged
        if len(arranged.codes) <= 1:
            return None
        numbers = np.arange(len(arranged.codes), dtype=np.int32)
        return np.repeat(numbers, np.diff(arranged.offsets))

    @property
    def row_ranks(self) -> tuple[CodeArray | None, BoolArray | None]:
        """Number of the series of each row in the order of the file, and which rows have a key."""
        arranged, has_key = self.arranged, None
        if len(arranged.times) < arranged.rows:
            has_key = np.zeros(arranged.rows, np.bool_)
            has_key[arranged.order] = True
        if self.codes is None or len(arranged.codes) <= 1:
            return None, has_key
        by_code = np.zeros(int(self.codes.max()) + 1, np.int32)
        by_code[arranged.codes] = np.arange(len(arranged.codes))
        return by_code[self.codes], has_key


class PartitionFile:
    """An open partition.

    Attributes
    ----------
    schema : pa.Schema
        Columns as stored, except that texts are dictionaries.
    ids : tuple of str
        Columns of item ids; none for a single series.
    timestamp : str
    rows : int
    key : str
        Key of the object.
    reading : Reading
    """

    def __init__(self, file: pq.ParquetFile, store: Store, task: Task, reading: Reading) -> None:
        self._file = file
        self._store = store
        self.reading = reading
        self.key = task.inputs[-1].key  # those before are its neighbours
        self.task = task
        with self.translated():
            self.schema: pa.Schema = plain_schema(file.schema_arrow.remove_metadata())
        self.rows = int(file.metadata.num_rows)
        if len(set(self.schema.names)) < len(self.schema):
            raise SchemaError(f"{self.key}: two columns have the same name")
        self._held: pa.Table | None = None
        groups = (file.metadata.row_group(n) for n in range(file.metadata.num_row_groups))
        encoded = sum(int(group.total_byte_size) for group in groups)
        # A dictionary or a run of equal values is small in the file and large in memory.
        self._size_bytes = max(encoded, self.rows * sum(map(_width, self.schema.types)))
        self.ids, self.timestamp = self._key_columns(reading.columns)
        self.check_size(self.rows)

    def _key_columns(self, columns: ColumnNames) -> tuple[tuple[str, ...], str]:
        # A Hive level is the same in all rows of a file: within it, it tells no series apart.
        levels = hive_levels(self.key).keys() - set(self.schema.names)
        if levels.isdisjoint({*columns.items, columns.item_id}):
            return recognise_keys(self.schema, columns, self.key)
        items = tuple(name for name in columns.items if name not in levels)
        own = replace(columns, items=items, item_id=None)
        ids, timestamp = recognise_keys(self.schema, own, self.key)
        return ids if items else (), timestamp

    def with_rows(self, file: pq.ParquetFile) -> "PartitionFile":
        """Return the partition with other rows, made of its own."""
        return PartitionFile(file, self._store, self.task, self.reading)

    def check_size(self, rows: int) -> None:
        """Check that a number of rows fits into the memory limit.

        Raises
        ------
        SchemaError
        """
        needed, limit = rows * ROW_BYTES, self.reading.memory_limit_bytes
        if needed > limit:
            raise SchemaError(
                f"{self.key}: its {rows:,} rows need about {needed >> 20:,} MiB, the memory "
                f"limit is {limit >> 20:,} MiB",
                hint="raise --memory_limit, or import it with --partition_by month",
            )

    @property
    def measured(self) -> list[str]:
        """Names of the columns that are not keys."""
        return [n for n in self.schema.names if n not in {*self.ids, self.timestamp}]

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise errors of pyarrow about the content as the package's errors."""
        with translated_parquet(self._store, self.key):
            yield

    @property
    def columns_at_once(self) -> int:
        """Number of columns to measure at a time: one, unless the partition is in memory."""
        if self._held is None or not self.rows:
            return 1
        used = self._held.nbytes + self.rows * ROW_BYTES
        spare = self.reading.memory_limit_bytes - used
        return max(1, int(spare // (self.rows * _LOOK_BYTES)))

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a column."""
        if (table := self._small()) is not None:
            return table.column(name)
        with self.translated():
            return plain_table(self._file.read(columns=[name], use_threads=False)).column(0)

    def _small(self) -> pa.Table | None:
        """Return the partition if it is small, read once; else ``None``."""
        if self._size_bytes > self.reading.memory_limit_bytes // _HELD_SHARE:
            return None
        if self._held is None:
            with self.translated():
                self._held = plain_table(self._file.read(use_threads=True))
        return self._held

    def batches(self, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the rows in the order of the file, ``rows`` at a time."""
        names = None if columns is None else list(columns)
        if (table := self._small()) is not None:
            selected = table if names is None else table.select(names)
            yield from selected.to_batches(max_chunksize=rows)
            return
        batches = self._file.iter_batches(batch_size=rows, columns=names, use_threads=False)
        # The file is read as batches are drawn, so errors of its content come from `next`.
        while True:
            with self.translated():
                batch = next(batches, None)
            if batch is None:
                return
            yield plain_batch(batch)

    def table(self) -> pa.Table:
        """Return all rows.

        Raises
        ------
        SchemaError
            When three times their size is more than the memory limit: they are to be sorted.
        """
        if (table := self._small()) is not None:
            return table
        # Three times: the rows as read, the order, and the rows as taken in that order.
        size = self._size_bytes
        if size * 3 > self.reading.memory_limit_bytes:
            raise SchemaError(
                f"{self.key}: its rows are not in order, and too many to be sorted in memory "
                f"(about {size * 3 >> 20:,} MiB)",
                hint="raise --memory_limit, or import it with --partition_by month",
            )
        with self.translated():
            return plain_table(self._file.read(use_threads=True))

    def keys(self, *, ascending: bool = False) -> Keys:
        """Return the series and times of all rows; for ``ascending`` see `arrange`."""
        self._check_levels()
        codes, names = self._item_codes()
        column = self.column(self.timestamp)
        kind = column.type
        # The unit of numbers follows from those of all rows, since chunks could lead to different
        # units.
        bounds = number_range(column.combine_chunks()) if needs_range(kind) else None
        clock = clock_of(kind, self.key, self.reading.timestamp_unit, bounds)
        if clock.counts_steps and self.reading.timestamp_unit is None:
            check_steps(bounds, self.timestamp, self.key)
        guard = OffsetGuard()
        for chunk in column.chunks:
            guard.check(chunk, self.key)
        parts = [clock.read(chunk, self.key) for chunk in column.chunks]
        times = np.concatenate(parts) if parts else np.empty(0, np.int64)
        if (zone := self.reading.zone) is not None:
            local = [self._are_local(chunk) for chunk in column.chunks]
            is_local = np.concatenate([*local, np.empty(0, np.bool_)]) & (times != NO_TIME)
            times = self._to_utc(times, codes, is_local, zone)
        # A single series needs no codes, and its rows are sorted by time alone.
        if names is not None and len(names) <= 1 and codes is not None and (codes >= 0).all():
            codes = None
        return Keys(codes, times, names, clock, arrange(codes, times, ascending=ascending))

    def _check_levels(self) -> None:
        levels = hive_levels(self.key)
        for name in {*self.ids} & levels.keys():
            check_levels(pa.table({name: self.column(name)}), self.ids, levels, self.key)

    def _item_codes(self) -> tuple[CodeArray | None, pa.Array | None]:
        """Return the code of each row's series, -1 where missing, and their ids, ascending."""
        if len(self.ids) < 2:
            return self.codes(self.ids[0]) if self.ids else (None, None)
        coded = [self.codes(name) for name in self.ids]
        joined, is_missing = np.zeros(self.rows, np.int64), np.zeros(self.rows, np.bool_)
        for codes, values in coded:
            # Renumbered after each column, so that the numbers stay below the rows times a column.
            _, joined = np.unique(joined * (len(values) + 1) + codes + 1, return_inverse=True)
            is_missing |= codes < 0
        present, first, ranks = np.unique(
            joined[~is_missing], return_index=True, return_inverse=True
        )
        rows = np.flatnonzero(~is_missing)[first]
        key = ItemKey(self.ids, tuple(id_type(values.type) for _, values in coded))
        columns = [values.take(to_arrow(codes[rows])) for codes, values in coded]
        parts = [read_ids(c, kind, self.key) for c, kind in zip(columns, key.types, strict=True)]
        numbers = np.full(self.rows, -1, np.int32)
        numbers[~is_missing] = ranks
        return numbers, key.encode(parts) if len(present) else pa.nulls(0, pa.string())

    def codes(self, name: str) -> tuple[CodeArray, pa.Array]:
        """Return the codes of a column, -1 where missing, and its distinct values, ascending."""
        column = self.column(name)
        if pa.types.is_null(plain_type(column.type)):
            return np.full(self.rows, -1, np.int32), pa.nulls(0, pa.string())
        if isinstance(column.type, pa.BaseExtensionType):
            kind = id_type(column.type)
            column = pa.chunked_array([read_ids(c, kind, self.key) for c in column.chunks], kind)
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        encoded = column.unify_dictionaries().combine_chunks()
        indices = encoded.indices
        filled = pc.fill_null(indices, -1) if indices.null_count else indices
        # Codes that ascend with the ids put items into one order, whatever order the file has.
        order = to_numpy(pc.sort_indices(encoded.dictionary))
        ranks = np.full(len(order) + 1, -1, np.int32)  # the last entry is that of index -1
        ranks[order] = np.arange(len(order))
        return ranks[to_numpy(filled)], encoded.dictionary.take(to_arrow(order))

    def _are_local(self, chunk: pa.Array) -> BoolArray:
        """Return the mask of the times of day that name no zone. Dates are none."""
        kind = chunk.type.value_type if pa.types.is_dictionary(chunk.type) else chunk.type
        if is_text(kind):
            texts = chunk.dictionary_decode() if pa.types.is_dictionary(chunk.type) else chunk
            return ~to_numpy(pc.fill_null(pc.match_substring_regex(texts, _ZONED), False))
        is_bare = pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and kind.tz is None)
        return np.full(len(chunk), is_bare)

    def _to_utc(
        self, times: IntArray, codes: CodeArray | None, is_local: BoolArray, zone: str
    ) -> IntArray:
        """Return times in UTC; local ones are in the zone of the settings.

        Raises
        ------
        SchemaError
            If clocks go back or forward and the order of the rows does not resolve the time.
        """
        rows = np.flatnonzero(is_local)
        series = np.zeros(len(rows), np.int64) if codes is None else codes[rows].astype(np.int64)
        times = times.copy()
        times[rows] = moments_of(times[rows], series, zone, self.key)
        return times


def _width(kind: pa.DataType) -> int:
    """Return the bytes of a value in memory."""
    try:
        return -(-int(kind.bit_width) // 8)
    except ValueError:
        return 4  # texts are dictionaries: an int32 index for each row


@contextmanager
def open_partition(store: Store, task: Task, reading: Reading) -> Iterator[PartitionFile]:
    """Open the partition of a task in the version that was planned.

    Raises
    ------
    CorruptedFileError
        When the object is neither Parquet nor CSV, or damaged.
    SchemaError
    """
    entry = task.inputs[-1]
    if entry.extension == "json":
        raise SchemaError(
            f"{entry.key} is JSON, not Parquet or CSV", hint="write it as Parquet or CSV"
        )
    if entry.extension == "csv":
        with csv_as_parquet(store, entry, reading) as file:
            yield PartitionFile(file, store, task, reading)
        return
    # The ETag pins the planned version. The time of the last write is not used to read it.
    meta = ObjectMeta(entry.key, entry.etag, entry.size_bytes, 0)
    with open_parquet(store, meta, coded=True) as file:
        yield PartitionFile(file, store, task, reading)


def expectation_of(reading: Reading, task: Task, clock: Clock) -> Expectation:
    """Return the times at which a partition is expected to have rows.

    Parameters
    ----------
    reading : Reading
    task : Task
        Task whose file name may contain the frequency.
    clock : Clock
        Clock of the times. Plain step numbers have no frequency.
    """
    frequency = reading.frequency
    if frequency is None and task.timeframe is not None and not clock.counts_steps:
        frequency = Frequency.parse(task.timeframe)
    return Expectation(reading.calendar, frequency, clock.counts_steps, clock.zone)
