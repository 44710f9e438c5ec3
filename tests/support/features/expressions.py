"""Expressions of SQL over rows with awkward values, and what Spark gives for them.

    python -m tests.support.features.expressions

writes the values of Spark anew, after the tables here or the list of expressions changed.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.types as pat

FILE = Path("tests/data/expressions.json")
ROWS = 27
_FRACTIONS = [
    *(0.0, -0.0, 0.5, 1.5, 2.5, -2.5, 1.005, 2.675, -0.3, 0.285, 1e15 + 0.5, 2.0**53 + 1),
    *(1e20, 1e300, 5e-324, 9.3e18, 9223372036854774784.0, float("nan"), float("inf")),
    *(float("-inf"), 0.1 + 0.2, 4503599627370497.5, 0.045, None),
]
_OTHER_FRACTIONS = [
    *(0.1, 1 / 3, -1.005, 123456789.125, 0.49999999999999994, -0.5, 1e-10, 1e17, 2147483648.5),
    *(-2147483649.5, 127.5, -128.5, 32767.9, 1.15, 3.0, 0.0, None),
]
_TEXTS = [
    *("", "abc", " 12 ", "1.5", "-7", "+5", "1.", ".5", "1d", "1_000", "0x1F", "1e400", "\t7\n"),
    *("2024-1-5", "2024-02-30", "2024/01/31", "2024-02-29 25:00:00", "2024-02-29T10:11:12Z"),
    *("2024-02-29T10:11:12.123456+02:00", "ﬁ ŉ ß İ ΑΣ", "a\nb", "100%", "a\\b", "_x", "y", None),
]
_OTHER_TEXTS = [
    *("a,b,c", "ABC", "1e3", "true", "x.y", "2024-01-31", " x ", "\u00a0x\u2003", "日本,テ", "😀a"),
    *("1.5f", "-Infinity", "nan", "2024-12-30 10:00", "0001-01-01", ",", "No", "2147483648", "128"),
    None,
]
_DAYS = [
    *(date(2024, 2, 29), date(1969, 12, 31), date(2023, 12, 31), date(1, 1, 1), date(2024, 1, 31)),
    *(date(1582, 10, 10), date(9999, 12, 31), date(1900, 3, 1), date(2020, 12, 31), None),
]
_TIMES = [
    *map(
        datetime.fromisoformat,
        (
            *("2024-02-29 23:59:59.999999", "1969-12-31 23:59:59.000001", "2024-03-31 02:30:00"),
            *("1900-01-01 00:00:00.000001", "2262-01-01 01:00:00", "9999-12-31 23:59:59"),
        ),
    ),
    None,
]
_COLUMNS: Mapping[str, tuple[pa.DataType, Sequence[Any]]] = {
    "i": (pa.int32(), [0, 7, -7, 2**31 - 1, -(2**31), 3, 12, 46341, None]),
    "j": (pa.int32(), [5, 0, 2, -(2**31), 1, -1, None]),
    "b": (pa.int64(), [0, 7, 2**63 - 1, -(2**63), 2**53 + 1, 3037000500, 1700000000, None]),
    "i8": (pa.int8(), [127, -128, 1, 0, None]),
    "i16": (pa.int16(), [32767, -32768, 1, None]),
    "d": (pa.float64(), _FRACTIONS),
    "x": (pa.float64(), _OTHER_FRACTIONS),
    "f": (pa.float32(), [0.1, 3.5, -3.5, 1e10, 3.4e38, 1e-45, 16777217.0, 1.005, None]),
    "t": (pa.string(), _TEXTS),
    "u": (pa.string(), _OTHER_TEXTS),
    "dt": (pa.date32(), _DAYS),
    "du": (pa.date32(), [date(2024, 1, 1), date(2024, 2, 29), None, date(2100, 2, 28)]),
    "ts": (pa.timestamp("us", "UTC"), _TIMES),
    "n": (pa.timestamp("us"), _TIMES[::-1]),
    "m": (
        pa.decimal128(10, 2),
        [Decimal(v) for v in ("0", "2.5", "-99999999.99", "0.05")] + [None],
    ),
    "o": (pa.bool_(), [True, False, None]),
    "p": (pa.bool_(), [True, True, False, None]),
    "l": (pa.list_(pa.int64()), [[], [1], [3, 1, 2], [None, 1], [5, 5], [-1, 5], None]),
    "ls": (pa.list_(pa.string()), [[], ["b", "a"], [None, "z"], ["", "é"], None]),
    "mp": (pa.map_(pa.string(), pa.int64()), [[], [("a", 1), ("b", 2)], [("a", None)], None]),
    "s": (
        pa.struct([("c", pa.string()), ("n", pa.int64())]),
        [{"c": "x", "n": 1}, {"c": None, "n": 2**63 - 1}, {"c": "y", "n": None}, None],
    ),
    "ms": (pa.int64(), [0, 1700000000123, -1, 253402300799999, -62135596800000, None]),
}


def make_values() -> pa.Table:
    """Return rows in which the values of the columns meet in many combinations."""
    return pa.table(
        {
            name: pa.array(list(islice(cycle(values), ROWS)), kind)
            for name, (kind, values) in _COLUMNS.items()
        }
    )


def spell(column: pa.ChunkedArray) -> tuple[str, list[str]]:
    """Return the type and the values of a column as texts that differ where a bit does."""
    kind = column.type
    # Engines name the values of lists differently, and say of some that none is null.
    name = "nested" if pat.is_nested(kind) else "time" if pat.is_timestamp(kind) else str(kind)
    if pat.is_date32(kind) or pat.is_timestamp(kind):
        # Years beyond 9999 are no dates of Python.
        column = column.cast(pa.int32() if pat.is_date32(kind) else pa.int64())
    return name, [_spell(value) for value in column.to_pylist()]


def _spell(value: Any) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dict):
        return str({key: _spell(inner) for key, inner in value.items()})
    if isinstance(value, list | tuple):
        return str([_spell(inner) for inner in value])
    return repr(value)


def read_expected() -> dict[str, tuple[str, list[str]]]:
    """Return the type and the values of Spark by expression."""
    lines = FILE.read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    return {text: (kind, values) for text, kind, values in records}


def write_expected(expressions: Sequence[str]) -> None:
    """Write what Spark gives for expressions."""
    answers = ask_spark(expressions)
    lines = [json.dumps([text, *answers[text]], ensure_ascii=False) for text in expressions]
    FILE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def ask_spark(expressions: Sequence[str]) -> dict[str, tuple[str, list[str]]]:
    """Return the type and the values that the engine of Spark gives, by expression."""
    from gigacast.feature_store.aggregation.spill import Limits
    from gigacast.feature_store.engine.spark import SparkEngine

    engine, rows, answers = SparkEngine(Limits()), make_values(), {}
    for start in range(0, len(expressions), 60):
        some = {f"c{n}": text for n, text in enumerate(expressions[start : start + 60])}
        columns = engine.project(rows, some, "test")
        answers |= {text: spell(columns[name]) for name, text in some.items()}
    return answers


if __name__ == "__main__":
    write_expected(list(read_expected()))
