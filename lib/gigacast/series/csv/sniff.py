"""The recognition of a CSV file's dialect, from its first bytes.

The usual dialect (commas, double quotes, UTF-8, a header) is kept wherever a file fits it. Another
is only taken if the file says so in one way; where two readings fit, the file is refused and the
error names the option that decides. So two files with the same bytes are never read in two ways.
"""

import codecs
import csv
import logging
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from gigacast.errors import CorruptedFileError, SchemaError
from gigacast.series.csv.dialect import SEPARATORS, CsvOptions, Dialect

HEAD_BYTES = 1 << 20
"""Bytes at the start of a file from which its dialect is found."""
_MOST_LINES = 1000
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins with the mark of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_EXCEL = re.compile(r'^"?sep=(.)"?$', re.IGNORECASE)
_MOMENT = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ,].*)?")
_NUMBER = re.compile(r"[+-]?\d[\d.,' ]*([eE][+-]?\d+)?")
# Letters and signs of Western European texts in cp1252 and latin-1; other bytes above 0x7F are
# rare in them, and usual in other encodings.
_WESTERN = frozenset(range(0xC0, 0x100)) | frozenset(
    b"\x80\x84\x85\x91\x92\x93\x94\x96\x97\x99\xa0\xa3\xa7\xa9\xab\xae\xb0\xb2\xb3\xb4\xb5\xb7\xbb"
    b"\x8a\x8c\x8e\x9a\x9c\x9e\x9f\xba\xaa\xbf\xa1"
)
# Signs within words: in cp1250 these bytes are letters, as the last one of "Micha\u0142".
_EASTERN = re.compile(
    rb"[\xa3\xa5][a-z\xe0-\xff]{2}|\xb3[a-z\xe0-\xff]|[a-ln-z\xe0-\xff]\xb3"
    rb"|[a-z\xe0-\xff][\xbf\x8a\x8c\x8e\x9f]|[\xaa\xba][a-z\xe0-\xff]"
)
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Head:
    """The start of a CSV file.

    Parameters
    ----------
    dialect : Dialect
    text : str
        Complete lines, without the lines that are skipped.
    is_all : bool
        Whether this is the whole file.
    """

    dialect: Dialect
    text: str
    is_all: bool


def sniff(content: bytes, options: CsvOptions, name: str) -> Head:
    """Return the dialect of a file.

    Parameters
    ----------
    content : bytes
        First `HEAD_BYTES` of the file, or all of it if it is shorter.
    options : CsvOptions
        Parts of the dialect that are named.
    name : str
        Name of the file, for error messages.

    Raises
    ------
    CorruptedFileError
        If the bytes are of an unknown encoding.
    SchemaError
        If more than one dialect fits.
    """
    is_all = len(content) < HEAD_BYTES
    encoding = options.encoding or _find_encoding(content, name, is_all=is_all)
    text = _decode(content, encoding, name, is_all=is_all)
    first, _, remainder = text.partition("\n")
    excel = _EXCEL.match(first.strip())
    separator = options.separator
    if excel is not None:
        text, separator = remainder, separator or excel[1]
    lines = _first_lines(text)
    quote = options.quote or _find_quote(lines, separator)
    if separator is None:
        separator = _find_separator(lines, quote, name)
    if quote in text:
        check_quotes((f"{line}\n" for line in lines), separator, quote, name)
    rows = _rows(lines, separator, quote)
    has_header = options.header == "present" if options.header else not _is_data(rows)
    dialect = Dialect(
        separator=separator,
        quote=quote,
        encoding=encoding,
        columns=() if has_header else _numbered(rows),
        skipped=int(excel is not None),
        has_breaks=quote != "none" and any("\n" in field for row in rows for field in row),
    )
    return Head(dialect, _complete(text, quote, is_all=is_all), is_all)


# -- encoding --------------------------------------------------------------------------------------


