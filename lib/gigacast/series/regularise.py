"""The conversion of complete items into series on regular grids.

For all items of a batch at once:

- rows without a time are dropped, the rest are sorted by time and rows too old are dropped;
- the frequency is that of the settings, that of the rows, or inferred;
- values of the same step are averaged without NaN, in the order of the values, so that the order
  of the rows does not matter;
- infinities and values beyond float32 become NaN, and their series is ``NOT_FINITE``; leading NaN
  are trimmed, trailing ones stay.

No item depends on another one, so the result is the same in any batch. A series gets the first
reason that applies: empty, no timestamp, no frequency, irregular, all null, not finite, too short.
Series without a frequency keep their last values in the order of time, without a grid.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gigacast.core.array import (
    BoolArray,
    ByteArray,
    DoubleArray,
    FloatArray,
    IntArray,
    RealArray,
)
from gigacast.core.column import text_column, to_arrow
from gigacast.core.series.base import split_bases
from gigacast.core.series.batch import NO_TIME, SeriesBatch
from gigacast.core.series.item_key import ItemKey
from gigacast.core.series.reason import Reason
from gigacast.core.time.frequency import Frequency
from gigacast.core.time.zone import to_wall
from gigacast.series.arrange import Gaps, drop_null_times, find_gaps, keep_tail, sort_times
from gigacast.series.duplicates import settle_duplicates
from gigacast.series.fit import drop_endless, drop_misfits
from gigacast.series.grid import (
    Windows,
    find_frequencies,
    find_windows,
    given_frequency,
    last_times,
    stated_frequencies,
    steps_ahead,
    to_own_clock,
)
from gigacast.series.inference import Inferred
from gigacast.series.rows import ItemRows
from gigacast.series.segment import count_segments, offsets_of, take_ranges
from gigacast.series.source import Aggregation, DuplicatePolicy, ReadStats
from gigacast.series.timestamp import Clock
from gigacast.series.value import CategoryCodes

_FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class GridRules:
    """Rules for the grids of a partition.

    Parameters
    ----------
    clock : Clock
        Clock of the timestamps.
    columns : tuple of str
        Names of the K targets, then of the V covariates. `ItemRows` have one more column if the
        rows state frequencies.
    targets : int
        Number of targets, K.
    categories : mapping
        Codes of the categorical covariates. A step with several rows gets the last text by name,
        as there is no mean.
    continues : bool
        Whether rows may continue after the last value of the targets. These do not count as
        context.
    context_length : int
        Steps of context, C.
    min_length : int
        Minimum number of values in the context.
    freq : Frequency or None
        Frequency given by the settings; ``None`` if it is to be inferred.
    duplicates : str, optional
        Value at a time of which several rows say different ones; their mean by default.
    horizon : int
        Steps ahead of which the timestamps will be needed.
    item_key : ItemKey, optional
        Columns that the item ids stand for; a single one by default.
    aggregation : Aggregation, optional
        How the rows were aggregated. Items then have one row per bin of ``freq``, and times in wall
        time if the frequency is, else in UTC.
    """

    clock: Clock
    columns: tuple[str, ...]
    targets: int
    categories: Mapping[str, CategoryCodes]
    continues: bool
    context_length: int
    min_length: int
    freq: Frequency | None
    duplicates: DuplicatePolicy | None = None
    horizon: int = 0
    item_key: ItemKey | None = None
    aggregation: Aggregation | None = None
    precise: bool = False
    wide_numbers: bool = False


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of N items: ragged values with their starts and lengths, reasons and bases."""

    values: FloatArray
    starts: IntArray
    lengths: IntArray
    reasons: ByteArray
    bases: DoubleArray | None = None


