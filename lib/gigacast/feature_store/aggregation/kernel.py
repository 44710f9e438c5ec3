"""Features of queries over rows, point in time: the vectorised form of the states.

Rows are sorted by key and time; the window of a query is a range of rows, found by binary search;
each operation answers all ranges at once. The answers have the bits of the states' answers, in any
order of rows and whatever other rows there are.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gigacast.feature_store.aggregation.block import Block, move_ranges
from gigacast.feature_store.aggregation.codes import code_values, compact
from gigacast.feature_store.aggregation.container import Shape
from gigacast.feature_store.aggregation.items import (
    Items,
    Places,
    SortedRows,
    make_items,
    make_places,
)
from gigacast.feature_store.aggregation.limbs import Ranges
from gigacast.feature_store.aggregation.operation import Call, with_default
from gigacast.feature_store.aggregation.range_operation import lists_of, maps_of, pieces, run
from gigacast.feature_store.aggregation.row_state import Part
from gigacast.feature_store.aggregation.timeline import Timeline, code_keys, sort_rows
from gigacast.feature_store.aggregation.wavelet import divide

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Queries:
    """Keys and times at which features are wanted.

    Parameters
    ----------
    keys : sequence of pyarrow.Array
        Key columns; a query with a null key has null features.
    times : array of int64, shape (queries,)
        Epoch milliseconds; a window ends before the time of its query.
    """

    keys: Sequence[pa.Array]
    times: Ints


@dataclass(frozen=True)
class Rows:
    """Rows of a source.

    Parameters
    ----------
    keys : sequence of pyarrow.Array
        Key columns, in the order of the queries'; rows with a null key are left out.
    times : array of int64, shape (rows,)
        Epoch milliseconds.
    columns : pyarrow.Table
        Columns that parts name.
    reverse : array of bool, shape (rows,), optional
        Rows that take a former row back.
    """

    keys: Sequence[pa.Array]
    times: Ints
    columns: pa.Table
    reverse: NDArray[np.bool_] | None = None


def aggregate(queries: Queries, rows: Rows, parts: Sequence[Part]) -> pa.Table:
    """Return the features of the parts: a row per query, a column per part.

    Raises
    ------
    SchemaError
        If a column's values cannot be aggregated as a part says.
    DataError
        If a sum of integers does not fit 64 bits, or lists that are aggregated element-wise hold a
        null or differ in length.
    """
    schema = rows.columns.schema
    shapes = {part.name: part.shape(schema) for part in parts}
    if not len(queries.times):
        return pa.schema([(part.name, part.output(schema)) for part in parts]).empty_table()
    keys, query_codes, count = code_keys(rows.keys, queries.keys)
    timeline = sort_rows(keys, rows.times, count)
    del keys  # as large as a column, and not needed any more
    # Neighbours search and look up the same part of memory.
    order = np.lexsort((queries.times, query_codes))
    lengths = {part.window_ms for part in parts}
    windows = {w: timeline.windows(query_codes[order], queries.times[order], w) for w in lengths}
    features: dict[str, pa.Array] = {}
    for members in _by_source(parts, shapes):
        source = _sort_source(rows, timeline, members[0])
        features |= _aggregate_source(source, shapes[members[0].name], members, windows)
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    arrays = [
        features.pop(part.name).take(pa.array(back)).cast(part.output(schema)) for part in parts
    ]
    return pa.table(arrays, names=[part.name for part in parts])


def _by_source(parts: Sequence[Part], shapes: dict[str, Shape]) -> Iterable[list[Part]]:
    sources: dict[tuple[str, str | None, Shape], list[Part]] = {}
    for part in parts:
        sources.setdefault((part.column, part.bucket, shapes[part.name]), []).append(part)
    return sources.values()


def _sort_source(rows: Rows, timeline: Timeline, part: Part) -> SortedRows:
    order = pa.array(timeline.order)

    def take(name: str) -> pa.Array:
        column = rows.columns[name].combine_chunks()
        # A chunked array of no rows stays chunked.
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks) if column.chunks else pa.array([], column.type)
        return column.take(order)

    return SortedRows(
        take(part.column),
        timeline.moments,
        timeline.span,
        None if rows.reverse is None else rows.reverse[timeline.order],
        None if part.bucket is None else take(part.bucket),
    )


def _aggregate_source(
    source: SortedRows,
    shape: Shape,
    parts: Sequence[Part],
    windows: dict[int | None, Ranges],
) -> dict[str, pa.Array]:
    """Return the features of parts that aggregate the same values."""
    answer = _answer_places(source) if shape.element_wise else _answer_items(source, shape)
    calls: dict[Call, list[Part]] = {}
    for part in parts:
        calls.setdefault(with_default(part.call), []).append(part)
    features: dict[str, pa.Array] = {}
    for call, members in calls.items():
        # All windows of an operation in one pass over its tables.
        ranges = _stack([windows[part.window_ms] for part in members])
        values = answer(ranges, call)
        width = len(ranges) // len(members)
        for n, part in enumerate(members):
            features[part.name] = values[n * width : (n + 1) * width]
    return features


Answer = Callable[[Ranges, Call], pa.Array]


def _answer_places(source: SortedRows) -> Answer:
    return partial(_run_places, make_places(source))


def _answer_items(source: SortedRows, shape: Shape) -> Answer:
    items = make_items(source, shape)
    if items.group is not None:
        return partial(_run_groups, items)
    return lambda ranges, call: _sane(run(items.block, items.move(ranges), call))


def _stack(ranges: Sequence[Ranges]) -> Ranges:
    if len(ranges) == 1:
        return ranges[0]
    starts, stops = [r.start for r in ranges], [r.stop for r in ranges]
    return Ranges(np.concatenate(starts), np.concatenate(stops))


def _sane(features: pa.Array) -> pa.Array:
    """Return features with null in place of NaN and infinity."""
    if not pa.types.is_floating(features.type):
        return features
    return pc.if_else(pc.is_finite(features), features, pa.scalar(None, features.type))


def _run_places(places: Places, ranges: Ranges, call: Call) -> pa.Array:
    """Return lists of features, one for each place of the rows' lists."""
    rows = move_ranges(ranges, places.starts)
    full = rows.stop > rows.start
    lengths = np.zeros(len(ranges), np.int64)
    lengths[full] = places.lengths[rows.start[full]]
    columns = [run(items.block, items.move(ranges), call) for items in places.each()]
    if not columns:
        return pa.nulls(len(ranges))
    owner = np.repeat(np.arange(len(ranges)), lengths)
    place = np.arange(len(owner)) - (np.cumsum(lengths) - lengths)[owner]
    values = pa.concat_arrays(columns).take(pa.array(place * len(ranges) + owner))
    # A list without any feature is null, as the feature of a column without values is.
    valid = pc.is_valid(values).to_numpy(zero_copy_only=False)
    some = np.bincount(owner[valid], minlength=len(ranges)) > 0
    values = values.filter(pa.array(some[owner]))
    return lists_of(values, np.where(some, lengths, 0))


