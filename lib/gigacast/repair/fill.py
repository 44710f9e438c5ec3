"""Missing values of a column, filled from the known rows before and after them.

Rows come in chunks that end anywhere, also within a series. The caller carries the last known value
of a series into the next chunk, and may pass the first known value of the chunk after this one.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from gigacast.core.array import AnyArray, BoolArray, IntArray
from gigacast.core.column import known_floats, to_arrow, to_numpy


class Known(NamedTuple):
    """A known value outside the chunk: its row (counted over all chunks), time and value."""

    row: int
    time: int
    value: Any


@dataclass
class Numbered:
    """A column of numbers.

    Parameters
    ----------
    values : NDArray [R]
        Undefined where the value is missing.
    known : bool [R], optional
        Rows with a value; ``None`` if no value is missing.
    """

    values: AnyArray
    known: BoolArray | None

    @classmethod
    def read(cls, column: pa.ChunkedArray) -> "Numbered":
        """Read a column of integers or floats. Nulls, NaN and infinities are missing."""
        if pa.types.is_floating(column.type):
            plain = column.cast(pa.float32()) if pa.types.is_float16(column.type) else column
            values, is_known = known_floats(plain)
        else:
            # An empty mask is all true, and costs no array of rows.
            is_known = to_numpy(column.is_valid()) if column.null_count else np.ones(0, np.bool_)
            values = to_numpy(column.fill_null(0) if column.null_count else column)
        return cls(values, None if is_known.all() else is_known)

    def take(self, keep: BoolArray) -> "Numbered":
        """Return the rows marked in ``keep``, bool [R]."""
        is_known = None if self.known is None else self.known[keep]
        return Numbered(self.values[keep], None if is_known is None or is_known.all() else is_known)

    def placed(self, rows: IntArray, values: AnyArray) -> "Numbered":
        """Return a copy of the column with known values in some rows."""
        filled = self.values.copy()
        filled[rows] = values
        if self.known is None:
            return Numbered(filled, None)
        is_known = self.known.copy()
        is_known[rows] = True
        return Numbered(filled, None if is_known.all() else is_known)

    def to_arrow(self) -> pa.Array:
        """Return the column as an Arrow array, null where the value is missing."""
        return to_arrow(self.values, None if self.known is None else ~self.known)


@dataclass
class Other:
    """A column that holds no numbers: it can be filled forward but not interpolated."""

    column: pa.Array

    @property
    def known(self) -> BoolArray | None:
        """Rows with a value, bool [R]; ``None`` if no value is missing."""
        if not self.column.null_count:
            return None
        valid: BoolArray = to_numpy(self.column.is_valid())
        return valid

    def take(self, keep: BoolArray) -> "Other":
        """Return the rows marked in ``keep``, bool [R]."""
        return Other(self.column.filter(to_arrow(keep)))

    def to_arrow(self) -> pa.Array:
        """Return the column as an Arrow array."""
        return self.column


@dataclass(frozen=True, slots=True)
class Sources:
    """The known rows that M missing rows can be filled from, one for each.

    Parameters
    ----------
    available : bool [M]
        Missing rows that have such a known row.
    at : int64 [M]
        Its position in the chunk; -1 if it is outside the chunk.
    rows, times : int64 [M]
        Its row, counted over all chunks, and its time.
    outside : value, optional
        Value of the known row outside the chunk.
    """

    available: BoolArray
    at: IntArray
    rows: IntArray
    times: IntArray
    outside: Any


class Missing:
    """The missing rows of a column, with the nearest known rows before and after each.

    Parameters
    ----------
    is_known : bool [R]
        Rows with a value; at least one is missing.
    times : int64 [R]
    starts : int64 [N]
        Positions at which the series begin.
    first_row : int
        Row of the chunk's first position, counted over all chunks.
    """

    def __init__(
        self, is_known: BoolArray, times: IntArray, starts: IntArray, first_row: int = 0
    ) -> None:
        self.rows = np.flatnonzero(~is_known)
        self._times = times
        self._first_row = first_row
        segment = np.searchsorted(starts, self.rows, side="right") - 1
        self._starts = starts[segment]
        self._ends = np.append(starts[1:], len(is_known))[segment]
        # All rows of a run of missing rows share the known row before the run and the one after it.
        # -2 is not next to row 0, so a missing row 0 begins a run.
        continues_run = np.diff(self.rows, prepend=-2) == 1
        runs = np.cumsum(~continues_run) - 1
        self._before = self.rows[~continues_run][runs] - 1
        self._after = self.rows[~np.append(continues_run[1:], False)][runs] + 1

    def before(self, carried: Known | None = None) -> Sources:
        """Return the last known rows before the missing ones, in the same series.

        Parameters
        ----------
        carried : Known, optional
            Last known value of the first series in the chunks before this one.
        """
        inside = self._before >= self._starts
        outside = ~inside & (self._starts == 0) if carried is not None else np.zeros_like(inside)
        return self._sources(self._before, inside, outside, carried)

    def after(self, ahead: Known | None = None) -> Sources:
        """Return the first known rows after the missing ones, in the same series.

        Parameters
        ----------
        ahead : Known, optional
            First known value of the last series in the chunk after this one.
        """
        inside = self._after < self._ends
        last = self._ends == len(self._times)
        outside = ~inside & last if ahead is not None else np.zeros_like(inside)
        return self._sources(self._after, inside, outside, ahead)

    def _sources(
        self, at: IntArray, inside: BoolArray, outside: BoolArray, neighbour: Known | None
    ) -> Sources:
        positions = np.where(inside, at, 0)
        rows = np.where(inside, positions + self._first_row, neighbour.row if neighbour else 0)
        times = np.where(inside, self._times[positions], neighbour.time if neighbour else 0)
        value = None if neighbour is None else neighbour.value
        return Sources(inside | outside, np.where(inside, at, -1), rows, times, value)


def source_values(column: Numbered, sources: Sources, chosen: BoolArray) -> AnyArray:
    """Return the values of the known rows that some missing rows are filled from.

    Parameters
    ----------
    column : Numbered
    sources : Sources
    chosen : bool [M]
        Missing rows to fill; each has a source.
    """
    at = sources.at[chosen]
    # Place -1 is outside the chunk; place 0 stands in until the outside value is set.
    values = column.values[np.maximum(at, 0)]
    if sources.outside is not None:
        values[at < 0] = sources.outside
    return values


def interpolate(
    column: Numbered,
    times: IntArray,
    missing: Missing,
    sources: tuple[Sources, Sources],
    chosen: BoolArray,
) -> AnyArray:
    """Return values on the straight line, over time, between two known rows.

    Integer columns get the nearest integer.

    Parameters
    ----------
    column : Numbered
    times : int64 [R]
    missing : Missing
    sources : (Sources, Sources)
        Known rows before and after.
    chosen : bool [M]
        Missing rows to fill; each has both sources.
    """
    low, high = (
        source_values(column, side, chosen).astype(np.float64, copy=False) for side in sources
    )
    since, until = (side.times[chosen] for side in sources)
    # Two known rows of the same time would divide by zero; the values between get the earlier one.
    share = (times[missing.rows[chosen]] - since) / np.maximum(until - since, 1)
    between = low + (high - low) * share
    is_integer = column.values.dtype.kind in "iu"
    result: AnyArray = np.rint(between) if is_integer else between
    return result
