"""The inference of the frequency of each series from its timestamps.

All series of a batch are inferred at once. Each gets the first rule that fits its distinct
timestamps (at least three), in wall time or UTC (see `gigacast.series.grid`):

1. *Months.* No two points are in the same month, and all are at the same time of day and on the
   same day of the month: its last day, or a fixed day, clipped in shorter months. The frequency is
   the greatest common divisor of the distances in months. The rule also fits if all points are on
   the last four days of their months, or the first four, as last or first business days are: month
   ends, or month starts. That is not so if a fixed step fits exactly: all gaps are multiples of the
   shortest, as for every 30 days or every 52 weeks.
2. *Fixed.* The frequency is the greatest common divisor of the gaps, which is the smallest gap if
   all gaps are multiples of it. Two thirds of the gaps must be at most 16 times as long. So daily
   data with holes is daily, even if one hole is decades long.
3. *Business days.* As rule 2 with a step of one day, but without any weekend, over more than one
   week and with at least half of the business days present.
4. *Nearly fixed.* The frequency is the median gap, rounded to a usual step if it is within 5 % of
   one. Nine tenths of the points must be within 5 % of a step from the grid, and two thirds of the
   gaps must have 0.5 to 16 times its length. This covers clocks that jitter, and stray points.
5. Otherwise the series is irregular.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gigacast.core.array import BoolArray, ByteArray, IntArray
from gigacast.core.series.reason import Reason
from gigacast.core.time.calendar_grid import (
    DAY_US,
    MONTH_END,
    business_number,
    split_days,
    split_months,
    weekdays,
)
from gigacast.core.time.frequency import Frequency, nearest_steps
from gigacast.series.arrange import Gaps
from gigacast.series.segment import (
    all_segments,
    count_segments,
    offsets_of,
    reduce_segments,
    spread,
    take_ranges,
)

MIN_TIMESTAMPS = 3  # two gaps: with a single one every series would look regular
_LONGEST_GAP_STEPS = 16  # the bound of rules 2 and 4 on two thirds of the gaps
_UNKNOWN, _FIXED, _STEPS, _BUSINESS, _MONTHS = range(5)

_SECOND = 1_000_000
_USUAL_STEPS = np.array(
    [1_000 * n for n in (1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500)]
    + [_SECOND * n for n in (1, 2, 5, 10, 15, 20, 30)]
    + [_SECOND * 60 * n for n in (1, 2, 3, 5, 10, 15, 20, 30)]
    + [_SECOND * 3600 * n for n in (1, 2, 3, 4, 6, 8, 12)]
    + [DAY_US, 7 * DAY_US],
    np.int64,
)


@dataclass(frozen=True, slots=True)
class Inferred:
    """The frequencies of N series.

    Parameters
    ----------
    frequencies : tuple of Frequency
        Distinct frequencies.
    codes : int64 [N]
        Index into ``frequencies``; -1 if the frequency is unknown.
    reasons : int8 [N]
        `OK`, or the reason why the frequency is unknown: `NO_FREQUENCY` or `IRREGULAR`.
    regular : bool [N]
        Whether the frequency is a fixed step and all gaps have its length.
    """

    frequencies: tuple[Frequency, ...]
    codes: IntArray
    reasons: ByteArray
    regular: BoolArray


@dataclass(frozen=True, slots=True)
class _Points:
    """Distinct ascending timestamps of series with at least three points each.

    ``gaps[r]`` is the distance from point ``r`` to the point before it. The first point of a
    series repeats the next gap, so that minima, maxima and divisors need no special case. ``least``
    and ``greatest`` are those of each series.
    """

    times: IntArray
    offsets: IntArray
    gaps: IntArray
    least: IntArray
    greatest: IntArray

    @property
    def count(self) -> IntArray:
        return np.diff(self.offsets)

    def select(self, series: IntArray) -> "_Points":
        if len(series) == len(self.offsets) - 1:
            return self
        lengths = self.count[series]
        rows = take_ranges(self.offsets[:-1][series], lengths)
        return _Points(
            self.times[rows],
            offsets_of(lengths),
            self.gaps[rows],
            self.least[series],
            self.greatest[series],
        )

    def two_thirds_of_gaps(self, flags: BoolArray) -> BoolArray:
        flags[self.offsets[:-1]] = False  # the repeated gap of the first point does not count
        return count_segments(flags, self.offsets) * 3 >= (self.count - 1) * 2


def infer_frequencies(
    times: IntArray, offsets: IntArray, *, steps: bool, gaps: Gaps | None = None
) -> Inferred:
    """Infer the frequency of each series.

    Parameters
    ----------
    times : int64 [R]
        Timestamps, ascending and distinct within each series.
    offsets : int64 [N + 1]
        Borders of the series.
    steps : bool
        Whether times are plain integers instead of microseconds.
    gaps : Gaps, optional
        Distances between the timestamps; found by default.
    """
    lengths = np.diff(offsets)
    enough = np.flatnonzero(lengths >= MIN_TIMESTAMPS)
    rules = np.zeros((len(lengths), 3), np.int64)  # kind, count, day
    constant = np.zeros(len(lengths), np.bool_)
    if len(enough):
        points = _points(times, offsets, gaps)
        if len(enough) < len(lengths):
            points = points.select(enough)
        rules[enough], constant[enough] = _decide(points, steps=steps)
    return _collect(rules, lengths, constant)


def _points(times: IntArray, offsets: IntArray, measured: Gaps | None) -> _Points:
    if measured is not None:
        return _Points(times, offsets, measured.values, measured.least, measured.greatest)
    gaps = np.empty_like(times)
    np.subtract(times[1:], times[:-1], out=gaps[1:])
    starts = offsets[:-1][np.diff(offsets) >= MIN_TIMESTAMPS]
    gaps[starts] = gaps[starts + 1]
    least = reduce_segments(np.minimum, gaps, offsets, 0)
    return _Points(times, offsets, gaps, least, reduce_segments(np.maximum, gaps, offsets, 0))


def _decide(points: _Points, *, steps: bool) -> tuple[IntArray, BoolArray]:
    least = points.least
    rules = np.zeros((len(least), 3), np.int64)
    constant = least == points.greatest
    rules[constant, 0] = _STEPS if steps else _FIXED
    rules[constant, 1] = least[constant]
    # 25 days is the shortest distance of points that the month rule accepts: from 31 January to
    # 25 February. The rule overrides a constant gap: 1 July, 1 August, 1 September is monthly.
    if not steps:
        _apply(rules, points, np.flatnonzero(least >= 25 * DAY_US), _month_rules)
    undecided = np.flatnonzero((rules[:, 0] == _UNKNOWN) & ~constant)
    if len(undecided):
        rules[undecided] = _divisor_rules(points.select(undecided), least[undecided], steps=steps)
    if not steps:
        undecided = undecided[rules[undecided, 0] == _UNKNOWN]
        _apply(rules, points, undecided, _nearly_fixed_rules)
    return rules, constant


def _apply(
    rules: IntArray, points: _Points, series: IntArray, decide: Callable[[_Points], IntArray]
) -> None:
    if len(series):
        decided = decide(points.select(series))
        fits = decided[:, 0] != _UNKNOWN
        rules[series[fits]] = decided[fits]


def _month_rules(points: _Points) -> IntArray:
    offsets = points.offsets
    days, time_of_day = split_days(points.times)
    months, day, length = split_months(days)
    firsts = offsets[:-1]
    distances = np.diff(months, prepend=0)
    distances[firsts] = distances[firsts + 1]
    step = reduce_segments(np.gcd, distances, offsets, 0)
    one_time = all_segments(time_of_day == spread(time_of_day[firsts], offsets), offsets)
    at_end = all_segments(day == length, offsets)
    greatest = reduce_segments(np.maximum, day, offsets, 0)
    clipped = np.minimum(spread(greatest, offsets), length)
    on_day = all_segments(day == clipped, offsets)
    # Three points every 30 days, or four every 52 weeks, are near the same day of the month, too.
    uneven = ~all_segments(_are_multiples(points, points.least), offsets)
    near_end = all_segments(day >= length - 3, offsets) & uneven
    near_start = all_segments(day <= 4, offsets) & uneven
    chosen = np.select(
        [at_end & one_time, on_day & one_time, near_end, near_start],
        [MONTH_END, greatest, MONTH_END, 1],
        0,
    )
    rules = np.stack([np.full(len(step), _MONTHS), step, chosen], axis=1)
    # Two points of a month, which are 25 days apart, are on unlike days: no rule fits them.
    rules[chosen == 0] = 0
    return rules


def _divisor_rules(points: _Points, least: IntArray, *, steps: bool) -> IntArray:
    divisor = least.copy()
    multiples = all_segments(_are_multiples(points, least), points.offsets)
    odd = np.flatnonzero(~multiples)
    if len(odd):
        chosen = points.select(odd)
        divisor[odd] = reduce_segments(np.gcd, chosen.gaps, chosen.offsets, 0)
    limit = spread(divisor * _LONGEST_GAP_STEPS, points.offsets)
    # If the divisor is below half of the shortest gap, it is only arithmetic and not a grid: data
    # at the 15th and the end of each month is not daily, nor are Mondays and Thursdays.
    dense = points.two_thirds_of_gaps(points.gaps <= limit) & (least <= 2 * divisor)
    rules = np.zeros((len(least), 3), np.int64)
    rules[dense, 0] = _STEPS if steps else _FIXED
    rules[dense, 1] = divisor[dense]
    if not steps:
        daily = np.flatnonzero(dense & (divisor == DAY_US))
        business = daily[_are_business_days(points.select(daily))] if len(daily) else daily
        rules[business] = (_BUSINESS, 1, 0)
    return rules


def _are_multiples(points: _Points, divisor: IntArray) -> BoolArray:
    gaps = points.gaps
    # numpy divides much faster by a scalar than by an array.
    if (divisor == divisor[0]).all():
        multiples: BoolArray = gaps // divisor[0] * divisor[0] == gaps
    else:
        multiples = gaps % spread(divisor, points.offsets) == 0
    return multiples


def _are_business_days(points: _Points) -> BoolArray:
    days = points.times // DAY_US
    weekday = all_segments(weekdays(days) < 5, points.offsets)
    first, last = days[points.offsets[:-1]], days[points.offsets[1:] - 1]
    weeks = (last + 3) // 7 - (first + 3) // 7  # 1970 began on a Thursday, three days after Monday
    possible = business_number(last) - business_number(first) + 1
    return weekday & (weeks > 0) & (points.count * 2 >= possible)


def _nearly_fixed_rules(points: _Points) -> IntArray:
    step = _usual_step(_median_gaps(points))
    steps = spread(step, points.offsets)
    last = spread(points.times[points.offsets[1:] - 1], points.offsets)
    distance = last - points.times
    # Tests are written as products of integers: floats would round near the 5 %.
    off = np.abs(distance - nearest_steps(distance, steps) * steps)
    near = count_segments(off * 20 <= steps, points.offsets)
    usual = points.two_thirds_of_gaps(
        (points.gaps * 2 >= steps) & (points.gaps <= steps * _LONGEST_GAP_STEPS)
    )
    rules = np.stack([np.full(len(step), _FIXED), step, np.zeros_like(step)], axis=1)
    rules[~(usual & (near * 10 >= points.count * 9))] = 0
    return rules


def _median_gaps(points: _Points) -> IntArray:
    series = spread(np.arange(len(points.offsets) - 1), points.offsets)
    gaps = points.gaps.copy()
    gaps[points.offsets[:-1]] = -1  # the repeated gap sorts first and is left out below
    order = np.lexsort((gaps, series))
    medians: IntArray = gaps[order][points.offsets[:-1] + 1 + (points.count - 2) // 2]
    return medians


def _usual_step(gaps: IntArray) -> IntArray:
    right = np.minimum(np.searchsorted(_USUAL_STEPS, gaps), len(_USUAL_STEPS) - 1)
    below_index = np.maximum(right - 1, 0)
    above, below = _USUAL_STEPS[right], _USUAL_STEPS[below_index]
    usual = np.where(gaps - below < above - gaps, below, above)
    close = np.abs(gaps - usual) * 20 <= usual
    return np.where(close, usual, gaps)


def _collect(rules: IntArray, lengths: IntArray, constant: BoolArray) -> Inferred:
    reasons = np.where(lengths < MIN_TIMESTAMPS, Reason.NO_FREQUENCY, Reason.IRREGULAR)
    has_rule = rules[:, 0] != _UNKNOWN
    reasons[has_rule] = Reason.OK
    codes = np.full(len(lengths), -1, np.int64)
    distinct, codes[has_rule] = _distinct(rules[has_rule])
    return Inferred(
        tuple(_frequency(rule) for rule in distinct.tolist()),
        codes,
        reasons.astype(np.int8),
        constant & (rules[:, 0] != _MONTHS),
    )


def _distinct(rules: IntArray) -> tuple[IntArray, IntArray]:
    # Mostly all series of a batch have the same frequency, and np.unique over rows is slow.
    if len(rules) and (rules == rules[0]).all():
        return rules[:1], np.zeros(len(rules), np.int64)
    distinct, positions = np.unique(rules, axis=0, return_inverse=True)
    return distinct, positions.ravel()


def _frequency(rule: list[int]) -> Frequency:
    kind, count, day = rule
    if kind == _MONTHS:
        return Frequency.months(count, day)
    if kind == _BUSINESS:
        return Frequency.business()
    return Frequency.steps(count) if kind == _STEPS else Frequency.fixed(count)
