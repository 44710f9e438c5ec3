"""NumPy and Arrow, without what lies between them in pyarrow: that is the oracle."""

import math
import subprocess
import sys
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gigacast.core.column import (
    keep_rows,
    known_floats,
    may_hold_nan,
    null_of,
    text_column,
    to_arrow,
    to_numpy,
    to_scalar,
)

NUMBERS = ["int8", "int32", "int64", "uint8", "uint16", "uint64", "float32", "float64"]


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("length", [0, 1, 9])
def test_numbers_survive_the_conversion_to_arrow_and_back(dtype: str, length: int) -> None:
    values = np.arange(length).astype(dtype)
    column = to_arrow(values)
    assert column.equals(pa.array(values))
    back = to_numpy(column)
    assert back.dtype == values.dtype
    assert np.array_equal(back, values)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 100])
def test_booleans_survive_the_conversion_from_any_offset(length: int) -> None:
    values = np.random.default_rng(length).random(length) < 0.5
    column = to_arrow(values)
    assert column.equals(pa.array(values))
    for start in range(0, length, 3):
        assert np.array_equal(to_numpy(column[start:]), values[start:])
        assert to_numpy(column[start:]).dtype == np.bool_


def test_slices_and_chunks_convert_as_with_pyarrow() -> None:
    column = pa.array(np.arange(20.0))
    assert np.array_equal(to_numpy(column[3:11]), np.arange(3.0, 11.0))
    chunked = pa.chunked_array([column[:3], column[5:7]])
    assert np.array_equal(to_numpy(chunked), [0, 1, 2, 5, 6])
    assert np.array_equal(to_numpy(chunked[2:4]), [2, 5])
    assert len(to_numpy(pa.chunked_array([], pa.int64()))) == 0


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_datetimes_become_timestamps_and_nat_becomes_null(unit: str) -> None:
    times = np.array(["2024-01-31T01:02:03", "NaT", "1969-12-31"], f"datetime64[{unit}]")
    assert to_arrow(times).equals(pa.array(times))
    absent = np.array([True, False, False])
    assert to_arrow(times, absent).to_pylist()[0] is None


def test_absent_values_become_null_and_nan_stays_nan() -> None:
    values = np.array([1.0, np.nan, 3.0])
    assert to_arrow(values).null_count == 0
    absent = np.array([False, True, False])
    assert to_arrow(values, absent).to_pylist() == [1.0, None, 3.0]
    assert to_arrow(values, np.zeros(3, bool)).buffers()[0] is None


def test_arrays_with_strides_are_converted() -> None:
    values = np.arange(10)[::2]
    assert to_arrow(values).to_pylist() == [0, 2, 4, 6, 8]


def test_nulls_and_other_types_are_converted_by_pyarrow() -> None:
    column = pa.array([1.5, None])
    assert np.array_equal(to_numpy(column), [1.5, np.nan], equal_nan=True)
    assert to_numpy(pa.array(["a", "b"])).tolist() == ["a", "b"]


@pytest.mark.parametrize("texts", [[], [""], ["a", "", "größer", "b"]])
def test_texts_convert_as_with_pyarrow(texts: list[str]) -> None:
    assert text_column(texts).equals(pa.array(texts, pa.string()))


def test_numbers_are_not_copied() -> None:
    values = np.arange(5.0)
    assert to_numpy(to_arrow(values)).ctypes.data == values.ctypes.data


@pytest.mark.parametrize(
    "value", [7, -7, 1 << 40, -(1 << 63), 1.5, True, "text", "", date(2024, 1, 2)]
)
def test_a_scalar_equals_pyarrows_own(value: Any) -> None:
    assert to_scalar(value).equals(pa.scalar(value))


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.float64(), pa.dictionary(pa.int32(), pa.string())]
)
def test_a_missing_value_has_its_type(kind: pa.DataType) -> None:
    assert null_of(kind).equals(pa.scalar(None, kind))


def test_column_conversions_do_not_import_pandas() -> None:
    code = """
import sys
from datetime import date
from typing import Any
import numpy as np
from gigacast.core.column import (
    keep_rows,
    known_floats,
    may_hold_nan,
    null_of,
    text_column,
    to_arrow,
    to_numpy,
    to_scalar,
)
import pyarrow as pa
for values in (np.arange(3.0), np.arange(3) > 1, np.array(["2024-01-01"], "datetime64[us]")):
    to_arrow(values, np.zeros(len(values), bool))
to_numpy(to_arrow(np.arange(3)))
text_column(["a"])
for value in (1, 1.5, True, "a"):
    assert to_scalar(value).as_py() == value
null_of(pa.string())
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()])
@pytest.mark.parametrize(
    "values", [[1.5, None, float("nan")], [1.0, 2.0], [None, float("inf")], []]
)
def test_known_floats_are_the_finite_ones(kind: pa.DataType, values: list[float | None]) -> None:
    column = pa.array([9.0, *values], kind)[1:]  # an offset shifts what is known as well
    numbers, is_known = known_floats(column)
    expected = [value is not None and math.isfinite(value) for value in values]
    assert is_known.tolist() == expected
    assert numbers[is_known].tolist() == [
        v for v, is_present in zip(values, expected, strict=True) if is_present
    ]
    chunked = pa.chunked_array([column[:1], column[1:]])
    assert known_floats(chunked)[1].tolist() == expected


def test_nan_is_found_only_in_columns_of_floats() -> None:
    nan = float("nan")
    assert may_hold_nan(pa.array([1.0, nan]))
    assert not may_hold_nan(pa.array([nan, 1.0])[1:])
    assert may_hold_nan(pa.chunked_array([[1.0], [nan]]))
    assert not may_hold_nan(pa.array([], pa.float64()))
    assert not may_hold_nan(pa.array([1, None]))
    assert may_hold_nan(pa.array([np.float16(1)]))  # not looked at


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 1])
@pytest.mark.parametrize("make", [pa.table, pa.record_batch])
def test_the_rows_kept_are_those_of_a_filter(share: float, make: Any) -> None:
    rng = np.random.default_rng(0)
    numbers = pa.array(rng.normal(size=5000), mask=rng.random(5000) < 0.1)
    texts = pa.array([f"item {n % 7}" for n in range(5000)]).dictionary_encode()
    rows = make({"n": numbers, "text": texts}).slice(13)
    keep = rng.random(len(rows)) >= share
    kept_rows = keep_rows(rows, keep)
    assert kept_rows.to_pydict() == rows.filter(pa.array(keep)).to_pydict()
    assert kept_rows.schema == rows.schema
    assert all(column.num_chunks <= 1 for column in kept_rows.columns)
