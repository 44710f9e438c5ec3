"""Order of the rows of a partition: series, times, duplicates and gaps, for all series at once."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from gigacast.core.array import BoolArray, CodeArray, IntArray
from gigacast.core.series.batch import NO_TIME
from gigacast.core.time.frequency import Frequency
from gigacast.core.time.trading_calendar import Calendar
from gigacast.core.time.zone import to_wall
from gigacast.quality.measures import KeyQuality
from gigacast.series.grid import have_short_gaps
from gigacast.series.inference import infer_frequencies
from gigacast.series.segment import offsets_of, offsets_without, run_starts, spread, take_ranges

_INFERRED_FROM = 1000
"""Rows of each series from which its frequency is inferred."""
_AT_ONCE = 1 << 18
"""Rows compared with their grid at a time, to bound memory."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Arranged:
    """The K rows that have a series and a time, in the order of series and time.

    Parameters
    ----------
    rows : int
        Number of rows of the partition.
    order : int64 [K], optional
        Position of each arranged row in the partition; ``None`` if they are all its rows, in order.
    in_order : bool
        Whether ``order`` ascends: then the partition can be streamed.
    times : int64 [K]
    codes : int64 [N]
        Series of each segment.
    offsets : int64 [N + 1]
    unordered : int
        Number of rows that are earlier than the row before them in their series.
    """

    rows: int
    order: IntArray | None
    in_order: bool
    times: IntArray
    codes: IntArray
    offsets: IntArray
    unordered: int

    @property
    def repeated(self) -> BoolArray:
        """Which rows have the series and time of the row before them, bool [K]."""
        repeated = np.zeros(len(self.times), np.bool_)
        if len(self.times) > 1:
            np.equal(self.times[1:], self.times[:-1], out=repeated[1:])
            repeated[self.offsets[:-1]] = False
        return repeated


def arrange(codes: CodeArray | None, times: IntArray, *, ascending: bool = False) -> Arranged:
    """Return rows in the order of series and time. Rows with the same key keep their order.

    Parameters
    ----------
    codes : int [R], optional
        Series of each row, negative if it has none; a single series by default.
    times : int64 [R]
        Times, `NO_TIME` where unreadable.
    ascending : bool
        Whether series must be in the order of their codes. By default they keep their order in the
        partition if the rows of each series are contiguous.
    """
    rows = len(times)
    has_key = times != NO_TIME
    if codes is not None:
        has_key &= codes >= 0
    order = None if has_key.all() else np.flatnonzero(has_key)
    times = times if order is None else times[order]
    if codes is not None:
        codes = codes if order is None else codes[order]
    cuts = np.arange(min(1, len(times))) if codes is None else run_starts(codes)
    runs = np.zeros(len(cuts), np.int64) if codes is None else codes[cuts].astype(np.int64)
    # If the rows are in order already, the partition is neither sorted nor copied.
    back = times[1:] < times[:-1]
    # The first row of a series may be earlier than the last one of the series before.
    back[cuts[1:] - 1] = False
    contiguous = len(np.unique(runs)) == len(runs)
    if contiguous and not back.any() and not (ascending and (np.diff(runs) < 0).any()):
        offsets = np.append(cuts, len(times))
        return Arranged(rows, order, True, times, runs, offsets, 0)
    labels = spread(runs, np.append(cuts, len(times)))
    unordered = int(back.sum()) if contiguous else _count_back(labels, times)
    # Stable, so that of duplicates the first and last in the partition stay so.
    arranged = np.lexsort((times, labels))
    present, lengths = np.unique(labels, return_counts=True)
    return Arranged(
        rows=rows,
        order=arranged if order is None else order[arranged],
        in_order=False,
        times=times[arranged],
        codes=present,
        offsets=offsets_of(lengths),
        unordered=unordered,
    )


def arranged_rows(codes: CodeArray | None, times: IntArray) -> Arranged:
    """Return rows that are known to be in the order of series and time, without checking it."""
    cuts = np.arange(min(1, len(times))) if codes is None else run_starts(codes)
    runs = np.zeros(len(cuts), np.int64) if codes is None else codes[cuts].astype(np.int64)
    return Arranged(len(times), None, True, times, runs, np.append(cuts, len(times)), 0)


def _count_back(labels: IntArray, times: IntArray) -> int:
    """Count the rows that are earlier than the row before them in their series."""
    by_series = np.argsort(labels, kind="stable")
    labels, times = labels[by_series], times[by_series]
    return int(np.count_nonzero((times[1:] < times[:-1]) & (labels[1:] == labels[:-1])))


