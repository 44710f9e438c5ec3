"""Where rows lie on the grids of their series.

Steps of a day and longer are counted in the zone's wall time, shorter ones in UTC; where the
frequency is still to be inferred, a series counts as short-stepped when more than half of its gaps
are below 20 hours. Every row then has a distance in steps from its series' last timestamp, the
nearest number for points off the grid, and the last C steps are the window that is kept.
"""

from dataclasses import dataclass, replace

import numpy as np

from gigacast.core.array import BoolArray, IntArray
from gigacast.core.series.batch import NO_TIME
from gigacast.core.series.reason import Reason
from gigacast.core.time.frequency import Frequency, nearest_steps
from gigacast.core.time.zone import to_wall
from gigacast.series.arrange import first_of_times, sort_times
from gigacast.series.inference import Inferred, infer_frequencies
from gigacast.series.rows import ItemRows
from gigacast.series.segment import count_segments, offsets_of, reduce_segments, spread, take_ranges
from gigacast.series.source import ReadStats
from gigacast.series.stated import unpack_distinct

_SHORT_GAP_US = 20 * 3_600_000_000


@dataclass(frozen=True, slots=True)
class Windows:
    """Where the rows of N items go: into flat windows cut by ``offsets``, int64 [N + 1].

    ``rows`` are those kept, in order; ``None`` for all. ``positions`` says where each goes,
    ascending, with equal ones where values are to be averaged; ``None`` when every row has the
    next place to itself.
    """

    offsets: IntArray
    rows: IntArray | None = None
    positions: IntArray | None = None


def given_frequency(freq: Frequency, items: int) -> Inferred:
    """Return one frequency for all items."""
    zeros = np.zeros(items, np.int64)
    return Inferred((freq,), zeros, zeros.astype(np.int8), np.zeros(items, np.bool_))


def stated_frequencies(items: ItemRows) -> Inferred:
    """Return the frequencies in the last column of values."""
    packed = reduce_segments(np.fmax, items.values[-1], items.offsets, 0)
    known = (np.diff(items.offsets) > 0) & ~np.isnan(packed)
    codes = np.full(len(items), -1, np.int64)
    frequencies, codes[known] = unpack_distinct(packed[known])
    reasons = np.where(known, Reason.OK, Reason.NO_FREQUENCY).astype(np.int8)
    return Inferred(frequencies, codes, reasons, np.zeros(len(items), np.bool_))


def find_frequencies(items: ItemRows, *, steps: bool) -> Inferred:
    """Infer the frequency of each item from its distinct timestamps (rows are in order)."""
    first = first_of_times(items.times, items.offsets)
    if first.all():
        return infer_frequencies(items.times, items.offsets, steps=steps)
    offsets = offsets_of(first)[items.offsets]
    found = infer_frequencies(items.times[first], offsets, steps=steps)
    return replace(found, regular=found.regular & (np.diff(offsets) == np.diff(items.offsets)))


def to_own_clock(
    items: ItemRows, zone: str | None, stated: Inferred | None
) -> tuple[ItemRows, BoolArray]:
    """Return the items with times on the clock of their steps, and which of them are in UTC."""
    if zone is None or len(items) == 0:
        return items, np.zeros(len(items), np.bool_)
    if stated is None:
        in_utc = _have_short_gaps(items)
    else:
        walls = [frequency.in_wall_time for frequency in stated.frequencies]
        in_utc = ~np.array([*walls, True])[stated.codes]
    times = np.where(spread(in_utc, items.offsets), items.times, to_wall(items.times, zone))
    # Where clocks were set back wall time may fall.
    return sort_times(replace(items, times=times)), in_utc


def _have_short_gaps(items: ItemRows) -> BoolArray:
    gaps = np.diff(items.times, prepend=0)
    distinct = first_of_times(items.times, items.offsets)
    distinct[items.offsets[:-1][np.diff(items.offsets) > 0]] = False
    short = count_segments(distinct & (gaps < _SHORT_GAP_US), items.offsets)
    return short * 2 > count_segments(distinct, items.offsets)


