"""Rows of a partition as series in time: their order, and what is wrong with it.

Everything is done for all series at once.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from gigacast.core.array import BoolArray, CodeArray, IntArray
from gigacast.core.series.batch import NO_TIME
from gigacast.core.time.frequency import Frequency
from gigacast.core.time.trading_calendar import Calendar
from gigacast.quality.measures import KeyQuality
from gigacast.series.inference import infer_frequencies
from gigacast.series.segment import offsets_of, offsets_without, run_starts, spread, take_ranges

_INFERRED_FROM = 1000
"""Rows of each series that its frequency is inferred from."""
_AT_ONCE = 1 << 18
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Arranged:
    """The rows that have a series and a time, series by series, in time.

    Parameters
    ----------
    rows : int
        All of the partition.
    order : int64 [K], optional
        Where each arranged row is in the partition; ``None`` when they are all of it, as it is.
    in_order : bool
        Whether ``order`` never goes back: then the partition can be streamed.
    times : int64 [K]
    codes : int64 [N]
        The series of each segment.
    offsets : int64 [N + 1]
    unordered : int
        Rows earlier than the row of their series before them.
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
        """Which rows have the series and the time of the row before them, bool [K]."""
        found = np.zeros(len(self.times), np.bool_)
        if len(self.times) > 1:
            np.equal(self.times[1:], self.times[:-1], out=found[1:])
            found[self.offsets[:-1]] = False
        return found


def arrange(codes: CodeArray | None, times: IntArray, *, ascending: bool = False) -> Arranged:
    """Bring rows in the order of their series and times; rows of one time keep theirs.

    Parameters
    ----------
    codes : int [R], optional
        The series of each row, below 0 for none; absent when there is one.
    times : int64 [R]
        `NO_TIME` where it cannot be read.
    ascending : bool
        Whether series must come in the order of their codes; else as they lie, if each lies
        together.
    """
    rows = len(times)
    known = times != NO_TIME
    if codes is not None:
        known &= codes >= 0
    order = None if known.all() else np.flatnonzero(known)
    times = times if order is None else times[order]
    if codes is not None:
        codes = codes if order is None else codes[order]
    cuts = np.arange(min(1, len(times))) if codes is None else run_starts(codes)
    runs = np.zeros(len(cuts), np.int64) if codes is None else codes[cuts].astype(np.int64)
    back = times[1:] < times[:-1]
    back[cuts[1:] - 1] = False
    contiguous = len(np.unique(runs)) == len(runs)
    if contiguous and not back.any() and not (ascending and (np.diff(runs) < 0).any()):
        offsets = np.append(cuts, len(times))
        return Arranged(rows, order, True, times, runs, offsets, 0)
    labels = spread(runs, np.append(cuts, len(times)))
    unordered = int(back.sum()) if contiguous else _count_back(labels, times)
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
    """Return rows that are in the order of their series and times, as `arrange` would."""
    cuts = np.arange(min(1, len(times))) if codes is None else run_starts(codes)
    runs = np.zeros(len(cuts), np.int64) if codes is None else codes[cuts].astype(np.int64)
    return Arranged(len(times), None, True, times, runs, np.append(cuts, len(times)), 0)


def _count_back(labels: IntArray, times: IntArray) -> int:
    by_series = np.argsort(labels, kind="stable")
    of, at = labels[by_series], times[by_series]
    return int(np.count_nonzero((at[1:] < at[:-1]) & (of[1:] == of[:-1])))


@dataclass(frozen=True, slots=True)
class Expectation:
    """When there should be rows.

    Parameters
    ----------
    calendar : Calendar
    frequency : Frequency, optional
        Inferred for each series when absent.
    counts_steps : bool
        Whether times are plain numbers.
    """

    calendar: Calendar = field(default_factory=Calendar)
    frequency: Frequency | None = None
    counts_steps: bool = False


def measure_keys(arranged: Arranged, expect: Expectation, names: pa.Array | None) -> KeyQuality:
    """Return what is to be said of the order of rows.

    Parameters
    ----------
    arranged : Arranged
    expect : Expectation
    names : pa.Array, optional
        The series' ids, by code.
    """
    repeated = arranged.repeated
    first = ~repeated
    frequencies, codes = _frequencies(arranged, expect)
    gaps = _Gaps(arranged, first, names)
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
        first=_text(int(times.min()), expect) if len(times) else None,
        last=_text(int(times.max()), expect) if len(times) else None,
    )


def _frequencies(arranged: Arranged, expect: Expectation) -> tuple[tuple[Frequency, ...], IntArray]:
    """Return the frequencies, and which of them each segment has (-1 for none)."""
    segments = len(arranged.codes)
    if expect.frequency is not None:
        return (expect.frequency,), np.zeros(segments, np.int64)
    starts, lengths = arranged.offsets[:-1], np.diff(arranged.offsets)
    looked_at = np.minimum(lengths, _INFERRED_FROM)
    times = arranged.times[take_ranges(starts, looked_at)]
    offsets = offsets_of(looked_at)
    again = np.zeros(len(times), np.bool_)
    again[1:] = times[1:] == times[:-1]
    again[starts_of(offsets)] = False
    if again.any():
        times, offsets = times[~again], offsets_of(~again)[offsets]
    found = infer_frequencies(times, offsets, steps=expect.counts_steps)
    return found.frequencies, found.codes


