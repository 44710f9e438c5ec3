"""The conversion between NumPy and Arrow arrays, without pandas.

pyarrow's own conversions import pandas at their first call if it is installed. That costs 0.2 s and
45 MB in every process, in runs that do not use pandas. So buffers are wrapped directly here.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from gigacast.core.array import AnyArray, BoolArray

INT96_UNIT = "us"
"""Unit in which INT96 timestamps of Parquet are read.

Spark and Impala write them for any year. In nanoseconds, pyarrow's default, those outside of 1677
to 2262 wrap around.
"""

_KINDS = {
    np.dtype(name): getattr(pa, name)()
    for name in (
        *("int8", "int16", "int32", "int64"),
        *("uint8", "uint16", "uint32", "uint64", "float32", "float64"),
    )
}
_WIDTHS = {kind: dtype for dtype, kind in _KINDS.items()}
_DELTA = {"DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"}
_INT64 = 1 << 63
# Up to one removed row in this number of rows, `keep_rows` copies the pieces between them.
_ROWS_PER_REMOVED = 256


def to_arrow(values: AnyArray, absent: BoolArray | None = None) -> pa.Array:
    """Return an Arrow array of numbers, booleans or times. Numbers and times are not copied.

    Parameters
    ----------
    values : NDArray [N]
        Values. NaT becomes null; NaN stays NaN.
    absent : bool [N], optional
        Mask of the values that become null.
    """
    data: AnyArray
    if values.dtype.kind == "M":
        missing = np.isnat(values)
        absent = missing if absent is None else absent | missing
        kind, data = pa.timestamp(np.datetime_data(values.dtype)[0]), values.view(np.int64)
    elif values.dtype.kind == "b":
        # Arrow holds booleans, and the validity below, as one bit per value, the lowest bit first.
        kind, data = pa.bool_(), np.packbits(values, bitorder="little")
    else:
        kind, data = _KINDS[values.dtype], values
    validity = None
    if absent is not None and absent.any():
        validity = pa.py_buffer(np.packbits(~absent, bitorder="little"))
    buffers = [validity, pa.py_buffer(np.ascontiguousarray(data))]
    return pa.Array.from_buffers(kind, len(values), buffers)


def to_numpy(column: pa.Array | pa.ChunkedArray) -> AnyArray:
    """Return the numbers or booleans of a column, [N], without a copy if it has one chunk.

    Columns of other types or with nulls are converted by pyarrow.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if column.null_count or not (column.type in _WIDTHS or pa.types.is_boolean(column.type)):
        return np.asarray(column.to_numpy(zero_copy_only=False))
    # The buffers of a slice are those of the whole array, so its offset is applied here.
    first, stop = column.offset, column.offset + len(column)
    data = column.buffers()[1]
    if data is None:
        data = b""
    if pa.types.is_boolean(column.type):
        bits = np.frombuffer(data, np.uint8)
        return np.unpackbits(bits, count=stop, bitorder="little")[first:].view(np.bool_)
    dtype = _WIDTHS[column.type]
    return np.frombuffer(data, dtype, count=stop)[first:] if stop else np.empty(0, dtype)


def to_floats(column: pa.Array | pa.ChunkedArray) -> AnyArray:
    """Return the numbers of a float column, [N], NaN for nulls; copied only if it has nulls."""
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    validity, data = column.buffers()
    if not column.null_count or validity is None or data is None:
        return to_numpy(column.fill_null(float("nan")) if column.null_count else column)
    first, stop = column.offset, column.offset + len(column)
    values = np.frombuffer(data, _WIDTHS[column.type], count=stop)[first:].copy()
    values[~_valid_bits(validity, first, stop)] = np.nan
    return values


def _valid_bits(validity: pa.Buffer, first: int, stop: int) -> BoolArray:
    """Return the mask of the valid values from a validity bitmap, [stop - first]."""
    bits = np.unpackbits(np.frombuffer(validity, np.uint8), count=stop, bitorder="little")
    return bits[first:].view(np.bool_)


