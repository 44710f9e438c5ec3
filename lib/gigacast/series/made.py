"""Columns that no file has: the Hive levels of its key, and the key of several id columns."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import IntArray
from gigacast.core.column import null_of, to_arrow, to_numpy, to_scalar
from gigacast.core.series.item_key import ItemKey
from gigacast.core.text import printable
from gigacast.errors import SchemaError
from gigacast.series.columns import ITEM_KEY, Layout, names_ids
from gigacast.series.identity import id_type, is_id_type, valid_ids
from gigacast.series.source import ColumnNames

_LONGEST_NUMBER = 100
_FREE_LEVELS = {"bucket"}
"""Levels that `data bucket` makes: a column of this name is another one."""


def with_levels(
    schema: pa.Schema, columns: ColumnNames, levels: Mapping[str, str | None]
) -> pa.Schema:
    """Return a schema with the Hive levels that the settings name, or that are ids by name."""
    levels = {name: value for name, value in levels.items() if name not in schema.names}
    # Other levels stay out: `date=2024-01-31` must not become a second column of timestamps.
    named = {columns.item_id, *columns.items, *columns.covariates}
    has_ids = any(names_ids(name) for name in schema.names)
    for name in levels:
        is_id = names_ids(name) and not (has_ids or columns.items or columns.item_id)
        if name in named or is_id:
            schema = schema.append(pa.field(name, pa.string()))
    return schema


Rows = TypeVar("Rows", pa.Table, pa.RecordBatch)


def add_levels(rows: Rows, columns: Sequence[str], levels: Mapping[str, str | None]) -> Rows:
    """Return rows with those of the requested columns that are Hive levels added at the end."""
    for name in columns:
        if name in levels and name not in rows.schema.names:
            rows = rows.append_column(name, level_column(levels[name], rows.num_rows))
    return rows


def check_levels(
    rows: pa.Table | pa.RecordBatch,
    columns: Iterable[str],
    levels: Mapping[str, str | None],
    name: str,
) -> None:
    """Check columns that are Hive levels as well: the rows must say what the folder says.

    Rows without a value say nothing. Numbers are compared as numbers: ``shop=007`` is shop 7.

    Parameters
    ----------
    rows : pa.Table or pa.RecordBatch
    columns : iterable of str
        Columns of ids and covariates; others may have any name.
    levels : mapping of str to str or None
        Values of the Hive levels of the object.
    name : str
        Name of the object, for error messages.

    Raises
    ------
    SchemaError
    """
    for column in ({*columns} - _FREE_LEVELS) & levels.keys() & {*rows.schema.names}:
        values, level = pc.unique(rows.column(column)).drop_null(), levels[column]
        odd = next((text for text in _texts(values, name) if not _says(text, level)), None)
        if odd is not None:
            folder = f"{column}={'(none)' if level is None else level}"
            raise SchemaError(
                f"{name}: the folder {printable(folder)!r} and the file's column {column!r} "
                f"contradict each other: a row has {printable(odd[:80])!r}",
                hint="move the file into the folder of its rows, or rename the folder or the "
                "column: the two are one column of items",
            )


def _texts(values: pa.Array, name: str) -> Iterator[str]:
    """Yield the texts of distinct values; of values that are no ids nothing."""
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if pa.types.is_floating(kind):
        yield from (f"{value:.17g}" for value in values.to_pylist())
    elif is_id_type(kind):
        texts = valid_ids(values, id_type(kind), name).cast(pa.string())
        yield from texts.to_pylist()


def _says(text: str, level: str | None) -> bool:
    """Check whether a value of a row is that of a level."""
    if level is None:
        return False
    return text == level or (_number(text) is not None and _number(text) == _number(level))


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text) if text.strip() == text and len(text) <= _LONGEST_NUMBER else None
    except InvalidOperation:
        return None


def level_column(value: str | None, rows: int) -> pa.Array:
    """Return a column that holds the value of a Hive level in every row."""
    return pa.repeat(null_of(pa.string()) if value is None else to_scalar(value), rows)


@dataclass(frozen=True, slots=True)
class MadeColumns:
    """The columns of a source that are made while it is read.

    Parameters
    ----------
    layout : Layout
        Layout of the source.
    key : ItemKey or None
        Columns of the item key; ``None`` with a single column of ids.
    levels : mapping of str to str or None
        Values of the Hive levels of the source.
    name : str
        Name of the source, for error messages.
    doubled : mapping of str to str or None
        Values of the Hive levels that are columns of the file as well; none by default.
    """

    layout: Layout
    key: ItemKey | None
    levels: Mapping[str, str | None]
    name: str
    doubled: Mapping[str, str | None] = field(default_factory=dict)

    def stored(self, columns: Sequence[str]) -> list[str]:
        """Return the columns of the file from which columns are made."""
        parts = self.key.names if self.key is not None else ()
        names = [p for name in columns for p in (parts if name == ITEM_KEY else (name,))]
        stored = [name for name in dict.fromkeys(names) if name not in self.levels]
        # A batch without columns has no number of rows: a column of the file gives it.
        return stored or [self.layout.timestamp]

    def complete(self, batch: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
        """Return the requested columns of a batch of those that are stored.

        Raises
        ------
        SchemaError
            If a column contradicts the Hive level of its name.
        """
        if self.doubled:
            check_levels(batch, self.doubled, self.doubled, self.name)
        if batch.schema.names == list(columns):
            return batch
        arrays = [self._column(batch, name) for name in columns]
        return pa.RecordBatch.from_arrays(arrays, names=list(columns))

    def _column(self, batch: pa.RecordBatch, name: str) -> pa.Array:
        if name == ITEM_KEY and self.key is not None:
            return self._keys([self._column(batch, part) for part in self.key.names], self.key)
        if name not in self.levels:
            return batch.column(name)
        return level_column(self.levels[name], batch.num_rows)

    def _keys(self, columns: Sequence[pa.Array], key: ItemKey) -> pa.Array:
        """Return the item keys of rows as codes. Equal neighbours share a code."""
        # Comparing neighbours is cheap; texts are only made for the first row of each run.
        starts = np.unique(np.concatenate([_changes(column) for column in columns]))
        rows = to_arrow(starts)
        parts = zip(columns, key.types, strict=True)
        firsts = [valid_ids(column.take(rows), kind, self.name) for column, kind in parts]
        runs = np.diff(np.append(starts, len(columns[0])))
        codes = np.repeat(np.arange(len(starts), dtype=np.int32), runs)
        return pa.DictionaryArray.from_arrays(to_arrow(codes), key.encode(firsts))


def _changes(column: pa.Array) -> IntArray:
    """Return the rows that differ from the row before them, and the first row."""
    if pa.types.is_null(column.type):
        return np.zeros(1, np.int64)
    coded = column.indices if pa.types.is_dictionary(column.type) else column
    if isinstance(coded.type, pa.BaseExtensionType):
        coded = coded.storage
    # Beside a null a row counts as different. More runs than needed are harmless.
    differs = to_numpy(pc.fill_null(pc.not_equal(coded[1:], coded[:-1]), True))
    return np.append(0, np.flatnonzero(differs) + 1)