_NO_TEXT = {
    b"PAR1": "Parquet",
    b"ARROW1": "an Arrow file",
    b"\x1f\x8b": "compressed (gzip)",
    b"PK\x03\x04": "compressed (zip, or a workbook)",
    b"\x28\xb5\x2f\xfd": "compressed (zstd)",
    b"BZh": "compressed (bzip2)",
    b"\xfd7zXZ": "compressed (xz)",
}
"""First bytes of files that are no text."""


def _find_encoding(content: bytes, name: str, *, is_all: bool) -> str:
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            return encoding
    wide = _find_wide(content)
    if wide is not None:
        return wide
    try:
        codecs.getincrementaldecoder("utf-8")().decode(content, is_all)
    except UnicodeDecodeError as error:
        kind = next((k for mark, k in _NO_TEXT.items() if content.startswith(mark)), None)
        if kind is not None:
            raise CorruptedFileError(
                f"{name}: it is no text, but {kind}", hint="unpack it, or name it by its format"
            ) from error
        if _is_western(content):
            _say_guess(name)
            return "cp1252"
        raise CorruptedFileError(
            f"{name}: it is not UTF-8 (byte {error.start:,}), and its encoding is not known",
            hint="name it by --csv_encoding, such as cp1250, shift_jis or gb18030",
        ) from error
    return "utf-8"


def _find_wide(content: bytes) -> str | None:
    """Return the encoding of text in 16-bit units without a byte order mark."""
    pairs = len(content) // 2
    for place, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        # Separators, digits and line breaks of any CSV have a zero byte in these units.
        if pairs > 1 and content[place::2].count(0) * 2 > pairs > 4 * content[1 - place :: 2].count(
            0
        ):
            return encoding
    return None


def _is_western(content: bytes) -> bool:
    """Check that all bytes above 0x7F are letters and signs that stand among plain text."""
    high = [byte for byte in content if byte > 0x7F]
    # Words of other alphabets, and of encodings with several bytes per letter, are long runs.
    has_runs = re.search(rb"[\x80-\xff]{4}", content) is not None
    has_odd_words = _EASTERN.search(content) is not None
    return not has_runs and not has_odd_words and _WESTERN.issuperset(high)


@cache  # once in a process: the files of a bucket are mostly of one writer
def _said() -> list[str]:
    return []


def _say_guess(name: str) -> None:
    """Say that texts are taken for Western European: in other encodings they have other letters."""
    if not _said():
        _said().append(name)
        logger.warning(
            "%s is not UTF-8 and is read as cp1252 (Western European); name another encoding by "
            "--csv_encoding",
            name,
        )


def _decode(content: bytes, encoding: str, name: str, *, is_all: bool) -> str:
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(content, is_all)
    except UnicodeError as error:
        raise CorruptedFileError(
            f"{name}: it cannot be read as {encoding}: {error}",
            hint="name its encoding by --csv_encoding",
        ) from error
    # Line breaks of every system, as the reader of CSV takes them.
    return text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


# -- separator, quote, header ----------------------------------------------------------------------


def _first_lines(text: str) -> list[str]:
    lines = text.split("\n", _MOST_LINES)
    # The last part is the rest of the text: it may end within a line.
    return lines[:-1] if len(lines) > 1 and lines[-1] else lines


def _rows(lines: Sequence[str], separator: str, quote: str) -> list[list[str]]:
    reader = csv.reader(
        [f"{line}\n" for line in lines],
        delimiter=separator,
        quotechar=None if quote == "none" else quote,
        quoting=csv.QUOTE_NONE if quote == "none" else csv.QUOTE_MINIMAL,
    )
    rows: list[list[str]] = []
    # Such as a field of more than 128 KiB; the rows before it are enough.
    with suppress(csv.Error):
        rows.extend(row for row in reader if row)
    return rows


