"""Bounds of features that are served from sketches, from what a backfill gives exactly.

Sources: *Apache DataSketches*: CPC sketch performance, KLL sketch accuracy, frequent items error
tables. Errors of CPC and KLL are published with a probability; they are taken so wide that a right
answer is out of bounds less than once in a million, since every mismatch is a defect.
"""

from dataclasses import replace

import datasketches
import numpy as np
import pyarrow as pa

from gigacast.feature_store.aggregation.sketch import (
    CPC_LG_K,
    KLL_K,
    PERCENTILES,
    HistogramSketch,
)
from gigacast.feature_store.definition.aggregation import Aggregation, Operation
from gigacast.feature_store.definition.group_by import GroupBy
from gigacast.feature_store.definition.name import feature_name
from gigacast.feature_store.trust.equality import Bools, Ints, as_floats, lengths_of, valid

SKETCHES = frozenset({"APPROX_UNIQUE_COUNT", "APPROX_PERCENTILE", "APPROX_HISTOGRAM_K"})
_CPC_ERROR = 0.6931
"""Standard error of a merged CPC sketch times the root of its size: ln 2."""
_CPC_SIGMAS = 5
_KLL_FACTOR = 2
"""Of the published error of ranks, which holds for 99 of 100 answers."""


def sketched(group_by: GroupBy) -> dict[str, Aggregation]:
    """Return the aggregation of each feature that is served from a sketch, before derivations."""
    return {
        feature_name(part.input_column or "", part.operation, window, bucket): part
        for part in group_by.aggregations or ()
        if part.operation.name in SKETCHES
        for window in part.windows or (None,)
        for bucket in part.buckets or (None,)
    }


def bounding(group_by: GroupBy) -> GroupBy | None:
    """Return the group-by of which a backfill gives the bounds; None if it has no sketches.

    Percentiles become those around them, and most frequent values all values with their counts.
    Aggregations with buckets, and those of single places of lists, have no bounds.
    """
    parts = [
        replace(part, operation=_widened(part.operation))
        for part in group_by.aggregations or ()
        if part.operation.name in SKETCHES and is_bounded(part)
    ]
    if not parts:
        return None
    return replace(group_by, aggregations=tuple(parts), derivations=None)


def is_bounded(part: Aggregation) -> bool:
    """Return whether an aggregation has bounds."""
    return not part.buckets and not part.element_wise


def _widened(operation: Operation) -> Operation:
    if operation.name == "APPROX_UNIQUE_COUNT":
        return Operation.UNIQUE_COUNT
    if operation.name == "APPROX_HISTOGRAM_K":
        return Operation.HISTOGRAM
    error = rank_error(operation.k)
    levels = operation.percentiles or PERCENTILES
    around = [min(max(level + step, 0.0), 1.0) for step in (-error, error) for level in levels]
    return Operation.APPROX_PERCENTILE(around, k=operation.k)


def rank_error(k: int | None) -> float:
    """Return the error of ranks of a KLL sketch that right answers stay within."""
    published: float = datasketches.kll_floats_sketch.get_normalized_rank_error(k or KLL_K, False)
    return _KLL_FACTOR * published


def inside(operation: Operation, served: pa.Array, exact: pa.Array) -> Bools:
    """Return the rows whose served value is within the bounds of a sketch.

    Parameters
    ----------
    operation : Operation
        Operation of the sketch.
    served : pyarrow.Array
        Answers.
    exact : pyarrow.Array
        The feature of `bounding`.
    """
    rows = np.flatnonzero(valid(served) & valid(exact))
    chosen = pa.array(rows)
    mine, upper = served.take(chosen), exact.take(chosen)
    result = np.zeros(len(served), np.bool_)
    if operation.name == "APPROX_UNIQUE_COUNT":
        result[rows] = _counts_inside(operation.k or CPC_LG_K, mine, upper)
    elif operation.name == "APPROX_PERCENTILE":
        result[rows] = _percentiles_inside(mine, upper)
    else:
        result[rows] = _histograms_inside(operation.k or 8, mine, upper)
    return result


def _counts_inside(lg_k: int, served: pa.Array, exact: pa.Array) -> Bools:
    count = as_floats(exact)
    error = _CPC_SIGMAS * _CPC_ERROR / 2 ** (lg_k / 2) * count
    # The estimate is rounded down.
    result: Bools = np.abs(as_floats(served) - count) <= error + 1
    return result


def _percentiles_inside(served: pa.Array, exact: pa.Array) -> Bools:
    result = np.zeros(len(served), np.bool_)
    rows = np.flatnonzero(lengths_of(exact) == 2 * lengths_of(served))
    served, exact = served.take(pa.array(rows)), exact.take(pa.array(rows))
    lengths = lengths_of(served)
    value, bounds = as_floats(served.flatten()), as_floats(exact.flatten())
    # The lower bounds of a row's percentiles, then the upper ones.
    starts = np.cumsum(lengths) - lengths
    low = np.arange(len(value)) + np.repeat(starts, lengths)
    high = low + np.repeat(lengths, lengths)
    result[rows] = _every((bounds[low] <= value) & (value <= bounds[high]), lengths)
    return result


def _histograms_inside(k: int, served: pa.Array, exact: pa.Array) -> Bools:
    error = datasketches.frequent_strings_sketch.get_epsilon_for_lg_size(HistogramSketch(k).lg_size)
    mine, counts = lengths_of(served), lengths_of(exact)
    rows = np.arange(len(served))
    all_counts = as_floats(exact.items)
    totals = np.bincount(np.repeat(rows, counts), all_counts, minlength=len(rows))
    left = pa.table({"row": np.repeat(rows, mine), "key": served.keys, "n": served.items})
    right = pa.table({"row": np.repeat(rows, counts), "key": exact.keys, "exact": exact.items})
    left = left.append_column("place", pa.array(np.arange(left.num_rows)))
    joined = left.join(right, ["row", "key"]).sort_by("place")
    # A value that no row has counts as one that is there 0 times.
    difference = np.abs(
        as_floats(joined["n"].combine_chunks())
        - np.nan_to_num(as_floats(joined["exact"].combine_chunks()))
    )
    is_inside: Bools = difference <= error * totals[np.repeat(rows, mine)]
    # Up to k distinct values the state is a table of counts, without an error.
    exact_counts = counts <= k
    is_inside &= (difference == 0) | ~exact_counts[np.repeat(rows, mine)]
    same: Bools = _every(is_inside, mine) & ((mine == counts) | ~exact_counts)
    return same


def _every(values: Bools, lengths: Ints) -> Bools:
    ends = np.cumsum(lengths)
    sums = np.concatenate([[0], np.cumsum(values)])
    result: Bools = sums[ends] - sums[ends - lengths] == lengths
    return result


def columns_of_bounds(group_by: GroupBy) -> dict[str, tuple[Operation, str]]:
    """Return the sketch of each bounded feature, and the name of its bounds in `bounding`."""
    return {
        feature_name(column, part.operation, window, None): (
            part.operation,
            feature_name(column, _widened(part.operation), window, None),
        )
        for part in group_by.aggregations or ()
        if part.operation.name in SKETCHES and is_bounded(part)
        for column in [part.input_column or ""]
        for window in part.windows or (None,)
    }
