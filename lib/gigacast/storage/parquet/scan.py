"""The rows and columns of a Parquet object that are wanted, and no others.

A filter rules out row groups by their statistics before anything of them is fetched; of the others
only the columns wanted, and those the filter looks at, are. Rows come in batches.
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
    """What scans have looked at; complete once they are exhausted."""

    files: int = 0
    files_skipped: int = 0
    row_groups: int = 0
    row_groups_skipped: int = 0
    rows: int = 0
    rows_kept: int = 0


@dataclass(frozen=True, slots=True)
class Scan:
    """What is wanted of an object.

    Parameters
    ----------
    columns : tuple of str, optional
        All when absent; those the file does not have are left out.
    predicate : Predicate, optional
    schema : pyarrow.Schema, optional
        What the rows are given as: a column the file does not have is missing there, a narrower
        one is widened. The file's own when absent.
    constants : mapping
        Columns the file does not have and whose value, the same in all rows, is known.
    batch_rows : int
    row_groups : callable, optional
        Takes the footer's metadata and returns the row groups that can hold rows wanted.
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
    """Iterate over the rows wanted of one object, in batches that are never empty.

    Raises
    ------
    CorruptedFileError, ObjectNotFoundError, PreconditionFailedError
    SchemaError
        When the filter names a column that is not there.
    """
    stats = stats if stats is not None else ScanStats()
    key = source.key if isinstance(source, ObjectMeta) else source
    selective = scan.columns is not None or scan.predicate is not None
    with open_parquet(store, source, selective=selective) as file:
        stats.files += 1
        matches, predicate = _settle(file.schema_arrow, scan, key)
        schema = _given_schema(file.schema_arrow, scan, key)
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
            kept = batch if predicate is None else batch.filter(predicate.mask(batch))
            stats.rows_kept += kept.num_rows
            if kept.num_rows:
                yield conform(_with_constants(kept, scan, schema), schema, key)


def _settle(there: pa.Schema, scan: Scan, key: str) -> tuple[bool, Predicate | None]:
    """Decide the part of the filter that looks at columns the file does not have."""
    if scan.predicate is None:
        return True, None
    absent = [name for name in scan.predicate.columns if name not in there.names]
    known = dict.fromkeys(scan.schema.names if scan.schema is not None else ())
    known |= scan.constants
    unknown = [name for name in absent if name not in known]
    if unknown:
        names = ", ".join(dict.fromkeys([*there.names, *known]))
        raise SchemaError(f"{key} has no column {unknown[0]!r} to filter by", hint=f"has {names}")
    return scan.predicate.settle({name: known[name] for name in absent})


def _given_schema(there: pa.Schema, scan: Scan, key: str) -> pa.Schema:
    whole = scan.schema if scan.schema is not None else there.remove_metadata()
    wanted = whole.names if scan.columns is None else scan.columns
    refuse_twice(there, wanted, key)
    if scan.columns is None:
        return whole
    return pa.schema([whole.field(name) for name in scan.columns if name in whole.names])


def refuse_twice(schema: pa.Schema, wanted: Sequence[str], where: str) -> None:
    """Refuse a file that has one of the columns wanted more than once.

    Raises
    ------
    SchemaError
    """
    if len(set(schema.names)) == len(schema.names):
        return
    if twice := [name for name in wanted if schema.names.count(name) > 1]:
        raise SchemaError(f"{where}: the column {twice[0]!r} comes twice", hint="write it again")


def _columns_read(
    there: pa.Schema, given: pa.Schema, predicate: Predicate | None
) -> list[str] | None:
    filtered = predicate.columns if predicate is not None else ()
    wanted = [name for name in dict.fromkeys([*given.names, *filtered]) if name in there.names]
    if len(wanted) == len(there.names):
        return None
    # pyarrow takes no columns for all of them: the first stands in.
    return wanted or there.names[:1]


def _with_constants(rows: pa.RecordBatch, scan: Scan, schema: pa.Schema) -> pa.RecordBatch:
    for name, value in scan.constants.items():
        if name in schema.names and name not in rows.schema.names:
            kind = schema.field(name).type
            rows = rows.append_column(name, pa.repeat(pa.scalar(value, kind), rows.num_rows))
    return rows


def _matching_groups(
    file: pq.ParquetFile, predicate: Predicate | None, stats: ScanStats
) -> list[int]:
    found = []
    for index in range(file.metadata.num_row_groups):
        stats.row_groups += 1
        bounds = {} if predicate is None else group_bounds(file.metadata, index, predicate.columns)
        if predicate is None or predicate.may_match(bounds):
            found.append(index)
        else:
            stats.row_groups_skipped += 1
    return found
