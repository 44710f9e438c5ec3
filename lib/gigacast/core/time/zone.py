"""The conversion between UTC and wall time, on arrays."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import BoolArray, IntArray
from gigacast.core.column import to_arrow, to_numpy
from gigacast.errors import ConfigError, SchemaError

_DAY_US = 86_400_000_000
_RULES_FROM = 2_114_380_800_000_000
"""Start of 2037 in microseconds."""
_CYCLE_US = 146_097 * _DAY_US
"""Four hundred years, after which the calendar repeats."""
# All names of UTC in the time zone database, its offsets, and ISO 8601's Z.
_UTC = re.compile(
    r"(?:etc/)?(?:utc|uct|zulu|universal|greenwich|gmt(?:[+-]?0)?)|z|(?:utc|gmt)?[+-]00(?::?00)?",
    re.IGNORECASE,
)
_DATABASE = {"UTC", "UCT", "Zulu", "Universal", "Greenwich", "GMT", "GMT0", "GMT+0", "GMT-0"}
_OFFSET = re.compile(r"[+-]00:00")


def zone_of(kind: pa.DataType) -> str | None:
    """Return the zone of a timestamp type, or ``None`` if its wall time is the stored time."""
    zone = kind.tz if pa.types.is_timestamp(kind) else None
    return None if zone is None or _is_utc(zone) else zone


def named_zone(kind: pa.DataType) -> str | None:
    """Return the zone of a timestamp type, ``UTC`` however it is spelt; ``None`` without a zone."""
    zone = kind.tz if pa.types.is_timestamp(kind) else None
    return "UTC" if zone is not None and _is_utc(zone) else zone


def with_readable_zone(kind: pa.DataType) -> pa.DataType:
    """Return the timestamp type with ``UTC`` where its spelling of UTC is no zone for Arrow.

    Arrow stores ``Z``, ``utc`` or ``+0000`` as they come, and fails when it converts the times.
    """
    zone = kind.tz if pa.types.is_timestamp(kind) else None
    if zone is None or not _is_utc(zone) or _OFFSET.fullmatch(zone) or _is_in_database(zone):
        return kind
    return pa.timestamp(kind.unit, "UTC")


def _is_utc(zone: str) -> bool:
    return _UTC.fullmatch(zone) is not None


def _is_in_database(zone: str) -> bool:
    return zone in _DATABASE or zone.removeprefix("Etc/") in _DATABASE


def check_zone(zone: str | None) -> None:
    """Check that a time zone is known.

    Raises
    ------
    ConfigError
        If it is not.
    """
    try:
        to_wall(np.zeros(1, np.int64), zone)
    except pa.ArrowInvalid as error:
        hint = "a name of the IANA, such as Europe/London or UTC"
        raise ConfigError(f"there is no time zone {zone!r}", hint=hint) from error


def to_wall(times: IntArray, zone: str | None) -> IntArray:
    """Return the wall times of UTC microseconds, int64 [N]."""
    if zone is None or len(times) == 0:
        return times
    wall = pc.local_timestamp(to_arrow(times).cast(pa.timestamp("us", zone)))
    result: IntArray = to_numpy(wall.cast(pa.int64()))
    if times.max() >= _RULES_FROM and not _is_offset(zone):
        result = result.copy()
        late = np.flatnonzero(times >= _RULES_FROM)
        result[late] = _ruled(times[late], zone, lambda rule, utc: utc + rule.offset(utc))
    return result


def from_wall(times: IntArray, zone: str | None) -> IntArray:
    """Return the UTC microseconds of wall times, int64 [N].

    A wall time that occurs twice, when clocks are set back, is the earlier one. A wall time that
    does not exist, when clocks are set forward, becomes the first one after the gap.
    """
    if zone is None or len(times) == 0:
        return times
    return _assume(times, zone, "earliest")


def from_ordered_wall(
    times: IntArray, series: IntArray, zone: str
) -> tuple[IntArray, BoolArray, BoolArray]:
    """Return the UTC microseconds of wall times, by the order of their rows where clocks go back.

    Of an hour that occurs twice, the rows before the one that falls back are the earlier ones, as
    pandas' ``ambiguous="infer"`` has it. Series whose rows descend are read from their end.

    Parameters
    ----------
    times : int64 [R]
        Wall times in microseconds.
    series : int64 [R]
        Number of the series of each row.
    zone : str

    Returns
    -------
    utc : int64 [R]
    ambiguous : bool [R]
        Whether the order does not say which of two moments is meant.
    missing : bool [R]
        Whether the wall time does not exist, because clocks were set forward.
    """
    utc, later = _assume(times, zone, "earliest"), _assume(times, zone, "latest")
    ambiguous, missing = utc != later, to_wall(utc, zone) != times
    rows = np.flatnonzero(ambiguous)
    if len(rows) == 0:
        return utc, ambiguous, missing
    # A change of clocks is the group of the ambiguous rows of a series on one day.
    _, numbers = np.unique(series, return_inverse=True)
    direction = _directions(times, numbers)[numbers[rows]]
    days = times[rows] // _DAY_US
    order = np.lexsort((rows * direction, days, numbers[rows]))
    rows = rows[order]
    same = np.zeros(len(rows), np.bool_)
    same[1:] = (np.diff(numbers[rows]) == 0) & (np.diff(days[order]) == 0)
    groups = np.cumsum(~same) - 1
    falls = np.zeros(len(rows), np.int64)
    falls[1:] = same[1:] & (np.diff(times[rows]) <= 0)
    counts = np.bincount(groups, falls).astype(np.int64)
    before = np.cumsum(falls) - np.repeat(np.cumsum(counts) - counts, np.bincount(groups))
    is_known = counts[groups] == 1
    utc[rows[is_known & (before == 1)]] = later[rows[is_known & (before == 1)]]
    ambiguous[rows[is_known]] = False
    return utc, ambiguous, missing


def _directions(times: IntArray, series: IntArray) -> IntArray:
    """Return 1 for each series whose last row is not before its first, else -1."""
    _, first = np.unique(series, return_index=True)
    _, backwards = np.unique(series[::-1], return_index=True)
    last = len(series) - 1 - backwards
    return np.where(times[last] < times[first], -1, 1)


def _assume(times: IntArray, zone: str, ambiguous: str) -> IntArray:
    wall = to_arrow(times).cast(pa.timestamp("us"))
    zoned = pc.assume_timezone(wall, zone, ambiguous=ambiguous, nonexistent="latest")
    result: IntArray = to_numpy(zoned.cast(pa.int64()))
    if len(times) and times.max() >= _RULES_FROM and not _is_offset(zone):
        result = result.copy()
        late = np.flatnonzero(times >= _RULES_FROM)
        read = _Rule.earliest if ambiguous == "earliest" else _Rule.latest
        result[late] = _ruled(times[late], zone, read)
    return result


# -- after 2037 ------------------------------------------------------------------------------------
#
# Arrow takes the changes of clocks that are written out in the time zone database, which end in
# 2037, and not its rule for all later years: summers would have winter's time. `zoneinfo` follows
# the rule.


@dataclass(frozen=True)
class _Rule:
    """Changes of a zone's clocks over some years.

    Parameters
    ----------
    instants : int64 [C]
        UTC microseconds of the changes.
    offsets : int64 [C + 1]
        Microseconds of wall time ahead of UTC, before the first change and after each.
    """

    instants: IntArray
    offsets: IntArray

    def offset(self, utc: IntArray) -> IntArray:
        """Return the offset at some instants."""
        return self.offsets[np.searchsorted(self.instants, utc, side="right")]

    def earliest(self, wall: IntArray) -> IntArray:
        """Return the first instant of each wall time, or the one after the gap it is in."""
        ends = self.instants + np.maximum(self.offsets[:-1], self.offsets[1:])
        places = np.searchsorted(ends, wall, side="right")
        next_change = np.append(self.instants, np.iinfo(np.int64).max)[places]
        utc: IntArray = np.minimum(wall - self.offsets[places], next_change)
        return utc

    def latest(self, wall: IntArray) -> IntArray:
        """Return the last instant of each wall time, or the one after the gap it is in."""
        starts = self.instants + np.minimum(self.offsets[:-1], self.offsets[1:])
        places = np.searchsorted(starts, wall, side="right")
        last_change = np.append(np.iinfo(np.int64).min, self.instants)[places]
        utc: IntArray = np.maximum(wall - self.offsets[places], last_change)
        return utc


def _ruled(times: IntArray, zone: str, read: Callable[[_Rule, IntArray], IntArray]) -> IntArray:
    """Return times after 2037 as a rule reads them."""
    # The calendar repeats, with its days of the week, so that few years are computed. The first
    # cycle stays as it is: changes may be written out far into it (Morocco's until 2087).
    shift: IntArray = np.maximum((times - _RULES_FROM) // _CYCLE_US - 1, 0) * _CYCLE_US
    shifted = times - shift
    # A day more on either side: wall time and UTC may be in different years.
    days = np.concatenate([shifted - _DAY_US, shifted, shifted + _DAY_US]).astype("datetime64[us]")
    years = np.unique(days.astype("datetime64[Y]").astype(np.int64)) + 1970
    return read(_rule_of(zone, years.tolist()), shifted) + shift


def _rule_of(zone: str, years: Sequence[int]) -> _Rule:
    changes = [change for year in years for change in _changes_in(zone, year)]
    instants, offsets = np.array(changes, np.int64).T
    return _Rule(instants, np.append(offsets[0], offsets))


@lru_cache(maxsize=4096)
def _changes_in(zone: str, year: int) -> tuple[tuple[int, int], ...]:
    """Return instant and offset of the start of a year and of each change of clocks in it.

    Both in microseconds.
    """
    day = datetime(year, 1, 1, tzinfo=UTC)
    changes = [(int(day.timestamp()) * 1_000_000, _offset_at(zone, day))]
    while day.year == year:
        end = day + timedelta(days=1)
        if (after := _offset_at(zone, end)) != _offset_at(zone, day):
            low, high = 0, 86_400  # seconds of the day: clocks change at the latter
            while high - low > 1:
                middle = (low + high) // 2
                is_after = _offset_at(zone, day + timedelta(seconds=middle)) == after
                low, high = (low, middle) if is_after else (middle, high)
            changes.append(((int(day.timestamp()) + high) * 1_000_000, after))
        day = end
    return tuple(changes)


def _offset_at(zone: str, moment: datetime) -> int:
    try:
        offset = moment.astimezone(ZoneInfo(zone)).utcoffset()
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise SchemaError(
            f"the rule of the time zone {zone!r} after 2037 is not known on this machine",
            hint="install the system's time zone data (tzdata), or write UTC",
        ) from error
    return (offset or timedelta(0)) // timedelta(microseconds=1)


def _is_offset(zone: str) -> bool:
    """Check whether a zone is an offset such as ``+05:30``, which never changes."""
    return zone[:1] in {"+", "-"}
