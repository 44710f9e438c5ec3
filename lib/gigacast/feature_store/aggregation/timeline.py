"""Rows sorted by key and time, and windows of queries as ranges of rows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat
from numpy.typing import NDArray

from gigacast.feature_store.aggregation.limbs import Ranges
from gigacast.feature_store.definition.window_edge import find_start

Ints = NDArray[np.int64]
ABSENT = -1


def code_keys(rows: Sequence[pa.Array], queries: Sequence[pa.Array]) -> tuple[Ints, Ints, int]:
    """Return integers for the keys of rows and of queries, and their number.

    Parameters
    ----------
    rows, queries : sequence of pyarrow.Array
        Key columns, in the same order.

    Returns
    -------
    tuple of (array of int64, array of int64, int)
        Codes of the rows' keys, of the queries' keys, and the number of codes. Keys with a null are
        absent, and so are keys of queries that no row has: code -1.
    """
    mine, theirs, count = _code_column(rows[0], queries[0])
    for row, query in zip(rows[1:], queries[1:], strict=True):
        more, query_codes, width = _code_column(row, query)
        mine = np.where((mine < 0) | (more < 0), ABSENT, mine * width + more)
        theirs = np.where((theirs < 0) | (query_codes < 0), ABSENT, theirs * width + query_codes)
        # Pairs that occur get small codes again, so that no product of many columns overflows.
        present = pc.filter(pa.array(mine), pa.array(mine >= 0))
        pairs = present.unique()
        mine, theirs = _find(pairs, mine), _find(pairs, theirs)
        count = len(pairs)
    return mine, theirs, count


def canonical_floats(values: pa.Array) -> pa.Array:
    """Return fractions as 64-bit floats with one zero and one NaN, as `value.canonical` says."""
    wide = pc.add(pc.cast(values, pa.float64()), 0.0)  # -0.0 becomes 0.0
    return pc.if_else(pc.is_nan(wide), math.nan, wide)


def _code_column(rows: pa.Array, queries: pa.Array) -> tuple[Ints, Ints, int]:
    if pat.is_floating(rows.type):
        rows, queries = canonical_floats(rows), canonical_floats(queries)
    if pat.is_decimal(rows.type) and rows.type.bit_width < 128:
        rows = rows.cast(pa.decimal128(38, rows.type.scale))  # shorter ones cannot be coded
    encoded = rows.dictionary_encode()
    mine = encoded.indices.fill_null(ABSENT).to_numpy().astype(np.int64)
    positions = pc.index_in(queries.cast(rows.type), value_set=encoded.dictionary, skip_nulls=True)
    theirs = positions.fill_null(ABSENT).to_numpy().astype(np.int64)
    return mine, theirs, len(encoded.dictionary)


def _find(pairs: pa.Array, codes: Ints) -> Ints:
    positions = pc.index_in(pa.array(codes), value_set=pairs).fill_null(ABSENT)
    places: Ints = positions.to_numpy().astype(np.int64)
    return places


@dataclass(frozen=True)
class Timeline:
    """Rows in order of key and time.

    Parameters
    ----------
    order : array of int64, shape (rows with a key,)
        Positions of the sorted rows in the source.
    moments : array of int64, shape (rows with a key,)
        Key and time of the sorted rows in one integer.
    start : int
        Integer of the earliest time.
    span : int
        Number of integers for the times of a key.
    times : array of int64 or None
        Sorted distinct times, where positions among them stand for the times.
    """

    order: Ints
    moments: Ints
    start: int
    span: int
    times: Ints | None = None

    def find(self, keys: Ints, times: Ints) -> Ints:
        """Return the first row of each key at a time or later; 0 for absent keys."""
        at = times if self.times is None else np.searchsorted(self.times, times)
        offset = np.clip(at - self.start, 0, self.span - 1)
        moments = np.maximum(keys, 0) * self.span + offset
        return np.where(keys < 0, 0, np.searchsorted(self.moments, moments))

    def windows(self, keys: Ints, times: Ints, length_ms: int | None) -> Ranges:
        """Return the rows in the window of each query."""
        stop = self.find(keys, times)
        start = self.find(keys, find_start(length_ms, times))
        return Ranges(np.minimum(start, stop), stop)


def sort_rows(keys: Ints, times: Ints, count: int) -> Timeline:
    """Return rows in order of key and time; rows without a key are left out.

    Parameters
    ----------
    keys : array of int64, shape (rows,)
        Codes of keys, -1 for absent ones.
    times : array of int64, shape (rows,)
        Epoch milliseconds.
    count : int
        Number of codes.
    """
    present = None
    if len(keys) and keys.min() < 0:
        present = np.flatnonzero(keys >= 0)
        keys, times = keys[present], times[present]
    if not len(keys):
        empty = np.empty(0, np.int64)
        return Timeline(empty, empty, 0, 1)
    distinct = None
    start, span = int(times.min()), int(times.max()) - int(times.min()) + 2
    if count > (1 << 62) // span:
        # Key and time do not fit one integer: positions among the distinct times do.
        distinct = np.unique(times)
        times, start, span = np.searchsorted(distinct, times), 0, len(distinct) + 1
    # Step by step in one array: fresh memory costs more than the sums.
    moments = keys * span
    moments += times
    moments -= start
    order, moments = _sort(moments, count * span)
    return Timeline(order if present is None else present[order], moments, start, span, distinct)


def _sort(moments: Ints, bound: int) -> tuple[Ints, Ints]:
    if bool((moments[1:] >= moments[:-1]).all()):
        return np.arange(len(moments)), moments
    digits = len(moments).bit_length()
    if bound.bit_length() + digits <= 63:
        # Position in the low digits: sorting integers is faster than sorting positions by them.
        packed = moments << digits
        packed |= np.arange(len(moments))
        packed.sort()
        order = packed & ((1 << digits) - 1)
        packed >>= digits
        return order, packed
    # Rows of one key and time have no order; a stable sort takes more than twice as long.
    order = np.argsort(moments)
    return order, moments[order]
