"""Conversion of columns into the types of a contract: without loss, or where possible.

Which values cannot be converted is found by halving the distinct ones: exact for every pair of
types, and quick when few are wrong.
"""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.column import null_of
from gigacast.core.contract.definition import Column, Mode

_ZONED = r"(?:Z|[+-]\d\d:?\d\d)$"


def is_text(kind: pa.DataType) -> bool:
    """Whether it is a string type."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values of a dictionary, else the type itself."""
    return plain_type(kind.value_type) if pa.types.is_dictionary(kind) else kind


def target_type(column: Column, found: pa.DataType, mode: Mode) -> pa.DataType | None:
    """Return the type to read a stored column as; ``None`` when it can't be the contract's."""
    found, wanted = plain_type(found), column.arrow_type
    if found == wanted or (is_text(found) and is_text(wanted)):
        return wanted
    if pa.types.is_null(found):
        return wanted
    if column.any_unit and pa.types.is_timestamp(found):
        return found
    if pa.types.is_timestamp(wanted) and _is_number(found):
        return None  # a number has neither an epoch nor a unit
    if mode is Mode.COERCE:
        return wanted if _may_convert(found, wanted) else None
    return wanted if _alike(found, wanted) else None


def _alike(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether values convert from one type to the other without parsing or guessing."""
    if _is_number(found) and _is_number(wanted):
        return True
    if pa.types.is_timestamp(found) and pa.types.is_timestamp(wanted):
        return (found.tz is None) == (wanted.tz is None)
    return bool(
        pa.types.is_date(found) and (pa.types.is_date(wanted) or pa.types.is_timestamp(wanted))
    )


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def _may_convert(found: pa.DataType, wanted: pa.DataType) -> bool:
    try:
        pa.nulls(0, found).cast(wanted)
    except pa.ArrowException:
        return False
    return True


def cast_column(values: pa.Array, wanted: pa.DataType, mode: Mode) -> tuple[pa.Array, Any]:
    """Return values as another type, and a mask of those that could not be converted.

    Returns
    -------
    pa.Array [N]
        Null where a value could not be converted.
    boolean array [N] or None
        ``None`` when every value was converted.
    """
    if values.type == wanted:
        return values, None
    if pa.types.is_dictionary(values.type):
        values = values.cast(plain_type(values.type))
    if is_text(values.type) and not is_text(wanted):
        values = pc.utf8_trim_whitespace(values)
        values = pc.if_else(pc.equal(values, ""), null_of(values.type), values)
    if (done := _try(values, wanted, mode)) is not None:
        return done, None
    bad = pa.concat_arrays(_unconvertible(values.unique(), wanted, mode))
    mask = pc.and_(pc.is_in(values, value_set=bad), values.is_valid())
    kept = pc.if_else(mask, null_of(values.type), values)
    done = _try(kept, wanted, mode)
    assert done is not None  # noqa: S101 - each value left was converted alone before
    return done, mask


def text_time_type(values: pa.Array) -> pa.DataType:
    """Return the timestamp type of texts: with a zone when the first has one."""
    known = values.drop_null()
    zoned = len(known) and pc.match_substring_regex(known.slice(0, 1), _ZONED)[0].as_py()
    return pa.timestamp("us", "UTC" if zoned else None)


def _try(values: pa.Array, wanted: pa.DataType, mode: Mode) -> pa.Array | None:
    # Coercion may cut timestamps to the contract's unit; a lost nanosecond breaks no promise.
    loses = mode is Mode.COERCE and pa.types.is_timestamp(wanted)
    try:
        done = values.cast(wanted, safe=not loses or is_text(values.type))
    except (pa.ArrowException, ValueError):
        return None
    if mode is Mode.STRICT and pa.types.is_floating(wanted) and pa.types.is_floating(values.type):
        same = pc.or_(pc.equal(done.cast(values.type), values), pc.is_nan(values))
        return done if pc.all(same, min_count=0).as_py() is not False else None
    return done


def _unconvertible(values: pa.Array, wanted: pa.DataType, mode: Mode) -> list[pa.Array]:
    if _try(values, wanted, mode) is not None:
        return [values.slice(0, 0)]
    if len(values) == 1:
        return [values]
    half = len(values) // 2
    first, second = values.slice(0, half), values.slice(half)
    return _unconvertible(first, wanted, mode) + _unconvertible(second, wanted, mode)
