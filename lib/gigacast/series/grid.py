"""The positions of rows on the regular grids of their series.

Steps of a day and more are counted in the zone's wall time, where every day has the same length;
shorter steps in UTC, where every hour exists once. If the frequency is still to be inferred, a
series has short steps if more than half of its gaps are below 20 hours. Every row then has a
distance in steps from the last timestamp of its series, rounded to the nearest step for points off
the grid. The last C steps are the window that is kept.
"""

from dataclasses import dataclass, replace

import numpy as np

from gigacast.core.array import BoolArray, IntArray
from gigacast.core.series.batch import NO_TIME
from gigacast.core.series.reason import Reason
from gigacast.core.time.frequency import Frequency, nearest_steps
from gigacast.core.time.zone import to_wall
from gigacast.series.arrange import Gaps, first_of_times, sort_times
from gigacast.series.inference import Inferred, infer_frequencies
from gigacast.series.rows import ItemRows, unpack_distinct
from gigacast.series.segment import count_segments, offsets_of, reduce_segments, spread, take_ranges
from gigacast.series.source import ReadStats

# A day in UTC has 23 to 25 hours where the clocks change; 20 separates it from any shorter step.
_SHORT_GAP_US = 20 * 3_600_000_000


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of N items, and the position in them of each row.

    The windows are one flat array, divided by ``offsets``, int64 [N + 1]. ``rows`` are the rows to
    keep, in order; ``None`` is all. ``positions`` are their places in the flat array, ascending;
    the values of equal positions are averaged. ``None`` means one row per place, in order.
    """

    offsets: IntArray
    rows: IntArray | None = None
    positions: IntArray | None = None


def given_frequency(freq: Frequency, items: int) -> Inferred:
    """Return the frequency given by the settings as that of all items."""
    zeros = np.zeros(items, np.int64)
    return Inferred((freq,), zeros, zeros.astype(np.int8), np.zeros(items, np.bool_))


def stated_frequencies(items: ItemRows) -> Inferred:
    """Return the frequencies that the rows state in the last column of values."""
    # If rows of an item disagree, the greatest packed number wins, whatever the order of rows.
    packed = reduce_segments(np.fmax, items.values[-1], items.offsets, 0)
    has_frequency = (np.diff(items.offsets) > 0) & ~np.isnan(packed)
    codes = np.full(len(items), -1, np.int64)
    frequencies, codes[has_frequency] = unpack_distinct(packed[has_frequency])
    reasons = np.where(has_frequency, Reason.OK, Reason.NO_FREQUENCY).astype(np.int8)
    return Inferred(frequencies, codes, reasons, np.zeros(len(items), np.bool_))


def find_frequencies(items: ItemRows, *, steps: bool, gaps: Gaps | None = None) -> Inferred:
    """Infer the frequency of each item from its distinct timestamps. Rows are sorted by time.

    ``gaps`` are used if they are those of these items, as they were before rows were dropped or
    times changed; found by default.
    """
    if gaps is not None and gaps.times is items.times:
        return infer_frequencies(items.times, items.offsets, steps=steps, gaps=gaps)
    first = first_of_times(items.times, items.offsets)
    if first.all():
        return infer_frequencies(items.times, items.offsets, steps=steps)
    offsets = offsets_of(first)[items.offsets]
    inferred = infer_frequencies(items.times[first], offsets, steps=steps)
    # With duplicate timestamps the rows are not one per step, even if the gaps are equal.
    has_duplicates = np.diff(offsets) != np.diff(items.offsets)
    return replace(inferred, regular=inferred.regular & ~has_duplicates)


def to_own_clock(
    items: ItemRows, zone: str | None, stated: Inferred | None
) -> tuple[ItemRows, BoolArray]:
    """Return the items with their times in UTC or wall time, and a mask of those in UTC."""
    if zone is None or len(items) == 0:
        return items, np.zeros(len(items), np.bool_)
    if stated is None:
        in_utc = have_short_gaps(items.times, items.offsets)
    else:
        walls = [frequency.in_wall_time for frequency in stated.frequencies]
        in_utc = ~np.array([*walls, True])[stated.codes]
    times = np.where(spread(in_utc, items.offsets), items.times, to_wall(items.times, zone))
    # When clocks are set back, an hour of wall time repeats, so times may descend.
    return sort_times(replace(items, times=times)), in_utc


def have_short_gaps(times: IntArray, offsets: IntArray) -> BoolArray:
    """Return the mask of the series whose steps are counted in UTC, [N]. Times ascend in each."""
    gaps = np.diff(times, prepend=0)
    distinct = first_of_times(times, offsets)
    distinct[offsets[:-1][np.diff(offsets) > 0]] = False
    short = count_segments(distinct & (gaps < _SHORT_GAP_US), offsets)
    return short * 2 > count_segments(distinct, offsets)


def last_times(items: ItemRows) -> IntArray:
    """Return the last time of each item; `NO_TIME` for items without rows."""
    last = np.full(len(items), NO_TIME, np.int64)
    filled = np.diff(items.offsets) > 0
    last[filled] = items.times[items.offsets[1:][filled] - 1]
    return last


def steps_ahead(items: ItemRows, inferred: Inferred, targets: int) -> IntArray:
    """Return the number of steps of each item after the last value of its targets, [N].

    It is 0 for items whose targets have no value.
    """
    steps, _ = steps_before_last(items, inferred)
    has_value = np.logical_or.reduce([np.isfinite(values) for values in items.values[:targets]])
    never = np.iinfo(np.int64).max
    ahead = reduce_segments(np.minimum, np.where(has_value, steps, never), items.offsets, never)
    nearest: IntArray = np.where(ahead == never, 0, ahead)
    return nearest


def find_windows(
    items: ItemRows, inferred: Inferred, length: int | IntArray, stats: ReadStats
) -> Windows:
    """Return the windows of the last ``length`` steps of each item, an int or int64 [N].

    ``stats`` counts snapped rows, duplicates and gaps.
    """
    lengths = np.diff(items.offsets)
    longest = np.broadcast_to(np.asarray(length), lengths.shape)
    # The usual case: regular series need no positions, their last rows are the window.
    if inferred.regular.all():
        if (lengths <= longest).all():
            return Windows(items.offsets)
        tails = np.minimum(lengths, longest)
        return Windows(offsets_of(tails), take_ranges(items.offsets[1:] - tails, tails))
    steps, off_grid = steps_before_last(items, inferred)
    keep = steps < spread(longest, items.offsets)
    rows = None if keep.all() else np.flatnonzero(keep)
    offsets = items.offsets if rows is None else offsets_of(keep)[items.offsets]
    steps = steps if rows is None else steps[rows]
    # A window reaches from the first kept row to the last step; gaps in it stay NaN.
    sizes = np.zeros(len(items), np.int64)
    filled = np.diff(offsets) > 0
    sizes[filled] = steps[offsets[:-1][filled]] + 1
    windows = offsets_of(sizes)
    positions = spread(windows[1:], offsets) - 1 - steps
    occupied = len(positions) - int(np.count_nonzero(positions[1:] == positions[:-1]))
    stats.snapped += int(np.count_nonzero(off_grid & keep))
    stats.duplicates += len(positions) - occupied
    stats.gaps += int(windows[-1]) - occupied
    return Windows(windows, rows, positions)


def count_missing(items: ItemRows, inferred: Inferred) -> int:
    """Return the number of steps without a row, from the first to the last row of each item."""
    if not len(items.times):
        return 0
    steps, _ = steps_before_last(items, inferred)
    starts = items.offsets[:-1][np.diff(items.offsets) > 0]
    distinct = np.ones(len(steps), np.bool_)
    distinct[1:] = steps[1:] != steps[:-1]
    distinct[starts] = True
    expected = int((steps[starts] + 1).sum())
    return expected - int(np.count_nonzero(distinct))


def steps_before_last(items: ItemRows, inferred: Inferred) -> tuple[IntArray, BoolArray]:
    """Return the steps from each row to its item's last row, and the mask of rows off the grid."""
    last = spread(last_times(items), items.offsets)
    if len(inferred.frequencies) == 1 and (inferred.codes == 0).all():
        steps, exact = inferred.frequencies[0].grid_index(items.times, last)
        return steps, ~exact
    steps, off_grid = _fixed_steps(items, last, inferred)
    calendar = [f.kind in {"business", "months"} for f in inferred.frequencies]
    for code in np.flatnonzero(calendar).tolist():
        rows = np.flatnonzero(spread(inferred.codes == code, items.offsets))
        steps[rows], exact = inferred.frequencies[code].grid_index(items.times[rows], last[rows])
        off_grid[rows] = ~exact
    # Series without a frequency keep the order of their timestamps: each distinct one is a step.
    ungridded = np.flatnonzero(spread(inferred.codes == -1, items.offsets))
    if len(ungridded):
        steps[ungridded] = _ranks_before_last(items)[ungridded]
        off_grid[ungridded] = False
    return steps, off_grid


def _fixed_steps(items: ItemRows, last: IntArray, inferred: Inferred) -> tuple[IntArray, BoolArray]:
    # Code -1 (no frequency) indexes the last entry, 1. Such items, and those of calendar
    # frequencies, get meaningless steps here, which the caller overwrites.
    counts = np.array([*(frequency.count for frequency in inferred.frequencies), 1], np.int64)
    step = spread(counts[inferred.codes], items.offsets)
    distance = last - items.times
    steps = nearest_steps(distance, step)
    return steps, steps * step != distance


def _ranks_before_last(items: ItemRows) -> IntArray:
    counted = offsets_of(first_of_times(items.times, items.offsets))
    ranks: IntArray = spread(counted[items.offsets[1:]], items.offsets) - counted[1:]
    return ranks
