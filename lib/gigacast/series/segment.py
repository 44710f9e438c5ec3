"""Segments of a flat array: offsets, runs, reductions, and the segments of a table by item.

A ragged value is a flat array and offsets: segment ``n`` is ``flat[offsets[n]:offsets[n + 1]]``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import AnyArray, BoolArray, CodeArray, IntArray
from gigacast.core.column import to_numpy
from gigacast.core.plural import counted
from gigacast.errors import SchemaError

_UNITS = (86_400_000_000, 3_600_000_000, 60_000_000, 1_000_000)
"""Microseconds of the units that times may be whole numbers of, the longest first."""
_TRIED = 1024  # times that are tried before all are
_BLOCK = 1 << 16  # times that are divided at once
_CELLS_PER_ROW = 4  # cells of a table of groups and times that may be empty


def offsets_of(lengths: IntArray | BoolArray) -> IntArray:
    """Return the offsets of segments with these lengths: int64 [N + 1]."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def offsets_without(gone: BoolArray, offsets: IntArray) -> IntArray:
    """Return the offsets of the segments once the elements marked as gone are removed."""
    # A binary search per segment: cheaper than a sum over all elements, as few of them are gone.
    remaining: IntArray = offsets - np.searchsorted(np.flatnonzero(gone), offsets)
    return remaining


def run_starts(codes: CodeArray | IntArray) -> IntArray:
    """Return the positions at which a run of equal codes begins; empty without codes."""
    if not len(codes):
        return np.empty(0, np.int64)
    return np.append(0, np.flatnonzero(codes[1:] != codes[:-1]) + 1)


def reduce_segments(ufunc: np.ufunc, flat: AnyArray, offsets: IntArray, empty: int) -> AnyArray:
    """Reduce each segment by a ufunc; ``empty`` for those without elements."""
    # `reduceat` returns the element at the start for an empty segment, so empty ones are left out.
    starts = offsets[:-1]
    filled = offsets[1:] > starts
    if filled.all():
        return ufunc.reduceat(flat, starts) if len(starts) else flat[:0]
    reduced = np.full(len(starts), empty, flat.dtype)
    if filled.any():
        reduced[filled] = ufunc.reduceat(flat, starts[filled])
    return reduced


def count_segments(flags: BoolArray, offsets: IntArray) -> IntArray:
    """Count the true flags of each segment."""
    counts: IntArray = np.diff(offsets_of(flags)[offsets])
    return counts


def all_segments(flags: BoolArray, offsets: IntArray) -> BoolArray:
    """Return which segments have only true flags; empty segments do."""
    reduced: BoolArray = reduce_segments(np.logical_and, flags, offsets, 1)
    return reduced


def spread(per_segment: AnyArray, offsets: IntArray) -> AnyArray:
    """Repeat each segment's value over its elements."""
    return np.repeat(per_segment, np.diff(offsets))


def take_ranges(starts: IntArray, lengths: IntArray) -> IntArray:
    """Return the positions of ranges, one after the other: int64 [sum of lengths]."""
    offsets = offsets_of(lengths)
    positions = np.arange(offsets[-1], dtype=np.int64)
    positions += np.repeat(starts - offsets[:-1], lengths)
    return positions


def sort_order(groups: IntArray, times: IntArray) -> IntArray:
    """Return the order that sorts rows by group, then time; equal rows keep their order.

    Groups and rows are below 2**31 and 2**32.
    """
    if len(times) < 2:
        return np.arange(len(times), dtype=np.int64)
    low, high = int(times.min()), int(times.max())
    # The span itself may be beyond 64 bits, as where a row has no time.
    if high - low >= 1 << 63:
        return _order_of_ranks(groups, times)
    steps, width = _count_steps(times - low)
    size = int(groups.max()) + 1
    order = None
    if size * width <= _CELLS_PER_ROW * len(times):
        order = _order_of_cells(groups * width + steps, size * width)
    if order is None:
        order = _order_of_keys(groups, steps, size, width)
    return order if order is not None else _order_of_ranks(groups, times)


def _count_steps(times: IntArray) -> tuple[IntArray, int]:
    """Return times from 0 on in the longest unit of which all are whole numbers, and their span."""
    last = int(times.max())
    for unit in _UNITS:
        if (times[:_TRIED] % unit).any() or last >= 1 << 52:
            continue
        counted = _divide_exactly(times, unit)
        if counted is not None:
            return counted, last // unit + 1
    return times, last + 1


def _divide_exactly(times: IntArray, unit: int) -> IntArray | None:
    """Return times in a unit, or ``None`` if one of them is not a whole number of units."""
    counted = np.empty(len(times), np.int64)
    # Block by block, so that what lies between stays in the caches.
    for first in range(0, len(times), _BLOCK):
        block = times[first : first + _BLOCK]
        # Divided as floats, which is several times as fast, and exact for whole numbers.
        whole = np.rint(block * (1 / unit)).astype(np.int64)
        if not np.array_equal(whole * unit, block):
            return None
        counted[first : first + _BLOCK] = whole
    return counted


def _order_of_cells(cells: IntArray, count: int) -> IntArray | None:
    """Return the order of rows that each have a cell of their own; ``None`` where two share one.

    Regular data fill most of the cells of all groups and times, and need no sorting.
    """
    rows = np.full(count, -1, np.int64)
    rows[cells] = np.arange(len(cells), dtype=np.int64)
    order = rows[rows >= 0]
    return order if len(order) == len(cells) else None


