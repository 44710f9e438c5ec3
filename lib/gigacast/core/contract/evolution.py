"""Changes of columns that keep old files readable, and the reading of old files.

A column may be added (older files read as missing there) and may be widened (no value is lost);
nothing else is an evolution.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from gigacast.errors import SchemaError

_UNITS = ("s", "ms", "us", "ns")
_EXACT_BITS = {16: 11, 32: 24, 64: 53}
"""Bits of the integers that a float holds exactly, by the bits of the float."""


def widen(first: pa.DataType, second: pa.DataType) -> pa.DataType | None:  # noqa: PLR0911
    """Return the narrowest type that holds every value of both; ``None`` when there is none.

    Examples
    --------
    >>> widen(pa.int32(), pa.int64()), widen(pa.int8(), pa.string())
    (DataType(int64), None)
    """
    if first == second:
        return first
    first, second = _plain(first), _plain(second)
    if first == second:
        return first
    for kind, partner in ((first, second), (second, first)):
        if pa.types.is_null(kind):
            return partner
    if _is_number(first) and _is_number(second):
        return _widen_numbers(first, second)
    if pa.types.is_timestamp(first) and pa.types.is_timestamp(second):
        return _widen_times(first, second)
    for small, large in ((pa.string(), pa.large_string()), (pa.binary(), pa.large_binary())):
        if {first, second} == {small, large}:
            return small  # the same in a file; in memory the width of their offsets differs
    if pa.types.is_date(first) and pa.types.is_date(second):
        return pa.date64()
    return None


def is_wider(new: pa.DataType, old: pa.DataType) -> bool:
    """Check whether the new type holds every value of the old one."""
    widest = widen(new, old)
    if widest is None:
        return False
    same: bool = str(widest) == str(_plain(new))
    return is_alike(new, old) or same


def is_alike(first: pa.DataType, second: pa.DataType) -> bool:
    """Check whether two types are the same in a file: they may differ in memory only."""
    names = [str(_plain(kind)).removeprefix("large_") for kind in (first, second)]
    return names[0] == names[1]


def _plain(kind: pa.DataType) -> pa.DataType:
    return _plain(kind.value_type) if pa.types.is_dictionary(kind) else kind


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _widen_numbers(first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
    bits = max(first.bit_width, second.bit_width)
    if pa.types.is_floating(first) and pa.types.is_floating(second):
        return first if first.bit_width == bits else second
    if pa.types.is_floating(first) or pa.types.is_floating(second):
        real, integer = (first, second) if pa.types.is_floating(first) else (second, first)
        needed = integer.bit_width - (1 if pa.types.is_signed_integer(integer) else 0)
        fits = [width for width in (32, 64) if width >= real.bit_width]
        float_bits = next((width for width in fits if _EXACT_BITS[width] >= needed), 64)
        # 64-bit integers above 2**53 become the nearest float64. Counts and volumes stay below.
        return pa.float32() if float_bits == 32 else pa.float64()
    signed = pa.types.is_signed_integer(first), pa.types.is_signed_integer(second)
    if signed[0] == signed[1]:
        return first if first.bit_width == bits else second
    unsigned = second if signed[0] else first
    # A signed type needs twice the bits to hold an unsigned one; for uint64 there is none.
    width = max(bits, unsigned.bit_width * 2)
    return {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}.get(width)


def _widen_times(first: Any, second: Any) -> pa.DataType | None:
    if (first.tz is None) != (second.tz is None):
        return None
    unit = max(first.unit, second.unit, key=_UNITS.index)
    return pa.timestamp(unit, first.tz if first.tz == second.tz else "UTC")


def unify_schemas(schemas: Iterable[pa.Schema], label: str) -> pa.Schema:
    """Return one schema for files of all these schemas; columns in the order of first appearance.

    Raises
    ------
    SchemaError
        If no type holds the values of a column in all files.
    """
    fields: dict[str, pa.Field] = {}
    for schema in schemas:
        for field in schema:
            earlier = fields.get(field.name)
            kind = field.type if earlier is None else widen(earlier.type, field.type)
            if kind is None:
                assert earlier is not None  # noqa: S101 - a new column has its own type
                raise SchemaError(
                    f"{label}: the column {field.name!r} is {earlier.type} in one file and "
                    f"{field.type} in another",
                    hint="read them apart, or write one of them again",
                )
            fields[field.name] = pa.field(field.name, kind)
    return pa.schema(list(fields.values()))


def conform(
    rows: pa.RecordBatch | pa.Table, schema: pa.Schema, label: str
) -> pa.RecordBatch | pa.Table:
    """Return rows of an older schema as rows of a newer one; missing columns are null.

    Raises
    ------
    SchemaError
        When a value does not fit.
    """
    if rows.schema.equals(schema):
        return rows
    names = set(rows.schema.names)
    columns: list[Any] = []
    for field in schema:
        if field.name not in names:
            columns.append(pa.nulls(rows.num_rows, field.type))
            continue
        column = rows.column(field.name)
        try:
            columns.append(column if column.type == field.type else column.cast(field.type))
        except pa.ArrowException as error:
            raise SchemaError(
                f"{label}: the column {field.name!r} ({column.type}) can't be read as {field.type}"
            ) from error
    return type(rows).from_arrays(columns, schema=schema)


def missing_columns(names: Sequence[str], schema: pa.Schema) -> list[str]:
    """Return the names that are no columns of a schema."""
    return [name for name in names if name not in schema.names]
