"""Values of a column in order of key and time, as the operations on ranges see them."""

from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat
from numpy.typing import NDArray

from gigacast.feature_store.aggregation.codes import (
    Codes,
    code_values,
    compact,
    spelled_order,
    to_floats,
)
from gigacast.feature_store.aggregation.limbs import Numbers, Ranges, measure_numbers
from gigacast.feature_store.aggregation.operation import is_ordered

Ints = NDArray[np.int64]


def running_count(present: NDArray[np.bool_]) -> Ints:
    """Return how many rows are present before each row, and before the end."""
    counts = np.zeros(len(present) + 1, np.int64)
    np.cumsum(present, out=counts[1:])
    return counts


def move_ranges(ranges: Ranges, starts: Ints) -> Ranges:
    """Return ranges of rows as ranges of the items that begin at ``starts`` of the rows."""
    return Ranges(starts[ranges.start], starts[ranges.stop])


class Block:
    """Values without nulls, rows by key and time.

    Parameters
    ----------
    values : pyarrow.Array
        Values.
    moments : array of int64, shape (rows,)
        Key and time in one integer; not falling.
    reverse : array of bool, shape (rows,), optional
        Rows that subtract; none without reversals.
    """

    def __init__(
        self, values: pa.Array, moments: Ints, reverse: NDArray[np.bool_] | None = None
    ) -> None:
        self.values = values
        self.moments = moments
        self.reverse = reverse if reverse is not None and reverse.any() else None

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: Ints) -> "Block":
        """Return the block of some rows, in that order."""
        reverse = None if self.reverse is None else self.reverse[rows]
        return Block(self.values.take(pa.array(rows)), self.moments[rows], reverse)

    @cached_property
    def codes(self) -> Codes:
        """Codes in the order of the values."""
        return code_values(self.values)

    @cached_property
    def dense(self) -> Codes:
        """Codes from zero on, for walks by bit."""
        return compact(self.codes)

    @cached_property
    def numbers(self) -> Numbers:
        """Values as exact numbers."""
        return measure_numbers(self.array)

    @cached_property
    def array(self) -> NDArray[np.int64] | NDArray[np.float64]:
        """Values as 64-bit numbers."""
        if pat.is_floating(self.values.type):
            return to_floats(self.values)
        wide = pa.uint64() if pat.is_uint64(self.values.type) else pa.int64()
        numbers: NDArray[np.int64] = pc.cast(self.values, wide).to_numpy(zero_copy_only=False)
        return numbers

    @cached_property
    def finite(self) -> NDArray[np.bool_] | None:
        """Whether each value is finite; none where all are."""
        if self.array.dtype.kind != "f":
            return None
        finite: NDArray[np.bool_] = np.isfinite(self.array)
        return None if finite.all() else finite

    @cached_property
    def by_value(self) -> Ints | None:
        """Rows in order of key, time and value; none where no two rows share key and time."""
        same = self.moments[1:] == self.moments[:-1]
        if not same.any():
            return None
        tied = np.flatnonzero(np.append(same, False) | np.insert(same, 0, False))
        values = self.values.take(pa.array(tied))
        if is_ordered(values.type):
            rank = code_values(values).codes
        else:
            spelled = np.array(spelled_order(values), dtype=object)
            rank = np.unique(spelled, return_inverse=True)[1].astype(np.int64)
        rows = np.arange(len(self))
        rows[tied] = tied[np.lexsort((rank, self.moments[tied]))]
        return rows

    @cached_property
    def starts(self) -> Ints:
        """Rows that are not reversed before each row."""
        present = np.ones(len(self), np.bool_) if self.reverse is None else ~self.reverse
        return running_count(present)

    @cached_property
    def forward(self) -> "Block":
        """The block without the rows that subtract."""
        return self if self.reverse is None else self.take(np.flatnonzero(~self.reverse))

    @cached_property
    def signs(self) -> Ints | None:
        """Running count of rows, in which those that subtract count down; none without such."""
        if self.reverse is None:
            return None
        totals = np.zeros(len(self) + 1, np.int64)
        np.cumsum(np.where(self.reverse, -1, 1), out=totals[1:])
        return totals

    def count(self, ranges: Ranges) -> Ints:
        """Return the number of values of ranges, less those that subtract."""
        if self.signs is None:
            return ranges.stop - ranges.start
        return self.signs[ranges.stop] - self.signs[ranges.start]
