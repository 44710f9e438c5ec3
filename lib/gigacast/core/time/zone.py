"""The conversion between UTC and wall time, on arrays."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import BoolArray, IntArray
from gigacast.core.column import to_arrow, to_numpy
from gigacast.errors import ConfigError

_DAY_US = 86_400_000_000
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
    return result
