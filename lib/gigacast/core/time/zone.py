"""The conversion between UTC and wall time, on arrays."""

import re

import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import IntArray
from gigacast.core.column import to_arrow, to_numpy

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
    wall = to_arrow(times).cast(pa.timestamp("us"))
    zoned = pc.assume_timezone(wall, zone, ambiguous="earliest", nonexistent="latest")
    result: IntArray = to_numpy(zoned.cast(pa.int64()))
    return result
