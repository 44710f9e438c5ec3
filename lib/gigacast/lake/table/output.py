"""Results in a table: what it holds, what is missing or out of date, and one commit that mends it.

Three columns say where a row comes from: the source (the folder of the results), the partition, and
the digest of the output that held it. A table is partitioned by them, so that its own metadata say
what it holds. They are compared with the outputs that are done now, as receipts are; so a rerun, or
a run after a crash at any step, never writes a row twice.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.column import to_scalar
from gigacast.core.plain import plain_batch, plain_kind
from gigacast.errors import PreconditionFailedError, SchemaError, StorageError
from gigacast.lake.table.address import Mode, TableAddress, TableTarget, TableWritten
from gigacast.lake.table.change import KEYS, Change, OutputTable
from gigacast.storage.parquet.read import open_parquet, read_batches
from gigacast.storage.store import ObjectMeta, Store, StoreAddress

ATTEMPTS = 8  # each fails only if another program has written to the table


@dataclass(frozen=True, slots=True)
class TableInput:
    """An output whose rows belong into a table.

    Parameters
    ----------
    partition : str
    output_id : str
        Digest of the output's content or ETag.
    meta : ObjectMeta
        The object that holds the rows.
    rows : int, optional
        Number of rows; unknown by default.
    """

    partition: str
    output_id: str
    meta: ObjectMeta
    rows: int | None = None


def write_table(
    target: TableTarget,
    source: str,
    outputs: Store,
    inputs: Sequence[TableInput],
    *,
    run_id: str,
    is_whole: bool = False,
) -> TableWritten:
    """Make a table hold the rows of the outputs that are done, in at most one commit.

    Parameters
    ----------
    target : TableTarget
    source : str
        Folder of the results.
    outputs : Store
        Store of the outputs.
    inputs : sequence of TableInput
    run_id : str
    is_whole : bool
        Whether partitions of the source that are not among the inputs are removed.

    Raises
    ------
    ConfigError, MissingExtraError, SchemaError, StorageError
    """
    address = TableAddress.parse(target.address.url)
    for _ in range(ATTEMPTS):
        table = _open(address, target.address)
        present = table.find(source)
        missing, dropped = _compare(inputs, present, target.mode, is_whole=is_whole)
        if not missing and not dropped:
            return TableWritten(address.url, 0, 0, 0)
        rows = _Rows(source, outputs, missing)
        change = Change(
            source=source,
            dropped=tuple(sorted(dropped)),
            coming=tuple(entry.partition for entry in missing),
            schema=rows.schema(),
            batches=rows.batches,
            run_id=run_id,
        )
        try:
            table.commit(change)
        except PreconditionFailedError:
            continue
        removed = len(set(dropped) - set(change.coming))
        return TableWritten(address.url, len(missing), removed, rows.count)
    raise StorageError(
        f"{address.url} was changed by others {ATTEMPTS} times while this run wrote to it",
        hint="run again: what the table has already is not written twice",
    )


def _open(address: TableAddress, store: StoreAddress) -> OutputTable:
    # Each library is loaded for its own tables only.
    if address.kind == "delta":
        from gigacast.lake.table.delta_output import DeltaOutput  # noqa: PLC0415

        return DeltaOutput(address, store)
    from gigacast.lake.table.iceberg_output import IcebergOutput  # noqa: PLC0415

    return IcebergOutput(address, store)


def _compare(
    inputs: Sequence[TableInput], present: Mapping[str, set[str]], mode: Mode, *, is_whole: bool
) -> tuple[list[TableInput], set[str]]:
    """Return the outputs to write, and the partitions whose rows go."""
    if mode == "append":
        return [
            entry
            for entry in inputs
            if entry.rows != 0 and entry.output_id not in present.get(entry.partition, ())
        ], set()
    stale = [e for e in inputs if present.get(e.partition, set()) != _held(e)]
    dropped = {entry.partition for entry in stale if entry.partition in present}
    if is_whole:
        dropped |= present.keys() - {entry.partition for entry in inputs}
    return [entry for entry in stale if entry.rows != 0], dropped


def _held(entry: TableInput) -> set[str]:
    # An output without rows leaves no trace in a table.
    return {entry.output_id} if entry.rows != 0 else set()


class _Rows:
    """The rows of outputs as those of a table."""

    def __init__(self, source: str, outputs: Store, inputs: Sequence[TableInput]) -> None:
        self.count = 0
        self._source = source
        self._outputs = outputs
        self._inputs = inputs

    def schema(self) -> pa.Schema:
        """Return the columns of a new table; of no output, the columns of keys."""
        own: list[pa.Field] = []
        for entry in self._inputs[:1]:
            with open_parquet(self._outputs, entry.meta) as file:
                stored = file.schema_arrow
            own = [pa.field(f.name, table_type(f.type)) for f in stored]
        clash = [field.name for field in own if field.name in KEYS]
        if clash:
            raise SchemaError(
                f"{self._inputs[0].meta.key} has a column {clash[0]!r}, which tables have for "
                "their own use",
                hint="rename the column",
            )
        return pa.schema([*own, *(pa.field(name, pa.string()) for name in KEYS)])

    def batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Yield the rows with the columns of a table, output by output."""
        self.count = 0
        for entry in self._inputs:
            keys = (self._source, entry.partition, entry.output_id)
            for batch in read_batches(self._outputs, entry.meta):
                if batch.num_rows:
                    self.count += batch.num_rows
                    yield _as_rows(plain_batch(batch), schema, keys, entry.meta.key)


def _as_rows(
    batch: pa.RecordBatch, schema: pa.Schema, keys: tuple[str, ...], label: str
) -> pa.RecordBatch:
    unknown = [name for name in batch.schema.names if name not in schema.names]
    if unknown:
        raise SchemaError(
            f"{label} has a column {unknown[0]!r}, which the table does not have",
            hint="add the column to the table, or name another table",
        )
    values = dict(zip(KEYS, keys, strict=True))
    columns = []
    for field in schema:
        if field.name in values:
            columns.append(pa.repeat(to_scalar(values[field.name]), batch.num_rows))
        elif field.name in batch.schema.names:
            columns.append(_cast(batch.column(field.name), field, label))
        else:
            columns.append(pa.nulls(batch.num_rows, field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _cast(column: pa.Array, field: pa.Field, label: str) -> pa.Array:
    try:
        if pa.types.is_dictionary(column.type):
            column = pc.cast(column, column.type.value_type)
        return column if column.type == field.type else column.cast(field.type)
    except pa.ArrowException as error:
        reason = str(error).partition("\n")[0][:200]
        raise SchemaError(
            f"{label}: the column {field.name!r} ({column.type}) cannot be {field.type}, which the "
            f"table has: {reason}",
            hint="name another table",
        ) from error


def table_type(kind: pa.DataType) -> pa.DataType:  # noqa: PLR0911 - a line per type
    """Return the type that both formats have for values of a type."""
    kind = plain_kind(kind)
    if pa.types.is_dictionary(kind):
        return table_type(kind.value_type)
    if pa.types.is_null(kind) or pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_large_binary(kind):
        return pa.binary()
    if pa.types.is_integer(kind):
        return pa.int32() if kind in _SMALL else pa.int64()
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", "UTC" if kind.tz is not None else None)
    if pa.types.is_date(kind):
        return pa.date32()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(table_type(kind.value_type))
    return kind


_SMALL = {pa.int8(), pa.int16(), pa.int32(), pa.uint8(), pa.uint16()}
