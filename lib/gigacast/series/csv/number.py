"""Numbers in CSV, with marks for decimals and thousands.

A *reading* is a pair of marks. Which one a file has follows from its numbers: ``1.234,5`` has a
decimal comma, ``0.5`` a decimal point, and ``1.234`` may be either. If the numbers of a file leave
that open, the file is refused.
"""

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import DoubleArray
from gigacast.errors import SchemaError
from gigacast.series.csv.dialect import CsvOptions

NULL_WORDS = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("N/A", "NA", "NULL", "NaN", "n/a", "nan", "null"),
)
"""Texts that are missing numbers for Arrow's reader of CSV."""
_SPACES = "[ \u00a0\u202f\u2009]"
_THOUSANDS = {".": r"\.", ",": ",", "'": "['\u2019]", " ": _SPACES}
_PADDED = r"^[+-]?0[\dxX]+[\dA-Fa-f]*$"
"""Pattern of whole numbers that begin with a zero, and of hexadecimal ones, which Arrow reads."""
_WHOLE = r"^[+-]?\d+(?:[eE]\d+)?$"
_LONG_OR_POWER = r"[eE]|\d{16}"
_HINT = "name the decimal mark by --csv_decimal, and that of thousands by --csv_thousands"


@dataclass(frozen=True, slots=True)
class Reading:
    """Marks of numbers.

    Parameters
    ----------
    decimal : str, optional
        Decimal mark; ``None`` if only whole numbers are seen: no mark is then accepted.
    thousands : str
        Mark between groups of three digits, which numbers may have; ``none`` for none.
    """

    decimal: str | None
    thousands: str

    @property
    def pattern(self) -> str:
        """Pattern of a whole number text."""
        # A group of three digits after 0 is no thousand: 0.123 has a decimal point.
        digits = r"\d+"
        if self.thousands != "none":
            mark = _THOUSANDS[self.thousands]
            digits = rf"(?:[1-9]\d{{0,2}}(?:{mark}\d{{3}})+|\d+)"
        if self.decimal is None:
            return rf"^[+-]?{digits}(?:[eE][+-]?\d+)?$"
        mark = re.escape(self.decimal)
        return rf"^[+-]?(?:{digits}(?:{mark}\d*)?|{mark}\d+)(?:[eE][+-]?\d+)?$"

    def fits(self, texts: pa.Array) -> bool:
        """Check that all texts are numbers in this reading."""
        return bool(pc.all(pc.match_substring_regex(texts, self.pattern)).as_py() is not False)

    def values(self, texts: pa.Array) -> pa.Array:
        """Return the numbers of texts that fit, float64."""
        plain = pc.replace_substring(texts, "+", "")
        if self.thousands != "none":
            plain = pc.replace_substring_regex(plain, _THOUSANDS[self.thousands], "")
        if self.decimal not in {None, "."}:
            plain = pc.replace_substring(plain, self.decimal, ".")
        return plain.cast(pa.float64())

    @property
    def described(self) -> str:
        """The marks in words."""
        decimal = "no decimal mark" if self.decimal is None else f"the decimal mark {self.decimal}"
        return decimal if self.thousands == "none" else f"{decimal} and thousands {self.thousands}"


_READINGS = tuple(
    Reading(decimal, thousands) for thousands in (",", ".", " ", "'") for decimal in (".", ",")
    if decimal != thousands
)  # fmt: skip


def possible_readings(options: CsvOptions) -> tuple[Reading, ...]:
    """Return the readings that the named marks leave."""
    if options.thousands == "none":
        possible = tuple(Reading(decimal, "none") for decimal in (".", ","))
    elif options.thousands is not None:
        possible = tuple(r for r in _READINGS if r.thousands == options.thousands)
    else:
        possible = _READINGS
    return tuple(r for r in possible if options.decimal in {None, r.decimal})


def number_texts(column: pa.Array) -> pa.Array:
    """Return the texts of a column without spaces around them; null for missing numbers."""
    trimmed = pc.utf8_trim_whitespace(column)
    is_null = pc.is_in(trimmed, value_set=pa.array(NULL_WORDS))
    return pc.if_else(is_null, pa.scalar(None, pa.string()), trimmed)


def find_code(column: pa.Array, kind: pa.DataType) -> str | None:
    """Return a text of a column of numbers that would be another text if it was read as a number.

    Such texts name things: ``007``, ``12E3``, ``0x1A``, ``+49``, twenty digits. Return ``None`` for
    numbers. ``kind`` is the type that Arrow would give the column.
    """
    texts = number_texts(column).unique().drop_null()
    codes = texts.filter(pc.match_substring_regex(texts, _PADDED))
    if len(codes) == 0 and pa.types.is_floating(kind):
        # Programs write exponents of numbers with a sign (1e+05) or after a decimal mark (1.0E5),
        # and a plus only where others have a minus.
        is_whole = pc.all(pc.match_substring_regex(texts, _WHOLE), min_count=0).as_py()
        has_minus = pc.any(pc.starts_with(texts, "-")).as_py()
        pattern = _LONG_OR_POWER if has_minus else rf"^\+|{_LONG_OR_POWER}"
        codes = texts.filter(pc.match_substring_regex(texts, pattern)) if is_whole else codes
    return codes[0].as_py() if len(codes) else None


