"""Arrow record batches from files of each format.

Every format has a function for the schema and one for the record batches with selected columns.
Parquet and CSV are streamed; JSON (lines, records, an object of columns, pandas' ``split`` and
``table``) is read completely, up to the memory limit. Errors of Arrow's readers are translated.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from gigacast.core.column import readable_as_codes
from gigacast.core.footer import VerifiedParquet, read_metadata
from gigacast.core.json_table import table_of_json
from gigacast.core.page import largest_page
from gigacast.core.partition.name import hive_levels
from gigacast.core.plain import plain_batch, plain_schema
from gigacast.core.series.item_key import ItemKey
from gigacast.errors import CorruptedFileError, GigacastError, SchemaError
from gigacast.series.columns import Layout, recognise
from gigacast.series.csv.dialect import CsvOptions
from gigacast.series.csv.layout import csv_types, numbers_of, recognise_csv
from gigacast.series.csv.read import CsvForm, look_at, read_csv, read_head, settled
from gigacast.series.identity import id_type
from gigacast.series.made import MadeColumns, with_levels
from gigacast.series.source import MEBIBYTE, ColumnNames, SeriesSource
from gigacast.series.timestamp import is_text
from gigacast.series.value import is_value_type

_CSV_BLOCK = 8 * MEBIBYTE
_JSON_EXPANSION = 8  # approximate bytes in memory per byte of JSON, as Python objects
_PAGE_SHARE = 4  # 1/4 of the memory for a page of texts: what is decoded from it is held with it
_LEAST_PAGE_BYTES = 16 * MEBIBYTE  # a page of texts that any memory limit allows


class _TooLargeError(Exception):
    """Raised when a file that cannot be streamed does not fit in memory."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on the size of record batches and on memory.

    Parameters
    ----------
    batch_rows : int
        Maximum rows per record batch.
    memory_bytes : int
        Maximum memory for a format that cannot be streamed.
    """

    batch_rows: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Shape:
    """Schema of a file, ``None`` without rows; for list columns, their average number of points."""

    schema: pa.Schema | None
    points_per_row: float = 1.0


@dataclass(frozen=True, slots=True)
class OpenTable:
    """A source with rows, its schema and its layout.

    Parameters
    ----------
    source : SeriesSource
        Source.
    schema : pa.Schema
        Schema of its record batches.
    layout : Layout
        Recognised columns.
    size_bytes : int
        Size of the file; 0 if unknown.
    points_per_row : float
        Average number of elements per list.
    levels : mapping of str to str or None
        Values of the Hive levels in the object's key that are no columns of the file.
    csv : CsvForm, optional
        Form of a CSV file.
    doubled : mapping of str to str or None
        Values of the Hive levels that are columns of ids or covariates of the file as well.
    """

    source: SeriesSource
    schema: pa.Schema
    layout: Layout
    size_bytes: int
    points_per_row: float
    levels: Mapping[str, str | None] = field(default_factory=dict)
    csv: CsvForm | None = None
    doubled: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def item_key(self) -> ItemKey | None:
        """Columns and types of the item key; ``None`` with a single column of ids."""
        names = self.layout.items
        types = tuple(id_type(self.schema.field(name).type) for name in names)
        return ItemKey(names, types) if names else None


def open_table(
    source: SeriesSource, columns: ColumnNames, limits: Limits, csv: CsvOptions | None = None
) -> OpenTable | None:
    """Read the schema of a source and recognise its layout. Return ``None`` without rows.

    Parameters
    ----------
    source : SeriesSource
    columns : ColumnNames
    limits : Limits
    csv : CsvOptions, optional
        Parts of the dialect of CSV that are named; all are found for each file by default.

    Raises
    ------
    CorruptedFileError
        If the bytes are not of the format.
    SchemaError
        If the columns are unusable.
    """
    if source.format == "csv":
        return _open_csv(source, columns, limits, csv or CsvOptions())
    with _translated(source), _opened(source) as file:
        size_bytes = _size_of(file)
        shape = _SHAPES[source.format](file, limits)
    if shape.schema is None:
        return None
    stored = plain_schema(shape.schema)
    levels = _levels_of(source, stored)
    schema = with_levels(stored, columns, levels)
    layout = recognise(schema, columns, source.name)
    doubled = _doubled(source, stored, layout, columns)
    points = shape.points_per_row
    return OpenTable(source, schema, layout, size_bytes, points, levels, doubled=doubled)


def _levels_of(source: SeriesSource, stored: pa.Schema) -> dict[str, str | None]:
    """Return the values of the Hive levels of a source that are no columns of it."""
    levels = hive_levels(source.name) if source.format != "table" else {}
    return {name: value for name, value in levels.items() if name not in stored.names}


def _doubled(
    source: SeriesSource, stored: pa.Schema, layout: Layout, columns: ColumnNames
) -> dict[str, str | None]:
    """Return the values of the Hive levels that are columns of ids or covariates as well."""
    levels = hive_levels(source.name) if source.format != "table" else {}
    # Of times and targets a level of the name says nothing: `date=2024-01-31`, `target=sales`.
    used = {*layout.id_names, *columns.covariates} & {*stored.names}
    return {name: value for name, value in levels.items() if name in used}


def with_numbers(table: OpenTable, columns: Sequence[str]) -> OpenTable:
    """Return a table whose columns of numbers, besides targets and covariates, can be read too.

    Raises
    ------
    SchemaError
        If more than one reading of numbers in CSV fits.
    """
    if table.csv is None:
        return table
    keys = {*table.layout.id_names, table.layout.timestamp}
    numbers = [n for n in columns if n not in keys and is_value_type(table.schema.field(n).type)]
    form = settled(table.csv, numbers, [table.layout.timestamp])
    return replace(table, csv=form)


def read_batches(
    table: OpenTable, columns: Sequence[str], limits: Limits
) -> Iterator[pa.RecordBatch]:
    """Yield the record batches of a source with these columns, in the order of its rows.

    Raises
    ------
    CorruptedFileError
        If the bytes are not of the format.
    """
    source = table.source
    maker = MadeColumns(table.layout, table.item_key, table.levels, source.name, table.doubled)
    stored = maker.stored(columns)
    with _translated(source), _opened(source) as file:
        for batch in _BATCHES[source.format](file, table, stored, limits):
            if batch.num_rows:
                yield maker.complete(plain_batch(batch), columns)


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
        # Arrow raises OSError without errno for bad content; with errno it is the disk.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        again = "write the object again, or exclude it"
        is_empty = str(error).startswith("Empty ")  # no form of it would be read
        raise CorruptedFileError(
            f"{source.name}: cannot be read as {source.format}: {error}",
            hint=again if is_empty else _HINTS.get(source.format, again),
        ) from error


_HINTS = {
    "csv": "take out lines before its header, write it again, exclude it, or name --csv_separator, "
    "--csv_quote, --csv_encoding",
    "json": 'write records, a record per line (pandas: to_json(orient="records")), or exclude it',
}


# -- Parquet ---------------------------------------------------------------------------------------


def _parquet_shape(file: Any, limits: Limits) -> Shape:
    del limits
    reader = VerifiedParquet(file)
    footer = reader.metadata
    if footer.num_rows == 0:
        return Shape(None)
    groups = [footer.row_group(index) for index in range(footer.num_row_groups)]
    # A row of list columns holds many points, and memory is divided by points.
    points = max(
        sum(group.column(column).num_values for group in groups)
        for column in range(footer.num_columns)
    )
    return Shape(reader.schema_arrow, points / footer.num_rows)


def _parquet_batches(
    file: Any, table: OpenTable, columns: Sequence[str], limits: Limits
) -> Iterator[pa.RecordBatch]:
    # Ids are kept dictionary-encoded, as they mostly are in the file: finding runs in the codes is
    # much faster than in strings. pre_buffer would read a whole row group into memory.
    names = [name for name in table.layout.id_names if name not in table.levels]
    texts = [name for name in names if _is_stored_text(table.schema.field(name).type)]
    footer = read_metadata(file)
    _check_pages(file, footer, columns, table.source.name, limits)
    coded = readable_as_codes(footer, texts)
    reader = VerifiedParquet(file, footer, read_dictionary=coded, pre_buffer=False)
    yield from reader.iter_batches(limits.batch_rows, columns=list(columns))


def _check_pages(file: Any, footer: Any, columns: Sequence[str], name: str, limits: Limits) -> None:
    most = max(limits.memory_bytes // _PAGE_SHARE, _LEAST_PAGE_BYTES)
    if size := largest_page(file, footer, columns, most):
        raise SchemaError(
            f"{name}: a page of texts takes {size:,} bytes, of which {most:,} fit into the memory "
            "that reading may hold",
            hint="raise --memory_limit, write the file with smaller pages, or name other columns: "
            "an item id has at most 1 MiB",
        )


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


def _csv_block(limits: Limits) -> int:
    return max(64 << 10, min(_CSV_BLOCK, limits.memory_bytes // 16))


def _open_csv(
    source: SeriesSource, columns: ColumnNames, limits: Limits, csv: CsvOptions
) -> OpenTable | None:
    with _translated(source), _opened(source) as file:
        size_bytes = _size_of(file)
        start = read_head(file)
        # A pipe is opened again; every other file is read once more from its start.
        content = file if file.seekable() and file.seek(0) == 0 else source.open()
        form = look_at(content, start, csv, _csv_block(limits), source.name)
        if form is None:
            return None
        levels = _levels_of(source, form.schema)
        inferred = with_levels(form.schema, columns, levels)
        layout = recognise_csv(form, inferred, columns)
        schema = csv_types(inferred, layout)
        form = settled(form, numbers_of(schema, layout), [layout.timestamp])
    doubled = _doubled(source, form.schema, layout, columns)
    return OpenTable(source, schema, layout, size_bytes, 1.0, levels, form, doubled)


def _csv_batches(
    file: Any, table: OpenTable, columns: Sequence[str], limits: Limits
) -> Iterator[pa.RecordBatch]:
    assert table.csv is not None  # noqa: S101 - every table of CSV is opened with its form
    types = {name: table.schema.field(name).type for name in columns}
    for batch in read_csv(file, table.csv, types, _csv_block(limits)):
        for start in range(0, batch.num_rows, limits.batch_rows):
            yield batch.slice(start, limits.batch_rows)


# -- JSON ------------------------------------------------------------------------------------------


def _json_table(file: Any, limits: Limits) -> pa.Table:
    largest = limits.memory_bytes // _JSON_EXPANSION
    content = file.read(largest + 1)  # one byte more shows that the file is too large
    if len(content) > largest:
        raise _TooLargeError(f"more than {largest} bytes of JSON do not fit the memory limit")
    return table_of_json(bytes(content))


def _json_shape(file: Any, limits: Limits) -> Shape:
    return _table_shape(_json_table(file, limits), limits)


def _json_batches(
    file: Any, table: OpenTable, columns: Sequence[str], limits: Limits
) -> Iterator[pa.RecordBatch]:
    yield from _table_batches(_json_table(file, limits), table, columns, limits)


_SHAPES = {
    "parquet": _parquet_shape,
    "json": _json_shape,
    "table": _table_shape,
}
_BATCHES = {
    "parquet": _parquet_batches,
    "csv": _csv_batches,
    "json": _json_batches,
    "table": _table_batches,
}
