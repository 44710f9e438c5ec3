"""The rows of a partition of a table, from its data files.

Files are read by this package's own reader, which checks footers, checksums and numbers of rows.
Columns are found by the ids or names that the table gives them, so that renamed and added columns
are read as the table means them; deleted rows are left out.
"""

import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gigacast.core.array import BoolArray, IntArray
from gigacast.core.column import to_arrow, to_numpy
from gigacast.core.footer import read_metadata
from gigacast.core.plain import plain_batch
from gigacast.errors import CorruptedFileError, ObjectNotFoundError, SchemaError
from gigacast.lake.table.content import (
    PUFFIN,
    DataFile,
    DeleteFile,
    TableColumn,
    TableContent,
    microseconds,
)
from gigacast.lake.table.part import TableObject
from gigacast.lake.table.place import TablePlaces
from gigacast.lake.table.puffin import read_puffin
from gigacast.storage.parquet.read import open_object, open_parquet, read_table, translated_parquet
from gigacast.storage.parquet.statistics import time_bounds
from gigacast.storage.store import ObjectMeta

logger = logging.getLogger(__name__)
BATCH_ROWS = 65_536
_ID = b"PARQUET:field_id"
_GONE = (
    "the snapshot's files were removed (expired, or vacuumed): read a later snapshot, or keep "
    "snapshots for as long as a run takes"
)
_CHANGED = "restore the file: the files of a table never change"
_NONE = np.empty(0, np.int64)
_LARGE = {pa.large_string(): pa.string(), pa.large_binary(): pa.binary()}


