"""Columns of values in the types that people and programs write.

Each form of a column is a row of a table: its name, what it can spell, and how it is made.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

Made = Callable[[Sequence[Any]], pa.Array]


@dataclass(frozen=True)
class ValueForm:
    """A form of values.

    Parameters
    ----------
    name : str
    make : callable
        Makes the column from floats and ``None``.
    convert : callable
        Value that the form holds, of any value.
    refused : str
        Pattern of the refusal; empty for forms that are read.
    """

    name: str
    make: Made
    convert: Callable[[float], float] = float
    refused: str = ""


def runs_of(kind: pa.DataType) -> Made:
    """Return a maker of columns in runs of equal values."""

    def make(values: Sequence[Any]) -> pa.Array:
        ends = pa.array(range(1, len(values) + 1), pa.int32())
        return pa.RunEndEncodedArray.from_arrays(ends, pa.array(values, kind))

    return make


def _whole(value: float) -> float:
    return float(int(value))


def _rounded(kind: pa.DataType, scale: int) -> Made:
    return lambda values: pa.array(
        [None if v is None else round(Decimal(v), scale) for v in values], kind
    )


def _cast(kind: pa.DataType) -> Made:
    return lambda values: pa.array(values, pa.float64()).cast(kind)


def _with_nan(kind: pa.DataType) -> Made:
    return lambda values: pa.array([float("nan") if v is None else v for v in values], kind)


_NO_TARGET = "(?i)column '(target|y|value|target_.)' of type .* cannot hold values"

_VALUE_LIST = [
    *(ValueForm(str(kind), _cast(kind)) for kind in (pa.float64(), pa.float32())),
    ValueForm("halffloat", lambda values: pa.array(
        [None if v is None else np.float16(v) for v in values], pa.float16())),
    ValueForm("double with NaN", _with_nan(pa.float64())),
    ValueForm("float with NaN", _with_nan(pa.float32())),
    *(ValueForm(str(kind), _cast(kind), _whole)
      for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64(),
                   pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())),
    *(ValueForm(str(kind), _rounded(kind, 2))
      for kind in (pa.decimal32(9, 2), pa.decimal64(18, 2), pa.decimal128(10, 2),
                   pa.decimal256(50, 2))),
    ValueForm("decimal128(38, 0)", _rounded(pa.decimal128(38, 0), 0), _whole),
    ValueForm("booleans", lambda values: pa.array(
        [None if v is None else bool(v) for v in values]), lambda value: float(value > 60)),
    ValueForm("bool8", lambda values: pa.ExtensionArray.from_storage(
        pa.bool8(), pa.array([None if v is None else int(v) for v in values], pa.int8())),
        lambda value: float(value > 60)),
    ValueForm("dictionary of double", lambda values: pa.array(
        values, pa.float64()).dictionary_encode()),
    ValueForm("run ends of double", runs_of(pa.float64())),
    ValueForm("texts", lambda values: pa.array(
        [None if v is None else str(v) for v in values], pa.string()), refused=_NO_TARGET),
    ValueForm("binary", lambda values: pa.array(
        [None if v is None else str(v).encode() for v in values], pa.binary()),
        refused=_NO_TARGET),
    ValueForm("durations", lambda values: pa.array(
        [None if v is None else timedelta(seconds=v) for v in values], pa.duration("us")),
        refused=_NO_TARGET),
    ValueForm("structs", lambda values: pa.array(
        [None if v is None else {"v": v} for v in values], pa.struct([("v", pa.float64())])),
        refused=_NO_TARGET),
]  # fmt: skip
VALUES = {form.name: form for form in _VALUE_LIST}
