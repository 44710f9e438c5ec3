"""Gaps that are open at the end of a chunk, and the rows of later chunks that close them.

A line is drawn from the last known value of an item to its next one, which may be many chunks
later. Those chunks are read ahead; of them only the rows that close a gap are kept, so the memory
that it takes does not grow with the length of a gap.
"""

from collections import deque
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from gigacast.core.array import BoolArray, IntArray
from gigacast.core.column import is_number, to_arrow, to_numpy
from gigacast.parquet_loader.dataset import LoadColumns
from gigacast.parquet_loader.process import edge_rows
from gigacast.parquet_loader.rows import item_starts, sort_rows
from gigacast.series.value import doubles

_CLOSED = np.iinfo(np.int64).max
_ROW = "__row__"


def number_columns(schema: pa.Schema, columns: LoadColumns) -> list[str]:
    """Return the columns whose missing values are filled."""
    keys = {columns.timestamp, *columns.ids}
    return [field.name for field in schema if field.name not in keys and is_number(field.type)]


class ItemEnds:
    """Which columns of the items of a chunk have a known value, and which end without one.

    Parameters
    ----------
    table : pyarrow.Table
        Rows in the order of item and time, at least one.
    columns : LoadColumns

    Attributes
    ----------
    starts : array, int64 [N]
    known, open : array, bool [N, C]
    """

    starts: IntArray
    known: BoolArray
    open: BoolArray

    def __init__(self, table: pa.Table, columns: LoadColumns) -> None:
        self.starts = item_starts(table, columns)
        self.names = number_columns(table.schema, columns)
        last = np.append(self.starts[1:], table.num_rows) - 1
        shape = (len(self.starts), len(self.names))
        self.known, self.open = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
        for place, name in enumerate(self.names):
            present = ~np.isnan(doubles(table.column(name)))
            self.known[:, place] = np.logical_or.reduceat(present, self.starts)
            self.open[:, place] = ~present[last]


class OpenGaps:
    """The gaps of items and columns that are open after the chunks so far, and since which chunk.

    Parameters
    ----------
    columns : LoadColumns
    """

    def __init__(self, columns: LoadColumns) -> None:
        self._columns = columns
        self._ids: pa.Table | None = None  # of the items with a gap
        self._since = np.empty((0, 0), np.int64)  # [items, columns]

    @property
    def first(self) -> int:
        """Number of the first chunk with a gap that is still open; a huge one if there is none."""
        return int(self._since.min(initial=_CLOSED))

    def add(self, number: int, table: pa.Table) -> pa.Table:
        """Count a chunk; return its rows with the known values that close gaps of earlier ones."""
        if not table.num_rows:
            return table
        ends = ItemEnds(table, self._columns)
        names = [*self._columns.ids, self._columns.timestamp]
        ids = table.select(names).take(to_arrow(ends.starts)).select(names[:-1])
        former = self._ids if self._ids is not None else ids.slice(0, 0)
        since = self._since if len(former) else np.empty((0, len(ends.names)), np.int64)
        old, new, every = self._matched(former, len(former), ids, len(ends.starts))
        # A row of closed gaps stands for items that are in one of the two only.
        before = np.vstack([since, np.full(since.shape[1], _CLOSED)])[old]
        known, is_open = (np.vstack([v, np.zeros(v.shape[1], np.bool_)])[new] for v in _flags(ends))
        closes = (before != _CLOSED) & known
        still = np.where((before != _CLOSED) & ~known, before, np.where(is_open, number, _CLOSED))
        keep = (still != _CLOSED).any(axis=1)
        self._ids, self._since = every.filter(to_arrow(keep)), still[keep]
        items = np.zeros(len(ends.starts) + 1, np.bool_)
        items[new[closes.any(axis=1)]] = True
        lengths = np.diff(np.append(ends.starts, table.num_rows))
        own = table.filter(to_arrow(np.repeat(items[:-1], lengths)))
        return edge_rows(own, self._columns, first=True)

    def _matched(
        self, former: pa.Table, n_former: int, ids: pa.Table, n_ids: int
    ) -> tuple[IntArray, IntArray, pa.Table]:
        """Return the places of each item in both tables, -1 where it lacks, and the items."""
        columns, total = self._columns, n_former + n_ids
        places = np.arange(total)
        joined = pa.concat_tables([former, ids]) if columns.ids else pa.table({_ROW: places})
        if columns.ids:
            joined = joined.append_column(_ROW, to_arrow(places))
        # In the place of times: of equal ids, the former comes first.
        joined = joined.append_column(columns.timestamp, to_arrow(places))
        ordered = sort_rows(joined, columns)
        starts, rows = item_starts(ordered, columns), to_numpy(ordered.column(_ROW))
        first, last = rows[starts], rows[np.append(starts[1:], total) - 1]
        old = np.where(first < n_former, first, -1)
        new = np.where(last >= n_former, last - n_former, -1)
        every = ordered.take(to_arrow(starts)).select([*columns.ids, _ROW])
        return old, new, every.select(list(columns.ids)) if columns.ids else every


def _flags(ends: ItemEnds) -> tuple[BoolArray, BoolArray]:
    return ends.known, ends.open


class AheadReader:
    """Finds the rows that close the gaps of a chunk, in the chunks after it.

    Parameters
    ----------
    chunks : iterator of (int, pyarrow.Table)
        Numbers and rows of chunks, from the first that is asked for or earlier.
    columns : LoadColumns
    """

    def __init__(self, chunks: Iterator[tuple[int, pa.Table]], columns: LoadColumns) -> None:
        self._chunks = chunks
        self._columns = columns
        self._gaps = OpenGaps(columns)
        self._read = -1
        self._closing = deque[tuple[int, pa.Table]]()

    def after(self, number: int) -> pa.Table | None:
        """Return the rows after a chunk that close its gaps; numbers are asked for in order."""
        while self._read < number or self._gaps.first <= number:
            entry = next(self._chunks, None)
            if entry is None:
                break
            self._read, table = entry
            rows = self._gaps.add(self._read, table)
            if rows.num_rows:
                self._closing.append((self._read, rows))
        while self._closing and self._closing[0][0] <= number:
            self._closing.popleft()
        if not self._closing:
            return None
        rows = pa.concat_tables([rows for _, rows in self._closing])
        return edge_rows(sort_rows(rows, self._columns), self._columns, first=True)