class RowReader:
    """Reads the rows of partitions.

    Parameters
    ----------
    content : TableContent
    places : TablePlaces
    """

    def __init__(self, content: TableContent, places: TablePlaces) -> None:
        self._content = content
        self._places = places
        self._deleted = lru_cache(maxsize=8)(self._read_deletes)

    def schema(self, part: TableObject) -> pa.Schema:
        """Return the columns of a partition."""
        return pa.schema([pa.field(c.name, plain_type(c.type)) for c in part.columns])

    def open_whole(self, part: TableObject) -> BinaryIO | None:
        """Open the only data file of a partition if its rows are those of the partition.

        Raises
        ------
        ObjectNotFoundError, StorageError
        """
        file = part.files[0]
        if len(part.files) > 1 or part.cut is not None or file.deletes or file.mask is not None:
            return None
        opened = self._open(file)
        store, key = self._places.find(file.url)
        with translated_parquet(store, key):
            stored = read_metadata(opened).schema.to_arrow_schema()
        own = {field.name: plain_type(field.type) for field in stored}
        names = self._names_in(stored)
        is_same = all(names.get(column.stored) == column.name for column in part.columns)
        schema = self.schema(part)
        if is_same and own == dict(zip(schema.names, schema.types, strict=True)):
            opened.seek(0)
            return opened
        opened.close()
        return None

    def batches(self, part: TableObject) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a partition, in batches that are never empty.

        Raises
        ------
        CorruptedFileError, SchemaError, StorageError
        """
        schema = self.schema(part)
        for file in part.files:
            yield from self._rows_of(file, part, schema)

    def _meta(self, file: DataFile) -> tuple[Any, ObjectMeta]:
        store, key = self._places.find(file.url)
        try:
            meta = store.head(key)
        except ObjectNotFoundError as error:
            raise ObjectNotFoundError(f"{file.url} does not exist", hint=_GONE) from error
        if meta.size_bytes != file.size_bytes:
            raise CorruptedFileError(
                f"{file.url} has {meta.size_bytes} bytes, {file.size_bytes} by its table",
                hint=_CHANGED,
            )
        return store, meta

    def _open(self, file: DataFile) -> BinaryIO:
        store, meta = self._meta(file)
        return open_object(store, meta)

    def _rows_of(
        self, file: DataFile, part: TableObject, schema: pa.Schema
    ) -> Iterator[pa.RecordBatch]:
        store, meta = self._meta(file)
        time = self._time_column(part)
        with open_parquet(store, meta) as parquet:
            names = self._names_in(parquet.schema_arrow)
            groups = list(range(parquet.metadata.num_row_groups))
            if time is not None and part.cut is not None and time.stored in names:
                groups = groups_within(parquet.metadata, names[time.stored], part.cut)
            mask = self._mask(file, parquet.metadata.num_rows)
            if mask is not None:
                mask = _of_groups(mask, parquet.metadata, groups)
            columns = [*part.columns, *([time] if time is not None else [])]
            readable = [names[c.stored] for c in columns if c.stored in names]
            # A batch without columns has no number of rows: the first column gives it.
            read = list(dict.fromkeys(readable)) or parquet.schema_arrow.names[:1]
            if not groups:
                return
            batches = parquet.iter_batches(BATCH_ROWS, groups, read, use_threads=False)
            position = 0
            while True:
                with translated_parquet(store, meta.key):
                    batch = next(batches, None)
                if batch is None:
                    return
                stop = position + batch.num_rows
                piece = None if mask is None else mask[position:stop]
                position = stop
                chosen = _chosen(batch, piece, part, time, names, file)
                if chosen.num_rows:
                    yield _as_columns(chosen, part.columns, schema, names, file)

    def _time_column(self, part: TableObject) -> TableColumn | None:
        if part.cut is None:
            return None
        return next(c for c in self._content.columns if c.name == self._content.time)

    def _names_in(self, stored: pa.Schema) -> Mapping[int | str, str]:
        """Return the columns of a file by what the table knows them by.

        Raises
        ------
        SchemaError
            If the file says neither ids nor names that the table knows.
        """
        names: dict[int | str, str] = {}
        by_id = any(isinstance(column.stored, int) for column in self._content.columns)
        for field in stored:
            number = (field.metadata or {}).get(_ID)
            if not by_id:
                names[field.name] = field.name
            elif number is not None:
                names[int(number)] = field.name
            elif field.name in self._content.names:
                names[self._content.names[field.name]] = field.name
        if not names and len(stored):
            raise SchemaError(
                f"a file of {self._content.location} has no ids of columns, and the table has no "
                "mapping of names (schema.name-mapping.default)",
                hint="set the mapping, or write the file again with the table's own writer",
            )
        return names

    # -- deleted rows ------------------------------------------------------------------------------

    def _mask(self, file: DataFile, rows: int) -> BoolArray | None:
        """Return the mask of the rows that are not deleted, [N]; ``None`` if all are kept."""
        mask = file.mask
        if rows != (len(mask) if mask is not None else file.rows or rows):
            raise CorruptedFileError(
                f"{file.url} has {rows} rows, {file.rows} by its table", hint=_CHANGED
            )
        if not file.deletes:
            return mask
        mask = np.ones(rows, np.bool_)
        for deletes in file.deletes:
            positions = self._deleted(deletes).get(_path_of(file.url), _NONE)
            if len(positions) and not 0 <= positions.min() <= positions.max() < rows:
                raise CorruptedFileError(
                    f"{deletes.url} deletes row {positions.max()} of {file.url}, which has {rows}",
                    hint=_CHANGED,
                )
            mask[positions] = False
        return mask

    def _read_deletes(self, deletes: DeleteFile) -> Mapping[str, IntArray]:
        """Return the positions of deleted rows by the path of their file."""
        store, key = self._places.find(deletes.url)
        if deletes.format == PUFFIN:
            with open_object(store, key) as file:
                vectors = read_puffin(file.read(), deletes.url)
            return {_path_of(path): positions for path, positions in vectors.items()}
        table = read_table(store, key, ["file_path", "pos"])
        paths = table["file_path"].combine_chunks().dictionary_encode()
        codes, positions = to_numpy(paths.indices), to_numpy(table["pos"])
        order = np.argsort(codes, kind="stable")
        bounds = np.searchsorted(codes[order], np.arange(len(paths.dictionary) + 1))
        return {
            _path_of(path): positions[order[start:stop]]
            for path, start, stop in zip(
                paths.dictionary.to_pylist(), bounds[:-1], bounds[1:], strict=True
            )
        }


def groups_within(metadata: pq.FileMetaData, column: str, cut: tuple[int, int]) -> list[int]:
    """Return the row groups that may have times of a month, by their statistics.

    Parameters
    ----------
    metadata : pyarrow.parquet.FileMetaData
    column : str
    cut : (int, int)
        Microseconds since 1970, the end exclusive.
    """
    first, stop = cut
    return [
        group
        for group, bounds in enumerate(time_bounds(metadata, column))
        if bounds is None
        or not all(isinstance(bound, datetime) for bound in bounds)
        or (_since_1970(bounds[1]) >= first and _since_1970(bounds[0]) < stop)
    ]


def _since_1970(moment: datetime) -> int:
    """Return a time in microseconds, rounded down; one without a zone is in UTC."""
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _of_groups(mask: BoolArray, metadata: pq.FileMetaData, groups: list[int]) -> BoolArray:
    """Return the mask of the rows of some row groups."""
    counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    stops = np.cumsum(counts)
    pieces = [mask[stops[group] - counts[group] : stops[group]] for group in groups]
    return np.concatenate(pieces) if pieces else mask[:0]


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return a type with small offsets, which files and tables spell in either way."""
    return _LARGE.get(kind, kind)


