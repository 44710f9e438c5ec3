"""Rows on their way to becoming series: runs of rows of one item.

`ItemRows` is what flows between the stages of the reader. Straight from a file its runs are as
they come (an item may have several, its times in any order); the streaming and sorting stages
make them *complete*: one run per item.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import BoolArray, IntArray, RealArray
from gigacast.core.column import to_arrow, to_numpy
from gigacast.series.segment import offsets_of, take_ranges


@dataclass(frozen=True, slots=True)
class ItemRows:
    """N runs of rows.

    Parameters
    ----------
    item_ids : pa.Array [N]
        String, int64 or uint64; no nulls.
    offsets : int64 [N + 1]
        Run ``n`` is the rows ``offsets[n]`` to ``offsets[n + 1]``.
    times : int64 [R]
        Microseconds since 1970 as Arrow stores them (UTC where there is a zone), plain steps, or
        `NO_TIME`.
    values : tuple of float32 or float64 [R]
        One array per target, K of them; NaN where null.
    primary : bool [N]
        Whether the run comes from a primary source.
    """

    item_ids: pa.Array
    offsets: IntArray
    times: IntArray
    values: tuple[RealArray, ...]
    primary: BoolArray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def nbytes(self) -> int:
        """Bytes held, about."""
        arrays = (self.offsets, self.times, self.primary, *self.values)
        return sum(array.nbytes for array in arrays) + int(self.item_ids.nbytes)

    def slice(self, start: int, stop: int) -> "ItemRows":
        """Return runs ``start`` to ``stop`` without copying rows."""
        offsets = self.offsets[start : stop + 1]
        rows = slice(offsets[0], offsets[-1])
        return ItemRows(
            self.item_ids[start:stop],
            offsets - offsets[0],
            self.times[rows],
            tuple(value[rows] for value in self.values),
            self.primary[start:stop],
        )

    def take_rows(self, rows: IntArray | BoolArray, offsets: IntArray) -> "ItemRows":
        """Return the same runs over other rows of these."""
        values = tuple(value[rows] for value in self.values)
        return ItemRows(self.item_ids, offsets, self.times[rows], values, self.primary)

    def filter_rows(self, keep: BoolArray) -> "ItemRows":
        """Return the same runs with only the rows to keep; runs may become empty."""
        return self.take_rows(keep, offsets_of(keep)[self.offsets])

    def take_runs(self, runs: IntArray) -> "ItemRows":
        """Return these runs, in this order."""
        lengths = np.diff(self.offsets)[runs]
        rows = take_ranges(self.offsets[:-1][runs], lengths)
        taken = self.take_rows(rows, offsets_of(lengths))
        return ItemRows(
            self.item_ids.take(to_arrow(runs)),
            taken.offsets,
            taken.times,
            taken.values,
            self.primary[runs],
        )


def concat_rows(parts: Sequence[ItemRows]) -> ItemRows:
    """Return all runs of all parts; equal neighbours are not merged."""
    if len(parts) == 1:
        return parts[0]
    lengths = np.concatenate([np.diff(part.offsets) for part in parts])
    columns = zip(*(part.values for part in parts), strict=True)
    return ItemRows(
        pa.concat_arrays([part.item_ids for part in parts]),
        offsets_of(lengths),
        np.concatenate([part.times for part in parts]),
        tuple(np.concatenate(column) for column in columns),
        np.concatenate([part.primary for part in parts]),
    )


def merge_neighbours(rows: ItemRows) -> ItemRows:
    """Merge neighbouring runs of one item into one."""
    starts = run_starts(rows.item_ids)
    if len(starts) == len(rows):
        return rows
    return ItemRows(
        rows.item_ids.take(to_arrow(starts)),
        np.append(rows.offsets[starts], rows.offsets[-1]),
        rows.times,
        rows.values,
        np.logical_or.reduceat(rows.primary, starts),
    )


def run_starts(ids: pa.Array) -> IntArray:
    """Return where each run of equal values starts; ids have no nulls."""
    if len(ids) == 0:
        return np.empty(0, np.int64)
    if pa.types.is_integer(ids.type):
        values = to_numpy(ids)
        changes = values[1:] != values[:-1]
    else:
        changes = to_numpy(pc.not_equal(ids[1:], ids[:-1]))
    starts: IntArray = np.concatenate(([0], np.flatnonzero(changes) + 1))
    return starts
