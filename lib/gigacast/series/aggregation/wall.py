"""Wall times without an offset, in the zone that the settings name for them.

Of an hour that occurs twice, when clocks are set back, the order of the rows of a series says which
is which (`from_ordered_wall`); where it does not, and where a time does not exist, the rows are
refused. Rows come in batches, and a change of clocks may be in two of them: rows at the end of a
batch wait for those that follow.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from gigacast.core.array import BoolArray, IntArray
from gigacast.core.column import to_numpy
from gigacast.core.plural import counted
from gigacast.core.series.batch import NO_TIME
from gigacast.core.time.bins import Bins
from gigacast.core.time.calendar_grid import DAY_US
from gigacast.core.time.zone import from_ordered_wall, from_wall
from gigacast.errors import SchemaError
from gigacast.series.rows import ItemRows, concat_rows
from gigacast.series.segment import spread
from gigacast.series.source import ReadOptions
from gigacast.series.timestamp import Clock

_HINT = (
    "write UTC or the offset (2024-10-27 02:30+01:00); an hour that occurs twice is told apart if "
    "the rows of each series are complete and in order"
)


@dataclass(frozen=True, slots=True)
class WallZone:
    """The zone of wall times that are aggregated.

    Parameters
    ----------
    zone : str, optional
        ``None`` for moments, dates and steps, and if no zone is named.
    days : bool
        Whether bins are days or longer: their labels have no hour that comes twice.
    """

    zone: str | None
    days: bool

    @classmethod
    def of(cls, options: ReadOptions, kind: pa.DataType) -> "WallZone":
        """Return the zone that options name for times of a type."""
        aggregation, freq = options.aggregation, options.freq
        is_wall = pa.types.is_timestamp(kind) and kind.tz is None
        if aggregation is None or freq is None or not is_wall:
            return cls(None, days=False)
        return cls(aggregation.zone, Bins(freq).frequency.in_wall_time)

    def read(self, parts: Iterable[tuple[ItemRows, str]]) -> Iterator[ItemRows]:
        """Yield the rows of parts with the names of their objects; wall times become UTC.

        Raises
        ------
        SchemaError
            If a wall time is not one moment.
        """
        if self.zone is not None:
            return in_moments(parts, self.zone)
        return (part for part, _ in parts)

    def binning(self, clock: Clock) -> Clock:
        """Return the clock by which bins are cut."""
        if self.zone is None:
            return clock
        return Clock(pa.timestamp(clock.output_type.unit, self.zone), clock.unit)

    def labelling(self, clock: Clock) -> Clock:
        """Return the clock of the labels: wall time for days, and the zone's for shorter bins."""
        # Wall time would have one label for both hours where clocks go back.
        return clock if self.days else self.binning(clock)


def moments_of(wall: IntArray, series: IntArray, zone: str, name: str) -> IntArray:
    """Return the UTC microseconds of wall times, int64 [R].

    Times of series that have midnights only are days, whose midnight may not exist or come twice.

    Parameters
    ----------
    wall : int64 [R]
        Wall times in microseconds, in the order of the rows.
    series : int64 [R]
        Number of the series of each row.
    zone : str
    name : str
        Name of the object, for error messages.

    Raises
    ------
    SchemaError
        If clocks go back or forward and the order of the rows does not resolve a time.
    """
    is_day = _are_days(wall, series)
    if is_day.all():
        return from_wall(wall, zone)
    utc, ambiguous, missing = from_ordered_wall(wall, series, zone)
    utc[is_day] = from_wall(wall[is_day], zone)
    for mask, one, problem in (
        (ambiguous & ~is_day, "occurs twice", "occur twice"),
        (missing & ~is_day, "does not exist", "do not exist"),
    ):
        if mask.any():
            count = int(mask.sum())
            raise SchemaError(
                f"{name}: {counted(count, 'local time')} {one if count == 1 else problem} in "
                f"{zone}, where clocks are changed, such as {_text(wall[mask.argmax()])}",
                hint=_HINT,
            )
    return utc


def in_moments(parts: Iterable[tuple[ItemRows, str]], zone: str) -> Iterator[ItemRows]:
    """Yield the rows of parts, whose wall times become UTC.

    Parameters
    ----------
    parts : iterable of (ItemRows, str)
        Rows as they come, and the name of their object.
    zone : str

    Raises
    ------
    SchemaError
        See `moments_of`.
    """
    waiting: list[ItemRows] = []
    name = ""
    for part, own in parts:
        name = own
        rows = concat_rows([*waiting, part]) if waiting else part
        waits = _may_go_on(rows, zone)
        waiting = []
        if waits.any():
            held = rows.filter_rows(waits)
            waiting = [held.take_runs(np.flatnonzero(np.diff(held.offsets)))]
            rows = rows.filter_rows(~waits)
        yield _resolved(rows, zone, name)
    if waiting:
        yield _resolved(waiting[0], zone, name)


def _resolved(rows: ItemRows, zone: str, name: str) -> ItemRows:
    is_time = rows.times != NO_TIME
    times = rows.times.copy()
    times[is_time] = moments_of(times[is_time], _series_of(rows)[is_time], zone, name)
    return replace(rows, times=times)


def _may_go_on(rows: ItemRows, zone: str) -> BoolArray:
    """Return the rows of each change of clocks at the end of a series: it may go on, bool [R]."""
    waits = np.zeros(len(rows.times), np.bool_)
    is_time = rows.times != NO_TIME
    timed = np.flatnonzero(is_time)
    wall, series = rows.times[timed], _series_of(rows)[timed]
    _, ambiguous, _ = from_ordered_wall(wall, np.arange(len(wall)), zone)
    if not ambiguous.any():
        return waits
    # Each row alone is a series, so that the order resolves none.
    last = np.zeros(series.max() + 1, np.int64)
    last[series] = np.arange(len(series))
    days = wall // DAY_US
    open_day = np.where(ambiguous[last], days[last], np.iinfo(np.int64).min)
    waits[timed] = ambiguous & (days == open_day[series])
    return waits


def _series_of(rows: ItemRows) -> IntArray:
    """Return the number of the item of each row, int64 [R]."""
    numbers: IntArray = to_numpy(rows.item_ids.dictionary_encode().indices).astype(np.int64)
    return spread(numbers, rows.offsets)


def _are_days(wall: IntArray, series: IntArray) -> BoolArray:
    """Return whether the series of each row has midnights only, bool [R]."""
    is_clock = wall % DAY_US != 0
    if not is_clock.any():
        return np.ones(len(wall), np.bool_)
    _, numbers = np.unique(series, return_inverse=True)
    days: BoolArray = np.bincount(numbers, is_clock) == 0
    return days[numbers]


def _text(wall: np.int64) -> str:
    return str(np.datetime64(int(wall), "us").astype("datetime64[s]"))
