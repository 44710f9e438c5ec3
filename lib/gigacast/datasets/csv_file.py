"""A local CSV file, whose columns get types: those of the contract, and of the first rows."""

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from gigacast.core.column import to_arrow
from gigacast.core.contract.cast import is_text
from gigacast.core.contract.definition import Contract
from gigacast.core.series.batch import NO_TIME
from gigacast.datasets.rows import is_time_name
from gigacast.errors import CorruptedFileError
from gigacast.series.columns import names_ids, names_values
from gigacast.series.csv.date import all_year_last
from gigacast.series.csv.dialect import CsvOptions
from gigacast.series.csv.number import read_whole_numbers
from gigacast.series.csv.read import CsvForm, look_at, read_csv, read_head, settled
from gigacast.series.timestamp_text import parse_times

_BLOCK_BYTES = 4 << 20
"""Bytes of CSV parsed at a time. Types are inferred from the first block only."""


@dataclass(frozen=True, slots=True)
class CsvReading:
    """How the columns of local CSV files are read.

    Parameters
    ----------
    options : CsvOptions
        Parts of the dialect that are named.
    contract : Contract, optional
        Contract whose text columns are read as text.
    time_column : str, optional
        Column of timestamps; recognised by default.
    ids : tuple of str
        Columns of item ids, which are text whatever they look like; recognised by default.
    required : tuple of str
        Columns of item ids that must exist.
    stored : pyarrow.Schema, optional
        Columns of the dataset before, whose texts stay text and whose numbers stay numbers.
    """

    options: CsvOptions = field(default_factory=CsvOptions)
    contract: Contract | None = None
    time_column: str | None = None
    ids: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    stored: pa.Schema | None = None

    @property
    def types(self) -> dict[str, pa.DataType]:
        """Types of the columns that the contract declares, or else the dataset before has."""
        stored = {} if self.stored is None else {f.name: f.type for f in self.stored}
        columns = self.contract.columns if self.contract is not None else ()
        return stored | {column.name: column.arrow_type for column in columns}

    def texts_in(self, form: CsvForm) -> set[str]:
        """Return the columns to read as text, whatever they look like."""
        types = self.types
        names = set(form.schema.names)
        # Inference would read the id `007` as 7.
        ids = {name for name in names - types.keys() if names_ids(name)}
        codes = {name for name in names if not self.is_number(name) and form.code_in(name)}
        declared = {name for name, kind in types.items() if is_text(kind)}
        return ids | codes | declared | {*self.ids, *self.required}

    def notes_on(self, form: CsvForm) -> Iterator[str]:
        """Yield for each column a note on codes that become numbers because they did before."""
        numbers = [
            name
            for name, kind in ({} if self.stored is None else self.types).items()
            if name in form.schema.names and not is_text(kind) and name not in self.texts_in(form)
        ]
        for name in numbers:
            code = form.code_in(name)
            if code is not None:
                yield (
                    f"{form.name}: {code[:80]!r} in column {name!r} becomes a number, as in the "
                    f"version before: keep the text by --item_columns {shlex.quote(name)}"
                )

    def is_number(self, name: str) -> bool:
        """Check whether a column of numbers holds no codes, as declared or by its name."""
        is_own = name == self.time_column or names_values(name) or is_time_name(name)
        return name in self.types or is_own


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A CSV file.

    Parameters
    ----------
    name : str
        Name of the file, for error messages.
    open : callable
        Opens it as a binary file, any number of times.
    schema : pa.Schema
        Columns with their types.
    form : CsvForm, optional
        Form of the file; ``None`` without rows.
    whole : frozenset of str
        Columns of whole numbers in whose later rows a code as ``007`` is refused.
    notes : tuple of str
        Notes on codes that become numbers.
    """

    name: str
    open: Callable[[], Any]
    schema: pa.Schema
    form: CsvForm | None
    whole: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def decides(self) -> bool:
        """Whether the marks of numbers or the order of dates are known from this file."""
        return self.form is not None and bool(self.form.reading or self.form.dates)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows in batches."""
        if self.form is None:
            return
        types = {
            field.name: pa.string() if field.name in self.whole else field.type
            for field in self.schema
        }
        with self.open() as file:
            for batch in read_csv(file, self.form, types, _BLOCK_BYTES):
                yield self._typed(batch, self.form)

    def _typed(self, batch: pa.RecordBatch, form: CsvForm) -> pa.RecordBatch:
        """Return a batch in its types: dates of another order are timestamps."""
        columns = []
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if name in form.dates:
                times = parse_times(column, form.name)
                column = to_arrow(times, times == NO_TIME).cast(pa.timestamp("us"))  # noqa: PLW2901
            elif name in self.whole:
                column = read_whole_numbers(column, form.name, name)  # noqa: PLW2901
            columns.append(column)
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)