@dataclass(frozen=True, slots=True)
class Expectation:
    """The times at which rows are expected.

    Parameters
    ----------
    calendar : Calendar
        Trading calendar; always open by default.
    frequency : Frequency, optional
        Frequency of all series; inferred for each series by default.
    counts_steps : bool
        Whether times are step numbers.
    zone : str, optional
        Zone in whose wall time days and longer steps are counted; UTC by default.
    """

    calendar: Calendar = field(default_factory=Calendar)
    frequency: Frequency | None = None
    counts_steps: bool = False
    zone: str | None = None


def measure_keys(arranged: Arranged, expect: Expectation, names: pa.Array | None) -> KeyQuality:
    """Measure the order of rows: duplicates, gaps, rows off the grid.

    Parameters
    ----------
    arranged : Arranged
    expect : Expectation
    names : pa.Array, optional
        Ids of the series, by code; ``None`` for a single series.
    """
    repeated = arranged.repeated
    first = ~repeated
    own = _in_own_clock(arranged, expect)
    frequencies, codes = _frequencies(own, expect)
    gaps = _Gaps(own, arranged.times, first, names)
    off_grid = 0
    for code, frequency in enumerate(frequencies):
        off_grid += gaps.add(codes == code, frequency, expect)
    times = arranged.times
    return KeyQuality(
        rows=arranged.rows,
        series=len(arranged.codes),
        null_keys=arranged.rows - len(times),
        duplicates=int(np.count_nonzero(repeated)),
        unordered=arranged.unordered,
        off_grid=off_grid,
        missing_steps=gaps.missing,
        expected_steps=gaps.expected,
        gaps=gaps.count,
        longest_gap=gaps.longest,
        frequencies=_count_frequencies(frequencies, codes),
        first=time_text(int(times.min()), expect) if len(times) else None,
        last=time_text(int(times.max()), expect) if len(times) else None,
    )


def _in_own_clock(arranged: Arranged, expect: Expectation) -> Arranged:
    """Return rows whose times are in the wall time of the zone in series of long steps."""
    # A trading calendar has a zone of its own, and takes UTC.
    if expect.zone is None or not expect.calendar.is_always or not len(arranged.times):
        return arranged
    times, offsets = arranged.times, arranged.offsets
    in_utc = have_short_gaps(times, offsets)
    if expect.frequency is not None:
        in_utc[:] = not expect.frequency.in_wall_time
    if in_utc.all():
        return arranged
    own = np.where(spread(in_utc, offsets), times, to_wall(times, expect.zone))
    return replace(arranged, times=own)


def _frequencies(arranged: Arranged, expect: Expectation) -> tuple[tuple[Frequency, ...], IntArray]:
    """Return the frequencies, and the index of each series' frequency (-1 for none), int64 [N]."""
    segments = len(arranged.codes)
    if expect.frequency is not None:
        return (expect.frequency,), np.zeros(segments, np.int64)
    starts, lengths = arranged.offsets[:-1], np.diff(arranged.offsets)
    # The first rows suffice, and memory does not grow with the length of the series.
    sampled = np.minimum(lengths, _INFERRED_FROM)
    times = arranged.times[take_ranges(starts, sampled)]
    offsets = offsets_of(sampled)
    repeated = np.zeros(len(times), np.bool_)
    repeated[1:] = times[1:] == times[:-1]
    repeated[starts_of(offsets)] = False
    # Duplicates would look like steps of no length.
    if repeated.any():
        times, offsets = times[~repeated], offsets_of(~repeated)[offsets]
    inferred = infer_frequencies(times, offsets, steps=expect.counts_steps)
    return inferred.frequencies, inferred.codes


def starts_of(offsets: IntArray) -> IntArray:
    """Return the starts of the segments that are not empty."""
    return offsets[:-1][np.diff(offsets) > 0]


def _count_frequencies(frequencies: tuple[Frequency, ...], codes: IntArray) -> dict[str, int]:
    counts = np.bincount(codes + 1, minlength=len(frequencies) + 1)
    names = ["irregular", *(frequency.alias for frequency in frequencies)]
    return {name: int(n) for name, n in zip(names, counts, strict=True) if n}


