"""Conversion of columns into the types of a contract: without loss, or where possible.

Arrow converts a whole array or nothing. To find the values that cannot be converted, the distinct
values are halved until each half converts or is a single value: this works for every pair of types,
and takes few steps if few values are wrong.
"""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.column import null_of
from gigacast.core.contract.definition import Column, Mode

_ZONED = r"(?:Z|[+-]\d\d:?\d\d)$"


def is_text(kind: pa.DataType) -> bool:
    """Check whether a type is a string type."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values of a dictionary, else the type itself."""
    return plain_type(kind.value_type) if pa.types.is_dictionary(kind) else kind


def target_type(column: Column, stored: pa.DataType, mode: Mode) -> pa.DataType | None:
    """Return the type that a stored column is converted to; ``None`` if the mode forbids it."""
    stored, target = plain_type(stored), column.arrow_type
    if stored == target or (is_text(stored) and is_text(target)):
        return target
    if pa.types.is_null(stored):
        return target
    if column.any_unit and pa.types.is_timestamp(stored):
        return stored
    if pa.types.is_timestamp(target) and _is_number(stored):
        return None  # a number has neither an epoch nor a unit
    if mode is Mode.COERCE:
        return target if _may_convert(stored, target) else None
    return target if _alike(stored, target) else None


def _alike(stored: pa.DataType, target: pa.DataType) -> bool:
    """Check whether values convert from one type to the other without parsing or guessing."""
    if _is_number(stored) and _is_number(target):
        return True
    if pa.types.is_timestamp(stored) and pa.types.is_timestamp(target):
        return (stored.tz is None) == (target.tz is None)
    return bool(
        pa.types.is_date(stored) and (pa.types.is_date(target) or pa.types.is_timestamp(target))
    )


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def _may_convert(stored: pa.DataType, target: pa.DataType) -> bool:
    try:
        pa.nulls(0, stored).cast(target)
    except pa.ArrowException:
        return False
    return True


def cast_column(values: pa.Array, target: pa.DataType, mode: Mode) -> tuple[pa.Array, Any]:
    """Return values as another type, and a mask of those that could not be converted.

    Returns
    -------
    pa.Array [N]
        Null where a value could not be converted.
    boolean array [N] or None
        ``None`` when every value was converted.
    """
    if values.type == target:
        return values, None
    if pa.types.is_dictionary(values.type):
        values = values.cast(plain_type(values.type))
    if is_text(values.type) and not is_text(target):
        # Blanks around a value are no part of it, and an empty text is a missing value.
        values = pc.utf8_trim_whitespace(values)
        values = pc.if_else(pc.equal(values, ""), null_of(values.type), values)
    if (converted := _try(values, target, mode)) is not None:
        return converted, None
    bad = pa.concat_arrays(_unconvertible(values.unique(), target, mode))
    mask = pc.and_(pc.is_in(values, value_set=bad), values.is_valid())
    convertible = pc.if_else(mask, null_of(values.type), values)
    converted = _try(convertible, target, mode)
    assert converted is not None  # noqa: S101 - the halves without bad values were converted
    return converted, mask


def text_time_type(values: pa.Array) -> pa.DataType:
    """Return the timestamp type of texts: with a zone when the first has one."""
    texts = values.drop_null()
    zoned = len(texts) and pc.match_substring_regex(texts.slice(0, 1), _ZONED)[0].as_py()
    return pa.timestamp("us", "UTC" if zoned else None)


def _try(values: pa.Array, target: pa.DataType, mode: Mode) -> pa.Array | None:
    # COERCE may cut timestamps to the contract's unit, such as nanoseconds to microseconds.
    loses = mode is Mode.COERCE and pa.types.is_timestamp(target)
    try:
        converted = values.cast(target, safe=not loses or is_text(values.type))
    except (pa.ArrowException, ValueError):
        return None
    if mode is Mode.STRICT and pa.types.is_floating(target) and pa.types.is_floating(values.type):
        # Arrow's safe cast checks integers, but not whether a narrower float keeps its value.
        same = pc.or_(pc.equal(converted.cast(values.type), values), pc.is_nan(values))
        return converted if pc.all(same, min_count=0).as_py() is not False else None
    return converted


def _unconvertible(values: pa.Array, target: pa.DataType, mode: Mode) -> list[pa.Array]:
    if _try(values, target, mode) is not None:
        return [values.slice(0, 0)]
    if len(values) == 1:
        return [values]
    half = len(values) // 2
    first, second = values.slice(0, half), values.slice(half)
    return _unconvertible(first, target, mode) + _unconvertible(second, target, mode)
