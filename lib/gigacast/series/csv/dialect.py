"""The dialect of CSV files: what the settings name of it, and what is found for a file."""

import codecs
import re
from dataclasses import dataclass, fields
from typing import Any, Literal

from gigacast.errors import ConfigError

DateOrder = Literal["year_first", "day_first", "month_first"]
Header = Literal["present", "none"]

SEPARATORS = (",", ";", "\t", "|")
"""Separators that are recognised, in order of preference."""
_SPELLINGS = {
    "comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|", "space": " ",
    "point": ".", "dot": ".", "apostrophe": "'", "double": '"', "single": "'",
}  # fmt: skip
_NONE = "none"
_LEGAL = {"decimal": ".,", "thousands": "., '"}


@dataclass(frozen=True, slots=True)
class CsvOptions:
    """The parts of the dialect that the settings name. All others are found for each file.

    Parameters
    ----------
    separator : str, optional
        Character between fields; words such as ``tab`` and ``semicolon`` are accepted.
    decimal : str, optional
        Decimal mark of numbers: ``.`` or ``,``.
    thousands : str, optional
        Mark between groups of three digits: ``.``, ``,``, ``'``, a space, or ``none``.
    quote : str, optional
        Character around fields that contain a separator, or ``none``.
    encoding : str, optional
        Encoding of the text, by a name of Python.
    dates : {"year_first", "day_first", "month_first"}, optional
        Order of the parts of a date.
    header : {"present", "none"}, optional
        Whether the first row holds the names of the columns.

    Raises
    ------
    ConfigError
        If a part is not possible, or two of them are the same character.
    """

    separator: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    quote: str | None = None
    encoding: str | None = None
    dates: DateOrder | None = None
    header: Header | None = None

    def __post_init__(self) -> None:
        for name in ("separator", "decimal", "thousands", "quote"):
            object.__setattr__(self, name, _mark_of(name, getattr(self, name)))
        if self.encoding is not None:
            object.__setattr__(self, "encoding", _encoding_of(self.encoding))
        self._check_differ("decimal", "thousands")
        self._check_differ("separator", "quote")

    @property
    def named(self) -> dict[str, Any]:
        """The parts that are named."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def _check_differ(self, one: str, other: str) -> None:
        mark = getattr(self, one)
        if mark is not None and mark == getattr(self, other):
            raise ConfigError(
                f"csv_{one} and csv_{other} are both {mark!r}", hint="name two different marks"
            )


@dataclass(frozen=True, slots=True)
class Dialect:
    """The form of the text of a CSV file.

    Parameters
    ----------
    separator : str
    quote : str
        Quote character; ``none`` for a file without quotes.
    encoding : str
    columns : tuple of str
        Names of the columns of a file without a header; empty with a header.
    skipped : int
        Lines before the header: 1 for the line ``sep=;`` that Excel reads.
    has_breaks : bool
        Whether quoted fields hold line breaks.
    """

    separator: str = ","
    quote: str = '"'
    encoding: str = "utf-8"
    columns: tuple[str, ...] = ()
    skipped: int = 0
    has_breaks: bool = False


def _mark_of(name: str, text: str | None) -> str | None:
    if text is None:
        return None
    mark = _SPELLINGS.get(text.lower(), text)
    if mark.lower() == _NONE and name in {"thousands", "quote"}:
        return _NONE
    # Arrow takes a single byte, and a letter or digit would cut words and numbers.
    is_mark = len(mark) == 1 and mark.isascii() and not mark.isalnum() and mark not in "\r\n"
    if not is_mark or mark not in _LEGAL.get(name, mark):
        legal = " or ".join(map(repr, _LEGAL[name])) if name in _LEGAL else "a single character"
        raise ConfigError(
            f"csv_{name}: expected {legal}, got {text!r}",
            hint=f"such as --csv_{name} {_EXAMPLES[name]}",
        )
    return mark


_EXAMPLES = {"separator": "';'", "decimal": ",", "thousands": ".", "quote": "none"}


def _encoding_of(name: str) -> str:
    try:
        codec = codecs.lookup(name.strip())
        "x".encode(codec.name)
    except (LookupError, ValueError, TypeError, UnicodeError) as error:
        raise ConfigError(
            f"csv_encoding: there is no encoding {name!r}",
            hint="such as utf-8, utf-16, latin-1, cp1252 or shift_jis",
        ) from error
    # The same encoding has one name, so that it has one spec.
    return re.sub("_", "-", codec.name)
