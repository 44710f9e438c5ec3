"""Files of each format as Arrow record batches.

Every format gives a `Table`: its schema, and its record batches with only the columns asked for.
Parquet and CSV are streamed; JSON (lines, an array of records, or one object of columns) is read
whole, up to the memory limit. This is the seam where errors of Arrow's readers become ours.

CSV columns have the types of their first block, with three exceptions that keep the outcome
independent of it: ids are text (``001`` stays ``001``), timestamps are whole numbers or text, and
targets float64.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from gigacast.errors import CorruptedFileError, GigacastError, SchemaError
from gigacast.series.columns import Layout, is_category_type, recognise
from gigacast.series.source import MEBIBYTE, ColumnNames, SeriesSource
from gigacast.series.timestamp import is_text, needs_range
from gigacast.series.value import is_value_type

_CSV_BLOCK = 8 * MEBIBYTE
_JSON_EXPANSION = 8  # bytes in memory for a byte of JSON, about


class _TooLargeError(Exception):
    """What cannot be streamed does not fit in memory."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much to read at once.

    Parameters
    ----------
    batch_rows : int
        Rows of a record batch, at most.
    memory_bytes : int
        What a format that cannot stream may hold.
    """

    batch_rows: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Shape:
    """What is known of a file before its rows are read: ``points`` per row, for list columns."""

    schema: pa.Schema | None
    points_per_row: float = 1.0


@dataclass(frozen=True, slots=True)
class OpenTable:
    """A source that has rows, with its layout.

    Parameters
    ----------
    source : SeriesSource
    schema : pa.Schema
        As its batches will have it.
    layout : Layout
    size_bytes : int
        Of the file; 0 where unknown.
    points_per_row : float
        Elements of a list, on average.
    """

    source: SeriesSource
    schema: pa.Schema
    layout: Layout
    size_bytes: int
    points_per_row: float


def open_table(source: SeriesSource, wanted: ColumnNames, limits: Limits) -> OpenTable | None:
    """Read a source's schema and recognise its layout; ``None`` when it has no rows.

    Raises
    ------
    CorruptedFileError
        When the bytes are not of the format.
    SchemaError
        When the columns cannot be used.
    """
    with _translated(source), _opened(source) as file:
        size_bytes = _size_of(file)
        shape = _SHAPES[source.format](file, limits)
    if shape.schema is None:
        return None
    layout = recognise(shape.schema, wanted, source.name)
    schema = _csv_schema(shape.schema, layout) if source.format == "csv" else shape.schema
    return OpenTable(source, schema, layout, size_bytes, shape.points_per_row)


def read_batches(
    table: OpenTable, columns: Sequence[str], limits: Limits
) -> Iterator[pa.RecordBatch]:
    """Iterate over a source's record batches with these columns, in the order of its rows.

    Raises
    ------
    CorruptedFileError
        When the bytes are not of the format.
    """
    source = table.source
    with _translated(source), _opened(source) as file:
        for batch in _BATCHES[source.format](file, table, columns, limits):
            if batch.num_rows:
                yield batch


def _size_of(file: Any) -> int:
    if isinstance(file, pa.Table):
        return int(file.nbytes)
    try:
        size = int(file.seek(0, os.SEEK_END))
        file.seek(0)
    except (OSError, ValueError):  # a pipe
        return 0
    return size


@contextmanager
def _opened(source: SeriesSource) -> Iterator[Any]:
    file = source.open()
    try:
        yield file
    finally:
        if source.format != "table":
            file.close()


@contextmanager
def _translated(source: SeriesSource) -> Iterator[None]:
    try:
        yield
    except (GigacastError, GeneratorExit):
        raise
    except _TooLargeError as error:
        raise SchemaError(
            f"{source.name}: {error}",
            hint="write it as Parquet, which is streamed, or raise memory_limit_bytes",
        ) from error
    except (pa.ArrowException, OSError, ValueError) as error:  # JSON and UTF-8 raise ValueErrors
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk or the network, not the content
        raise CorruptedFileError(
            f"{source.name}: cannot be read as {source.format}: {error}",
            hint="write the object again, or exclude it",
        ) from error


# -- Parquet ---------------------------------------------------------------------------------------


def _parquet_shape(file: Any, limits: Limits) -> Shape:
    del limits
    reader = pq.ParquetFile(file)
    footer = reader.metadata
    if footer.num_rows == 0:
        return Shape(None)
    groups = [footer.row_group(index) for index in range(footer.num_row_groups)]
    points = max(
        sum(group.column(column).num_values for group in groups)
        for column in range(footer.num_columns)
    )
    return Shape(reader.schema_arrow, points / footer.num_rows)


def _parquet_batches(
    file: Any, table: OpenTable, columns: Sequence[str], limits: Limits
) -> Iterator[pa.RecordBatch]:
    # A dictionary is much faster to find runs in than strings, and is how ids are stored anyway.
    item_id = table.layout.item_id
    coded = [item_id] if item_id and _is_stored_text(table.schema.field(item_id).type) else None
    reader = pq.ParquetFile(file, read_dictionary=coded, pre_buffer=False)
    yield from reader.iter_batches(limits.batch_rows, columns=list(columns))


def _is_stored_text(kind: pa.DataType) -> bool:
    return is_text(kind) or bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


# -- Tables in memory ------------------------------------------------------------------------------


def _table_shape(table: pa.Table, limits: Limits) -> Shape:
    del limits
    rows = table.num_rows
    return Shape(table.schema, max(1.0, table.nbytes / rows / 8)) if rows else Shape(None)


def _table_batches(
    content: pa.Table, table: OpenTable, columns: Sequence[str], limits: Limits
) -> Iterator[pa.RecordBatch]:
    del table
    yield from content.select(list(columns)).to_batches(max_chunksize=limits.batch_rows)


# -- CSV -------------------------------------------------------------------------------------------


def _csv_options(limits: Limits) -> pa_csv.ReadOptions:
    return pa_csv.ReadOptions(block_size=max(64 << 10, min(_CSV_BLOCK, limits.memory_bytes // 16)))


def _csv_shape(file: Any, limits: Limits) -> Shape:
    header = _csv_header(file)
    if header and b"\n" not in header:  # Arrow calls a header alone an empty file
        return Shape(None)
    reader = pa_csv.open_csv(file, read_options=_csv_options(limits))
    has_rows = any(batch.num_rows for batch in reader)
    return Shape(reader.schema if has_rows else None)


def _csv_header(file: Any) -> bytes:
    if not file.seekable():
        return b""
    start = bytes(file.read(64 << 10)).strip()
    file.seek(0)
    return start.replace(b"\r", b"\n")


def _csv_schema(inferred: pa.Schema, layout: Layout) -> pa.Schema:
    types = dict.fromkeys(layout.targets, pa.float64())
    for name in layout.covariates:  # a column of categories may begin with empty rows
        is_number = is_value_type(kind := inferred.field(name).type)
        categorical = is_category_type(kind) or not is_number or pa.types.is_null(kind)
        types[name] = pa.string() if categorical else pa.float64()
    kind = inferred.field(layout.timestamp).type
    types[layout.timestamp] = kind if needs_range(kind) else pa.string()
    if layout.item_id:
        types[layout.item_id] = pa.string()
    return pa.schema([field.with_type(types.get(field.name, field.type)) for field in inferred])


def _csv_batches(
    file: Any, table: OpenTable, columns: Sequence[str], limits: Limits
) -> Iterator[pa.RecordBatch]:
    convert = pa_csv.ConvertOptions(
        include_columns=list(columns),
        column_types={name: table.schema.field(name).type for name in columns},
        strings_can_be_null=True,
    )
    reader = pa_csv.open_csv(file, read_options=_csv_options(limits), convert_options=convert)
    for batch in reader:
        for start in range(0, batch.num_rows, limits.batch_rows):
            yield batch.slice(start, limits.batch_rows)


# -- JSON ------------------------------------------------------------------------------------------


def _json_table(file: Any, limits: Limits) -> pa.Table:
    room = limits.memory_bytes // _JSON_EXPANSION
    content = file.read(room + 1)
    if len(content) > room:
        raise _TooLargeError(f"more than {room} bytes of JSON do not fit the memory limit")
    text = bytes(content).decode("utf-8-sig").strip()
    if not text:
        raise ValueError("the file is empty")
    return _table_of(_parse_json(text))


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2:
            raise
        try:
            return [json.loads(line) for line in lines]
        except json.JSONDecodeError:
            raise error from None


def _table_of(content: Any) -> pa.Table:
    if isinstance(content, dict) and not any(isinstance(v, list | dict) for v in content.values()):
        content = [content]
    if isinstance(content, dict):
        return pa.table({name: _json_column(value) for name, value in content.items()})
    if isinstance(content, list) and all(isinstance(record, dict) for record in content):
        names = dict.fromkeys(name for record in content for name in record)
        return pa.table({name: [record.get(name) for record in content] for name in names})
    raise ValueError("the JSON is neither records nor an object of columns")


def _json_column(value: Any) -> pa.Array:
    # pandas' default orientation has an object of row labels per column.
    return pa.array(list(value.values()) if isinstance(value, dict) else value)


def _json_shape(file: Any, limits: Limits) -> Shape:
    return _table_shape(_json_table(file, limits), limits)


def _json_batches(
    file: Any, table: OpenTable, columns: Sequence[str], limits: Limits
) -> Iterator[pa.RecordBatch]:
    yield from _table_batches(_json_table(file, limits), table, columns, limits)


_SHAPES = {
    "parquet": _parquet_shape,
    "csv": _csv_shape,
    "json": _json_shape,
    "table": _table_shape,
}
_BATCHES = {
    "parquet": _parquet_batches,
    "csv": _csv_batches,
    "json": _json_batches,
    "table": _table_batches,
}
