"""Tiles: the rows of a source partition, reduced to those that its features still depend on.

A tile is made once for each partition and read instead of it. It is made of rows, so the kernel
takes it as it is, together with the rows of later hours, and the answers have the same bits:

- COUNT, SUM and AVERAGE keep one number of rows per key and slot of five minutes, and the exact sum
  as the few floats that add up to it;
- operations that choose values keep the chosen rows of each slot;
- all others (moments, histograms, percentiles, lists, maps, buckets) keep every row.

Slots are no longer than any hop, so a window never begins within one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat
from numpy.typing import NDArray

from gigacast.feature_store.aggregation.block import Block
from gigacast.feature_store.aggregation.codes import code_values
from gigacast.feature_store.aggregation.exact import UNIT, scale, to_units
from gigacast.feature_store.aggregation.kernel import Queries, Rows, aggregate
from gigacast.feature_store.aggregation.limbs import Ranges, sum_ranges, to_objects
from gigacast.feature_store.aggregation.operation import Call, with_default
from gigacast.feature_store.aggregation.range_operation import sum_whole
from gigacast.feature_store.aggregation.row_state import Part
from gigacast.feature_store.aggregation.timeline import code_keys, sort_rows
from gigacast.feature_store.definition.window_edge import BEGINNING, FIVE_MINUTES

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

COUNTED, WHOLE, FLOAT = "#n", "#whole", "#float"
_SUMMED = {"COUNT", "SUM", "AVERAGE"}
_FROM_START = {"MIN", "BOTTOM_K", "FIRST", "FIRST_K"}
_FROM_END = {"MAX", "TOP_K", "LAST", "LAST_K"}
_DISTINCT = {"UNIQUE_COUNT", "BOUNDED_UNIQUE_COUNT", "APPROX_UNIQUE_COUNT"}
_TIMED = {"FIRST", "FIRST_K", "LAST", "LAST_K"}


@dataclass(frozen=True)
class _Slots:
    """Sorted rows, and the slot of each.

    Parameters
    ----------
    rows : Rows
        Rows in order of key and time.
    moments : array of int64, shape (rows,)
        Key and time in one integer.
    number : array of int64, shape (rows,)
        Number of the row's slot: a key and five minutes.
    time : array of int64, shape (rows,)
        Time that stands for the slot.
    """

    rows: Rows
    moments: Ints
    number: Ints
    time: Ints

    def reversed(self, places: Ints) -> Mask | None:
        """Return which of some rows subtract; none without reversals."""
        return None if self.rows.reverse is None else self.rows.reverse[places]


def make_tile(rows: Rows, parts: Sequence[Part], until: int = BEGINNING) -> Rows:
    """Return the tile of a partition.

    Parameters
    ----------
    rows : Rows
        Rows of the partition.
    parts : sequence of Part
        Aggregations that will be computed of it.
    until : int
        End of the partition in epoch milliseconds, a multiple of five minutes. The tile answers
        queries at ``until`` or later; rows from then on are not reduced, and by default none are.
    """
    schema = rows.columns.schema
    slots = _make_slots(rows, until)
    is_needed = np.zeros(len(slots.number), np.bool_)
    used: set[str] = set()
    sums: dict[str, None] = {}
    for part in parts:
        column = _sum_column(part, schema)
        if column is None:
            is_needed |= _choose(slots, part, schema)
            used |= {name for name in (part.column, part.bucket) if name}
        else:
            sums |= dict.fromkeys([f"{part.column}{COUNTED}", column])
    pieces = [
        _take(
            slots.rows, np.flatnonzero(is_needed), [name for name in schema.names if name in used]
        )
    ]
    pieces += [_reduce(slots, column) for column in sums]
    return _join(pieces)


def aggregate_tiles(
    queries: Queries, tiles: Sequence[Rows], head: Rows, parts: Sequence[Part]
) -> pa.Table:
    """Return the features of queries over tiles and the rows after them.

    The answers have the bits of ``kernel.aggregate`` over all rows.

    Parameters
    ----------
    queries : Queries
        Keys and times; no time is before the end of a tile's partition.
    tiles : sequence of Rows
        Tiles of earlier partitions, made for these parts.
    head : Rows
        Rows that are in no tile; may be empty, but has the source's columns.
    parts : sequence of Part
        Aggregations.
    """
    schema = head.columns.schema
    rows = _join([*tiles, make_tile(head, parts)])
    return finish_tiles(aggregate(queries, rows, tile_parts(parts, schema)), parts, schema)


def tile_parts(parts: Sequence[Part], schema: pa.Schema) -> list[Part]:
    """Return the aggregations of tiles' columns that give those of a source's.

    Parameters
    ----------
    parts : sequence of Part
        Aggregations of the source.
    schema : pyarrow.Schema
        Columns of the source.
    """
    inner: list[Part] = []
    for part in parts:
        column = _sum_column(part, schema)
        if column is None:
            inner.append(part)
            continue
        counted = f"{part.column}{COUNTED}"
        inner += [
            Part(f"{part.name}#{n}", name, Call("SUM"), part.window_ms)
            for n, name in enumerate((counted, column))
        ]
    return inner


def finish_tiles(table: pa.Table, parts: Sequence[Part], schema: pa.Schema) -> pa.Table:
    """Return the features of parts from those of `tile_parts`."""
    arrays = [
        table[part.name] if _sum_column(part, schema) is None else _finish(table, part)
        for part in parts
    ]
    return pa.table(arrays, names=[part.name for part in parts])


def tile_schema(keys: pa.Schema, parts: Sequence[Part], schema: pa.Schema) -> pa.Schema:
    """Return the columns of all tables that `to_table` makes of a source's tiles.

    Parameters
    ----------
    keys : pyarrow.Schema
        Key columns.
    parts : sequence of Part
    schema : pyarrow.Schema
        Columns of the source.
    """
    fields = [pa.field(f"#key{n}", key.type) for n, key in enumerate(keys)]
    fields += [pa.field("#time", pa.int64()), pa.field("#reverse", pa.bool_())]
    used: set[str] = set()
    sums: dict[str, pa.DataType] = {}
    for part in parts:
        column = _sum_column(part, schema)
        if column is None:
            used |= {name for name in (part.column, part.bucket) if name}
        else:
            sums[f"{part.column}{COUNTED}"] = pa.int64()
            sums.setdefault(column, pa.float64() if column.endswith(FLOAT) else pa.int64())
    fields += [schema.field(name) for name in schema.names if name in used]
    return pa.schema([*fields, *(pa.field(name, kind) for name, kind in sums.items())])


def _finish(table: pa.Table, part: Part) -> pa.ChunkedArray:
    count, total = table[f"{part.name}#0"], table[f"{part.name}#1"]
    # Values that were all taken back leave a count of zero, which is no value.
    count = pc.if_else(pc.equal(count, 0), pa.scalar(None, pa.int64()), count)
    if part.call.name == "COUNT":
        return count
    if part.call.name == "AVERAGE":
        return pc.divide(total, pc.cast(count, pa.float64()))
    return pc.if_else(pc.is_valid(count), total, pa.scalar(None, total.type))


def _sum_column(part: Part, schema: pa.Schema) -> str | None:
    """Return the column of a tile in which a part's sums are; none if its rows are kept."""
    shape = part.shape(schema)
    container = shape.flatten or shape.element_wise or shape.by_key or shape.by_bucket
    if part.call.name not in _SUMMED or container:
        return None
    if part.call.name == "COUNT":
        return f"{part.column}{COUNTED}"
    is_integer = part.call.name == "SUM" and pat.is_integer(shape.values)
    return f"{part.column}{WHOLE if is_integer else FLOAT}"