def starts_of(offsets: IntArray) -> IntArray:
    """Return where the segments that are not empty begin."""
    return offsets[:-1][np.diff(offsets) > 0]


def _count_frequencies(frequencies: tuple[Frequency, ...], codes: IntArray) -> dict[str, int]:
    counts = np.bincount(codes + 1, minlength=len(frequencies) + 1)
    names = ["irregular", *(frequency.alias for frequency in frequencies)]
    return {name: int(n) for name, n in zip(names, counts, strict=True) if n}


class _Gaps:
    """Adds up the missing steps, frequency by frequency."""

    def __init__(self, arranged: Arranged, first: BoolArray, names: pa.Array | None) -> None:
        self.missing = self.expected = self.count = 0
        self.longest: dict[str, Any] | None = None
        self._arranged = arranged
        self._first = first
        self._names = names

    def add(self, of: BoolArray, frequency: Frequency, expect: Expectation) -> int:
        """Count the gaps of the series of one frequency; return the rows off its grid."""
        arranged = self._arranged
        times, offsets = arranged.times, arranged.offsets
        segments = np.flatnonzero(of)
        if not self._first.all():
            times, offsets = times[self._first], offsets_without(~self._first, offsets)
        if not of.all():
            lengths = np.diff(offsets)[segments]
            times = times[take_ranges(offsets[segments], lengths)]
            offsets = offsets_of(lengths)
        if not len(times):
            return 0
        uneven = _Uneven.of(times, offsets, frequency, expect.calendar)
        gap = uneven.steps > 1
        rows, missing = uneven.rows[gap], uneven.steps[gap] - 1
        self.missing += int(missing.sum())
        self.expected += len(times) + int(missing.sum())
        self.count += len(rows)
        self._note_longest(rows, missing, times, (offsets, segments), expect)
        return _count_off_grid(times, *uneven.ranges(offsets), frequency)

    def _note_longest(
        self,
        rows: IntArray,
        missing: IntArray,
        times: IntArray,
        where: tuple[IntArray, IntArray],
        expect: Expectation,
    ) -> None:
        if not len(rows) or (self.longest and missing.max() <= self.longest["steps"]):
            return
        row = int(rows[missing.argmax()])
        offsets, segments = where
        segment = segments[np.searchsorted(offsets, row, side="right") - 1]
        code = int(self._arranged.codes[segment])
        name = None if self._names is None else str(self._names[code].as_py())
        after = _text(int(times[row]), expect)
        self.longest = {"series": name, "after": after, "steps": int(missing.max())}


class _Uneven(NamedTuple):
    """The rows after which the next one of the same series is not one step on.

    Parameters
    ----------
    rows, steps : int64 [U]
        Where, and how many steps on the next one is, to the nearest.
    suspects : int64 [S], optional
        Rows after which a series may have left its grid, or come back; anywhere when absent.
    """

    rows: IntArray
    steps: IntArray
    suspects: IntArray | None

    @classmethod
    def of(
        cls, times: IntArray, offsets: IntArray, frequency: Frequency, calendar: Calendar
    ) -> "_Uneven":
        """Find them."""
        last = offsets[1:-1] - 1  # from one series to the next
        if frequency.kind == "fixed" and calendar.is_always:
            distance = np.diff(times)
            distance[last] = frequency.count
            rows = np.flatnonzero(distance != frequency.count)
            distance = distance[rows]
            steps = (distance + frequency.count // 2) // frequency.count  # clocks jitter
            return cls(rows, steps, rows[distance % frequency.count != 0])
        steps = np.diff(calendar.rank(times, frequency))
        steps[last] = 1
        rows = np.flatnonzero(steps != 1)
        return cls(rows, steps[rows], None)

    def ranges(self, offsets: IntArray) -> tuple[IntArray, IntArray]:
        """Return where the segments that may have rows off their grid begin and end."""
        starts, stops = offsets[:-1], offsets[1:]
        if self.suspects is None:
            return starts, stops
        found = np.unique(np.searchsorted(offsets, self.suspects, side="right") - 1)
        return starts[found], stops[found]


def _count_off_grid(
    times: IntArray, starts: IntArray, stops: IntArray, frequency: Frequency
) -> int:
    """Count rows off the grid of a series' last row or, with fixed steps, of its first: the fewer.

    One row that is off, the last, does not make all others so.
    """
    lengths = stops - starts
    first, last = times[starts], times[stops - 1]
    off = np.zeros((2, len(last)), np.int64)
    fixed = frequency.kind in {"fixed", "steps"}
    offsets = offsets_of(lengths)
    for begin in range(0, int(offsets[-1]), _AT_ONCE):
        rows = np.arange(begin, min(begin + _AT_ONCE, int(offsets[-1])))
        own = np.searchsorted(offsets, rows, side="right") - 1
        some = times[rows + (starts - offsets[:-1])[own]]
        _, exact = frequency.grid_index(some, last[own])
        off[0] += np.bincount(own[~exact], minlength=len(last))
        if fixed:
            apart = (some - first[own]) % frequency.count != 0
            off[1] += np.bincount(own[apart], minlength=len(last))
    return int(off.min(axis=0).sum() if fixed else off[0].sum())


def _text(time: int, expect: Expectation) -> str:
    if expect.counts_steps:
        return str(time)
    return (_EPOCH + timedelta(microseconds=time)).isoformat()
