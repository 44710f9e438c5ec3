"""Columns as numbers."""

import numpy as np
import pyarrow as pa

from gigacast.core.array import BoolArray, DoubleArray, RealArray
from gigacast.core.column import known_floats, to_floats


def is_value_type(kind: pa.DataType) -> bool:
    """Tell whether a column of this type can be a target."""
    if pa.types.is_dictionary(kind):
        return is_value_type(kind.value_type)
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_null(kind)
    )


def read_values(column: pa.Array) -> RealArray:
    """Return a target column as float32 or float64 [R], NaN where null."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_null(column.type):
        return np.full(len(column), np.nan, np.float32)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    if pa.types.is_float16(column.type):
        column = column.cast(pa.float32())
    if not pa.types.is_floating(column.type):
        column = column.cast(pa.float64(), safe=False)
    values: RealArray = to_floats(column)
    return values


def doubles(column: pa.ChunkedArray) -> DoubleArray:
    """Return the numbers of a column, float64 [R]; NaN where null."""
    whole = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return read_values(whole).astype(np.float64, copy=False)


def known_doubles(column: pa.ChunkedArray) -> tuple[DoubleArray, BoolArray]:
    """Return the numbers of a column, float64 [R], and which are finite, bool [R].

    What stands where a value is null is not told, and nothing is copied to mark it.
    """
    if pa.types.is_float32(column.type) or pa.types.is_float64(column.type):
        values, known = known_floats(column)
        return values.astype(np.float64, copy=False), known
    values = doubles(column)
    return values, np.isfinite(values)
