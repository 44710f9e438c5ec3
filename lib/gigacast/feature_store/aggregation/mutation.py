"""Features of entities whose rows become known later than the time they are of: mutations."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gigacast.feature_store.aggregation.kernel import Queries, Rows, aggregate
from gigacast.feature_store.aggregation.limbs import Ranges
from gigacast.feature_store.aggregation.row_state import Part
from gigacast.feature_store.aggregation.timeline import code_keys, sort_rows

Ints = NDArray[np.int64]
# Pairs of query and row in memory at once.
PAIRS = 1 << 22


def aggregate_known(queries: Queries, rows: Rows, known: Ints, parts: Sequence[Part]) -> pa.Table:
    """Return features of the rows that are known before the time of their query.

    A window is a range of rows by time; which of them are known depends on the query. So the pairs
    of query and row are written out, a part of the queries at a time. Cost and result are those of
    all windows' rows; entities have few rows per key.

    Parameters
    ----------
    queries : Queries
        Keys and times.
    rows : Rows
        Rows of a snapshot and of the mutations after it; reversals take a former row back.
    known : array of int64, shape (rows,)
        Time from which each row is known: a query sees it if it is before the query's time. Any
        early time for the rows of a snapshot.
    parts : sequence of Part
        Aggregations.

    Raises
    ------
    SchemaError, DataError
        As ``kernel.aggregate``.
    """
    keys, query_codes, count = code_keys(rows.keys, queries.keys)
    timeline = sort_rows(keys, rows.times, count)
    features: dict[str, pa.ChunkedArray] = {}
    for length in {part.window_ms for part in parts}:
        ranges = timeline.windows(query_codes, queries.times, length)
        members = [replace(part, window_ms=None) for part in parts if part.window_ms == length]
        tables = []
        for piece in _pieces(ranges):
            owner, place = _pairs(ranges, piece)
            row, at = timeline.order[place], queries.times[piece]
            visible = known[row] < at[owner]
            tables.append(
                _aggregate_pairs(at, owner[visible], rows_at(rows, row[visible]), members)
            )
        if not tables:
            tables = [aggregate(queries, rows, members)]
        joined = pa.concat_tables(tables)
        features |= {part.name: joined[part.name] for part in members}
    return pa.table({part.name: features[part.name] for part in parts})


def rows_at(rows: Rows, places: Ints) -> Rows:
    """Return the rows at some places, without their keys."""
    reverse = None if rows.reverse is None else rows.reverse[places]
    return Rows([], rows.times[places], rows.columns.take(pa.array(places)), reverse)


def _aggregate_pairs(at: Ints, owner: Ints, rows: Rows, parts: Sequence[Part]) -> pa.Table:
    # Each query is a key of its own, whose rows are those that it sees.
    queries = Queries([pa.array(np.arange(len(at)))], at)
    return aggregate(queries, replace(rows, keys=[pa.array(owner)]), parts)


def _pairs(ranges: Ranges, piece: slice) -> tuple[Ints, Ints]:
    """Return the query within the piece, and the place among sorted rows, of each pair."""
    start, stop = ranges.start[piece], ranges.stop[piece]
    lengths = stop - start
    owner = np.repeat(np.arange(len(lengths)), lengths)
    step = np.arange(len(owner)) - (np.cumsum(lengths) - lengths)[owner]
    return owner, start[owner] + step


def _pieces(ranges: Ranges) -> Iterator[slice]:
    total = np.cumsum(ranges.stop - ranges.start)
    start = 0
    while start < len(ranges):
        limit = PAIRS + (int(total[start - 1]) if start else 0)
        stop = max(start + 1, int(np.searchsorted(total, limit, side="right")))
        yield slice(start, stop)
        start = stop
