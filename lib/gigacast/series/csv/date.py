"""Dates of CSV whose year is last: which of the first two numbers is the day."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import IntArray
from gigacast.core.column import to_arrow, to_numpy
from gigacast.errors import SchemaError
from gigacast.series.csv.dialect import DateOrder

YEAR_LAST = (
    r"^\s*(?P<one>\d{1,2})[-/.](?P<two>\d{1,2})[-/.](?P<year>\d{4})"
    r"(?:[Tt ,]\s*(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}(?:[.,]\d{1,9})?))?"
    r"\s*(?P<half>[AaPp]\.?[Mm]\.?)?\s*(?P<zone>[Zz]|[+-]\d{2}:?(?:\d{2})?)?)?\s*$"
)
_HINT = "name the order by --csv_dates day_first or --csv_dates month_first"


def has_year_last(texts: pa.Array) -> bool:
    """Check whether a text is a date whose year is last."""
    return bool(pc.any(pc.match_substring_regex(texts, YEAR_LAST)).as_py())


def all_year_last(texts: pa.Array) -> bool:
    """Check that all texts are dates whose year is last, and there is one."""
    filled = pc.drop_null(texts.filter(pc.fill_null(pc.not_equal(texts, ""), False)))
    return len(filled) > 0 and bool(pc.all(pc.match_substring_regex(filled, YEAR_LAST)).as_py())


def find_order(texts: pa.Array, name: str, column: str) -> DateOrder | None:
    """Return the order of the dates in a column; ``None`` if no year is last.

    Raises
    ------
    SchemaError
        If no date has a day after the 12th, or dates of both orders do.
    """
    parts = pc.extract_regex(texts.unique(), pattern=YEAR_LAST).drop_null()
    if len(parts) == 0:
        return None
    one, two = _numbers(parts, "one"), _numbers(parts, "two")
    day_first, month_first = bool((one > 12).any()), bool((two > 12).any())
    if day_first == month_first:
        cause = "dates of both orders" if day_first else "no day after the 12th"
        text = texts.filter(pc.fill_null(pc.match_substring_regex(texts, YEAR_LAST), False))[0]
        raise SchemaError(
            f"{name}: dates as {text.as_py()!r} in column {column!r} may begin with the day or the "
            f"month: the first rows have {cause}",
            hint=_HINT,
        )
    return "day_first" if day_first else "month_first"


def year_first(texts: pa.Array, order: DateOrder, name: str, column: str) -> pa.Array:
    """Return the texts with dates whose year is last in the form of ISO 8601; others as they are.

    Raises
    ------
    SchemaError
        If a date does not exist in this order.
    """
    encoded = texts.dictionary_encode()
    distinct = encoded.dictionary
    parts = pc.extract_regex(distinct, pattern=YEAR_LAST)
    rows = np.flatnonzero(to_numpy(parts.is_valid()))
    if len(rows) == 0:
        return texts
    written = _assemble(parts.take(to_arrow(rows)), order)
    if written.null_count:
        text = distinct.take(to_arrow(rows)).filter(written.is_null())[0].as_py()
        raise SchemaError(
            f"{name}: {text[:80]!r} in column {column!r} is no date with the {order[:-6]} first, "
            "the order of the first rows or the settings",
            hint=_HINT,
        )
    places = np.arange(len(distinct))
    places[rows] = len(distinct) + np.arange(len(rows))
    joined = pa.concat_arrays([distinct, written])
    return joined.take(to_arrow(places)).take(encoded.indices)


def _assemble(parts: pa.StructArray, order: DateOrder) -> pa.Array:
    one, two = _numbers(parts, "one"), _numbers(parts, "two")
    day, month = (one, two) if order == "day_first" else (two, one)
    is_date = (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    texts = pc.binary_join_element_wise(
        parts.field("year"), _two_digits(month), _two_digits(day), "-"
    )
    hour = _numbers(parts, "hour", -1)
    half = pc.utf8_lower(pc.fill_null(parts.field("half"), ""))
    is_afternoon, has_half = to_numpy(pc.starts_with(half, "p")), to_numpy(pc.not_equal(half, ""))
    is_date &= ~has_half | ((hour >= 1) & (hour <= 12))
    hour = np.where(has_half, hour % 12 + np.where(is_afternoon, 12, 0), hour)
    clock = pc.binary_join_element_wise(
        _two_digits(np.maximum(hour, 0)), parts.field("minute"), _seconds(parts), ":"
    )
    zone = pc.fill_null(parts.field("zone"), "")
    timed = pc.binary_join_element_wise(texts, pc.binary_join_element_wise(clock, zone, ""), "T")
    written = pc.if_else(to_arrow(hour >= 0), timed, texts)
    return pc.if_else(to_arrow(is_date), written, pa.scalar(None, pa.string()))


def _seconds(parts: pa.StructArray) -> pa.Array:
    seconds = pc.fill_null(parts.field("second"), "")
    return pc.if_else(pc.equal(seconds, ""), "00", seconds)


def _numbers(parts: pa.StructArray, name: str, empty: int = 0) -> IntArray:
    digits = pc.fill_null(parts.field(name), "")
    filled = pc.if_else(pc.equal(digits, ""), str(empty), digits)
    return to_numpy(filled.cast(pa.int64()))


def _two_digits(numbers: IntArray) -> pa.Array:
    return pc.utf8_lpad(to_arrow(numbers).cast(pa.string()), 2, padding="0")