def _run_groups(items: Items, ranges: Ranges, call: Call) -> pa.Array:
    """Return maps from bucket, or key of a map, to feature."""
    coded = compact(code_values(items.group))
    moved = items.move(ranges)
    maps: list[pa.Array] = []
    block: Block | None = None
    for piece in pieces(moved, int(coded.codes.max(initial=0)) + 1):
        groups = divide(coded.codes, Ranges(moved.start[piece], moved.stop[piece]))
        if block is None:
            block = _regroup(items.block, coded.codes, groups.rows)
        features = run(block, groups.ranges, call)
        valid = pc.is_valid(features).to_numpy(zero_copy_only=False)
        lengths = np.bincount(groups.owner[valid], minlength=piece.stop - piece.start)
        keyed = features.filter(pa.array(valid))
        maps.append(maps_of(coded.decode(groups.code[valid]), keyed, lengths))
    return pa.concat_arrays(maps)


def _regroup(block: Block, codes: Ints, rows: Ints) -> Block:
    regrouped = block.take(rows)
    code, moment = codes[rows], regrouped.moments
    # Rows of two groups that follow each other are no tie, even at the same time.
    change = (code[1:] != code[:-1]) | (moment[1:] != moment[:-1])
    moments = np.zeros(len(rows), np.int64)
    np.cumsum(change, out=moments[1:])
    return Block(regrouped.values, moments, regrouped.reverse)
