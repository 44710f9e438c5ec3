"""Between which values a row group lies, by its statistics.

Of floats they leave NaN out.
"""

import json
import struct
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from gigacast.core.dataset.predicate import Bounds

_UNITS = {"milliseconds": timedelta(milliseconds=1), "microseconds": timedelta(microseconds=1)}
_UTC = ZoneInfo("UTC")


def group_bounds(metadata: Any, index: int, columns: Sequence[str]) -> dict[str, Bounds]:
    """Return what a row group's statistics say of some columns; nothing where they are silent."""
    group = metadata.row_group(index)
    found: dict[str, Bounds] = {}
    for place in range(group.num_columns):
        column = group.column(place)
        if column.path_in_schema not in columns:
            continue
        statistics = column.statistics
        if statistics is not None and statistics.has_min_max:
            low, high = statistics_bounds(statistics)
            if low is not None:
                found[column.path_in_schema] = (low, high)
    return found


def statistics_bounds(statistics: Any) -> tuple[Any, Any]:
    """Return the least and the greatest value of a row group; ``None`` for what has no name."""
    logical = json.loads(statistics.logical_type.to_json())
    if logical["Type"] == "Float16" and statistics.has_min_max:
        return tuple(struct.unpack("<e", bound)[0] for bound in (statistics.min, statistics.max))
    step = _UNITS.get(logical.get("timeUnit", ""))
    if logical["Type"] != "Timestamp" or step is None or not statistics.has_min_max:
        return statistics.min, statistics.max
    # pyarrow would import pandas to make moments of them
    epoch = datetime(1970, 1, 1, tzinfo=_UTC if logical["isAdjustedToUTC"] else None)
    try:
        return epoch + statistics.min_raw * step, epoch + statistics.max_raw * step
    except OverflowError:  # beyond the year 9999
        return None, None
