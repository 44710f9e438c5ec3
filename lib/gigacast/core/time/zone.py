"""The conversion between UTC and wall time, on arrays."""

import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import IntArray
from gigacast.core.column import to_arrow, to_numpy

_UTC = {"UTC", "Etc/UTC", "Z", "GMT", "Etc/GMT", "+00:00", "-00:00", "utc"}


def zone_of(kind: pa.DataType) -> str | None:
    """Return the zone of a timestamp type, or ``None`` if its wall time is the stored time."""
    zone = kind.tz if pa.types.is_timestamp(kind) else None
    return None if zone in _UTC else zone


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