def read_whole_numbers(column: pa.Array, name: str, topic: str) -> pa.Array:
    """Return a column of texts as int64, null for missing numbers.

    Raises
    ------
    SchemaError
        If a text would be another text if it was read as a number.
    pa.ArrowInvalid
        If a text is no whole number.
    """
    texts = number_texts(column)
    is_padded = pc.match_substring_regex(texts, _PADDED)
    if pc.any(is_padded).as_py():
        text = texts.filter(pc.fill_null(is_padded, False))[0].as_py()
        raise SchemaError(
            f"{name}: {text[:80]!r} in column {topic!r} would become a number, as the first rows "
            "have whole numbers",
            hint=f"keep the column as text by --item_columns {shlex.quote(topic)}, or declare its "
            "type by --schema",
        )
    return texts.cast(pa.int64())


def fitting(column: pa.Array, possible: Iterable[Reading]) -> tuple[Reading, ...]:
    """Return the readings in which a column of texts holds numbers; none without any text."""
    texts = number_texts(column).unique().drop_null()
    return tuple(reading for reading in possible if len(texts) and reading.fits(texts))


def choose_reading(
    used: Mapping[str, pa.Array],
    others: Mapping[str, pa.Array],
    possible: tuple[Reading, ...],
    name: str,
) -> Reading:
    """Return the one reading of a file.

    Parameters
    ----------
    used : mapping of str to pa.Array
        Texts of the columns to read as numbers.
    others : mapping of str to pa.Array
        Texts of further columns of numbers, which may decide where the former do not.
    possible : tuple of Reading
    name : str
        Name of the file, for error messages.

    Raises
    ------
    SchemaError
        If no reading fits all columns, or two fit and give different numbers.
    """
    remaining = _common(used, possible)
    if not remaining:
        raise SchemaError(
            f"{name}: the numbers of {', '.join(map(repr, used))} do not have the same marks for "
            "decimals and thousands",
            hint=_HINT,
        )
    if _dispute(used, remaining) is not None:
        remaining = _common(others, remaining) or remaining
    dispute = _dispute(used, remaining)
    if dispute is not None:
        column, text, low, high = dispute
        raise SchemaError(
            f"{name}: {text!r} in column {column!r} may be {low:.15g} or {high:.15g}",
            hint=_HINT,
        )
    chosen = remaining[0]
    if len({reading.decimal for reading in remaining}) == 1:
        return chosen
    return Reading(None, chosen.thousands if _has_thousands(used, chosen) else "none")


def read_numbers(column: pa.Array, reading: Reading, name: str, topic: str) -> pa.Array:
    """Return a column of texts as float64, null for missing numbers.

    Raises
    ------
    SchemaError
        If a text is no number in this reading.
    """
    texts = number_texts(column)
    is_number = pc.match_substring_regex(texts, reading.pattern)
    if not pc.all(is_number).as_py() and len(texts) > texts.null_count:
        text = texts.filter(pc.invert(pc.fill_null(is_number, True)))[0].as_py()
        raise SchemaError(
            f"{name}: {text[:80]!r} in column {topic!r} is no number with {reading.described}, the "
            "marks of the first rows",
            hint=_HINT,
        )
    return reading.values(texts)


def _common(columns: Mapping[str, pa.Array], possible: tuple[Reading, ...]) -> tuple[Reading, ...]:
    for column in columns.values():
        if len(number_texts(column).unique().drop_null()):
            possible = fitting(column, possible)
    return possible


def _dispute(
    columns: Mapping[str, pa.Array], readings: tuple[Reading, ...]
) -> tuple[str, str, float, float] | None:
    """Return a column and a text that two readings read as different numbers."""
    for name, column in columns.items():
        texts = number_texts(column).unique().drop_null()
        if len(texts) == 0:
            continue
        numbers: list[DoubleArray] = [r.values(texts).to_numpy() for r in readings]
        low, high = np.minimum.reduce(numbers), np.maximum.reduce(numbers)
        if (low != high).any():
            place = int((low != high).argmax())
            return name, texts[place].as_py(), float(low[place]), float(high[place])
    return None


def _has_thousands(columns: Mapping[str, pa.Array], reading: Reading) -> bool:
    plain = Reading(None, "none")
    return not all(
        plain.fits(number_texts(column).unique().drop_null()) for column in columns.values()
    )
