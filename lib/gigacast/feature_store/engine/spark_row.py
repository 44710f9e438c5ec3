"""Rows on their way through Spark: in columns of its types for SQL, or packed as bytes."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from gigacast.feature_store.aggregation.spill import GROUPS, group_of

PLACE = "#place"
"""Column that numbers rows, so that they come back in the order of the files."""
GROUP, BYTES = "group", "bytes"
PACKED = pa.schema([(GROUP, pa.int32()), (BYTES, pa.binary())])
"""Columns of rows that travel as bytes."""


def distinct(keys: pa.Table) -> pa.Table:
    """Return rows of keys, each once."""
    return keys.group_by(keys.column_names).aggregate([])


def pack(table: pa.Table, keys: int) -> Iterator[pa.RecordBatch]:
    """Yield rows as bytes, a row for each group of keys; keys are the columns ``#key0`` ...."""
    if not table.num_rows:
        return
    group = group_of([whole(table[f"#key{n}"]) for n in range(keys)])
    order = np.argsort(group.astype(np.uint8), kind="stable")
    cuts = np.searchsorted(group[order], np.arange(GROUPS + 1))
    rows = table.take(pa.array(order))
    numbers = np.flatnonzero(np.diff(cuts))
    pieces = [to_bytes(rows.slice(cuts[n], cuts[n + 1] - cuts[n])) for n in numbers]
    groups = pa.array(numbers.astype(np.int32))
    yield pa.RecordBatch.from_arrays([groups, pa.array(pieces, pa.binary())], schema=PACKED)


def unpack(column: pa.Array | pa.ChunkedArray) -> list[pa.Table]:
    """Return the tables that a column of bytes holds."""
    return [pa.ipc.open_stream(value.as_buffer()).read_all() for value in column]


def to_bytes(table: pa.Table) -> bytes:
    """Return a table as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def spark_schema(schema: pa.Schema) -> pa.Schema:
    """Return columns in the nearest types that Spark has."""
    return pa.schema([pa.field(field.name, spark_type(field.type)) for field in schema])


_UNSIGNED = {"uint8": pa.int16(), "uint16": pa.int32(), "uint32": pa.int64()}
_OTHERS: Sequence[tuple[Callable[[pa.DataType], bool], pa.DataType]] = (
    (pat.is_null, pa.string()),
    (pat.is_uint64, pa.decimal128(20, 0)),
    (pat.is_float16, pa.float32()),
    (pat.is_date64, pa.date32()),
    (pat.is_time, pa.int64()),
    (pat.is_large_string, pa.string()),
    (pat.is_string_view, pa.string()),
    (pat.is_large_binary, pa.binary()),
    (pat.is_fixed_size_binary, pa.binary()),
    (pat.is_duration, pa.duration("us")),
)


def spark_type(kind: pa.DataType) -> pa.DataType:
    """Return the nearest type that Spark has; its times have microseconds."""
    if pat.is_timestamp(kind):
        return pa.timestamp("us", None if kind.tz is None else "UTC")
    if pat.is_dictionary(kind):
        return spark_type(kind.value_type)
    if pat.is_nested(kind):
        return _nested(kind)
    plain = next((plain for test, plain in _OTHERS if test(kind)), kind)
    return _UNSIGNED.get(str(kind), plain)


def _nested(kind: pa.DataType) -> pa.DataType:
    if pat.is_map(kind):
        return pa.map_(spark_type(kind.key_type), spark_type(kind.item_type))
    if pat.is_struct(kind):
        return pa.struct([pa.field(f.name, spark_type(f.type)) for f in kind])
    return pa.list_(spark_type(kind.value_type))


def to_spark(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return values in a type of `spark_type`."""
    if values.type == kind:
        return values
    if pat.is_time(values.type):
        values = values.cast(pa.int32() if pat.is_time32(values.type) else pa.int64())
    # Nanoseconds are cut off: Spark has none.
    return pc.cast(values, kind, safe=not pat.is_timestamp(kind))


def restore(table: pa.Table, types: Mapping[str, pa.DataType]) -> pa.Table:
    """Return rows of Spark with the types that some columns had before."""
    for name, kind in types.items():
        index = table.schema.get_field_index(name)
        if index >= 0 and table.schema.types[index] != kind:
            table = table.set_column(index, pa.field(name, kind), table[name].cast(kind))
    return table


def whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return a column in one piece."""
    if isinstance(column, pa.Array):
        return column
    return pa.concat_arrays(column.chunks) if column.chunks else pa.array([], column.type)