def regularise(items: ItemRows, rules: GridRules, stats: ReadStats) -> SeriesBatch:
    """Return the series of complete items: K + V per item, in the order of items and columns.

    ``stats`` is updated.
    """
    rows_read = np.diff(items.offsets)
    gaps = find_gaps(items)
    if gaps is None:
        items, dropped = drop_null_times(items)
        stats.null_timestamps += dropped
        items = sort_times(items)
    ending = rules.targets if rules.continues else 0
    items = keep_tail(items, rules.context_length, rules.freq, ending)
    stated = _stated(items, rules)
    if rules.aggregation is not None and rules.freq is not None:
        zoned = rules.clock.zone is not None and not rules.freq.in_wall_time
        in_utc = np.full(len(items), zoned)
    else:
        # In UTC still: in wall time the hour that clocks repeat would look conflicting.
        items = _without_duplicates(items, rules, stats, gaps)
        items, in_utc = to_own_clock(items, rules.clock.zone, stated)
    inferred = stated or find_frequencies(items, steps=rules.clock.counts_steps, gaps=gaps)
    is_of_rows = rules.freq is not None and rules.aggregation is None
    inferred = drop_misfits(items, inferred, stats if is_of_rows else None)
    inferred = drop_endless(items, inferred, rules.horizon, rules.clock.end)
    ahead = steps_ahead(items, inferred, rules.targets) if rules.continues else 0
    windows = find_windows(items, inferred, rules.context_length + ahead, stats)
    timeless = np.diff(items.offsets) == 0
    reasons = np.where(
        timeless, np.where(rows_read > 0, Reason.NO_TIMESTAMP, Reason.EMPTY), inferred.reasons
    ).astype(np.int8)
    columns = [
        _column(values, windows, reasons, rules, rules.categories.get(name))
        for name, values in zip(rules.columns, items.values, strict=False)
    ]
    # Of covariates nothing is forecast, and no level matters: their bases are taken away for good.
    columns[rules.targets :] = [replace(c, bases=None) for c in columns[rules.targets :]]
    stats.series += len(items) * rules.targets
    # Last timestamps are returned in wall time, as `SeriesBatch` wants them.
    last = last_times(items)
    zoned = in_utc & (last != NO_TIME)
    last[zoned] = to_wall(last[zoned], rules.clock.zone)
    return _assemble(
        items, rules, columns, last, (inferred.frequencies, np.where(timeless, -1, inferred.codes))
    )


def _without_duplicates(
    items: ItemRows, rules: GridRules, stats: ReadStats, gaps: Gaps | None
) -> ItemRows:
    if gaps is not None:
        stats.compared += len(items.times)  # no two are equal
        return items
    return settle_duplicates(items, rules.columns, rules.categories, rules.duplicates, stats)


def _stated(items: ItemRows, rules: GridRules) -> Inferred | None:
    if rules.freq is not None:
        return given_frequency(rules.freq, len(items))
    return stated_frequencies(items) if len(items.values) > len(rules.columns) else None


def _column(
    values: RealArray,
    windows: Windows,
    reasons: ByteArray,
    rules: GridRules,
    codes: CategoryCodes | None,
) -> _Column:
    offsets = windows.offsets
    placed, bases = _placed(values, windows, codes, rules)
    starts, lengths = offsets[:-1], np.diff(offsets)
    finite = np.isfinite(placed)
    if finite.all():
        judged = _judge(reasons, lengths, None, rules.min_length)
        return _Column(placed, starts, lengths, judged, bases)
    # float64 values beyond float32 have become infinite in the conversion (`_place`).
    infinite = np.isinf(placed)
    overflown = None
    if infinite.any():
        overflown = count_segments(infinite, offsets) > 0
        placed = np.where(infinite, np.float32(np.nan), placed)
    # Leading NaN are trimmed: each series starts at its first finite value.
    counts = count_segments(finite, offsets)
    firsts = np.append(np.flatnonzero(finite), len(finite))
    firsts = firsts[np.searchsorted(firsts[:-1], starts)]
    starts = np.where(counts > 0, firsts, offsets[1:])
    judged = _judge(reasons, counts, overflown, rules.min_length)
    return _Column(placed, starts, offsets[1:] - starts, judged, bases)


def _placed(
    values: RealArray, windows: Windows, codes: CategoryCodes | None, rules: GridRules
) -> tuple[FloatArray, DoubleArray | None]:
    """Return a column on its grid, float32, and the bases of its series, if any has one."""
    if codes is None and rules.precise and values.dtype == np.float64:
        exact = _place(values, windows, None, np.float64)
        return split_bases(exact, windows.offsets)
    return _place(values, windows, codes), None


def _judge(
    reasons: ByteArray, counts: IntArray, overflown: BoolArray | None, min_length: int
) -> ByteArray:
    judged = np.where(counts < min_length, np.int8(Reason.TOO_SHORT), np.int8(Reason.OK))
    judged[counts == 0] = Reason.ALL_NULL
    if overflown is not None:
        judged[overflown] = Reason.NOT_FINITE
    result: ByteArray = np.where(reasons != Reason.OK, reasons, judged)
    return result


