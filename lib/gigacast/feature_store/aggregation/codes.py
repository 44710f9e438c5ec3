"""Integers that stand for the values of a column and sort as the values do."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat
from numpy.typing import NDArray

from gigacast.feature_store.aggregation.row_state import plain_values
from gigacast.feature_store.aggregation.value import canonical, pack

Ints = NDArray[np.int64]
_LOW = (1 << 63) - 1
_NAN = 0x7FF8000000000000


@dataclass(frozen=True)
class Codes:
    """Codes of a column's values, with the way back.

    Parameters
    ----------
    codes : array of int64, shape (rows,)
        Codes in the order of the values: numbers by size, NaN last, texts by UTF-8.
    kind : pyarrow.DataType
        Type of the values.
    dictionary : pyarrow.Array or None
        Values by code; none where a code is the value itself.
    """

    codes: Ints
    kind: pa.DataType
    dictionary: pa.Array | None = None

    def decode(self, codes: Ints) -> pa.Array:
        """Return the values of codes."""
        if self.dictionary is not None:
            return self.dictionary.take(pa.array(codes))
        if pat.is_floating(self.kind):
            bits = codes ^ ((codes >> 63) & _LOW)
            return pa.array(bits.view(np.float64)).cast(self.kind, safe=False)
        if pat.is_uint64(self.kind):
            return pa.array((codes ^ np.int64(-(1 << 63))).view(np.uint64))
        return _from_int64(codes, self.kind)


def code_values(values: pa.Array) -> Codes:
    """Return the codes of values without nulls and with an order.

    ``-0.0`` has the code of ``0.0``, and every NaN the same, as ``value.canonical`` says.
    """
    kind = values.type
    if pat.is_floating(kind):
        floats = to_floats(values) + 0.0
        bits = floats.view(np.int64)
        bits[np.isnan(floats)] = _NAN
        return Codes(bits ^ ((bits >> 63) & _LOW), kind)
    if pat.is_uint64(kind):
        unsigned = values.to_numpy(zero_copy_only=False)
        return Codes(unsigned.view(np.int64) ^ np.int64(-(1 << 63)), kind)
    if is_text(kind):
        return _rank(values)
    return Codes(_to_int64(values), kind)


def is_text(kind: pa.DataType) -> bool:
    """Return whether values are texts or bytes."""
    text = pat.is_string(kind) or pat.is_large_string(kind)
    return bool(text or pat.is_binary(kind) or pat.is_large_binary(kind))


def compact(coded: Codes) -> Codes:
    """Return codes from zero on without wide gaps, for tables by code and walks by bit."""
    codes = coded.codes
    if not len(codes):
        return coded
    least, greatest = int(codes.min()), int(codes.max())
    if least >= 0 and greatest < 2 * len(codes):
        return coded
    distinct = pa.array(codes).dictionary_encode()
    values = distinct.dictionary.to_numpy()
    order = np.argsort(values)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return Codes(rank[distinct.indices.to_numpy()], coded.kind, coded.decode(values[order]))


def to_floats(values: pa.Array) -> NDArray[np.float64]:
    """Return numbers as 64-bit floats, in an array of their own."""
    wide = pc.cast(values, pa.float64(), safe=False)
    floats: NDArray[np.float64] = wide.to_numpy(zero_copy_only=False)
    return floats


def spelled_order(values: pa.Array) -> list[bytes]:
    """Return sort keys of values without an order, such as lists: their encodings."""
    return [pack(canonical(value)) for value in plain_values(values)]


def _rank(values: pa.Array) -> Codes:
    encoded = values.dictionary_encode()
    # Arrow sorts texts and bytes by their bytes, as Python sorts texts by code points.
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    codes = rank[encoded.indices.to_numpy(zero_copy_only=False)]
    return Codes(codes, values.type, encoded.dictionary.take(pa.array(order)))


def _to_int64(values: pa.Array) -> Ints:
    kind = values.type
    if pat.is_date32(kind) or pat.is_time32(kind):
        values = values.view(pa.int32())
    elif pat.is_temporal(kind):
        values = values.view(pa.int64())
    wide: Ints = pc.cast(values, pa.int64()).to_numpy(zero_copy_only=False)
    return wide


def _from_int64(codes: Ints, kind: pa.DataType) -> pa.Array:
    integers = pa.array(codes)
    if pat.is_boolean(kind):
        return pc.cast(integers, pa.bool_())
    if pat.is_date32(kind) or pat.is_time32(kind):
        return pc.cast(integers, pa.int32()).view(kind)
    return integers.view(kind) if pat.is_temporal(kind) else pc.cast(integers, kind)