class _Gaps:
    """Sums the missing steps over the frequencies of a partition."""

    def __init__(
        self, arranged: Arranged, utc: IntArray, first: BoolArray, names: pa.Array | None
    ) -> None:
        self.missing = self.expected = self.count = 0
        self.longest: dict[str, Any] | None = None
        self._arranged = arranged
        self._utc = utc
        self._first = first
        self._names = names

    def add(self, chosen: BoolArray, frequency: Frequency, expect: Expectation) -> int:
        """Count the gaps of the chosen series, bool [N]; return the number of rows off the grid."""
        arranged = self._arranged
        times, utc, offsets = arranged.times, self._utc, arranged.offsets
        segments = np.flatnonzero(chosen)
        # A repeated time is no step of the series.
        if not self._first.all():
            times, utc = times[self._first], utc[self._first]
            offsets = offsets_without(~self._first, offsets)
        if not chosen.all():
            lengths = np.diff(offsets)[segments]
            rows = take_ranges(offsets[segments], lengths)
            times, utc, offsets = times[rows], utc[rows], offsets_of(lengths)
        if not len(times):
            return 0
        uneven = _Uneven.of(times, offsets, frequency, expect.calendar)
        gap = uneven.steps > 1
        rows, missing = uneven.rows[gap], uneven.steps[gap] - 1
        self.missing += int(missing.sum())
        self.expected += len(times) + int(missing.sum())
        self.count += len(rows)
        self._note_longest(rows, missing, utc, (offsets, segments), expect)
        # Most series are even: only those with an odd distance are compared with their grid.
        return _count_off_grid(times, *uneven.ranges(offsets), frequency)

    def _note_longest(
        self,
        rows: IntArray,
        missing: IntArray,
        times: IntArray,
        segments: tuple[IntArray, IntArray],
        expect: Expectation,
    ) -> None:
        if not len(rows) or (self.longest and missing.max() <= self.longest["steps"]):
            return
        row = int(rows[missing.argmax()])
        offsets, numbers = segments
        segment = numbers[np.searchsorted(offsets, row, side="right") - 1]
        code = int(self._arranged.codes[segment])
        name = None if self._names is None else str(self._names[code].as_py())
        after = time_text(int(times[row]), expect)
        self.longest = {"series": name, "after": after, "steps": int(missing.max())}


class _Uneven(NamedTuple):
    """The U rows whose next row in the series is not exactly one step later.

    Parameters
    ----------
    rows, steps : int64 [U]
        Their positions, and the nearest number of steps to the next row.
    suspects : int64 [S], optional
        Rows after which a series may have left or joined its grid; ``None`` if any may have.
    """

    rows: IntArray
    steps: IntArray
    suspects: IntArray | None

    @classmethod
    def of(
        cls, times: IntArray, offsets: IntArray, frequency: Frequency, calendar: Calendar
    ) -> "_Uneven":
        """Return the uneven rows of some series."""
        last = offsets[1:-1] - 1  # their next row is of another series
        if frequency.kind == "fixed" and calendar.is_always:
            distance = np.diff(times)
            distance[last] = frequency.count
            rows = np.flatnonzero(distance != frequency.count)
            distance = distance[rows]
            # To the nearest step, as clocks jitter.
            steps = (distance + frequency.count // 2) // frequency.count
            return cls(rows, steps, rows[distance % frequency.count != 0])
        steps = np.diff(calendar.rank(times, frequency))
        steps[last] = 1
        rows = np.flatnonzero(steps != 1)
        return cls(rows, steps[rows], None)

    def ranges(self, offsets: IntArray) -> tuple[IntArray, IntArray]:
        """Return the starts and ends of the segments that may have rows off their grid."""
        starts, stops = offsets[:-1], offsets[1:]
        if self.suspects is None:
            return starts, stops
        segments = np.unique(np.searchsorted(offsets, self.suspects, side="right") - 1)
        return starts[segments], stops[segments]


def _count_off_grid(
    times: IntArray, starts: IntArray, stops: IntArray, frequency: Frequency
) -> int:
    """Count the rows off the grid of each series, which passes through its last row.

    With fixed steps a grid through the first row is tried too, and the one with fewer rows off it
    counts: otherwise a single row off the grid, the last, would make all others so.
    """
    lengths = stops - starts
    first, last = times[starts], times[stops - 1]
    off = np.zeros((2, len(last)), np.int64)
    fixed = frequency.kind in {"fixed", "steps"}
    offsets = offsets_of(lengths)
    # A fixed grid may pass through the first or the last row. The one that fewer rows are off is
    # taken, so that a single stray row at an end does not put all others off.
    for begin in range(0, int(offsets[-1]), _AT_ONCE):
        rows = np.arange(begin, min(begin + _AT_ONCE, int(offsets[-1])))
        own = np.searchsorted(offsets, rows, side="right") - 1
        part = times[rows + (starts - offsets[:-1])[own]]
        _, exact = frequency.grid_index(part, last[own])
        off[0] += np.bincount(own[~exact], minlength=len(last))
        if fixed:
            apart = (part - first[own]) % frequency.count != 0
            off[1] += np.bincount(own[apart], minlength=len(last))
    return int(off.min(axis=0).sum() if fixed else off[0].sum())


def time_text(time: int, expect: Expectation) -> str:
    """Return a time in ISO 8601, or a step as its number."""
    if expect.counts_steps:
        return str(time)
    return (_EPOCH + timedelta(microseconds=time)).isoformat()
