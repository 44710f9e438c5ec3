"""Columns of values as numbers: targets, and covariates that are numbers or categories.

The code of a category only identifies its text within a run; another run may give it another code.
The encoding for a model (`gigacast.forecasters.encoding`) depends only on the texts of a series.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import BoolArray, DoubleArray, IntArray, RealArray
from gigacast.core.column import known_floats, to_floats, to_numpy
from gigacast.errors import SchemaError
from gigacast.series.timestamp import is_text

NO_TEXT = -1.0
"""Code of a row without a text, which is a category of its own."""

_EXACT_END = 2.0**53
"""Up to it floats hold each whole number."""


def is_value_type(kind: pa.DataType) -> bool:
    """Check that a column of this type can be a target."""
    if pa.types.is_dictionary(kind):
        return is_value_type(kind.value_type)
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_null(kind)
    )


def is_covariate_type(kind: pa.DataType) -> bool:
    """Check that a column of this type can be a covariate: a number or a category."""
    return is_value_type(kind) or is_category_type(kind)


def is_category_type(kind: pa.DataType) -> bool:
    """Check whether a column holds categories: texts or booleans."""
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(is_text(plain) or pa.types.is_boolean(plain))


def read_values(column: pa.Array) -> RealArray:
    """Return a target column as float32 or float64 [R], with NaN for nulls."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_null(column.type):
        return np.full(len(column), np.nan, np.float32)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    if pa.types.is_float16(column.type):
        column = column.cast(pa.float32())
    if not pa.types.is_floating(column.type):
        # Unsafe: large integers and decimals lose digits beyond float64, which is no error here.
        column = column.cast(pa.float64(), safe=False)
    values: RealArray = to_floats(column)
    return values


def check_digits(column: pa.Array, values: RealArray, name: str, topic: str) -> None:
    """Check that no two different numbers became equal floats.

    Parameters
    ----------
    column : pa.Array
        Whole numbers, decimals or others.
    values : float32 or float64 [R]
        The same as floats.
    name, topic : str
        Names of the object and the column, for error messages.

    Raises
    ------
    SchemaError
        Their differences would be lost: a counter of many digits would stand still.
    """
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    scale = kind.scale if pa.types.is_decimal(kind) else 0
    is_wide = pa.types.is_integer(kind) and kind.bit_width == 64
    if not (is_wide or pa.types.is_decimal(kind)) or len(values) == 0:
        return
    greatest = float(np.nanmax(np.abs(values), initial=0.0))
    if greatest * 10.0**scale <= _EXACT_END:
        return
    known = values[~np.isnan(values)]
    plain = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    if pc.count_distinct(plain).as_py() > len(np.unique(known)):
        raise SchemaError(
            f"{name}: numbers of column {topic!r}, such as {known[0]:.17g}, differ in digits that "
            "no float of 64 bits holds",
            hint="take a constant away from them, or write their differences",
        )


def doubles(column: pa.ChunkedArray) -> DoubleArray:
    """Return the numbers of a column, float64 [R], with NaN for nulls."""
    combined = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return read_values(combined).astype(np.float64, copy=False)


def known_doubles(column: pa.ChunkedArray) -> tuple[DoubleArray, BoolArray]:
    """Return the numbers of a column, float64 [R], and the mask of the finite ones, bool [R].

    The numbers at nulls are undefined, so that floats need not be copied to mark them.
    """
    if pa.types.is_float32(column.type) or pa.types.is_float64(column.type):
        values, is_finite = known_floats(column)
        return values.astype(np.float64, copy=False), is_finite
    values = doubles(column)
    return values, np.isfinite(values)


class CategoryCodes:
    """Codes of the texts of a column, numbered as they come."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts so far, in the order of their codes."""
        return tuple(self._codes)

    def encode(self, column: pa.Array) -> RealArray:
        """Return the codes of a column of texts or booleans, float64 [R]."""
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        # The loop runs over the distinct texts, not over the rows.
        encoded = pc.dictionary_encode(column.cast(pa.string()))
        texts = encoded.dictionary.to_pylist()
        numbers = np.array([self._codes.setdefault(t, len(self._codes)) for t in texts], np.float64)
        codes = np.full(len(encoded), NO_TEXT)
        has_text = to_numpy(encoded.indices.is_valid())
        codes[has_text] = numbers[to_numpy(encoded.indices.drop_null())]
        return codes

    def ranks(self, numbers: RealArray) -> IntArray:
        """Return the rank of each code's text among the texts so far, int64 [R]; -1 without one."""
        rank_of = np.full(len(self._codes) + 1, -1, np.int64)
        rank_of[np.argsort(np.array(self.texts, dtype=object))] = np.arange(len(self._codes))
        has_text = numbers >= 0
        ranks = np.full(len(numbers), -1, np.int64)
        ranks[has_text] = rank_of[numbers[has_text].astype(np.int64)]
        return ranks