def _path_of(url: str) -> str:
    """Return a URL in one spelling: deletes may name ``file:/a`` what the table calls ``/a``."""
    scheme, separator, place = url.partition("://")
    if separator and scheme != "file":
        return f"{'s3' if scheme in {'s3a', 's3n'} else scheme}://{place}"
    return place if separator else url.removeprefix("file:")


def _chosen(
    batch: pa.RecordBatch,
    mask: BoolArray | None,
    part: TableObject,
    time: TableColumn | None,
    names: Mapping[int | str, str],
    file: DataFile,
) -> pa.RecordBatch:
    """Return the rows of a batch that are neither deleted nor of another month."""
    if mask is not None and not mask.all():
        batch = batch.filter(to_arrow(mask))
    if time is None or part.cut is None:
        return batch
    name = names.get(time.stored)
    if name is None:
        raise SchemaError(f"{file.url} has no column {time.name!r} to cut months by")
    times = microseconds(batch.column(name))
    if times.null_count:
        logger.warning("%s: %d rows have no %s", file.url, times.null_count, time.name)
    first, stop = part.cut
    inside = pc.and_(pc.greater_equal(times, first), pc.less(times, stop))
    return batch.filter(inside.fill_null(False))


def _as_columns(
    batch: pa.RecordBatch,
    columns: tuple[TableColumn, ...],
    schema: pa.Schema,
    names: Mapping[int | str, str],
    file: DataFile,
) -> pa.RecordBatch:
    """Return a batch of a file with the columns, names and types of its table."""
    batch = plain_batch(batch)
    arrays = []
    for column, field in zip(columns, schema, strict=True):
        name = names.get(column.stored)
        if name is not None:
            arrays.append(_cast(batch.column(name), field, file))
        elif column.name in file.constants:
            value = file.constants[column.name]
            arrays.append(pa.repeat(pa.scalar(value, field.type), batch.num_rows))
        elif column.has_default:
            raise SchemaError(
                f"{file.url} lacks {column.name!r}, whose default value is not null",
                hint="rewrite the data files of the table, or leave the column out by ?columns=",
            )
        else:
            arrays.append(pa.nulls(batch.num_rows, field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _cast(values: pa.Array, field: pa.Field, file: DataFile) -> pa.Array:
    if values.type == field.type:
        return values
    try:
        return values.cast(field.type)
    except pa.ArrowException as error:
        raise SchemaError(
            f"{file.url}: the column {field.name!r} ({values.type}) cannot be read as {field.type}",
            hint="leave the column out by ?columns=, or rewrite the data files of the table",
        ) from error