def _place(
    values: RealArray,
    windows: Windows,
    codes: CategoryCodes | None,
    kind: type[np.floating[Any]] = np.float32,
) -> Any:
    """Return the values of a column on its grid, as numbers of a kind."""
    if windows.rows is not None:
        values = values[windows.rows]
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = values.astype(kind, copy=False)
    positions = windows.positions
    if positions is None:
        return narrow
    placed = np.full(windows.offsets[-1], np.nan, kind)
    placed[positions] = narrow
    repeats = positions[1:] == positions[:-1]
    if repeats.any() and codes is not None:
        # numpy assigns in order, so of equal positions the last text by name stays.
        order = np.lexsort((codes.ranks(values), positions))
        placed[positions[order]] = narrow[order]
    elif repeats.any():
        # Only rows that share a step are averaged, in float64: most rows have a step of their own.
        shared = np.zeros(len(positions), np.bool_)
        shared[1:] |= repeats
        shared[:-1] |= repeats
        steps, means = _average(positions[shared], values[shared].astype(np.float64))
        with np.errstate(over="ignore"):
            placed[steps] = means
    return placed


def _average(positions: IntArray, values: RealArray) -> tuple[IntArray, RealArray]:
    """Return the distinct positions and the mean of the values at each, without NaN.

    The mean is infinite if a value is beyond float32.
    """
    # Sums of floats depend on the order of the terms. Sorted by value they are the same for any
    # order of rows.
    order = np.lexsort((values, positions))
    positions, values = positions[order], values[order]
    starts = np.flatnonzero(np.append(True, positions[1:] != positions[:-1]))
    beyond = np.abs(values) > _FLOAT32_MAX
    usable = ~(np.isnan(values) | beyond)
    sums = np.add.reduceat(np.where(usable, values, 0.0), starts)
    counts = np.add.reduceat(usable.astype(np.int64), starts)
    means = np.full(len(starts), np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    means[np.logical_or.reduceat(beyond, starts)] = np.inf
    return positions[starts], means


def _assemble(
    items: ItemRows,
    rules: GridRules,
    columns: list[_Column],
    last: IntArray,
    frequencies: tuple[tuple[Frequency, ...], IntArray],
) -> SeriesBatch:
    targets = len(columns)
    values, offsets, reasons = _interleave(columns)
    item_ids = items.item_ids
    if targets > 1:
        item_ids = item_ids.take(to_arrow(np.repeat(np.arange(len(items)), targets)))
    names = np.tile(np.arange(targets, dtype=np.int32), len(items))
    return SeriesBatch(
        item_ids=item_ids,
        target_names=text_column(rules.columns).take(to_arrow(names)),
        values=values,
        offsets=offsets,
        last_timestamps=np.repeat(last, targets),
        frequencies=frequencies[0],
        frequency_codes=np.repeat(frequencies[1], targets),
        reasons=reasons,
        timestamp_type=rules.clock.output_type,
        item_key=rules.item_key,
        bases=_bases_of(columns, len(items), rules),
    )


def _bases_of(columns: list[_Column], items: int, rules: GridRules) -> DoubleArray | None:
    """Return the bases of all series, [N * K]; ``None`` without any. Covariates have none."""
    if not rules.wide_numbers and all(column.bases is None for column in columns):
        return None
    table = [np.zeros(items) if c.bases is None else c.bases for c in columns]
    return np.stack(table, axis=1).ravel()


def _interleave(columns: list[_Column]) -> tuple[FloatArray, IntArray, ByteArray]:
    # The usual case of a single column without trimmed values needs no copy.
    if len(columns) == 1:
        only = columns[0]
        offsets = offsets_of(only.lengths)
        if offsets[-1] == len(only.values):
            return only.values, offsets, only.reasons
    sizes = [len(column.values) for column in columns]
    bases = np.cumsum([0, *sizes[:-1]])
    starts = np.stack([c.starts + base for c, base in zip(columns, bases, strict=True)], axis=1)
    lengths = np.stack([column.lengths for column in columns], axis=1).ravel()
    values = np.concatenate([column.values for column in columns])
    reasons = np.stack([column.reasons for column in columns], axis=1).ravel()
    return values[take_ranges(starts.ravel(), lengths)], offsets_of(lengths), reasons
