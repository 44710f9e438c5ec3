"""Runs of rows of an item, the value that passes between the stages of the reader.

Runs decoded from a file are as they come: an item may have several, with times in any order. The
streaming and sorting stages make them *complete*, with a single run per item.

Lists with a ``start`` may state their frequency row by row. The frequency is then one more column
of values, packed into a number, so that it passes through the stages with its rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import BoolArray, IntArray, RealArray
from gigacast.core.column import to_arrow, to_numpy
from gigacast.core.time.frequency import Frequency, Kind
from gigacast.series.segment import offsets_of, take_ranges

# A packed frequency has 2 bits of kind, 5 of day and 45 of count: 52 bits, and float64 represents
# integers of up to 53 bits exactly. 2 ** 45 microseconds are about a year.
_KINDS: tuple[Kind, ...] = ("fixed", "steps", "business", "months")
_COUNT_BITS, _DAY_BITS = 45, 5
_COUNT_MASK, _DAY_MASK = (1 << _COUNT_BITS) - 1, (1 << _DAY_BITS) - 1


@dataclass(frozen=True, slots=True)
class ItemRows:
    """N runs of rows.

    Parameters
    ----------
    item_ids : pa.Array [N]
        Item ids: string, int64 or uint64, without nulls.
    offsets : int64 [N + 1]
        Borders of the runs: run ``n`` is the rows ``offsets[n]`` to ``offsets[n + 1]``.
    times : int64 [R]
        Microseconds since 1970 as Arrow stores them (UTC if the type has a zone), plain steps, or
        `NO_TIME`.
    values : tuple of float32 or float64 [R]
        One array per target, K of them; NaN for nulls.
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
        """Approximate size in bytes."""
        arrays = (self.offsets, self.times, self.primary, *self.values)
        return sum(array.nbytes for array in arrays) + int(self.item_ids.nbytes)

    def slice(self, start: int, stop: int) -> "ItemRows":
        """Return the runs from ``start`` to ``stop`` without copying rows."""
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
        """Return the same runs with a selection of the rows, divided by new offsets."""
        values = tuple(value[rows] for value in self.values)
        return ItemRows(self.item_ids, offsets, self.times[rows], values, self.primary)

    def filter_rows(self, keep: BoolArray) -> "ItemRows":
        """Return the same runs with only the rows to keep; runs may become empty."""
        return self.take_rows(keep, offsets_of(keep)[self.offsets])

    def take_runs(self, runs: IntArray) -> "ItemRows":
        """Return these runs, in this order."""
        lengths = np.diff(self.offsets)[runs]
        rows = take_ranges(self.offsets[:-1][runs], lengths)
        rows_of_runs = self.take_rows(rows, offsets_of(lengths))
        return ItemRows(
            self.item_ids.take(to_arrow(runs)),
            rows_of_runs.offsets,
            rows_of_runs.times,
            rows_of_runs.values,
            self.primary[runs],
        )


def concat_rows(parts: Sequence[ItemRows]) -> ItemRows:
    """Return the runs of all parts, without merging neighbours of the same item."""
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
    """Merge neighbouring runs of the same item."""
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
    """Return the start of each run of equal ids. Ids have no nulls."""
    if len(ids) == 0:
        return np.empty(0, np.int64)
    if pa.types.is_integer(ids.type):
        values = to_numpy(ids)
        changes = values[1:] != values[:-1]
    else:
        changes = to_numpy(pc.not_equal(ids[1:], ids[:-1]))
    starts: IntArray = np.concatenate(([0], np.flatnonzero(changes) + 1))
    return starts


def pack_frequency(frequency: Frequency) -> float:
    """Return a frequency as a number, which is the same in every process."""
    kind = _KINDS.index(frequency.kind)
    count = min(frequency.count, _COUNT_MASK)
    return float(((kind << _DAY_BITS | (frequency.day or 0)) << _COUNT_BITS) | count)


def unpack_frequency(number: float) -> Frequency:
    """Return the frequency of a packed number."""
    bits = int(number)
    day = bits >> _COUNT_BITS & _DAY_MASK
    kind = _KINDS[bits >> _COUNT_BITS + _DAY_BITS]
    return Frequency(kind, bits & _COUNT_MASK, day or None)


def unpack_distinct(
    numbers: RealArray,
) -> tuple[tuple[Frequency, ...], IntArray]:
    """Return the distinct frequencies of packed numbers, and the index of each number's one.

    ``numbers`` has no NaN.
    """
    distinct, codes = np.unique(numbers, return_inverse=True)
    return tuple(unpack_frequency(number) for number in distinct.tolist()), codes.astype(np.int64)
