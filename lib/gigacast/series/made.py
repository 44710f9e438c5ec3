"""Columns that no file has: the Hive levels of its key, and the key of several id columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import IntArray
from gigacast.core.column import null_of, to_arrow, to_numpy, to_scalar
from gigacast.core.series.item_key import ItemKey
from gigacast.series.columns import ITEM_KEY, Layout, names_ids
from gigacast.series.identity import valid_ids
from gigacast.series.source import ColumnNames


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
    """

    layout: Layout
    key: ItemKey | None
    levels: Mapping[str, str | None]
    name: str

    def stored(self, columns: Sequence[str]) -> list[str]:
        """Return the columns of the file from which columns are made."""
        parts = self.key.names if self.key is not None else ()
        names = [p for name in columns for p in (parts if name == ITEM_KEY else (name,))]
        stored = [name for name in dict.fromkeys(names) if name not in self.levels]
        # A batch without columns has no number of rows: a column of the file gives it.
        return stored or [self.layout.timestamp]

    def complete(self, batch: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
        """Return the requested columns of a batch of those that are stored."""
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
