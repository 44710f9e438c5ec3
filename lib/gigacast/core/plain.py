"""Plain Arrow types for columns in types that hold the same values in another form.

Frames of polars and DuckDB, and files written from them, have views of texts, bytes and lists, runs
of equal values, booleans of eight bits, short decimals and offsets without a colon. Few functions
of Arrow take them, and some give wrong results.
"""

import re
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.column import to_arrow, to_numpy

_SHORT_OFFSET = re.compile(r"[+-][0-9]{2}(?:[0-9]{2})?")
"""Zones that Arrow stores, and converts to no other library: `+0530` in place of `+05:30`."""
_VIEWS = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}


def plain_kind(kind: pa.DataType) -> pa.DataType:
    """Return the plain type of a type; the type itself if it is plain."""
    if kind in _VIEWS:
        return _VIEWS[kind]
    if getattr(kind, "extension_name", None) == "arrow.bool8":
        return pa.bool_()
    if pa.types.is_decimal32(kind) or pa.types.is_decimal64(kind):
        return pa.decimal128(kind.precision, kind.scale)
    if pa.types.is_timestamp(kind) and _SHORT_OFFSET.fullmatch(kind.tz or ""):
        return pa.timestamp(kind.unit, f"{kind.tz[:3]}:{kind.tz[3:] or '00'}")
    return _plain_nested(kind)


def _plain_nested(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_run_end_encoded(kind):
        return plain_kind(kind.value_type)
    if pa.types.is_dictionary(kind):
        value = plain_kind(kind.value_type)
        return kind if value == kind.value_type else pa.dictionary(pa.int32(), value)
    if (make := _list_maker(kind)) is None:
        return kind
    value = plain_kind(kind.value_type)
    return kind if _is_list(kind) and value == kind.value_type else make(value)


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """Return a schema with plain types."""
    if all(plain_kind(kind) is kind for kind in schema.types):
        return schema
    fields = [field.with_type(plain_kind(field.type)) for field in schema]
    return pa.schema(fields, schema.metadata)


def plain_table(table: pa.Table) -> pa.Table:
    """Return a table with columns of plain types."""
    for place, field in enumerate(table.schema):
        kind = plain_kind(field.type)
        if kind is field.type:
            continue
        chunks = [_plain_array(chunk, kind) for chunk in table.column(place).chunks]
        column = pa.chunked_array(chunks, kind)
        table = table.set_column(place, field.with_type(kind), column)
    return table


def plain_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a record batch with columns of plain types."""
    schema = plain_schema(batch.schema)
    if schema is batch.schema:
        return batch
    pairs = zip(batch.columns, schema.types, strict=True)
    columns = [_plain_array(column, kind) for column, kind in pairs]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _plain_array(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return an array as its plain type."""
    if column.type == kind:
        return column
    if pa.types.is_run_end_encoded(column.type):
        return _decoded_runs(column, kind)
    if _list_maker(column.type) is not None:
        return _plain_lists(column, kind)
    if pa.types.is_dictionary(column.type) and pa.types.is_dictionary(kind):
        # Arrow casts dictionaries of few types.
        values = _plain_array(column.dictionary, kind.value_type)
        return pa.DictionaryArray.from_arrays(column.indices.cast(pa.int32()), values)
    return column.cast(kind)


def _decoded_runs(column: pa.Array, kind: pa.DataType) -> pa.Array:
    # By hand: Arrow decodes runs of some types only.
    ends = to_numpy(column.run_ends).astype(np.int64)
    rows = np.arange(column.offset, column.offset + len(column))
    places = np.searchsorted(ends, rows, side="right")
    return _plain_array(column.values, kind).take(to_arrow(places))


def _plain_lists(column: pa.Array, kind: pa.DataType) -> pa.Array:
    # By hand: Arrow casts views to empty lists without an error.
    lengths = to_numpy(pc.list_value_length(column).fill_null(0).cast(pa.int64()))
    values = _plain_array(column.flatten(), kind.value_type)
    offsets = to_arrow(np.append(0, np.cumsum(lengths)))
    mask = column.is_null() if column.null_count else None
    is_large = pa.types.is_large_list(kind)
    make = pa.LargeListArray if is_large else pa.ListArray
    # Arrow takes offsets of a list's own width only.
    offsets = offsets if is_large else offsets.cast(pa.int32())
    return make.from_arrays(offsets, values, kind, mask=mask)


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _list_maker(kind: pa.DataType) -> Callable[[pa.DataType], pa.DataType] | None:
    """Return the function that makes the plain type of a list; ``None`` for other types."""
    maker: Callable[[pa.DataType], pa.DataType] | None = None
    if pa.types.is_large_list(kind) or pa.types.is_large_list_view(kind):
        maker = pa.large_list
    elif _is_list(kind) or pa.types.is_list_view(kind):
        maker = pa.list_
    return maker
