"""A partition together with the rows of its neighbours that its calendar bins need.

Neighbours are the files of the same series in the months around. Of them are read: the rows in the
bins that the partition has rows in, and of each series the last row before and the first row after.
So a bin that spans files has all its rows, and a series that goes on in another file does not end.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from gigacast.core.array import BoolArray, IntArray
from gigacast.core.column import to_arrow
from gigacast.core.contract.cast import plain_type
from gigacast.core.footer import VerifiedParquet
from gigacast.core.partition.task import InputObject
from gigacast.core.series.batch import NO_TIME
from gigacast.core.time.calendar_grid import DAY_US
from gigacast.core.time.frequency import Frequency
from gigacast.errors import SchemaError
from gigacast.quality.file import Keys, PartitionFile, open_partition
from gigacast.scratch import ScratchFolder
from gigacast.series.aggregation.aggregate import Span, bins_between
from gigacast.series.segment import offsets_of
from gigacast.series.timestamp import Clock, is_text
from gigacast.storage.parquet.writer import scratch_writer
from gigacast.storage.store import Store

_SHORTEST_MONTH_DAYS = 28
_COPIED_ROWS = 1 << 16


def months_around(freq: Frequency) -> int:
    """Return the number of months before and after a month that its bins may reach into.

    At least one: in another zone a day may begin in the month before.
    """
    if freq.kind == "months":
        return freq.count
    days = freq.count // DAY_US if freq.kind == "fixed" else 1
    return 1 + max(days - 1, 0) // _SHORTEST_MONTH_DAYS


@dataclass(frozen=True)
class Joined:
    """The rows of a partition and of its neighbours.

    Parameters
    ----------
    file : PartitionFile
        All rows, in the order of the files.
    own : range
        Rows of the partition.
    """

    file: PartitionFile
    own: range

    def are_own(self, rows: IntArray) -> BoolArray:
        """Return which rows are of the partition, bool [R]."""
        is_own: BoolArray = (rows >= self.own.start) & (rows < self.own.stop)
        return is_own


class _Edge(NamedTuple):
    """The rows of a neighbour that are needed, with times in UTC, and its key."""

    key: str
    rows: pa.Table


@contextmanager
def joined_with_neighbours(
    store: Store, file: PartitionFile, keys: Keys, freq: Frequency, clock: Clock
) -> Iterator[Joined]:
    """Yield a partition with the rows of its neighbours; itself if it needs none.

    Parameters
    ----------
    store : Store
    file : PartitionFile
    keys : Keys
        Keys of its rows.
    freq : Frequency
        Frequency of the bins.
    clock : Clock
        Clock that the bins are cut by.

    Raises
    ------
    SchemaError
        If a neighbour names its series or times otherwise, or the rows need too much memory.
    CorruptedFileError
    """
    times = keys.arranged.times
    edges: list[_Edge] = []
    if len(times) and len(file.task.inputs) > 1:
        span = bins_between(int(times.min()), int(times.max()), freq, clock)
        every = (_edge(store, file, keys, entry, span) for entry in file.task.inputs[:-1])
        edges = [edge for edge in every if edge is not None]
    if not edges:
        yield Joined(file, range(file.rows))
        return
    with ScratchFolder("bins") as folder:
        local = folder / "rows.parquet"
        schema = _common_schema(file, keys, edges)
        own = _write(file, keys, edges, schema, local)
        texts = [field.name for field in schema if is_text(field.type)]
        with VerifiedParquet(local, read_dictionary=texts) as rows:
            yield Joined(file.with_rows(rows), own)


def _edge(
    store: Store, file: PartitionFile, keys: Keys, entry: InputObject, span: Span
) -> _Edge | None:
    """Return the rows of a neighbour that the bins of a partition need; ``None`` without any."""
    task = replace(file.task, inputs=(entry,))
    with open_partition(store, task, file.reading) as near:
        near_keys = near.keys()
        is_same_clock = near_keys.clock.counts_steps == keys.clock.counts_steps
        _check_keys(file, near, is_same_clock=is_same_clock)
        rows = _needed_rows(near_keys, span)
        if not len(rows):
            return None
        indices = to_arrow(rows)
        names = [name for name in file.schema.names if name in near.schema.names]
        columns = {name: near.column(name).take(indices) for name in names}
        columns[file.timestamp] = pa.chunked_array([_time_column(near_keys, rows)])
        return _Edge(entry.key, pa.table(columns))


def _check_keys(file: PartitionFile, near: PartitionFile, *, is_same_clock: bool) -> None:
    if is_same_clock and (near.ids, near.timestamp) == (file.ids, file.timestamp):
        return
    raise SchemaError(
        f"calendar bins span {file.key} and {near.key}, whose columns of series and times differ: "
        f"{_key_text(file)}; {_key_text(near)}",
        hint="name the columns: --item_column, --timestamp_column; or write the files in one form",
    )


def _key_text(file: PartitionFile) -> str:
    fields = (file.schema.field(name) for name in (*file.ids, file.timestamp))
    return ", ".join(f"{field.name} ({plain_type(field.type)})" for field in fields)


def _needed_rows(keys: Keys, span: Span) -> IntArray:
    """Return the rows within a span, and the rows of each series next to it, in ascending order."""
    arranged = keys.arranged
    times, offsets = arranged.times, arranged.offsets
    is_before, is_after = times < span.start, times >= span.stop
    needed = ~(is_before | is_after)
    counts_before = np.diff(offsets_of(is_before)[offsets])
    counts_after = np.diff(offsets_of(is_after)[offsets])
    needed[(offsets[:-1] + counts_before - 1)[counts_before > 0]] = True
    needed[(offsets[1:] - counts_after)[counts_after > 0]] = True
    places = np.flatnonzero(needed)
    rows: IntArray = places if arranged.order is None else np.sort(arranged.order[places])
    return rows


def _time_column(keys: Keys, rows: IntArray | slice) -> pa.Array:
    """Return times as read, in UTC or steps.

    Local times are resolved by the order of all rows of their file, so not again from some of them.
    """
    times = keys.times[rows]
    column = to_arrow(times, times == NO_TIME)
    return column if keys.clock.counts_steps else column.cast(pa.timestamp("us", "UTC"))


def _common_schema(file: PartitionFile, keys: Keys, edges: list[_Edge]) -> pa.Schema:
    """Return the columns of a partition, in types that hold the values of its neighbours too."""
    time = pa.field(file.timestamp, _time_column(keys, slice(0, 0)).type)
    place = file.schema.get_field_index(file.timestamp)
    own = _with_plain_types(file.schema.set(place, time))
    schema = own
    for edge in edges:
        try:
            schema = pa.unify_schemas(
                [schema, _with_plain_types(edge.rows.schema)], promote_options="permissive"
            )
        except pa.ArrowException as error:
            reason = str(error).partition("\n")[0][:300]
            raise SchemaError(
                f"calendar bins span {file.key} and {edge.key}, whose types differ: {reason}",
                hint="write the columns of both files in one type",
            ) from error
    return schema


def _with_plain_types(schema: pa.Schema) -> pa.Schema:
    return pa.schema([(field.name, plain_type(field.type)) for field in schema])


def _write(
    file: PartitionFile, keys: Keys, edges: list[_Edge], schema: pa.Schema, path: Path
) -> range:
    """Write all rows to a file, in the order of the files' keys; return the partition's own rows.

    In that order, so that all files agree on which of two duplicates stays.
    """
    before = [edge.rows for edge in edges if edge.key < file.key]
    after = [edge.rows for edge in edges if edge.key > file.key]
    first = sum(rows.num_rows for rows in before)
    with scratch_writer(path, schema) as writer:
        for rows in chain(before, _own_rows(file, keys), after):
            writer.write(_in_schema(rows, schema))
    return range(first, first + file.rows)


def _in_schema(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return rows with all columns of a schema, those that they lack without values."""
    columns = [
        rows.column(field.name).cast(field.type)
        if field.name in rows.column_names
        else pa.nulls(len(rows), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _own_rows(file: PartitionFile, keys: Keys) -> Iterator[pa.Table]:
    start = 0
    for batch in file.batches(_COPIED_ROWS):
        rows = pa.Table.from_batches([batch])
        times = _time_column(keys, slice(start, start + len(rows)))
        yield rows.set_column(rows.column_names.index(file.timestamp), file.timestamp, times)
        start += len(rows)
