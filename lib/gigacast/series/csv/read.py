"""Columns of CSV files as Arrow record batches, streamed, in the dialect of the file.

Arrow gives CSV columns the types of their first block, so callers say which type each column has.
Numbers with a decimal comma or with marks of thousands, and dates whose year is last, are read as
text and converted batch by batch.
"""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from gigacast.errors import SchemaError
from gigacast.series.csv.ahead import ahead
from gigacast.series.csv.date import find_order, year_first
from gigacast.series.csv.dialect import CsvOptions, DateOrder, Dialect
from gigacast.series.csv.line import CountedFile
from gigacast.series.csv.number import (
    Reading,
    choose_reading,
    find_code,
    fitting,
    number_texts,
    possible_readings,
    read_numbers,
)
from gigacast.series.csv.sniff import HEAD_BYTES, Head, check_quotes, sniff

_PLAIN = Reading(".", "none")
_MARK = "\ufeff"
_COLUMN_ERROR = re.compile(r"In CSV column #(\d+): (?:Row #\d+: )?CSV conversion error to [^:]+: ")
_DATES = r"^\d{1,4}[./]\d{1,2}[./]\d{1,4}$"
_DIGITS = r"^[+-]?[\d.,' ]*\d[\d.,' ]*$"


@dataclass(frozen=True, slots=True)
class CsvForm:
    """The form of a CSV file.

    Parameters
    ----------
    name : str
        Name of the file, for error messages.
    dialect : Dialect
    schema : pa.Schema
        Types of the first rows; float64 for texts that are numbers with marks.
    head : pa.Table
        The first rows, as text.
    marked : frozenset of str
        Columns of texts that are numbers with marks.
    options : CsvOptions
        Parts of the dialect that are named.
    reading : Reading, optional
        Marks of the columns in ``numbers``.
    numbers : frozenset of str
        Columns to read as text and convert to numbers; Arrow reads all others.
    dates : mapping of str to str
        Order of the dates of columns whose year is last.
    """

    name: str
    dialect: Dialect
    schema: pa.Schema
    head: pa.Table
    marked: frozenset[str]
    options: CsvOptions = field(default_factory=CsvOptions)
    reading: Reading | None = None
    numbers: frozenset[str] = frozenset()
    dates: Mapping[str, DateOrder] = field(default_factory=dict)

    @property
    def is_usual(self) -> bool:
        """Whether commas separate the columns, so that numbers have a decimal point if any."""
        marks = {self.options.decimal, self.options.thousands} - {None, "."}
        return self.dialect.separator == "," and not marks

    def is_number_like(self, column: str) -> bool:
        """Check whether a column of text begins with texts of digits and marks."""
        kinds = [field.type for field in self.schema if field.name == column]
        # Of a repeated name there is no single column.
        if len(kinds) != 1 or not pa.types.is_string(kinds[0]):
            return False
        texts = number_texts(self.text_of(column)).unique().drop_null()
        if len(texts) == 0 or pc.all(pc.match_substring_regex(texts, _DATES)).as_py():
            return False
        return bool(pc.all(pc.match_substring_regex(texts, _DIGITS)).as_py())

    def code_in(self, column: str) -> str | None:
        """Return a text of a column of numbers that is no number (`007`), or ``None``."""
        fields = [field for field in self.schema if field.name == column]
        kind = fields[0].type
        is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        # Of repeated names, which the caller refuses, there is no single column.
        return find_code(self.text_of(column), kind) if is_number and len(fields) == 1 else None

    def text_of(self, column: str) -> pa.Array:
        """Return the texts of a column in the first rows."""
        return self.head.column(column).combine_chunks()


