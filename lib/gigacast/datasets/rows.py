"""Rows on their way into a dataset: checked, in the types they are stored with, staged.

What publishing a version and writing plain files share.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import pyarrow as pa

from gigacast.core.contract.check import ContractCheck
from gigacast.core.contract.definition import Contract
from gigacast.core.contract.evolution import conform
from gigacast.datasets.check import RowSource
from gigacast.datasets.files import batches_of
from gigacast.errors import SchemaError
from gigacast.job.audit import versions_of
from gigacast.storage.parquet.draft import DraftFile

_SOFTWARE = ("gigacast", "pyarrow", "numpy")
_TIMES = ("timestamp", "ds", "time", "datetime", "date")


def begin_check(
    check: ContractCheck | None, rows: Iterable[pa.RecordBatch], schema: pa.Schema
) -> tuple[Iterator[pa.RecordBatch], pa.Schema]:
    """Check the first rows, which settle the schema; the others are checked as they are drawn."""
    plain = (batch.replace_schema_metadata(None) for batch in rows)
    if check is None:
        stored = storable(schema)
        return (as_stored(batch, stored) for batch in plain), stored
    first = next(plain, None)
    head = [check.add(first)[0]] if first is not None else []
    stored = storable(check.schema)
    whole = chain(head, (check.add(batch)[0] for batch in plain))
    return (as_stored(batch, stored) for batch in whole), stored


def storable(schema: pa.Schema) -> pa.Schema:
    """Return the types rows have in a file: Parquet knows no seconds, no dictionaries, one text."""
    return pa.schema([(field.name, _stored_type(field.type)) for field in schema])


def _stored_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _stored_type(kind.value_type)
    if pa.types.is_timestamp(kind) and kind.unit == "s":
        return pa.timestamp("ms", kind.tz)
    if pa.types.is_large_string(kind):
        return pa.string()
    return kind


def as_stored(rows: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return rows in the types they are stored with."""
    if rows.schema.names != schema.names:
        raise SchemaError(
            f"the rows have the columns {', '.join(rows.schema.names)}, "
            f"those before them {', '.join(schema.names)}"
        )
    return conform(rows, schema, "the rows")


def staged_rows(new: dict[str, DraftFile], schema: pa.Schema) -> RowSource:
    """Return the rows of staged files, to be looked at again."""
    return RowSource(schema, lambda columns: batches_of(list(new.values()), columns))


def staged_files(
    new: dict[str, DraftFile], columns: Sequence[str]
) -> Iterator[Iterable[pa.RecordBatch]]:
    """Iterate over staged files, each as its rows."""
    return (batches_of([draft], columns) for draft in new.values())


def find_time_column(schema: pa.Schema, contract: Contract | None = None) -> str | None:
    """Return the column that says when: by its name, or the only one with timestamps or dates."""
    stamps = [field.name for field in schema if pa.types.is_timestamp(field.type)]
    times = [*stamps, *(field.name for field in schema if pa.types.is_date(field.type))]
    by_name = {name.lower(): name for name in reversed(times)}
    known = [by_name[name] for name in _TIMES if name in by_name]
    if contract is not None:
        promised = [c.name for c in contract.columns if c.name in times]
        known = promised[:1] or known
    only = stamps or times
    return known[0] if known else (only[0] if len(only) == 1 else None)


def software() -> dict[str, str]:
    """Return the versions of what writes datasets."""
    return versions_of(_SOFTWARE)


def plain_values(value: Any) -> Any:
    """Return a value as JSON takes it: times as text."""
    if isinstance(value, dict):
        return {name: plain_values(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain_values(one) for one in value]
    return value.isoformat() if hasattr(value, "isoformat") else value
