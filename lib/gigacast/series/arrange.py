"""Rows of an item in the order of time, and only those that can matter.

A series is read through its last distinct timestamps: twice the context, at least 4096. What lies
before has no influence on anything, so a series may be longer than memory. When the frequency is
given, what lies before the context's span is as good as absent in the same way. Both rules can be
applied to any part of a series early, and again to the whole, with the same outcome.

Where a history ends at its last value (covariates known ahead), both rules count from there, and
all that comes later is kept: what is later in a part may be history in the whole.
"""

import numpy as np

from gigacast.core.array import BoolArray, IntArray
from gigacast.core.series.batch import NO_TIME
from gigacast.core.time.frequency import Frequency
from gigacast.series.rows import ItemRows
from gigacast.series.segment import count_segments, offsets_of, reduce_segments, sort_order, spread

_MIN_TAIL = 4096
_MARGIN_US = 3 * 86_400_000_000  # zones, summer time, points off the grid


def drop_null_times(rows: ItemRows) -> tuple[ItemRows, int]:
    """Return the rows that have a time, and how many had none. Runs may become empty."""
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
    """Tell whether times never fall within a segment."""
    falls = times[1:] < times[:-1]
    borders = offsets[1:-1]
    borders = borders[(borders > 0) & (borders < len(times))]
    falls[borders - 1] = False
    return not falls.any()


def first_of_times(times: IntArray, offsets: IntArray) -> BoolArray:
    """Mark the first row of every distinct time of each segment; rows are in order."""
    first = np.empty(len(times), np.bool_)
    first[:1] = True
    np.not_equal(times[1:], times[:-1], out=first[1:])
    starts = offsets[:-1]
    first[starts[starts < len(times)]] = True
    return first


def tail_length(context_length: int) -> int:
    """Return how many distinct timestamps of a series are looked at."""
    return max(_MIN_TAIL, 2 * context_length)


def keep_tail(
    rows: ItemRows, context_length: int, freq: Frequency | None, targets: int = 0
) -> ItemRows:
    """Return rows (sorted in time) without those too old to matter.

    ``targets`` are how many first columns say where a history ends; 0 when the last row does.
    """
    ends = history_ends(rows, targets) if targets else rows.offsets[1:]
    keep = (
        _recent_timestamps(rows, tail_length(context_length), ends)
        if freq is None
        else _recent_span(rows, freq.span_us(context_length + 1), freq, ends)
    )
    return rows if keep is None else rows.filter_rows(keep)


def history_ends(rows: ItemRows, targets: int) -> IntArray:
    """Return where the history of each run ends, int64 [N]: after the last time with a value.

    A run without any value has no history. Rows are in the order of time.
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
    # Without a history all is later: the first time is.
    last = np.append(rows.times, 0)[np.maximum(ends - 1, rows.offsets[:-1])]
    # Python's integers: the distance of any two times fits, a sum of them may not.
    old = spread(last, rows.offsets) - rows.times > min(span + margin, np.iinfo(np.int64).max)
    return ~old if old.any() else None