def look_at(
    file: Any, start: bytes, options: CsvOptions, block_bytes: int, name: str
) -> CsvForm | None:
    """Return the form of a file, or ``None`` if it has no rows.

    Parameters
    ----------
    file : file
        Binary file at its start.
    start : bytes
        Its first bytes, as `read_head` returns them.
    options : CsvOptions
        Parts of the dialect that are named.
    block_bytes : int
        Bytes from which types are inferred.
    name : str
        Name of the file, for error messages.

    Raises
    ------
    CorruptedFileError, SchemaError
        If its encoding or dialect is not known.
    pa.ArrowInvalid
        If it is not CSV.
    """
    head = sniff(start, options, name)
    dialect, lines = head.dialect, head.text.strip()
    # Arrow raises "empty file" for a CSV with only a header line.
    if lines and "\n" not in lines and not dialect.columns and head.is_all:
        return None
    reader = _open(file, dialect, block_bytes, pa_csv.ConvertOptions())
    if not any(batch.num_rows for batch in reader):
        return None
    texts = _texts_of(head, reader.schema.names)
    form = CsvForm(name, dialect, reader.schema, texts, frozenset(), options)
    marked = frozenset(f.name for f in form.schema if _is_marked(form, f))
    fields = [f.with_type(pa.float64()) if f.name in marked else f for f in form.schema]
    return replace(form, schema=pa.schema(fields), marked=marked)


def settled(form: CsvForm, numbers: Sequence[str], times: Sequence[str]) -> CsvForm:
    """Return the form with the marks of columns of numbers, and the order of dates, decided.

    Raises
    ------
    SchemaError
        If more than one reading of them fits the first rows.
    """
    dates: dict[str, DateOrder] = {}
    for column in times:
        if not pa.types.is_string(form.schema.field(column).type):
            continue
        order = form.options.dates or find_order(form.text_of(column), form.name, column)
        if order is not None and order != "year_first":
            dates[column] = order
    used = {name for name in numbers if _may_be_number(form.schema.field(name).type)}
    # Of the usual dialect Arrow reads the numbers, as long as none has a mark of thousands.
    if not used or (form.is_usual and not used & form.marked):
        return replace(form, dates=dates)
    others = {
        f.name for f in form.schema if f.name in form.marked or pa.types.is_floating(f.type)
    } - used
    reading = choose_reading(
        {name: form.text_of(name) for name in sorted(used)},
        {name: form.text_of(name) for name in sorted(others)},
        possible_readings(form.options),
        form.name,
    )
    return replace(form, dates=dates, reading=reading, numbers=frozenset(used))


def read_csv(
    file: Any, form: CsvForm, types: Mapping[str, pa.DataType], block_bytes: int
) -> Iterator[pa.RecordBatch]:
    """Yield the record batches of a file, with the columns of ``types`` in their order.

    Only an empty field is a missing text.

    Raises
    ------
    SchemaError
        If a number or date does not fit the form.
    pa.ArrowInvalid
        If a value is not of its type.
    """
    as_text = form.numbers | form.dates.keys()
    convert = pa_csv.ConvertOptions(
        include_columns=list(types),
        column_types={n: pa.string() if n in as_text else kind for n, kind in types.items()},
        # The words for missing numbers, as NA or null, are ids and categories like any other.
        strings_can_be_null=False,
    )
    for batch in _batches(file, form, block_bytes, convert):
        columns = [_converted(form, n, batch.column(n), kind) for n, kind in types.items()]
        yield pa.RecordBatch.from_arrays(columns, names=list(types))


def _batches(
    file: Any, form: CsvForm, block_bytes: int, convert: pa_csv.ConvertOptions
) -> Iterator[pa.RecordBatch]:
    """Yield Arrow's batches. Errors of values name the column, of which Arrow says the number."""
    counted = CountedFile(file)
    rows = 0
    try:
        # Opening reads the first block.
        for batch in _open(counted, form.dialect, block_bytes, convert):
            rows += batch.num_rows
            yield batch
        _check_lines(counted, form, rows)
    except pa.ArrowInvalid as error:
        text = str(error)
        if (match := _COLUMN_ERROR.match(text)) is None:
            raise
        column = form.schema.names[int(match[1])]
        raise pa.ArrowInvalid(f"in column {column!r}: {text[match.end() :]}") from error


def _check_lines(file: CountedFile, form: CsvForm, rows: int) -> None:
    """Check the quotes of a file in which some lines are no rows, as far as its head shows none.

    Raises
    ------
    SchemaError
        A quote that somebody forgot to close would take rows into a field.
    """
    dialect = form.dialect
    heading = dialect.skipped + (not dialect.columns)
    # In UTF-16 and UTF-32 a byte is no letter.
    is_counted = dialect.encoding.lower()[:6] not in {"utf-16", "utf-32", "utf_16", "utf_32"}
    if dialect.quote == "none" or dialect.has_breaks or not is_counted:
        return
    if rows < file.lines - heading:
        with file.again(dialect.encoding) as lines:
            if lines is None:
                raise SchemaError(
                    f"{form.name}: some lines are within a field in quotes",
                    hint="close each quote; or name --csv_quote none if quotes are text",
                )
            check_quotes(lines, dialect.separator, dialect.quote, form.name)