def last_times(items: ItemRows) -> IntArray:
    """Return the last time of each item, `NO_TIME` for those without rows."""
    last = np.full(len(items), NO_TIME, np.int64)
    filled = np.diff(items.offsets) > 0
    last[filled] = items.times[items.offsets[1:][filled] - 1]
    return last


def steps_ahead(items: ItemRows, found: Inferred, targets: int) -> IntArray:
    """Return how many steps of each item lie after the last value of its targets, [N].

    0 for items whose targets have no value at all.
    """
    steps, _ = _steps_before_last(items, found)
    known = np.logical_or.reduce([np.isfinite(values) for values in items.values[:targets]])
    never = np.iinfo(np.int64).max
    ahead = reduce_segments(np.minimum, np.where(known, steps, never), items.offsets, never)
    nearest: IntArray = np.where(ahead == never, 0, ahead)
    return nearest


def find_windows(
    items: ItemRows, found: Inferred, length: int | IntArray, stats: ReadStats
) -> Windows:
    """Return the window of each item's last steps: as many for all, or for each its own, [N].

    ``stats`` counts what was moved or filled.
    """
    lengths = np.diff(items.offsets)
    most = np.broadcast_to(np.asarray(length), lengths.shape)
    if found.regular.all():
        if (lengths <= most).all():
            return Windows(items.offsets)
        kept = np.minimum(lengths, most)
        return Windows(offsets_of(kept), take_ranges(items.offsets[1:] - kept, kept))
    steps, off_grid = _steps_before_last(items, found)
    keep = steps < spread(most, items.offsets)
    rows = None if keep.all() else np.flatnonzero(keep)
    offsets = items.offsets if rows is None else offsets_of(keep)[items.offsets]
    steps = steps if rows is None else steps[rows]
    kept = np.zeros(len(items), np.int64)
    filled = np.diff(offsets) > 0
    kept[filled] = steps[offsets[:-1][filled]] + 1
    windows = offsets_of(kept)
    positions = spread(windows[1:], offsets) - 1 - steps
    taken = len(positions) - int(np.count_nonzero(positions[1:] == positions[:-1]))
    stats.snapped += int(np.count_nonzero(off_grid & keep))
    stats.duplicates += len(positions) - taken
    stats.gaps += int(windows[-1]) - taken
    return Windows(windows, rows, positions)


def _steps_before_last(items: ItemRows, found: Inferred) -> tuple[IntArray, BoolArray]:
    last = spread(last_times(items), items.offsets)
    if len(found.frequencies) == 1 and (found.codes == 0).all():
        steps, exact = found.frequencies[0].grid_index(items.times, last)
        return steps, ~exact
    steps, off_grid = _fixed_steps(items, last, found)
    calendar = [f.kind in {"business", "months"} for f in found.frequencies]
    for code in np.flatnonzero(calendar).tolist():
        rows = np.flatnonzero(spread(found.codes == code, items.offsets))
        steps[rows], exact = found.frequencies[code].grid_index(items.times[rows], last[rows])
        off_grid[rows] = ~exact
    ungridded = np.flatnonzero(spread(found.codes == -1, items.offsets))
    if len(ungridded):
        steps[ungridded] = _ranks_before_last(items)[ungridded]
        off_grid[ungridded] = False
    return steps, off_grid


def _fixed_steps(items: ItemRows, last: IntArray, found: Inferred) -> tuple[IntArray, BoolArray]:
    # Items of another kind, and those without frequency (the last entry), are overwritten later.
    counts = np.array([*(frequency.count for frequency in found.frequencies), 1], np.int64)
    step = spread(counts[found.codes], items.offsets)
    distance = last - items.times
    steps = nearest_steps(distance, step)
    return steps, steps * step != distance


def _ranks_before_last(items: ItemRows) -> IntArray:
    counted = offsets_of(first_of_times(items.times, items.offsets))
    ranks: IntArray = spread(counted[items.offsets[1:]], items.offsets) - counted[1:]
    return ranks
