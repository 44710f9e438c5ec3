"""The sorting of an item's rows by time, and the dropping of rows too old to matter.

Only the last distinct timestamps of a series are used: twice the context, at least 4096. Older rows
influence nothing, so a series may be larger than memory. If the frequency is given, rows older than
the span of the context are dropped instead, except the last ten, which show whether the frequency
is theirs. Both rules may be applied to any part of a series first and to the whole later, with the
same result.

If a history ends at its last value (because covariates are known ahead), both rules count back from
that value, and all later rows are kept: rows later than the last value of a part may be history in
the whole.
"""

from dataclasses import dataclass

import numpy as np

from gigacast.core.array import BoolArray, IntArray
from gigacast.core.series.batch import NO_TIME
from gigacast.core.time.frequency import Frequency
from gigacast.series.rows import ItemRows
from gigacast.series.segment import count_segments, offsets_of, reduce_segments, sort_order, spread

_MIN_TAIL = 4096  # enough timestamps to infer a frequency, even for a short context
FEWEST_TIMESTAMPS = 10
"""Timestamps that show a frequency of rows; kept beyond the span of a given frequency."""
_MARGIN_US = 3 * 86_400_000_000  # for time zones, clock changes and points off the grid
_WIDEST = 1 << 62  # a gap beside a missing time is wider, or negative


@dataclass(frozen=True, slots=True)
class Gaps:
    """The distances between neighbouring rows of N items whose times all rise.

    Parameters
    ----------
    times : int64 [R]
        Times of the rows.
    values : int64 [R]
        Distance of each row to the row before it. The first row of an item repeats the next
        distance, so that minima and maxima need no special case; of a single row it is 1.
    least, greatest : int64 [N]
        Of each item.
    """

    times: IntArray
    values: IntArray
    least: IntArray
    greatest: IntArray


def find_gaps(rows: ItemRows) -> Gaps | None:
    """Return the gaps of items; ``None`` unless each has rows, with times that strictly rise.

    One look at the times says of most data what the steps of `regularise` would find one by one:
    that no time is missing, that all are in order, and that no two are equal.
    """
    times, starts, lengths = rows.times, rows.offsets[:-1], np.diff(rows.offsets)
    if not len(lengths) or lengths.min() < 1:
        return None
    gaps = np.empty_like(times)
    np.subtract(times[1:], times[:-1], out=gaps[1:])  # wraps around beside a missing time
    several = starts[lengths > 1]
    gaps[several] = gaps[several + 1]
    gaps[starts[lengths == 1]] = 1
    least, greatest = np.minimum.reduceat(gaps, starts), np.maximum.reduceat(gaps, starts)
    if least.min() < 1 or greatest.max() >= _WIDEST:
        return None
    # The gaps do not show a missing time that is the first or the last of its item.
    ends = (times[starts], times[rows.offsets[1:] - 1])
    if any((moments == NO_TIME).any() for moments in ends):
        return None
    return Gaps(times, gaps, least, greatest)


def count_timed(times: IntArray) -> int:
    """Return how many of the times are not missing."""
    # `NO_TIME` is the least number, and mostly no time is missing.
    if not len(times) or times.min() != NO_TIME:
        return len(times)
    return int(np.count_nonzero(times != NO_TIME))


def drop_null_times(rows: ItemRows) -> tuple[ItemRows, int]:
    """Return the rows that have a time, and the number of those without. Runs may become empty."""
    if len(rows.times) == 0 or rows.times.min() != NO_TIME:
        return rows, 0
    keep = rows.times != NO_TIME
    return rows.filter_rows(keep), len(keep) - int(keep.sum())


def sort_times(rows: ItemRows) -> ItemRows:
    """Return the rows of each run in ascending order of time."""
    if is_ascending(rows.times, rows.offsets):
        return rows
    runs = spread(np.arange(len(rows), dtype=np.int64), rows.offsets)
    return rows.take_rows(sort_order(runs, rows.times), rows.offsets)


def is_ascending(times: IntArray, offsets: IntArray) -> bool:
    """Check that times never descend within a segment."""
    falls = times[1:] < times[:-1]
    # Between two segments they may. Borders at the ends stem from empty segments.
    borders = offsets[1:-1]
    borders = borders[(borders > 0) & (borders < len(times))]
    falls[borders - 1] = False
    return not falls.any()


def first_of_times(times: IntArray, offsets: IntArray) -> BoolArray:
    """Return the mask of the first row of each distinct time of a segment. Rows are sorted."""
    first = np.empty(len(times), np.bool_)
    first[:1] = True
    np.not_equal(times[1:], times[:-1], out=first[1:])
    starts = offsets[:-1]
    first[starts[starts < len(times)]] = True
    return first


def tail_length(context_length: int) -> int:
    """Return the number of distinct timestamps of a series that are used."""
    return max(_MIN_TAIL, 2 * context_length)


def keep_tail(
    rows: ItemRows, context_length: int, freq: Frequency | None, targets: int = 0
) -> ItemRows:
    """Return the rows (sorted by time) without those too old to matter.

    ``targets`` is the number of first columns whose last value ends a history; with 0 a history
    ends at the last row.
    """
    ends = history_ends(rows, targets) if targets else rows.offsets[1:]
    keep = (
        _recent_timestamps(rows, tail_length(context_length), ends)
        if freq is None
        else _recent_span(rows, freq.span_us(context_length + 1), freq, ends)
    )
    return rows if keep is None else rows.filter_rows(keep)


def history_ends(rows: ItemRows, targets: int) -> IntArray:
    """Return the end of the history of each run, int64 [N]: after the last time with a value.

    A run without any value has no history. Rows are sorted by time.
    """
    valued = np.zeros(len(rows.times), np.bool_)
    for values in rows.values[:targets]:
        valued |= ~np.isnan(values)
    places = np.where(valued, np.arange(len(valued)), -1)
    last = reduce_segments(np.maximum, places, rows.offsets, -1)
    latest = np.append(rows.times, NO_TIME)[last]
    past = rows.times <= spread(latest, rows.offsets)
    ends: IntArray = rows.offsets[:-1] + count_segments(past, rows.offsets)
    return np.where(last >= 0, ends, rows.offsets[:-1])


def _recent_timestamps(rows: ItemRows, length: int, ends: IntArray) -> BoolArray | None:
    if len(rows) == 0 or np.diff(rows.offsets).max() <= length:
        return None
    counted = offsets_of(first_of_times(rows.times, rows.offsets))
    at_end = spread(counted[ends], rows.offsets)
    keep: BoolArray = at_end - counted[1:] < length
    return keep


def _recent_span(rows: ItemRows, span: int, freq: Frequency, ends: IntArray) -> BoolArray | None:
    margin = 0 if freq.kind == "steps" else _MARGIN_US
    # Without a history the first time is taken, so that nothing is older.
    last = np.append(rows.times, 0)[np.maximum(ends - 1, rows.offsets[:-1])]
    # span + margin are Python integers, because the sum may exceed int64. The difference of two
    # times fits.
    old = spread(last, rows.offsets) - rows.times > min(span + margin, np.iinfo(np.int64).max)
    if not old.any():
        return None
    recent = _recent_timestamps(rows, FEWEST_TIMESTAMPS, ends)
    return None if recent is None else ~old | recent
