"""Columns with missing values, and where these may be filled from.

Rows are cut into chunks anywhere: the last known value of a series is carried on to the next chunk,
and the first one of the next may be looked at.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from gigacast.core.array import AnyArray, BoolArray, IntArray
from gigacast.core.column import known_floats, to_arrow, to_numpy


class Known(NamedTuple):
    """The last known value of a column in the series that goes on: where, when, what."""

    row: int
    time: int
    value: Any


@dataclass
class Numbered:
    """A column of numbers; ``known`` is ``None`` where no value is missing.

    What ``values`` holds of those that are missing is not told.
    """

    values: AnyArray
    known: BoolArray | None

    @classmethod
    def read(cls, column: pa.ChunkedArray) -> "Numbered":
        """Read a column; NaN and infinities are missing too."""
        if pa.types.is_floating(column.type):
            plain = column.cast(pa.float32()) if pa.types.is_float16(column.type) else column
            values, known = known_floats(plain)
        else:
            known = to_numpy(column.is_valid()) if column.null_count else np.ones(0, np.bool_)
            values = to_numpy(column.fill_null(0) if column.null_count else column)
        return cls(values, None if known.all() else known)

    def take(self, keep: BoolArray) -> "Numbered":
        """Return some of the rows."""
        known = None if self.known is None else self.known[keep]
        return Numbered(self.values[keep], None if known is None or known.all() else known)

    def to_arrow(self) -> pa.Array:
        """Return the column as Arrow has it."""
        return to_arrow(self.values, None if self.known is None else ~self.known)


@dataclass
class Other:
    """A column of anything else, as it is."""

    column: pa.Array

    @property
    def known(self) -> BoolArray | None:
        """Which values are there; ``None`` for all."""
        if not self.column.null_count:
            return None
        valid: BoolArray = to_numpy(self.column.is_valid())
        return valid

    def take(self, keep: BoolArray) -> "Other":
        """Return some of the rows."""
        return Other(self.column.filter(to_arrow(keep)))

    def to_arrow(self) -> pa.Array:
        """Return the column as Arrow has it."""
        return self.column


@dataclass(frozen=True, slots=True)
class Sources:
    """For each missing row the row its value may come from: -1 for the one carried over."""

    found: BoolArray
    at: IntArray
    rows: IntArray
    times: IntArray
    carried: Any


class Missing:
    """The missing rows of one column, and their neighbours that are known."""

    def __init__(self, known: BoolArray, times: IntArray, starts: IntArray, first_row: int) -> None:
        self.rows = np.flatnonzero(~known)
        self._times = times
        self._first_row = first_row
        segment = np.searchsorted(starts, self.rows, side="right") - 1
        self._starts = starts[segment]
        self._ends = np.append(starts[1:], len(known))[segment]
        goes_on = np.diff(self.rows, prepend=-2) == 1
        runs = np.cumsum(~goes_on) - 1  # missing rows that follow one another
        self._before = self.rows[~goes_on][runs] - 1
        self._after = self.rows[~np.append(goes_on[1:], False)][runs] + 1

    def before(self, carried: Known | None) -> Sources:
        """Return the last known rows before, of the same series."""
        here = self._before >= self._starts
        outside = ~here & (self._starts == 0) if carried is not None else np.zeros_like(here)
        return self._sources(self._before, here, outside, carried)

    def after(self, ahead: Known | None) -> Sources:
        """Return the first known rows after, of the same series."""
        here = self._after < self._ends
        last = self._ends == len(self._times)
        outside = ~here & last if ahead is not None else np.zeros_like(here)
        return self._sources(self._after, here, outside, ahead)

    def _sources(
        self, at: IntArray, here: BoolArray, outside: BoolArray, other: Known | None
    ) -> Sources:
        inside = np.where(here, at, 0)
        rows = np.where(here, inside + self._first_row, other.row if other else 0)
        times = np.where(here, self._times[inside], other.time if other else 0)
        value = None if other is None else other.value
        return Sources(here | outside, np.where(here, at, -1), rows, times, value)


def interpolate(
    column: Numbered,
    times: IntArray,
    missing: Missing,
    sources: tuple[Sources, Sources],
    near: BoolArray,
) -> AnyArray:
    """Return the values between two known ones, in proportion to time."""

    def known(side: Sources) -> tuple[AnyArray, IntArray]:
        at = side.at[near]
        values = column.values[np.maximum(at, 0)].astype(np.float64)
        if side.carried is not None:
            values[at < 0] = side.carried
        return values, side.times[near]

    (low, since), (high, until) = known(sources[0]), known(sources[1])
    share = (times[missing.rows[near]] - since) / np.maximum(until - since, 1)
    between = low + (high - low) * share
    is_whole = column.values.dtype.kind in "iu"
    result: AnyArray = np.rint(between) if is_whole else between
    return result
