"""The narrowest type that holds the values of a column."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import DoubleArray
from gigacast.core.column import to_arrow, to_numpy

_AT_ONCE = 1 << 16
"""Rows compared at a time: the first value that does not fit ends the search."""


def narrowest_integer(column: pa.ChunkedArray) -> pa.DataType:
    """Return the narrowest signed type that holds all values, or the column's if it is narrower."""
    least, greatest = (bound.as_py() for bound in pc.min_max(column).values())
    if least is None:  # no value at all: any type would hold them
        return column.type
    for bits, kind in ((8, pa.int8()), (16, pa.int16()), (32, pa.int32())):
        if -(1 << (bits - 1)) <= least and greatest < 1 << (bits - 1):
            return kind if kind.bit_width < column.type.bit_width else column.type
    return column.type


def fits_float32(values: DoubleArray, tolerance: float) -> bool:
    """Check whether all finite values can be float32 within a relative tolerance.

    Parameters
    ----------
    values : float64 [R]
    tolerance : float
        Largest error relative to each value; 0 allows no loss.
    """
    return all(
        _fit(values[start : start + _AT_ONCE], tolerance)
        for start in range(0, len(values), _AT_ONCE)
    )


def _fit(values: DoubleArray, tolerance: float) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        back = values.astype(np.float32).astype(np.float64)
        same = (
            back == values
            if tolerance == 0
            else np.abs(back - values) <= tolerance * np.abs(values)
        )
        # NaN and infinities become themselves.
        return bool(np.all(same | ~np.isfinite(values)))


def narrow_column(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return a column as a narrower type, which must hold its values."""
    if column.type == kind:
        return column
    if pa.types.is_float32(kind) and not column.null_count:
        with np.errstate(over="ignore"):
            return to_arrow(to_numpy(column).astype(np.float32))
    # Without checks: the values were found to fit.
    return column.cast(kind, safe=False)