def check_quotes(lines: Iterable[str], separator: str, quote: str, name: str) -> None:
    """Refuse quotes that end within a field: rows before them would be one field, or lost.

    Parameters
    ----------
    lines : iterable of str
        Lines with their ends; the last row may be cut.
    separator, quote : str
    name : str
        Name of the file, for error messages.

    Raises
    ------
    SchemaError
    """
    reader = csv.reader(lines, delimiter=separator, quotechar=quote, strict=True)
    try:
        for _ in reader:
            pass
    except csv.Error as error:
        # The other error is that of a row that is cut at the end.
        problem = next((text for sign, text in _ODD_QUOTES.items() if sign in str(error)), None)
        if problem is None:
            return
        raise SchemaError(
            f"{name}: line {reader.line_num}: {problem}",
            hint=f"write a quote within a field twice ({quote}{quote}); or name --csv_quote none "
            "if quotes are text",
        ) from error


_ODD_QUOTES = {
    "expected after": "there is text behind the quote that ends a field",
    "field larger": f"a field has more than {csv.field_size_limit():,} letters",
}


def _find_quote(lines: Sequence[str], separator: str | None) -> str:
    """Return the single quote if the names of all columns are within single quotes."""
    header = next((line for line in lines if line.strip()), "")
    for candidate in (separator,) if separator else SEPARATORS:
        names = header.split(candidate)
        if all(re.fullmatch(r"\s*'[^']*'\s*", name) for name in names):
            return "'"
    return '"'


def _find_separator(lines: Sequence[str], quote: str, name: str) -> str:
    """Return the separator that gives all rows the columns of the header.

    Raises
    ------
    SchemaError
        If two separators do.
    """
    counts: dict[str, int] = {}
    widths: dict[str, int] = {}
    for candidate in SEPARATORS:
        rows = _rows(lines, candidate, quote)
        # The last row may be cut at the end of the block.
        complete = rows[:-1] if len(rows) > 2 else rows
        width = len(rows[0]) if rows else 0
        widths[candidate] = width
        if width > 1 and all(len(row) == width for row in complete):
            counts[candidate] = width
    if not counts:
        # Rows of different length: the reader refuses them, and names the line.
        widest = max(SEPARATORS, key=lambda candidate: widths[candidate])
        return widest if widths[","] < 2 <= widths[widest] else ","
    widest = max(counts, key=lambda candidate: counts[candidate])
    if sum(counts[candidate] == counts[widest] for candidate in counts) > 1 or (
        "," in counts and widest != ","
    ):
        fitting = " and ".join(repr(candidate) for candidate in counts)
        raise SchemaError(
            f"{name}: its columns may be separated by {fitting}",
            hint="name the separator by --csv_separator",
        )
    return widest


def _is_data(rows: list[list[str]]) -> bool:
    """Check that the first row is like all others: times and numbers in the same columns."""
    if len(rows) < 2:
        return False
    first, following = rows[0], rows[1:-1] or rows[1:]
    if any(len(row) != len(first) for row in following):
        return False
    columns = list(zip(*following, strict=True))
    kinds = {
        kind
        for kind, pattern in (("time", _MOMENT), ("number", _NUMBER))
        for value, column in zip(first, columns, strict=True)
        if pattern.fullmatch(value.strip())
        and all(pattern.fullmatch(other.strip()) for other in column if other.strip())
        and not (kind == "number" and _MOMENT.fullmatch(value.strip()))
    }
    return kinds == {"time", "number"}


def _numbered(rows: list[list[str]]) -> tuple[str, ...]:
    width = len(rows[0]) if rows else 0
    return tuple(f"column_{number}" for number in range(1, width + 1))


def _complete(text: str, quote: str, *, is_all: bool) -> str:
    """Return the text up to its last complete line."""
    if is_all:
        return text
    end = text.rfind("\n")
    # Within quotes a line break is part of a field: the row began earlier.
    while quote != "none" and end > 0 and text.count(quote, 0, end) % 2:
        end = text.rfind("\n", 0, end)
    return text[: end + 1]