def known_floats(
    column: pa.Array | pa.ChunkedArray,
) -> tuple[AnyArray, BoolArray]:
    """Return the numbers of a float column without a copy, and the mask of finite ones, both [N].

    The numbers at nulls are undefined.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    validity, data = column.buffers()
    if not column.null_count or validity is None or data is None:
        values = to_floats(column)
        return values, np.isfinite(values)
    first, stop = column.offset, column.offset + len(column)
    values = np.frombuffer(data, _WIDTHS[column.type], count=stop)[first:]
    is_finite = np.isfinite(values)
    is_finite &= _valid_bits(validity, first, stop)
    return values, is_finite


def may_hold_nan(column: pa.Array | pa.ChunkedArray) -> bool:
    """Check whether a column may hold NaN. With nulls the answer may be a false alarm."""
    # The buffer is undefined at nulls and may hold NaN there.
    if not pa.types.is_floating(column.type):
        return False
    if pa.types.is_float16(column.type):
        return True
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    return any(_buffer_holds_nan(chunk) for chunk in chunks)


def _buffer_holds_nan(column: pa.Array) -> bool:
    if not len(column):
        return False
    values = np.frombuffer(
        column.buffers()[1], _WIDTHS[column.type], count=column.offset + len(column)
    )
    return bool(np.isnan(values[column.offset :]).any())


def keep_rows(rows: pa.Table | pa.RecordBatch, keep: BoolArray) -> pa.Table:
    """Return the rows that the mask ``keep``, bool [N], selects."""
    # If few rows are removed, copying the pieces between them is twice as fast as a filter.
    table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
    removed = np.flatnonzero(~keep)
    if len(removed) > len(keep) // _ROWS_PER_REMOVED:
        return table.filter(to_arrow(keep))
    starts, stops = np.append(0, removed + 1).tolist(), np.append(removed, len(keep)).tolist()
    pieces = [
        table.slice(start, stop - start)
        for start, stop in zip(starts, stops, strict=True)
        if stop > start
    ]
    return pa.concat_tables(pieces).combine_chunks() if pieces else table.slice(0, 0)


def text_column(texts: Sequence[str]) -> pa.StringArray:
    """Return an Arrow array of texts."""
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.StringArray.from_buffers(
        len(texts), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))
    )


def to_scalar(value: Any) -> pa.Scalar:
    """Return an Arrow scalar of a Python value."""
    # `pa.scalar` imports pandas at its first call, so it gets only the types that are rare here.
    if isinstance(value, str):
        return text_column([value])[0]
    if isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < _INT64):
        return to_arrow(np.array([value]))[0]
    return pa.scalar(value)


def null_of(kind: pa.DataType) -> pa.Scalar:
    """Return the missing value of a type."""
    return pa.nulls(1, kind)[0]


def is_number(kind: pa.DataType) -> bool:
    """Check whether a column holds numbers, which can be outliers and be interpolated."""
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def readable_as_codes(footer: Any, names: Iterable[str]) -> list[str]:
    """Return those of the text columns that can be read from a Parquet file as dictionaries.

    Arrow cannot decode DELTA_BYTE_ARRAY and DELTA_LENGTH_BYTE_ARRAY pages, which DuckDB and the
    second page version of parquet-java write, into dictionaries. It reads them as plain text.

    Parameters
    ----------
    footer : pyarrow.parquet.FileMetaData
        Footer of the file.
    names : iterable of str
        Columns of text.
    """
    selected = list(names)
    paths = [footer.schema.column(place).path for place in range(footer.num_columns)]
    plain = {
        paths[place]
        for group in map(footer.row_group, range(footer.num_row_groups))
        for place, path in enumerate(paths)
        if path in selected and not _DELTA.isdisjoint(group.column(place).encodings)
    }
    return [name for name in selected if name not in plain]
