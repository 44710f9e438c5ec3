"""Operations over ranges of rows, vectorised; each gives the bits of the operation's states.

Every function takes a block, ranges that are not empty, and the call, and returns a feature per
range.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gigacast.errors import DataError
from gigacast.feature_store.aggregation import exact
from gigacast.feature_store.aggregation.block import Block, move_ranges, running_count
from gigacast.feature_store.aggregation.limbs import (
    Ranges,
    fits,
    round_sums,
    sum_ranges,
    to_int64,
    to_objects,
)
from gigacast.feature_store.aggregation.operation import OPERATIONS, Call
from gigacast.feature_store.aggregation.wavelet import Groups, count_below, divide, find_rank

Ints = NDArray[np.int64]
Run = Callable[[Block, Ranges, Call], pa.Array]
# Groups of ranges by code in memory at once, at about 60 bytes each.
GROUPS = 1 << 22


def run(block: Block, ranges: Ranges, call: Call) -> pa.Array:
    """Return a feature per range; null for ranges without values.

    Raises
    ------
    DataError
        If a sum of integers does not fit 64 bits.
    """
    if block.reverse is not None and not OPERATIONS[call.name].deletable:
        # These operations ignore reversals: they see the block without them.
        ranges, block = move_ranges(ranges, block.starts), block.forward
    full = ranges.stop > ranges.start
    if not full.any():
        return pa.nulls(len(ranges), OPERATIONS[call.name].output(block.values.type, call))
    if full.all():
        return _RUNS[call.name](block, ranges, call)
    chosen = np.flatnonzero(full)
    features = _RUNS[call.name](block, Ranges(ranges.start[chosen], ranges.stop[chosen]), call)
    return spread(features, full)


def spread(features: pa.Array, full: NDArray[np.bool_]) -> pa.Array:
    """Return features at the places that are full, null elsewhere."""
    places = np.cumsum(full) - 1
    return features.take(pa.array(places, mask=~full))


def pieces(ranges: Ranges, distinct: int) -> Iterator[slice]:
    """Yield parts of the ranges whose groups by code fit in memory."""
    max_sizes = np.cumsum(np.minimum(ranges.stop - ranges.start, distinct))
    start = 0
    while start < len(ranges):
        limit = GROUPS + (int(max_sizes[start - 1]) if start else 0)
        stop = max(start + 1, int(np.searchsorted(max_sizes, limit, side="right")))
        yield slice(start, stop)
        start = stop


def lists_of(values: pa.Array, lengths: Ints) -> pa.Array:
    """Return values as lists of some lengths; null for those of length zero."""
    return pa.ListArray.from_arrays(_offsets(lengths), values)


def maps_of(keys: pa.Array, values: pa.Array, lengths: Ints) -> pa.Array:
    """Return keys and values as maps of some lengths; null for those of length zero."""
    return pa.MapArray.from_arrays(_offsets(lengths), keys, values)


def _offsets(lengths: Ints) -> pa.Array:
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    if offsets[-1] >= 1 << 31:
        raise DataError(
            "the lists of a feature hold more than 2**31 values",
            hint="lower the memory limit, so that fewer keys are computed at once",
        )
    return pa.array(offsets.astype(np.int32), mask=np.append(lengths == 0, False))


def _nullable(values: NDArray[Any], null: NDArray[np.bool_]) -> pa.Array:
    return pa.array(values, mask=null) if null.any() else pa.array(values)


def _count(block: Block, ranges: Ranges, call: Call) -> pa.Array:
    count = block.count(ranges)
    return _nullable(count, count == 0)


def _sum(block: Block, ranges: Ranges, call: Call) -> pa.Array:
    null = block.count(ranges) == 0
    if block.array.dtype.kind == "f":
        return _nullable(_float_sums(block, ranges), null)
    return _nullable(sum_whole(block, ranges), null)


def _average(block: Block, ranges: Ranges, call: Call) -> pa.Array:
    count = block.count(ranges)
    if block.array.dtype.kind == "f":
        sums = _float_sums(block, ranges)
    else:
        sums = round_sums(sum_ranges(block.numbers, ranges, reverse=block.reverse))
    null = count == 0
    return _nullable(sums / np.where(null, 1, count), null)


def sum_whole(block: Block, ranges: Ranges) -> Ints:
    """Return the sums of integers over ranges.

    Raises
    ------
    DataError
        If a sum does not fit 64 bits.
    """
    sums = sum_ranges(block.numbers, ranges, reverse=block.reverse)
    if not fits(sums):
        raise DataError(
            "a sum of integers does not fit 64 bits",
            hint="cast the column to double in the source's selects",
        )
    return to_int64(sums)


def _float_sums(block: Block, ranges: Ranges) -> NDArray[np.float64]:
    sums = round_sums(sum_ranges(block.numbers, ranges, reverse=block.reverse))
    if block.finite is None:
        return sums
    nans, ups, downs = (
        _count_where(block, ranges, strange)
        for strange in (np.isnan(block.array), block.array == np.inf, block.array == -np.inf)
    )
    sums[ups != 0] = np.inf
    sums[(downs != 0) & (ups == 0)] = -np.inf
    sums[(nans != 0) | ((ups != 0) & (downs != 0))] = np.nan
    return sums


def _count_where(block: Block, ranges: Ranges, chosen: NDArray[np.bool_]) -> Ints:
    signs = chosen.astype(np.int64)
    if block.reverse is not None:
        signs[block.reverse] *= -1
    totals = np.zeros(len(signs) + 1, np.int64)
    np.cumsum(signs, out=totals[1:])
    return totals[ranges.stop] - totals[ranges.start]


def extreme_of_ranges(
    choose: Callable[..., Any], values: NDArray[np.int64], ranges: Ranges
) -> NDArray[np.int64]:
    """Return the least or greatest value of ranges that are not empty.

    A range is covered by two spans of the greatest power of two within it. They may overlap, since
    a value that is seen twice changes nothing. One table is in memory at a time.

    Parameters
    ----------
    choose : ufunc
        ``np.minimum`` or ``np.maximum``.
    values : array of int64, shape (rows,)
        Values.
    ranges : Ranges
        Ranges of rows.
    """
    result = np.empty(len(ranges), np.int64)
    level = np.frexp((ranges.stop - ranges.start).astype(np.float64))[1] - 1
    order = np.argsort(level.astype(np.int8), kind="stable")
    cuts = np.searchsorted(level[order], np.arange(int(level.max(initial=-1)) + 2))
    table, spare = values, [np.empty(len(values), np.int64) for _ in range(2)]
    for depth in range(len(cuts) - 1):
        half = 1 << depth
        chosen = order[cuts[depth] : cuts[depth + 1]]
        if len(chosen):
            result[chosen] = choose(table[ranges.start[chosen]], table[ranges.stop[chosen] - half])
        if depth + 2 < len(cuts):
            # Two arrays take turns, since fresh memory costs more than the choice.
            table = choose(table[:-half], table[half:], out=spare[depth % 2][: len(table) - half])
    return result


def _extreme(choose: Any) -> Run:
    def run_extreme(block: Block, ranges: Ranges, call: Call) -> pa.Array:
        codes = block.codes
        return codes.decode(extreme_of_ranges(choose, codes.codes, ranges))

    return run_extreme


def _moment(power: int) -> Run:
    def run_moment(block: Block, ranges: Ranges, call: Call) -> pa.Array:
        numbers = block.numbers
        sums = [to_objects(sum_ranges(numbers, ranges, p)) for p in range(1, power + 1)]

        def finish(n: int, *parts: int) -> float | None:
            if power == 2:
                return exact.variance(n, parts, numbers.unit)
            return exact.skew(n, parts) if power == 3 else exact.kurtosis(n, parts)

        counts = (ranges.stop - ranges.start).astype(object)
        moments = np.frompyfunc(finish, power + 1, 1)(counts, *sums)
        if block.finite is not None:
            moments[_count_where(block, ranges, ~block.finite) != 0] = np.nan
        return pa.array(moments, type=pa.float64(), from_pandas=False)

    return run_moment


def _end(*, newest: bool) -> Run:
    def run_end(block: Block, ranges: Ranges, call: Call) -> pa.Array:
        rows = ranges.stop - 1 if newest else ranges.start
        rows = rows if block.by_value is None else block.by_value[rows]
        return block.values.take(pa.array(rows))

    return run_end


def _ends(*, newest: bool) -> Run:
    def run_ends(block: Block, ranges: Ranges, call: Call) -> pa.Array:
        lengths, steps, owner = _first_of(ranges, call.k or 1)
        rows = ranges.stop[owner] - 1 - steps if newest else ranges.start[owner] + steps
        rows = rows if block.by_value is None else block.by_value[rows]
        return lists_of(block.values.take(pa.array(rows)), lengths)

    return run_ends


def _first_of(ranges: Ranges, k: int) -> tuple[Ints, Ints, Ints]:
    """Return lengths cut at ``k``; and for each item its step within its range, and its range."""
    lengths = np.minimum(ranges.stop - ranges.start, k)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    steps = np.arange(len(owner)) - (np.cumsum(lengths) - lengths)[owner]
    return lengths, steps, owner


def _best(*, greatest: bool) -> Run:
    def run_best(block: Block, ranges: Ranges, call: Call) -> pa.Array:
        lengths, ranks, owner = _first_of(ranges, call.k or 1)
        if greatest:
            ranks = (ranges.stop - ranges.start)[owner] - 1 - ranks
        repeated = Ranges(ranges.start[owner], ranges.stop[owner])
        codes = find_rank(block.dense.codes, repeated, ranks)
        return lists_of(block.dense.decode(codes), lengths)

    return run_best


def _unique(block: Block, ranges: Ranges, call: Call) -> pa.Array:
    codes = block.dense.codes
    # A value counts where it was not seen before within the range.
    order = np.argsort(codes, kind="stable")
    same = codes[order[1:]] == codes[order[:-1]]
    before = np.zeros(len(codes), np.int64)
    before[order[1:][same]] = order[:-1][same] + 1
    count = count_below(before, ranges, ranges.start + 1)
    bounded = call.name == "BOUNDED_UNIQUE_COUNT"
    return pa.array(np.minimum(count, call.k) if bounded and call.k else count)


def _percentile(block: Block, ranges: Ranges, call: Call) -> pa.Array:
    # 32 bits, as the sketch of the served answer holds them; it leaves NaN out, too.
    with np.errstate(over="ignore"):
        narrow = block.array.astype(np.float32)
    present = ~np.isnan(narrow)
    moved = move_ranges(ranges, running_count(present))
    full = moved.stop > moved.start
    present_rows = Block(pa.array(narrow[present]), block.moments[present])
    some = Ranges(moved.start[full], moved.stop[full])
    lengths = some.stop - some.start
    ranks = [
        np.minimum((level * lengths).astype(np.int64), lengths - 1) for level in call.percentiles
    ]
    width = len(ranks)
    repeated = Ranges(np.repeat(some.start, width), np.repeat(some.stop, width))
    codes = find_rank(present_rows.dense.codes, repeated, np.stack(ranks, axis=1).ravel())
    features = lists_of(present_rows.dense.decode(codes), np.full(len(lengths), width))
    return spread(features, full)


def _histogram(block: Block, ranges: Ranges, call: Call) -> pa.Array:
    distinct = int(block.dense.codes.max(initial=0)) + 1
    parts = [
        _histogram_piece(block, Ranges(ranges.start[piece], ranges.stop[piece]), call.k)
        for piece in pieces(ranges, distinct)
    ]
    return pa.concat_arrays(parts)


def _histogram_piece(block: Block, ranges: Ranges, k: int | None) -> pa.Array:
    groups = divide(block.dense.codes, ranges)
    counts = _group_counts(block, groups)
    present = np.flatnonzero(counts > 0)
    order = present[np.lexsort((groups.code[present], -counts[present], groups.owner[present]))]
    lengths = np.bincount(groups.owner[order], minlength=len(ranges))
    if k:
        first = np.repeat(np.cumsum(lengths) - lengths, lengths)
        order = order[np.arange(len(order)) - first < k]
        lengths = np.minimum(lengths, k)
    values = block.dense.decode(groups.code[order])
    return maps_of(values, pa.array(counts[order]), lengths)


def _group_counts(block: Block, groups: Groups) -> Ints:
    if block.reverse is None:
        return groups.ranges.stop - groups.ranges.start
    signs = np.where(block.reverse[groups.rows], -1, 1)
    totals = np.zeros(len(signs) + 1, np.int64)
    np.cumsum(signs, out=totals[1:])
    return totals[groups.ranges.stop] - totals[groups.ranges.start]


_RUNS: dict[str, Run] = {
    "COUNT": _count,
    "SUM": _sum,
    "AVERAGE": _average,
    "MIN": _extreme(np.minimum),
    "MAX": _extreme(np.maximum),
    "VARIANCE": _moment(2),
    "SKEW": _moment(3),
    "KURTOSIS": _moment(4),
    "FIRST": _end(newest=False),
    "LAST": _end(newest=True),
    "FIRST_K": _ends(newest=False),
    "LAST_K": _ends(newest=True),
    "TOP_K": _best(greatest=True),
    "BOTTOM_K": _best(greatest=False),
    "UNIQUE_COUNT": _unique,
    "BOUNDED_UNIQUE_COUNT": _unique,
    "APPROX_UNIQUE_COUNT": _unique,
    "HISTOGRAM": _histogram,
    "APPROX_HISTOGRAM_K": _histogram,
    "APPROX_PERCENTILE": _percentile,
}
