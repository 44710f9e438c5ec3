"""The task of a bucketing job: write an object's rows into buckets by a hash of their items.

A row's bucket depends on its item alone, so that an item is in the same bucket in every month.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from gigacast.core.array import IntArray
from gigacast.core.column import to_arrow, to_numpy
from gigacast.core.partition.task import InputObject, Task
from gigacast.core.problem import Source
from gigacast.core.record import decode_json, read_record
from gigacast.errors import CorruptedFileError, ObjectNotFoundError, SchemaError
from gigacast.job.file_worker import FileOutput, FilePlaces, FileWorker
from gigacast.job.worker import Stopwatch
from gigacast.lake.layout import bucket_key
from gigacast.series.decode import item_column
from gigacast.series.formats import Limits, OpenTable, open_table, read_batches
from gigacast.series.identity import hash_ids, id_type, read_ids
from gigacast.series.source import SeriesSource
from gigacast.storage.parquet.read import open_object, open_parquet
from gigacast.storage.parquet.writer import ParquetSink
from gigacast.storage.store import Store

_BATCH_ROWS = 1 << 18
_HELD_ROWS = 1 << 21
"""Rows of all buckets together that wait for their row group to be full."""
_LEAST_GROUP_ROWS = 4096


@dataclass(frozen=True, slots=True)
class BucketPart:
    """The rows of one object in one bucket, as an object."""

    key: str
    etag: str
    rows: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class BucketList:
    """What became of an object: the parts that its rows are in.

    Parameters
    ----------
    partition : str
        Name of the object's partition.
    rows : int
        Rows of the object, all of which are in the parts.
    parts : tuple of BucketPart
        A part for each bucket with rows.
    """

    partition: str
    rows: int
    parts: tuple[BucketPart, ...]

    def to_bytes(self) -> bytes:
        """Return the stored form."""
        parts = [{name: getattr(part, name) for name in part.__slots__} for part in self.parts]
        content = {"partition": self.partition, "rows": self.rows, "parts": parts}
        return json.dumps(content, indent=1, ensure_ascii=False).encode()


def read_list(outputs: Store, key: str) -> BucketList | None:
    """Return the list of an object that was divided; ``None`` if there is none.

    Raises
    ------
    CorruptedFileError
    """
    try:
        content = outputs.get(key)
    except ObjectNotFoundError:
        return None
    source = Source(key, CorruptedFileError, hint="delete it, and run `gigacast data bucket` again")
    return read_record(BucketList, decode_json(content, source), source)


@dataclass(frozen=True)
class BucketSetup:
    """A picklable recipe for the worker of a bucketing job.

    Parameters
    ----------
    places : FilePlaces
    buckets : int
    into : str
        Folder of the buckets below the output root.
    """

    places: FilePlaces
    buckets: int
    into: str

    def __call__(self) -> "BucketWriter":
        """Open the stores and return the worker."""
        return BucketWriter(self)


class BucketWriter(FileWorker):
    """Divides one object per call."""

    job = "bucket"

    def __init__(self, setup: BucketSetup) -> None:
        super().__init__(setup.places)
        self._buckets = setup.buckets
        self._into = setup.into

    def make(self, task: Task, watch: Stopwatch) -> FileOutput:
        """Write the rows of an object into its buckets, then the list of what was written."""
        former = self._former(task)
        with watch.measure("divide"):
            parts, rows = self._divide(task)
        # A changed object may have no row in a bucket that it had rows in. Deleted before the list
        # is written: without the list the task is pending, and is done again.
        current = {part.key for part in parts}
        self._outputs.delete(key for key in former if key not in current)
        content = BucketList(task.partition, rows, parts).to_bytes()
        etag = self._outputs.put_unless_equal(task.output_key, content)
        size = len(content)
        entry = {"key": task.output_key, "etag": etag, "size_bytes": size, "rows": len(parts)}
        return FileOutput(entry, rows, 0, None)

    def _former(self, task: Task) -> list[str]:
        """Return the keys of the parts that an earlier state of an object has left."""
        try:
            stored = read_list(self._outputs, task.output_key)
        except CorruptedFileError:
            stored = None
        own = {bucket_key(self._into, task.inputs[-1].key, n) for n in range(self._buckets)}
        # A list is data of the bucket: only keys that this task could have written are deleted.
        return [part.key for part in stored.parts if part.key in own] if stored else []

    def _divide(self, task: Task) -> tuple[tuple[BucketPart, ...], int]:
        own = task.inputs[-1]
        opening = partial(
            open_object, self._inputs, own.key, if_match=own.etag, size_bytes=own.size_bytes
        )
        source = SeriesSource(opening, own.extension, own.key)
        limits = Limits(_BATCH_ROWS, self._reading.memory_limit_bytes)
        if own.extension != "parquet":
            raise SchemaError(
                f"{own.key}: only Parquet is divided",
                hint="import it first by `gigacast data import`",
            )
        table = open_table(source, self._reading.columns, limits)
        if table is None:
            return (), 0
        if table.layout.item_id is None:
            raise SchemaError(
                f"{own.key} has no column of item ids to divide its rows by",
                hint="name it by --item_column, or several by --item_columns",
            )
        rows, sinks = 0, {}
        schema = self._schema(table, own)
        with ExitStack() as stack:
            for batch, number in self._pieces(table, schema, limits):
                rows += batch.num_rows
                if number not in sinks:
                    key = bucket_key(self._into, own.key, number)
                    sink = ParquetSink(
                        self._outputs, key, batch.schema, row_group_rows=self._group_rows
                    )
                    sinks[number] = stack.enter_context(sink)
                sinks[number].write(batch)
        published = (sinks[number].published for number in sorted(sinks))
        parts = tuple(
            BucketPart(part.key, part.etag, part.rows, part.size_bytes)
            for part in published
            if part is not None
        )
        return parts, rows

    @property
    def _group_rows(self) -> int:
        return max(_LEAST_GROUP_ROWS, _HELD_ROWS // self._buckets)

    def _schema(self, table: OpenTable, entry: InputObject) -> pa.Schema:
        """Return the schema of the parts: that of the object, which is read with texts as codes."""
        with open_parquet(self._inputs, entry.key, if_match=entry.etag, selective=True) as file:
            stored = file.schema_arrow
        fields = [
            stored.field(name) if pa.types.is_dictionary(kind) else pa.field(name, kind)
            for name, kind in zip(table.schema.names, table.schema.types, strict=True)
            if name in stored.names
        ]
        return pa.schema(fields, stored.metadata)

    def _pieces(
        self, table: OpenTable, schema: pa.Schema, limits: Limits
    ) -> Iterator[tuple[pa.RecordBatch, int]]:
        """Yield the rows of each batch by bucket, in their order, as stored."""
        layout = table.layout
        columns = list(dict.fromkeys([*schema.names, *layout.id_names, str(layout.item_id)]))
        for batch in read_batches(table, columns, limits):
            buckets = buckets_of(batch, table, self._buckets)
            order = np.argsort(buckets, kind="stable")
            sorted_rows = batch.select(schema.names).cast(schema).take(to_arrow(order))
            numbers, starts = np.unique(buckets[order], return_index=True)
            ends = [*starts[1:], batch.num_rows]
            for number, start, end in zip(numbers, starts, ends, strict=True):
                yield sorted_rows.slice(int(start), int(end - start)), int(number)


def buckets_of(batch: pa.RecordBatch, table: OpenTable, count: int) -> IntArray:
    """Return the bucket of each row, int64 [N]; rows without an item are in bucket 0.

    Parameters
    ----------
    batch : pa.RecordBatch [N]
        Rows of the table with its column of items.
    table : OpenTable
    count : int
        Number of buckets.
    """
    layout = table.layout
    ids, valid = item_column(batch, layout, "")
    kind = pa.string() if layout.items else id_type(table.schema.field(layout.item_id).type)
    # As text: the same item may be a number in one month's files, and a text in another's.
    texts = read_ids(ids, kind, table.source.name).cast(pa.string())
    codes = texts.dictionary_encode()
    numbers = (hash_ids(codes.dictionary) % np.uint64(count)).astype(np.int64)
    own = numbers[to_numpy(codes.indices)]
    if valid is None:
        return own
    buckets = np.zeros(batch.num_rows, np.int64)
    buckets[valid] = own
    return buckets