def _order_of_keys(groups: IntArray, steps: IntArray, size: int, width: int) -> IntArray | None:
    """Return the order by one sort of 64-bit keys; ``None`` if they do not suffice.

    A key is the group, the time and the row, so that no two are equal.
    """
    row_bits, step_bits = (len(steps) - 1).bit_length(), (width - 1).bit_length()
    if row_bits + step_bits + (size - 1).bit_length() > 63:
        return None
    keys = groups << step_bits
    keys |= steps
    keys <<= row_bits
    keys |= np.arange(len(keys), dtype=np.int64)
    keys.sort()
    keys &= (1 << row_bits) - 1
    return keys


def _order_of_ranks(groups: IntArray, times: IntArray) -> IntArray:
    """Return the order by two sorts.

    Two unstable sorts of 64-bit keys, which numpy does with vector instructions, instead of a
    stable lexsort: the second key holds the group and the rank in time.
    """
    by_time = np.argsort(times)
    keys = groups[by_time] << 32
    keys |= np.arange(len(keys), dtype=np.int64)
    keys.sort()
    same_group = (keys[1:] ^ keys[:-1]) >> 32 == 0
    keys &= 0xFFFFFFFF
    order: IntArray = by_time[keys]
    in_order = times[order]
    is_tied = in_order[1:] == in_order[:-1]
    is_tied &= same_group
    return _with_ties_in_order(order, is_tied) if is_tied.any() else order


def _with_ties_in_order(order: IntArray, is_tied: BoolArray) -> IntArray:
    """Return an order in which rows that tie with the row before them keep theirs."""
    # Rows that tie are neighbours. The unstable sort mixed only these, so only these are sorted.
    is_first = np.append(True, ~is_tied)
    runs = np.cumsum(is_first)
    tied = np.zeros(len(order), np.bool_)
    tied[1:] |= is_tied
    tied[:-1] |= is_tied
    places = np.flatnonzero(tied)
    order[places] = order[places][np.lexsort((order[places], runs[places]))]
    return order


@dataclass(frozen=True, slots=True)
class Segments:
    """The R rows of a table, ordered by item and time: one segment for each of N items.

    Parameters
    ----------
    order : int64 [R]
        Row numbers of the table, item after item and by time within an item. Rows of the same item
        and time keep the order of the table.
    offsets : int64 [N + 1]
        Offsets of the items in ``order``.
    times : int64 [R]
        Time of each row, in this order.
    """

    order: IntArray
    offsets: IntArray
    times: IntArray

    def __len__(self) -> int:
        return len(self.order)

    @classmethod
    def of_table(
        cls, table: pa.Table, time_column: str, item_columns: Sequence[str] = ()
    ) -> "Segments":
        """Return the rows of a table by item and time.

        Parameters
        ----------
        table : pa.Table
        time_column : str
        item_columns : sequence of str
            Columns that identify an item together; none for a table of a single item.

        Raises
        ------
        SchemaError
            If a column is missing, or times are missing or of no comparable type.
        """
        for name in (time_column, *item_columns):
            if name not in table.column_names:
                names = ", ".join(table.column_names)
                raise SchemaError(f"there is no column {name!r}", hint=f"there are {names}")
        times = _times_of(table, time_column)
        codes = np.zeros(table.num_rows, np.int64)
        for place, name in enumerate(item_columns):
            own = _codes_of(table.column(name))
            if place == 0:
                codes = own
                continue
            # Renumbered after each column, so that the numbers stay below the rows times a column.
            joined = codes * (int(own.max(initial=0)) + 1) + own
            codes = np.unique(joined, return_inverse=True)[1].astype(np.int64)
        order = np.lexsort((times, codes))
        return cls(order, np.append(run_starts(codes[order]), len(order)), times[order])

    def gather(self, values: AnyArray) -> AnyArray:
        """Return a column of the table in this order, [R]."""
        return values[self.order]

    def starts(self) -> IntArray:
        """Return the position of the first row of each row's item, int64 [R]."""
        return spread(self.offsets[:-1], self.offsets)


def _times_of(table: pa.Table, name: str) -> IntArray:
    column = table.column(name)
    kind = column.type
    if column.null_count:
        raise SchemaError(
            f"{name!r} is missing in {counted(column.null_count, 'row')}",
            hint="clean the data first",
        )
    if pa.types.is_date(kind):
        column = column.cast(pa.timestamp("us"))
    if not (pa.types.is_timestamp(column.type) or pa.types.is_integer(kind)):
        raise SchemaError(
            f"column {name!r} of type {kind} holds no times", hint="publish it as timestamps"
        )
    times: IntArray = to_numpy(column.cast(pa.int64()))
    return times


def _codes_of(column: pa.ChunkedArray) -> IntArray:
    """Return the rank of each row's item among all items, int64 [R]."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    encoded = column.combine_chunks().dictionary_encode()
    ranks = np.empty(len(encoded.dictionary) + 1, np.int64)
    order = to_numpy(pc.sort_indices(encoded.dictionary).cast(pa.int64()))
    ranks[order] = np.arange(len(order))
    ranks[-1] = len(order)  # all rows without an item form a single item, the last
    codes: IntArray = ranks[to_numpy(pc.fill_null(encoded.indices.cast(pa.int64()), len(order)))]
    return codes
