"""Rows of tables, read in batches from Parquet, CSV and JSON."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json

from gigacast.errors import CorruptedFileError, SchemaError
from gigacast.feature_store.definition.name import PARTITION_COLUMN
from gigacast.feature_store.table import Table
from gigacast.lake.feature_layout import partition_values
from gigacast.series.csv.ahead import ahead
from gigacast.storage.parquet.read import open_object, open_parquet, read_batches
from gigacast.storage.store import ObjectMeta

_BLOCK_BYTES = 4 << 20  # of text parsed at a time


def read_rows(
    table: Table,
    files: Sequence[ObjectMeta],
    columns: Sequence[str] | None = None,
    partition_column: str = PARTITION_COLUMN,
    *,
    schema: pa.Schema | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of files of a table in batches of one schema.

    Values that only the folders hold, as the day, become columns of text.

    Parameters
    ----------
    table : Table
    files : sequence of ObjectMeta
        Files of the table, each read in the listed version.
    columns : sequence of str, optional
        Columns to read; all by default.
    partition_column : str
        Column of days; always text, as ``2024-01-31``.
    schema : pyarrow.Schema, optional
        Columns and types of the rows; those of the first file by default.

    Raises
    ------
    SchemaError
        If a column is missing, or files have different types.
    CorruptedFileError
        If a file cannot be read in its format.
    PreconditionFailedError
        If a file is no longer the listed version.
    """
    for meta in files:
        folders = partition_values(meta.key.removeprefix(table.prefix))
        for batch in _batches(table, meta, columns, folders):
            rows = _completed(batch, folders, partition_column)
            rows = rows if columns is None else _chosen(table, meta, rows, columns)
            schema = schema or rows.schema
            yield _fitted(table, meta, rows, schema)


def read_schema(
    table: Table, file: ObjectMeta, partition_column: str = PARTITION_COLUMN
) -> pa.Schema:
    """Return the columns and types of a file of a table, with those of its folders."""
    folders = partition_values(file.key.removeprefix(table.prefix))
    if _ending(file) == "parquet":
        with open_parquet(table.store, file, selective=True) as parquet:
            empty = pa.RecordBatch.from_pylist([], schema=parquet.schema_arrow)
        return _completed(empty, folders, partition_column).schema
    first = next(_batches(table, file, None, folders), None)
    if first is None:
        return pa.schema([])
    return _completed(first, folders, partition_column).schema


def count_rows(table: Table, file: ObjectMeta) -> int:
    """Return the number of rows of a file; of Parquet only the footer is read."""
    if _ending(file) == "parquet":
        with open_parquet(table.store, file, selective=True) as parquet:
            return int(parquet.metadata.num_rows)
    return sum(batch.num_rows for batch in _batches(table, file, None, {}))


def _batches(
    table: Table,
    meta: ObjectMeta,
    columns: Sequence[str] | None,
    folders: Mapping[str, str],
) -> Iterator[pa.RecordBatch]:
    ending = _ending(meta)
    if ending != "parquet":
        yield from _text_batches(table, meta, _READERS[ending])
        return
    with open_parquet(table.store, meta, selective=True) as parquet:
        present = set(parquet.schema_arrow.names)
    inside = None if columns is None else [name for name in columns if name in present]
    missing = [name for name in columns or () if name not in present and name not in folders]
    if missing:
        raise _missing(table, meta, missing[0], present)
    yield from read_batches(table.store, meta, inside)


def _text_batches(
    table: Table, meta: ObjectMeta, read: Callable[[Any], Iterator[pa.RecordBatch]]
) -> Iterator[pa.RecordBatch]:
    with open_object(table.store, meta) as file:
        if not meta.size_bytes:
            return
        batches = iter(read(file))
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, UnicodeDecodeError) as error:
                reason = str(error).partition("\n")[0][:300]
                raise CorruptedFileError(
                    f"{table.store.address.url.rstrip('/')}/{meta.key} cannot be read: {reason}",
                    hint="write the file again, or remove it",
                ) from error
            if batch is None:
                return
            yield batch


def _read_csv(file: Any) -> Iterator[pa.RecordBatch]:
    options = pa_csv.ReadOptions(block_size=_BLOCK_BYTES)
    with pa_csv.open_csv(ahead(file), read_options=options) as reader:
        yield from reader


def _read_json(file: Any) -> Iterator[pa.RecordBatch]:
    options = pa_json.ReadOptions(block_size=_BLOCK_BYTES)
    with pa_json.open_json(file, read_options=options) as reader:
        yield from reader


_READERS: Mapping[str, Callable[[Any], Iterator[pa.RecordBatch]]] = {
    "csv": _read_csv,
    "json": _read_json,
}


def _completed(
    rows: pa.RecordBatch, folders: Mapping[str, str], partition_column: str
) -> pa.RecordBatch:
    """Return rows with the values of their folders as columns, and days as text."""
    for name, value in folders.items():
        if name not in rows.schema.names:
            constant = pa.repeat(pa.scalar(value, pa.string()), rows.num_rows)
            rows = rows.append_column(pa.field(name, pa.string()), constant)
    index = rows.schema.get_field_index(partition_column)
    if index >= 0 and (
        pa.types.is_date(rows.schema.types[index])
        or pa.types.is_timestamp(rows.schema.types[index])
    ):
        # Readers of CSV take days for dates; definitions compare them as text.
        days = pc.strftime(rows.column(index), format="%Y-%m-%d")
        rows = rows.set_column(index, pa.field(partition_column, pa.string()), days)
    return rows


def _chosen(
    table: Table, meta: ObjectMeta, rows: pa.RecordBatch, columns: Sequence[str]
) -> pa.RecordBatch:
    for name in columns:
        if name not in rows.schema.names:
            raise _missing(table, meta, name, rows.schema.names)
    return rows.select(list(columns))


def _fitted(
    table: Table, meta: ObjectMeta, rows: pa.RecordBatch, schema: pa.Schema
) -> pa.RecordBatch:
    """Return rows in the schema of those before; only changes that lose nothing are made."""
    if rows.schema.equals(schema):
        return rows
    different = sorted(set(rows.schema.names) ^ set(schema.names))
    reason = f"the columns {', '.join(different)} are not in every file"
    try:
        if not different:
            return rows.select(schema.names).cast(schema)
    except pa.ArrowException as error:
        reason = str(error)
    raise SchemaError(
        f"table {table.name}: {meta.key} has other columns or types than files before: {reason}",
        hint="write the file again in the same form, or select columns that all files have",
    )


def _missing(table: Table, meta: ObjectMeta, name: str, present: Any) -> SchemaError:
    return SchemaError(
        f"table {table.name}: {meta.key} has no column {name}",
        hint=f"it has {', '.join(sorted(present)[:12])}",
    )


def _ending(meta: ObjectMeta) -> str:
    return meta.key.rpartition(".")[2].lower()
