"""Single values of a column's rows: without nulls, lists flattened, maps by key."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gigacast.errors import DataError
from gigacast.feature_store.aggregation.block import Block, move_ranges, running_count
from gigacast.feature_store.aggregation.container import Shape
from gigacast.feature_store.aggregation.limbs import Ranges

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class SortedRows:
    """Column of the rows in order of key and time.

    Parameters
    ----------
    values : pyarrow.Array
        Values, with nulls.
    moments : array of int64, shape (rows,)
        Key and time in one integer.
    span : int
        Number of integers for the times of a key.
    reverse : array of bool, shape (rows,), optional
        Rows that subtract.
    bucket : pyarrow.Array, optional
        Texts by which values are aggregated by themselves.
    """

    values: pa.Array
    moments: Ints
    span: int
    reverse: NDArray[np.bool_] | None = None
    bucket: pa.Array | None = None


@dataclass(frozen=True)
class Items:
    """Single values, and where those of each row begin.

    Parameters
    ----------
    block : Block
        Values.
    starts : array of int64, shape (rows + 1,), or None
        First value of each row, and the number of values; none where each row has a value.
    group : pyarrow.Array or None
        Text by which each value is aggregated by itself: its bucket, or its key of the map.
    """

    block: Block
    starts: Ints | None
    group: pa.Array | None = None

    def move(self, ranges: Ranges) -> Ranges:
        """Return ranges of rows as ranges of values."""
        return ranges if self.starts is None else move_ranges(ranges, self.starts)


def make_items(rows: SortedRows, shape: Shape) -> Items:
    """Return the single values of rows."""
    if not (shape.flatten or shape.by_key):
        return _keep(rows, rows.values, None, rows.bucket)
    if shape.by_key:
        offsets = rows.values.offsets.to_numpy().astype(np.int64)
        first, last = int(offsets[0]), int(offsets[-1])
        span = slice(first, last)
        return _keep(rows, rows.values.items[span], offsets - first, rows.values.keys[span])
    lengths = pc.fill_null(pc.list_value_length(rows.values), 0).to_numpy(zero_copy_only=False)
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    bucket = None
    if rows.bucket is not None:
        bucket = rows.bucket.take(pa.array(np.repeat(np.arange(len(lengths)), lengths)))
    return _keep(rows, rows.values.flatten(), offsets, bucket)


def _keep(
    rows: SortedRows, values: pa.Array, offsets: Ints | None, group: pa.Array | None
) -> Items:
    """Return the values that are not null, nor in a null bucket.

    Offsets are those of the rows' values, or none where each row has a single one.
    """
    owner = None
    if offsets is not None:
        owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    moments = rows.moments if owner is None else rows.moments[owner]
    reverse = rows.reverse if owner is None or rows.reverse is None else rows.reverse[owner]
    present = None
    if values.null_count or (group is not None and group.null_count):
        present = pc.is_valid(values).to_numpy(zero_copy_only=False)
        if group is not None:
            present &= pc.is_valid(group).to_numpy(zero_copy_only=False)
    if present is None:
        return Items(Block(values, moments, reverse), offsets, group)
    mask = pa.array(present)
    present_rows = None if reverse is None else reverse[present]
    block = Block(values.filter(mask), moments[present], present_rows)
    starts = running_count(present)
    if offsets is not None:
        starts = starts[offsets]
    return Items(block, starts, None if group is None else group.filter(mask))


@dataclass(frozen=True)
class Places:
    """Lists that are aggregated element-wise.

    Parameters
    ----------
    rows : SortedRows
        Rows with a list.
    starts : array of int64
        Rows with a list before each row.
    lengths : array of int64
        Length of each list; the same for all of a key.
    """

    rows: SortedRows
    starts: Ints
    lengths: Ints

    def each(self) -> Iterator[Items]:
        """Yield the values of each place, from the first."""
        flat = self.rows.values.flatten()
        first = np.cumsum(self.lengths) - self.lengths
        for place in range(int(self.lengths.max(initial=0))):
            present = self.lengths > place
            values = flat.take(pa.array(first[present] + place))
            reverse = None if self.rows.reverse is None else self.rows.reverse[present]
            block = Block(values, self.rows.moments[present], reverse)
            yield Items(block, running_count(present)[self.starts])


def make_places(rows: SortedRows) -> Places:
    """Return the rows with a list, to be aggregated element-wise.

    Raises
    ------
    DataError
        If a list holds a null, or lists of a key differ in length.
    """
    present = pc.is_valid(rows.values).to_numpy(zero_copy_only=False)
    values = rows.values.filter(pa.array(present))
    if values.flatten().null_count:
        raise DataError(
            "a null within a list that is aggregated element-wise",
            hint="fill or filter the list in the source's selects",
        )
    moments = rows.moments[present]
    keys = moments // rows.span
    reverse = None if rows.reverse is None else rows.reverse[present]
    present_rows = SortedRows(values, moments, rows.span, reverse)
    lengths = pc.list_value_length(values).to_numpy(zero_copy_only=False).astype(np.int64)
    differ = np.flatnonzero((keys[1:] == keys[:-1]) & (lengths[1:] != lengths[:-1]))
    if len(differ):
        pair = lengths[differ[0]], lengths[differ[0] + 1]
        raise DataError(
            f"lists of {pair[0]} and {pair[1]} places cannot be aggregated element-wise",
            hint="lists of a key must have the same length",
        )
    return Places(present_rows, running_count(present), lengths)
