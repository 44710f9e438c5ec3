"""Scan of a Parquet object: selected rows and columns, in batches.

A filter excludes row groups by their statistics before they are fetched. Of the other row groups,
only the selected columns and those of the filter are fetched.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gigacast.core.contract.evolution import conform
from gigacast.core.dataset.predicate import Predicate
from gigacast.errors import SchemaError
from gigacast.storage.parquet.read import DEFAULT_BATCH_ROWS, open_parquet, translated_parquet
from gigacast.storage.parquet.statistics import group_bounds
from gigacast.storage.store import ObjectMeta, Store


@dataclass(slots=True)
class ScanStats:
    """Statistics of scans; complete once the scans are exhausted."""

    files: int = 0
    files_skipped: int = 0
    row_groups: int = 0
    row_groups_skipped: int = 0
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Scan:
    """The rows and columns to read.

    Parameters
    ----------
    columns : tuple of str, optional
        Columns to read, those that the file lacks left out; all by default.
    predicate : Predicate, optional
        Filter of rows; none by default.
    schema : pyarrow.Schema, optional
        Schema of the returned rows, the file's by default. A column that the file lacks is filled
        with missing values; a narrower type is widened.
    constants : mapping
        Values of columns that the file lacks and that have the same value in all rows.
    batch_rows : int
    row_groups : callable, optional
        Takes the metadata of the footer and returns the row groups to read; all by default.
    """

    columns: tuple[str, ...] | None = None
    predicate: Predicate | None = None
    schema: pa.Schema | None = None
    constants: Mapping[str, Any] = field(default_factory=dict)
    batch_rows: int = DEFAULT_BATCH_ROWS
    row_groups: Callable[[Any], Sequence[int]] | None = None


def scan_parquet(
    store: Store, source: ObjectMeta | str, scan: Scan, stats: ScanStats | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield the selected rows of an object, in batches that are never empty.

    Raises
    ------
    CorruptedFileError, ObjectNotFoundError, PreconditionFailedError
    SchemaError
        If the filter names an unknown column.
    """
    stats = stats if stats is not None else ScanStats()
    key = source.key if isinstance(source, ObjectMeta) else source
    selective = scan.columns is not None or scan.predicate is not None
    # `selective` fetches only the ranges that are read; a full scan takes larger requests.
    with open_parquet(store, source, selective=selective) as file:
        stats.files += 1
        matches, predicate = _settle(file.schema_arrow, scan, key)
        schema = _result_schema(file.schema_arrow, scan, key)
        with translated_parquet(store, key):
            groups = _matching_groups(file, predicate, stats) if matches else []
            if scan.row_groups is not None:
                chosen = set(scan.row_groups(file.metadata))
                stats.row_groups_skipped += len(set(groups) - chosen)
                groups = [group for group in groups if group in chosen]
        if not groups:
            return
        batches = file.iter_batches(
            batch_size=scan.batch_rows,
            row_groups=groups,
            columns=_columns_read(file.schema_arrow, schema, predicate),
            use_threads=False,
        )
        while True:
            with translated_parquet(store, key):
                batch = next(batches, None)
            if batch is None:
                return
            stats.rows += batch.num_rows
            selected = batch if predicate is None else batch.filter(predicate.mask(batch))
            if selected.num_rows:
                yield conform(_with_constants(selected, scan, schema), schema, key)


def _settle(file_schema: pa.Schema, scan: Scan, key: str) -> tuple[bool, Predicate | None]:
    """Evaluate the conditions of the filter on columns that the file lacks.

    Returns whether rows can match at all, and the remaining filter.
    """
    if scan.predicate is None:
        return True, None
    absent = [name for name in scan.predicate.columns if name not in file_schema.names]
    # A column of the schema that the file lacks is missing in all rows.
    values = dict.fromkeys(scan.schema.names if scan.schema is not None else ())
    values |= scan.constants
    unknown = [name for name in absent if name not in values]
    if unknown:
        names = ", ".join(dict.fromkeys([*file_schema.names, *values]))
        raise SchemaError(
            f"{key} has no column {unknown[0]!r} to filter by", hint=f"it has {names}"
        )
    return scan.predicate.settle({name: values[name] for name in absent})


def _result_schema(file_schema: pa.Schema, scan: Scan, key: str) -> pa.Schema:
    schema = scan.schema if scan.schema is not None else file_schema.remove_metadata()
    refuse_twice(file_schema, schema.names if scan.columns is None else scan.columns, key)
    if scan.columns is None:
        return schema
    return pa.schema([schema.field(name) for name in scan.columns if name in schema.names])


def refuse_twice(schema: pa.Schema, columns: Sequence[str], label: str) -> None:
    """Check that a file has each of these columns at most once.

    Raises
    ------
    SchemaError
    """
    if len(set(schema.names)) == len(schema.names):
        return
    if twice := [name for name in columns if schema.names.count(name) > 1]:
        raise SchemaError(
            f"{label}: the column {twice[0]!r} comes twice", hint="give each column its own name"
        )


def _columns_read(
    file_schema: pa.Schema, schema: pa.Schema, predicate: Predicate | None
) -> list[str] | None:
    """Return the columns to fetch; ``None`` for all."""
    filtered = predicate.columns if predicate is not None else ()
    names = [n for n in dict.fromkeys([*schema.names, *filtered]) if n in file_schema.names]
    if len(names) == len(file_schema.names):
        return None
    # pyarrow reads an empty list as all columns, so the first column is read for its row count.
    return names or file_schema.names[:1]


def _with_constants(rows: pa.RecordBatch, scan: Scan, schema: pa.Schema) -> pa.RecordBatch:
    for name, value in scan.constants.items():
        if name in schema.names and name not in rows.schema.names:
            kind = schema.field(name).type
            rows = rows.append_column(name, pa.repeat(pa.scalar(value, kind), rows.num_rows))
    return rows


def _matching_groups(
    file: pq.ParquetFile, predicate: Predicate | None, stats: ScanStats
) -> list[int]:
    groups = []
    for index in range(file.metadata.num_row_groups):
        stats.row_groups += 1
        bounds = {} if predicate is None else group_bounds(file.metadata, index, predicate.columns)
        if predicate is None or predicate.may_match(bounds):
            groups.append(index)
        else:
            stats.row_groups_skipped += 1
    return groups