def _make_slots(rows: Rows, until: int) -> _Slots:
    keys, _, count = code_keys(rows.keys, rows.keys)
    timeline = sort_rows(keys, rows.times, count)
    sorted_rows = _take(rows, timeline.order, rows.columns.schema.names)
    times = sorted_rows.times
    slot = np.where(times < until, times // FIVE_MINUTES * FIVE_MINUTES, times)
    code = timeline.moments // timeline.span
    change = (code[1:] != code[:-1]) | (slot[1:] != slot[:-1])
    number = np.zeros(len(times), np.int64)
    np.cumsum(change, out=number[1:])
    return _Slots(sorted_rows, timeline.moments, number, slot)


def _choose(slots: _Slots, part: Part, schema: pa.Schema) -> Mask:
    """Return the rows that an operation which chooses values may still choose; else all."""
    column = _array(slots.rows.columns[part.column])
    valid: Mask = pc.is_valid(column).to_numpy(zero_copy_only=False)
    shape, name = part.shape(schema), part.call.name
    container = shape.flatten or shape.element_wise or shape.by_key or shape.by_bucket
    if container or name not in _FROM_START | _FROM_END | _DISTINCT:
        return valid
    reverse = slots.rows.reverse
    places = np.flatnonzero(valid if reverse is None else valid & ~reverse)
    values = column.take(pa.array(places))
    number = slots.number[places]
    if name in _TIMED:
        by_value = Block(values, slots.moments[places]).by_value
        order = np.arange(len(places)) if by_value is None else by_value
    else:
        codes = code_values(values).codes
        order = np.lexsort((codes, number))
    ordered = number[order]
    if name in _DISTINCT:
        chosen = np.ones(len(order), np.bool_)
        chosen[1:] = (ordered[1:] != ordered[:-1]) | (codes[order[1:]] != codes[order[:-1]])
    else:
        k = with_default(part.call).k or 1
        if name in _FROM_START:
            rank = np.arange(len(order)) - np.searchsorted(ordered, ordered, "left")
        else:
            rank = np.searchsorted(ordered, ordered, "right") - 1 - np.arange(len(order))
        chosen = rank < k
    mask = np.zeros(len(valid), np.bool_)
    mask[places[order[chosen]]] = True
    return mask


def _reduce(slots: _Slots, column: str) -> Rows:
    """Return rows whose sums are those of the slots: one per slot, and what a float leaves over."""
    name, mark, kind = column.rpartition("#")
    values = _array(slots.rows.columns[name])
    places = np.flatnonzero(pc.is_valid(values).to_numpy(zero_copy_only=False))
    number = slots.number[places]
    start = np.flatnonzero(np.diff(number, prepend=-1))
    ranges = Ranges(start, np.append(start[1:], len(places)))
    block = Block(values.take(pa.array(places)), slots.moments[places], slots.reversed(places))
    first = places[start]
    if mark + kind == COUNTED:
        return _rows_of(slots, first, column, pa.array(block.count(ranges)))
    if mark + kind == WHOLE:
        return _rows_of(slots, first, column, pa.array(sum_whole(block, ranges)))
    pieces = [
        _rows_of(slots, first[chosen], column, pa.array(floats))
        for chosen, floats in _float_parts(block, ranges)
    ]
    if block.finite is not None:
        # Values that are not finite stay as they are, with their reversals.
        strange = np.flatnonzero(~block.finite)
        rows = _rows_of(slots, places[strange], column, pa.array(block.array[strange]))
        pieces.append(replace(rows, reverse=slots.reversed(places[strange])))
    return _join(pieces)


def _float_parts(block: Block, ranges: Ranges) -> list[tuple[Ints, NDArray[np.float64]]]:
    """Return floats that add up to the exact sums of ranges: which ranges, and their floats."""
    single = ranges.stop - ranges.start == 1
    rows = ranges.start[single]
    floats = np.where(np.isfinite(block.array[rows]), block.array[rows], 0).astype(np.float64)
    exact = block.array.dtype.kind == "f" or bool((np.abs(block.array) < 1 << 53).all())
    if not exact:
        # Long integers are no floats: their sums, too, are cut into parts.
        single, rows = np.zeros(len(ranges), np.bool_), rows[:0]
        floats = floats[:0]
    if block.reverse is not None:
        floats = np.where(block.reverse[rows], -floats, floats)
    parts = [(np.flatnonzero(single), floats)]
    chosen = np.flatnonzero(~single)
    sums = sum_ranges(
        block.numbers, Ranges(ranges.start[chosen], ranges.stop[chosen]), reverse=block.reverse
    )
    totals = to_objects(sums)
    step = np.frompyfunc(lambda total: _nearest(total, sums.unit), 1, 2)
    while len(chosen):
        rounded, totals = step(totals)
        parts.append((chosen, rounded.astype(np.float64)))
        left = totals != 0
        chosen, totals = chosen[left.astype(np.bool_)], totals[left.astype(np.bool_)]
    return parts


def _nearest(total: int, unit: int) -> tuple[float, int]:
    """Return the float nearest to ``total * 2**unit``, and what is left over."""
    nearest = scale(total, unit)
    if np.isinf(nearest):
        # A sum beyond the range of floats is given in pieces of the greatest power of two.
        nearest = 2.0**1023 if total > 0 else -(2.0**1023)
    return nearest, total - (to_units(nearest) >> (UNIT + unit))


def _rows_of(slots: _Slots, places: Ints, column: str, values: pa.Array) -> Rows:
    keys = [key.take(pa.array(places)) for key in slots.rows.keys]
    return Rows(keys, slots.time[places], pa.table({column: values}))


def _take(rows: Rows, places: Ints, names: Sequence[str]) -> Rows:
    indices = pa.array(places)
    reverse = None if rows.reverse is None else rows.reverse[places]
    columns = rows.columns.select([*names]).take(indices)
    return Rows([key.take(indices) for key in rows.keys], rows.times[places], columns, reverse)


def _join(pieces: Sequence[Rows]) -> Rows:
    """Return the rows of all pieces; a column that a piece lacks is null there."""
    keys = [
        pa.concat_arrays([piece.keys[n] for piece in pieces]) for n in range(len(pieces[0].keys))
    ]
    # A column holds each row's place, so that a piece without columns keeps its number of rows.
    tables = [
        piece.columns.append_column("#", pa.nulls(len(piece.times), pa.bool_()))
        if piece.columns.num_columns
        else pa.table({"#": pa.nulls(len(piece.times), pa.bool_())})
        for piece in (replace(p, columns=_without_mark(p.columns)) for p in pieces)
    ]
    columns = pa.concat_tables(tables, promote_options="default")
    reverse = [
        np.zeros(len(piece.times), np.bool_) if piece.reverse is None else piece.reverse
        for piece in pieces
    ]
    times = np.concatenate([piece.times for piece in pieces])
    return Rows(keys, times, columns, np.concatenate(reverse))


def _without_mark(columns: pa.Table) -> pa.Table:
    return columns.drop_columns(["#"]) if "#" in columns.column_names else columns


def to_table(tile: Rows) -> pa.Table:
    """Return a tile as a table, for a file."""
    named = {f"#key{n}": key for n, key in enumerate(tile.keys)}
    named |= {"#time": pa.array(tile.times), "#reverse": pa.array(tile.reverse)}
    columns = _without_mark(tile.columns)
    named |= {name: columns[name] for name in columns.column_names}
    return pa.table(named)


def from_table(table: pa.Table) -> Rows:
    """Return the tile that ``to_table`` made a table of."""
    keys = [name for name in table.column_names if name.startswith("#key")]
    reverse = _array(table["#reverse"]).to_numpy(zero_copy_only=False)
    columns = table.drop_columns([*keys, "#time", "#reverse"])
    columns = columns.append_column("#", pa.nulls(table.num_rows, pa.bool_()))
    times = _array(table["#time"]).to_numpy()
    return Rows([_array(table[name]) for name in keys], times, columns, reverse)


def _array(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    if isinstance(combined, pa.ChunkedArray):
        return pa.concat_arrays(combined.chunks) if combined.chunks else pa.array([], column.type)
    return combined
