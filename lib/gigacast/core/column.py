"""NumPy arrays as Arrow arrays and back. Imports numpy and pyarrow.

pyarrow's own ways import pandas the first time, where it is installed: 0.2 s and 45 MB in every
process of a run that has no use for it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_KINDS = {
    np.dtype(name): getattr(pa, name)()
    for name in (
        *("int8", "int16", "int32", "int64"),
        *("uint8", "uint16", "uint32", "uint64", "float32", "float64"),
    )
}
_WIDTHS = {kind: dtype for dtype, kind in _KINDS.items()}
_INT64 = 1 << 63


def to_arrow(values: npt.NDArray[Any], absent: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Return an Arrow array of numbers, booleans or moments; of moments without a copy.

    Parameters
    ----------
    values : NDArray
        [N], of one dimension. NaT becomes null; NaN stays what it is.
    absent : NDArray, optional
        Bool, [N]: what becomes null.
    """
    data: npt.NDArray[Any]
    if values.dtype.kind == "M":
        missing = np.isnat(values)
        absent = missing if absent is None else absent | missing
        kind, data = pa.timestamp(np.datetime_data(values.dtype)[0]), values.view(np.int64)
    elif values.dtype.kind == "b":
        kind, data = pa.bool_(), np.packbits(values, bitorder="little")
    else:
        kind, data = _KINDS[values.dtype], values
    known = None
    if absent is not None and absent.any():
        known = pa.py_buffer(np.packbits(~absent, bitorder="little"))
    buffers = [known, pa.py_buffer(np.ascontiguousarray(data))]
    return pa.Array.from_buffers(kind, len(values), buffers)


def to_numpy(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[Any]:
    """Return the numbers or booleans of a column, [N]; without a copy where there is one chunk.

    Columns of another type or with nulls go pyarrow's own way.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if column.null_count or not (column.type in _WIDTHS or pa.types.is_boolean(column.type)):
        return np.asarray(column.to_numpy(zero_copy_only=False))
    first, stop = column.offset, column.offset + len(column)
    data = column.buffers()[1]
    if data is None:
        data = b""
    if pa.types.is_boolean(column.type):
        bits = np.frombuffer(data, np.uint8)
        return np.unpackbits(bits, count=stop, bitorder="little")[first:].view(np.bool_)
    dtype = _WIDTHS[column.type]
    return np.frombuffer(data, dtype, count=stop)[first:] if stop else np.empty(0, dtype)


def to_floats(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[Any]:
    """Return the numbers of a float column, [N], NaN where null; without a copy where none is."""
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    known, data = column.buffers()
    if not column.null_count or known is None or data is None:
        return to_numpy(column.fill_null(float("nan")) if column.null_count else column)
    first, stop = column.offset, column.offset + len(column)
    values = np.frombuffer(data, _WIDTHS[column.type], count=stop)[first:].copy()
    present = np.unpackbits(np.frombuffer(known, np.uint8), count=stop, bitorder="little")[first:]
    values[present == 0] = np.nan
    return values


def text_column(texts: Sequence[str]) -> pa.StringArray:
    """Return an Arrow array of texts."""
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.StringArray.from_buffers(
        len(texts), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))
    )


def to_scalar(value: Any) -> pa.Scalar:
    """Return an Arrow scalar of a Python value."""
    if isinstance(value, str):
        return text_column([value])[0]
    if isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < _INT64):
        return to_arrow(np.array([value]))[0]
    return pa.scalar(value)


def null_of(kind: pa.DataType) -> pa.Scalar:
    """Return the missing value of a type."""
    return pa.nulls(1, kind)[0]
