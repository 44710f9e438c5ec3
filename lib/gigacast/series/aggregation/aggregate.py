"""The aggregation of complete items: one row per calendar bin and item.

Rows that share a time are settled first (`gigacast.series.duplicates`), so that a row that is
repeated does not count twice. Then, for all items at once:

- targets get the chosen operation; covariates that are numbers get their mean, and categories the
  last text, in the history as over the horizon;
- a bin without rows stays a missing step, except that it counts 0 rows;
- the first and the last bin are dropped, if asked, where the rows of the item do not cover them.
  Whether they do follows from the frequency of the rows: the row before the first one would be in
  an earlier bin, the row after the last one in a later bin. Of irregular rows it is not known when
  the next one is due, so their last bin counts as not covered, and so does a first one that does
  not begin with a row.

If covariates are known ahead, the history ends at the last value of the targets; a last bin that it
does not cover loses the values of the targets, and becomes the first step of the horizon.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from gigacast.core.array import BoolArray, IntArray, RealArray
from gigacast.core.time.bins import Bins, standard_offset
from gigacast.core.time.frequency import Frequency
from gigacast.core.time.zone import from_wall, to_wall
from gigacast.series.aggregation.reduce import reduce_categories, reduce_numbers
from gigacast.series.arrange import drop_null_times, history_ends, keep_tail, sort_times
from gigacast.series.duplicates import settle_duplicates
from gigacast.series.fit import typical_length
from gigacast.series.grid import find_frequencies, last_times, to_own_clock
from gigacast.series.inference import Inferred
from gigacast.series.regularise import GridRules
from gigacast.series.rows import ItemRows
from gigacast.series.segment import offsets_of, spread, take_ranges
from gigacast.series.source import Aggregation, ReadStats
from gigacast.series.timestamp import Clock

SPARE_BINS = 2
"""Bins beyond the context whose rows are needed: a first and a last one that are dropped."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The bins of N items with R rows.

    Parameters
    ----------
    bins : Bins
    numbers : int64 [B]
        Number of each bin with rows.
    offsets : int64 [N + 1]
        Offsets of the items in the bins.
    starts : int64 [B]
        First row of each bin.
    shifts : int64 [N]
        Offset of standard time of each item.
    """

    bins: Bins
    numbers: IntArray
    offsets: IntArray
    starts: IntArray
    shifts: IntArray

    def first(self, empty: int = 0) -> IntArray:
        """Return the number of the first bin of each item."""
        return np.append(self.numbers, empty)[self.offsets[:-1]]

    def last(self, empty: int = 0) -> IntArray:
        """Return the number of the last bin of each item."""
        return np.append(self.numbers, empty)[self.offsets[1:] - 1]


def aggregate(items: ItemRows, rules: GridRules, stats: ReadStats) -> ItemRows:
    """Return complete items with one row per bin, labelled as pandas labels bins.

    Times are then in wall time if the frequency is, else in UTC.

    Parameters
    ----------
    items : ItemRows
    rules : GridRules
        Rules with an aggregation and a frequency.
    stats : ReadStats
        Updated: rows without a time, conflicting rows, items whose rows are coarser than the bins.
    """
    how, freq = rules.aggregation, rules.freq
    assert how is not None  # noqa: S101 - the reader aggregates with these only
    assert freq is not None  # noqa: S101
    items, dropped = drop_null_times(items)
    stats.null_timestamps += dropped
    ending = rules.targets if rules.continues else 0
    items = keep_tail(sort_times(items), rules.context_length + SPARE_BINS, freq, ending)
    items = settle_duplicates(
        items, rules.columns, rules.categories, rules.duplicates, stats, averages=True
    )
    cut = cut_bins(items, freq, rules.clock)
    ends = history_ends(items, rules.targets) if rules.continues else items.offsets[1:]
    values = _values(items, rules, cut, how)
    keep = np.ones(len(cut.numbers), np.bool_)
    if len(items.times):
        edges = _edges(items, ends, rules.clock)
        _count_coarser(items, edges.rows, freq, stats)
        if how.partial == "drop":
            keep = _covered(cut, edges, rules.clock)
            if rules.continues:
                _end_history(cut, edges, values[: rules.targets], rules.clock)
    binned = ItemRows(items.item_ids, cut.offsets, cut.numbers, values, items.primary)
    binned = binned.filter_rows(keep)
    if how.how == "count":
        binned = _with_empty_bins(binned, rules)
    shifts = spread(cut.shifts, binned.offsets)
    return replace(binned, times=cut.bins.labels(binned.times, shifts))


def in_utc(items: ItemRows, rules: GridRules) -> ItemRows:
    """Return aggregated items with their times in UTC."""
    zone, freq = rules.clock.zone, rules.freq
    if zone is None or freq is None or not freq.in_wall_time:
        return items
    return replace(items, times=from_wall(items.times, zone))


def covered_bins(items: ItemRows, cut: Cut, clock: Clock, stats: ReadStats) -> BoolArray:
    """Return which bins the rows of their item cover: all but some first and last ones, bool [B].

    Parameters
    ----------
    items : ItemRows
        Rows in the order of item and time, with a time each.
    cut : Cut
        Bins of these rows.
    clock : Clock
    stats : ReadStats
        Updated: items whose rows are coarser than the bins.
    """
    if not len(items.times):
        return np.ones(0, np.bool_)
    edges = _edges(items, items.offsets[1:], clock)
    _count_coarser(items, edges.rows, cut.bins.frequency, stats)
    return _covered(cut, edges, clock)


def cut_bins(items: ItemRows, freq: Frequency, clock: Clock) -> Cut:
    """Return the bins of items whose rows are in the order of time."""
    bins, zone, times = Bins(freq), clock.zone, items.times
    shifts = np.zeros(len(items), np.int64)
    if bins.frequency.in_wall_time:
        times = to_wall(times, zone)
    elif zone is not None:
        filled = np.diff(items.offsets) > 0
        shifts[filled] = standard_offset(last_times(items)[filled], zone)
    numbers = bins.numbers(times, spread(shifts, items.offsets))
    is_first = np.ones(len(numbers), np.bool_)
    np.not_equal(numbers[1:], numbers[:-1], out=is_first[1:])
    begins = items.offsets[:-1]
    is_first[begins[begins < len(numbers)]] = True
    starts = np.flatnonzero(is_first)
    return Cut(bins, numbers[starts], offsets_of(is_first)[items.offsets], starts, shifts)


class Span(NamedTuple):
    """A span of time in microseconds of UTC or steps, without its last instant ``stop``."""

    start: int
    stop: int


def bins_between(first: int, last: int, freq: Frequency, clock: Clock) -> Span:
    """Return the span of the bins from that of one time to that of a later one.

    Parameters
    ----------
    first, last : int
        Microseconds of UTC, or steps.
    freq : Frequency
    clock : Clock
    """
    bins, ends = Bins(freq), np.array([first, last], np.int64)
    zone = clock.zone if freq.in_wall_time else None
    shifts = standard_offset(ends, clock.zone)
    numbers = bins.numbers(to_wall(ends, zone), shifts)
    start, stop = from_wall(bins.starts(numbers + np.array([0, 1]), shifts), zone)
    return Span(int(start), int(stop))


def _values(items: ItemRows, rules: GridRules, cut: Cut, how: Aggregation) -> tuple[RealArray, ...]:
    """Return one value per bin for each column; a column of stated frequencies is left out."""
    reduced: list[RealArray] = []
    for place, name in enumerate(rules.columns):
        values = items.values[place]
        if name in rules.categories:
            reduced.append(reduce_categories(values, cut.starts))
        else:
            operation = how.how if place < rules.targets else "mean"
            reduced.append(reduce_numbers(values, cut.starts, operation))
    return tuple(reduced)


# -- bins that are not covered ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Edges:
    """Times around the rows of N items, in UTC (or steps), int64 [N].

    Parameters
    ----------
    before : int64 [N]
        Time of the row before the first one.
    after, after_history : int64 [N]
        Time of the row after the last one, and after the last one of the history.
    ended : int64 [N]
        Time of the last row of the history.
    known : bool [N]
        Whether the frequency of the rows is known.
    rows : Inferred
        Frequencies of the rows.
    """

    before: IntArray
    after: IntArray
    after_history: IntArray
    ended: IntArray
    known: BoolArray
    rows: Inferred


def _edges(items: ItemRows, ends: IntArray, clock: Clock) -> _Edges:
    zone = clock.zone
    own, utc = to_own_clock(items, zone, None)
    rows = find_frequencies(own, steps=clock.counts_steps)
    padded = np.append(own.times, 0)
    first, last = padded[items.offsets[:-1]], padded[items.offsets[1:] - 1]
    ended = padded[np.maximum(ends - 1, items.offsets[:-1])]
    has_clock = rows.codes >= 0

    def shifted(times: IntArray, steps: int) -> IntArray:
        moved = times.copy()
        for code, frequency in enumerate(rows.frequencies):
            chosen = rows.codes == code
            moved[chosen] = frequency.shift(times[chosen], steps)
        # Days have a wall time; shorter steps are in UTC already.
        walls = ~utc if zone is not None else np.zeros(len(moved), np.bool_)
        moved[walls] = from_wall(moved[walls], zone)
        return moved

    # Irregular rows cover a first bin that begins with a row.
    before = np.where(has_clock, shifted(first, -1), shifted(first, 0) - 1)
    return _Edges(before, shifted(last, 1), shifted(ended, 1), shifted(ended, 0), has_clock, rows)


def _covered(cut: Cut, edges: _Edges, clock: Clock) -> BoolArray:
    zone = clock.zone if cut.bins.frequency.in_wall_time else None
    keep = np.ones(len(cut.numbers), np.bool_)
    filled = np.diff(cut.offsets) > 0
    starts = from_wall(cut.bins.starts(cut.first(), cut.shifts), zone)
    late = filled & (edges.before >= starts)
    keep[cut.offsets[:-1][late]] = False
    ends = from_wall(cut.bins.starts(cut.last() + 1, cut.shifts), zone)
    early = filled & ~(edges.known & (edges.after >= ends))
    keep[cut.offsets[1:][early] - 1] = False
    return keep


def _end_history(cut: Cut, edges: _Edges, targets: tuple[RealArray, ...], clock: Clock) -> None:
    """Remove the values of the targets from a last bin that the history does not cover."""
    zone = clock.zone if cut.bins.frequency.in_wall_time else None
    numbers = cut.bins.numbers(to_wall(edges.ended, zone), cut.shifts)
    stops = from_wall(cut.bins.starts(numbers + 1, cut.shifts), zone)
    is_cut = (np.diff(cut.offsets) > 0) & ~(edges.known & (edges.after_history >= stops))
    # Later bins have no values of the targets anyway.
    is_open = spread(is_cut, cut.offsets) & (cut.numbers >= spread(numbers, cut.offsets))
    for values in targets:
        values[is_open] = np.nan


def _count_coarser(items: ItemRows, rows: Inferred, freq: Frequency, stats: ReadStats) -> None:
    """Count items whose rows are coarser than the bins: they cannot be divided."""
    stats.timed_items += int(np.count_nonzero(np.diff(items.offsets)))
    coarser = [typical_length(own) * 10 > typical_length(freq) * 19 for own in rows.frequencies]
    is_coarser = np.array([*coarser, False])[rows.codes]
    stats.coarser_items += int(np.count_nonzero(is_coarser))
    if stats.rows_freq is None and is_coarser.any():
        stats.rows_freq = rows.frequencies[rows.codes[is_coarser][0]].alias


def _with_empty_bins(binned: ItemRows, rules: GridRules) -> ItemRows:
    """Return the items with a bin for each number up to their last value, which counts no rows."""
    filled = np.diff(binned.offsets) > 0
    padded = np.append(binned.times, 0)
    first, last = padded[binned.offsets[:-1]], padded[binned.offsets[1:] - 1]
    ends = history_ends(binned, rules.targets) if rules.continues else binned.offsets[1:]
    ahead = last - padded[np.maximum(ends - 1, binned.offsets[:-1])]
    # A row of long ago must not make millions of bins before the context.
    limit = rules.context_length + SPARE_BINS + ahead
    lengths = np.where(filled, np.minimum(last - first + 1, limit), 0)
    offsets = offsets_of(lengths)
    numbers = take_ranges(np.where(filled, last - lengths + 1, 0), lengths)
    owners = spread(np.arange(len(binned)), binned.offsets)
    places = binned.times - (last - lengths + 1)[owners]
    is_recent = places >= 0
    at = offsets[:-1][owners[is_recent]] + places[is_recent]
    columns = []
    history = numbers <= spread(last - ahead, offsets)
    for place, values in enumerate(binned.values):
        column = np.full(offsets[-1], np.nan)
        if place < rules.targets:
            column[history] = 0.0
        column[at] = values[is_recent]
        if place < rules.targets:
            column[~history] = np.nan
        columns.append(column)
    return ItemRows(binned.item_ids, offsets, numbers, tuple(columns), binned.primary)