def open_csv_file(path: Path, reading: CsvReading) -> CsvFile:
    """Return a local CSV file, with the types of its columns.

    Raises
    ------
    CorruptedFileError, SchemaError
        If it cannot be read, or has more than one meaning.
    """
    return open_csv(partial(_open, path), reading, str(path))


def open_csv(opening: Callable[[], Any], reading: CsvReading, name: str) -> CsvFile:
    """Return a CSV file, with the types of its columns.

    Parameters
    ----------
    opening : callable
        Opens it as a binary file, any number of times.
    reading : CsvReading
    name : str
        Name of the file, for error messages.

    Raises
    ------
    CorruptedFileError, SchemaError
        If it cannot be read, or has more than one meaning.
    """
    with opening() as file:
        start = read_head(file)
    with opening() as file:
        form = look_at(file, start, reading.options, _BLOCK_BYTES, name)
    if form is None:
        names = start.decode("utf-8-sig", "replace").strip().split(",")
        schema = pa.schema([(column.strip('"'), pa.null()) for column in names])
        return CsvFile(name, opening, schema, None)
    _check_columns(name, form, reading)
    texts = reading.texts_in(form)
    # With commas between the columns a column as "1,234" is text, unless marks are named.
    is_text_again = form.marked if form.is_usual else frozenset()
    plain = {
        field.name: pa.string() if field.name in texts | is_text_again else field.type
        for field in form.schema
    }
    times = _time_columns(form, reading, texts)
    numbers = [name for name, kind in plain.items() if pa.types.is_floating(kind)]
    form = settled(form, [] if form.is_usual else numbers, times)
    kinds = {**plain, **{name: pa.timestamp("us") for name in form.dates}}
    if len(kinds) < len(form.schema):  # repeated names, which the caller refuses
        return CsvFile(name, opening, form.schema, form)
    whole = frozenset(
        column
        for column, kind in kinds.items()
        if pa.types.is_integer(kind) and not reading.is_number(column)
    )
    notes = tuple(reading.notes_on(form))
    return CsvFile(name, opening, pa.schema(list(kinds.items())), form, whole, notes)


def _open(path: Path) -> Any:
    return pa.input_stream(str(path), compression="detect")


def _check_columns(path: str, form: CsvForm, reading: CsvReading) -> None:
    # Arrow gives columns that are not UTF-8 the type binary; they would go on as data.
    for column in form.schema:
        if pa.types.is_binary(column.type):
            raise CorruptedFileError(
                f"{path}: the column {column.name!r} is not UTF-8",
                hint="save it as UTF-8, or name its encoding by --csv_encoding",
            )
    name = form.schema.names[0]
    # A wrong separator makes a single column of a whole file.
    marks = [mark for mark in (",", ";", "\t", "|", ":", "^") if mark in name]
    if len(form.schema) == 1 and marks:
        named = "" if reading.options.separator is None else ", the named separator is not in it"
        raise CorruptedFileError(
            f"{path}: only a single column, called {name[:80]!r}{named}",
            hint=f"its columns seem to be separated by {marks[0]!r}: name the separator by "
            "--csv_separator",
        )


def _time_columns(form: CsvForm, reading: CsvReading, texts: set[str]) -> list[str]:
    """Return the columns of text that hold dates whose year is last."""
    names = [
        field.name
        for field in form.schema
        if pa.types.is_string(field.type) and all_year_last(form.text_of(field.name))
    ]
    # A column of dates that has no meaning here stays text, unless the order is named.
    own = {reading.time_column} if reading.time_column else set(filter(is_time_name, names))
    is_named = reading.options.dates is not None
    return [n for n in names if n not in texts and (is_named or n in own)]