def _converted(form: CsvForm, name: str, column: pa.Array, kind: pa.DataType) -> pa.Array:
    if not pa.types.is_string(column.type):
        return column
    is_empty = pc.equal(column, "")
    if pc.any(is_empty).as_py():
        column = pc.if_else(is_empty, pa.scalar(None, pa.string()), column)
    if name in form.dates:
        return year_first(column, form.dates[name], form.name, name)
    if name in form.numbers and form.reading is not None and not pa.types.is_string(kind):
        return read_numbers(column, form.reading, form.name, name)
    return column


def _open(file: Any, dialect: Dialect, block_bytes: int, convert: pa_csv.ConvertOptions) -> Any:
    # Arrow decodes other encodings by a codec of Python, which also takes the byte order mark.
    read = pa_csv.ReadOptions(
        block_size=block_bytes,
        encoding="utf8" if dialect.encoding == "utf-8" else dialect.encoding,
        skip_rows=dialect.skipped,
        column_names=list(dialect.columns) or None,
    )
    parse = pa_csv.ParseOptions(
        delimiter=dialect.separator,
        quote_char=False if dialect.quote == "none" else dialect.quote,
        newlines_in_values=dialect.has_breaks,
    )
    return pa_csv.open_csv(
        ahead(file), read_options=read, parse_options=parse, convert_options=convert
    )


def read_head(file: Any) -> bytes:
    """Return the first bytes of a file, from which its form is found."""
    parts: list[bytes] = []
    size = 0
    # A file of a store may return fewer bytes than requested.
    while size < HEAD_BYTES and (part := bytes(file.read(HEAD_BYTES - size))):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _texts_of(head: Head, names: Sequence[str]) -> pa.Table:
    """Return the first rows as text."""
    unique = list(dict.fromkeys(names))
    convert = pa_csv.ConvertOptions(
        column_types=dict.fromkeys(unique, pa.string()), strings_can_be_null=False
    )
    dialect = replace(head.dialect, encoding="utf-8", skipped=0)
    # Files that were joined may begin with several marks. Arrow takes the first away.
    marks = len(unique[0]) - len(unique[0].lstrip(_MARK)) if unique else 0
    text = _MARK * (marks + 1) + head.text if marks else head.text
    content = io.BytesIO(text.encode("utf-8", "surrogatepass"))
    return _open(content, dialect, 2 * HEAD_BYTES, convert).read_all()


def _is_marked(form: CsvForm, column: pa.Field) -> bool:
    """Check whether a column of texts holds numbers with marks that Arrow does not read."""
    if not pa.types.is_string(column.type):
        return False
    if form.schema.names.count(column.name) > 1:
        return False
    texts = form.text_of(column.name)
    if not fitting(texts, possible_readings(form.options)):
        return False
    distinct = number_texts(texts).unique().drop_null()
    # In later rows such a column has texts that are no numbers: it is a column of texts.
    return not _PLAIN.fits(distinct)


def check_same_form(forms: Sequence[CsvForm]) -> None:
    """Check that no two files have other decimal marks, or another order of dates.

    Raises
    ------
    SchemaError
        If the same text would be another number or date in two of the files.
    """
    marks = [(form.name, form.reading.decimal) for form in forms if form.reading is not None]
    orders = [(form.name, order) for form in forms for order in form.dates.values()]
    for topic, flag, parts in (
        ("decimal mark", "csv_decimal", marks),
        ("order of dates", "csv_dates", orders),
    ):
        decided = [(name, part) for name, part in parts if part is not None]
        for name, part in decided[1:]:
            if part != decided[0][1]:
                raise SchemaError(
                    f"{name}: its {topic} ({part}) is not that of {decided[0][0]} "
                    f"({decided[0][1]})",
                    hint=f"write both in one form, or name the form of both by --{flag}",
                )


def _may_be_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind))
