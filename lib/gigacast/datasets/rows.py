"""The common steps of publishing a version and writing plain files: check, convert, stage rows."""

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
from gigacast.lake.dataset.manifest import DatasetManifest
from gigacast.storage.parquet.draft import DraftFile

_SOFTWARE = ("gigacast", "pyarrow", "numpy")
_TIMES = ("timestamp", "ds", "time", "datetime", "date")


def begin_check(
    check: ContractCheck | None, rows: Iterable[pa.RecordBatch], schema: pa.Schema
) -> tuple[Iterator[pa.RecordBatch], pa.Schema]:
    """Return the rows in their stored types, checked as they are read, and the stored schema."""
    plain = (batch.replace_schema_metadata(None) for batch in rows)
    if check is None:
        stored = storable(schema)
        return (as_stored(batch, stored) for batch in plain), stored
    # The check knows its output schema only after the first batch.
    first = next(plain, None)
    head = [check.add(first)[0]] if first is not None else []
    stored = storable(check.schema)
    checked = chain(head, (check.add(batch)[0] for batch in plain))
    return (as_stored(batch, stored) for batch in checked), stored


def storable(schema: pa.Schema) -> pa.Schema:
    """Return the schema of the rows in a Parquet file."""
    # Parquet has no timestamps in seconds, no dictionary type and a single type of text. Without
    # the conversion a file would be read back with another schema than the manifest's.
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
    """Return rows in their stored types."""
    if rows.schema.names != schema.names:
        raise SchemaError(
            f"the rows have the columns {', '.join(rows.schema.names)}, "
            f"the rows before them {', '.join(schema.names)}"
        )
    return conform(rows, schema, "the rows")


def staged_rows(new: dict[str, DraftFile], schema: pa.Schema) -> RowSource:
    """Return the rows of staged files as a source, to be read again."""
    return RowSource(schema, lambda columns: batches_of(list(new.values()), columns))


def staged_files(
    new: dict[str, DraftFile], columns: Sequence[str]
) -> Iterator[Iterable[pa.RecordBatch]]:
    """Yield the rows of each staged file."""
    return (batches_of([draft], columns) for draft in new.values())


def are_later(new: dict[str, DraftFile], parent: DatasetManifest, time_column: str | None) -> bool:
    """Return whether all staged rows are later than those of a version: then no key can repeat."""
    # Without a time column there is no order; "" may be a column of row numbers.
    before = parent.bounds.get(time_column) if time_column is not None else None
    filled = [draft for draft in new.values() if draft.rows]
    after = [d.bounds[time_column] for d in filled if time_column and time_column in d.bounds]
    if before is None or len(after) < len(filled):
        return not parent.rows or not filled
    try:
        return not after or bool(before[1] < min(low for low, _ in after))
    except TypeError:  # times with and without a zone cannot be compared
        return False


def find_time_column(schema: pa.Schema, contract: Contract | None = None) -> str | None:
    """Return the time column: the contract's first, else one with a usual name, else the only one.

    Columns of timestamps go before columns of dates. Return ``None`` if none can be chosen.
    """
    timestamps = [field.name for field in schema if pa.types.is_timestamp(field.type)]
    times = [*timestamps, *(field.name for field in schema if pa.types.is_date(field.type))]
    # Reversed, so that of names that differ only in case the first column is taken.
    by_name = {name.lower(): name for name in reversed(times)}
    candidates = [by_name[name] for name in _TIMES if name in by_name]
    if contract is not None:
        in_contract = [c.name for c in contract.columns if c.name in times]
        candidates = in_contract[:1] or candidates
    preferred = timestamps or times
    if not candidates and len(preferred) == 1:
        candidates = preferred
    return str(candidates[0]) if candidates else None


def is_time_name(name: str) -> bool:
    """Check whether a column of times with this name is the time column of a dataset."""
    return name.lower() in _TIMES


def software() -> dict[str, str]:
    """Return the versions of the packages that write datasets."""
    return versions_of(_SOFTWARE)


def plain_values(value: Any) -> Any:
    """Return a value in types that JSON has, with times as text."""
    if isinstance(value, dict):
        return {name: plain_values(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain_values(entry) for entry in value]
    return value.isoformat() if hasattr(value, "isoformat") else value
