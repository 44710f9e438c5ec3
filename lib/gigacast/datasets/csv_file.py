"""A local CSV file, whose columns get types: those of the contract, and of the first rows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
from gigacast.series.columns import names_ids
from gigacast.series.csv.date import all_year_last
from gigacast.series.csv.dialect import CsvOptions
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
    """

    options: CsvOptions
    contract: Contract | None = None
    time_column: str | None = None
    ids: tuple[str, ...] = ()

    def texts_in(self, names: list[str]) -> set[str]:
        """Return the columns to read as text, whatever they look like."""
        columns = self.contract.columns if self.contract is not None else ()
        declared = {column.name for column in columns}
        # Inference would read the id `007` as 7.
        ids = {name for name in names if names_ids(name) or name in self.ids} - declared
        return ids | {column.name for column in columns if is_text(column.arrow_type)}


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
    """

    name: str
    open: Callable[[], Any]
    schema: pa.Schema
    form: CsvForm | None

    @property
    def decides(self) -> bool:
        """Whether the marks of numbers or the order of dates are known from this file."""
        return self.form is not None and bool(self.form.reading or self.form.dates)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows in batches."""
        if self.form is None:
            return
        types = {field.name: field.type for field in self.schema}
        with self.open() as file:
            for batch in read_csv(file, self.form, types, _BLOCK_BYTES):
                yield _with_times(batch, self.form, self.schema)


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
    texts = reading.texts_in(form.schema.names)
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
    return CsvFile(name, opening, pa.schema(list(kinds.items())), form)


def _open(path: Path) -> Any:
    return pa.input_stream(str(path), compression="detect")


def _check_columns(path: str, form: CsvForm, reading: CsvReading) -> None:
    # Arrow gives columns that are not UTF-8 the type binary; they would go on as data.
    for field in form.schema:
        if pa.types.is_binary(field.type):
            raise CorruptedFileError(
                f"{path}: the column {field.name!r} is not UTF-8",
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


def _with_times(batch: pa.RecordBatch, form: CsvForm, schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch whose dates of another order are timestamps."""
    columns = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if name in form.dates:
            times = parse_times(column, form.name)
            column = to_arrow(times, times == NO_TIME).cast(pa.timestamp("us"))  # noqa: PLW2901
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=schema)
