"""Bounds of the row groups of a Parquet file, by its statistics.

The statistics of floats leave NaN out. Times stored as text are compared as text, but only if the
order of the texts is that of the times: all bounds are in ISO 8601, of the same form, without a
zone. Times of another form, such as ``31.01.2024``, sort before or behind those of this form, so
they show as a bound; then no row group is excluded.
"""

import json
import re
import struct
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from gigacast.core.dataset.predicate import Bounds

_UNITS = {"milliseconds": timedelta(milliseconds=1), "microseconds": timedelta(microseconds=1)}
_UTC = ZoneInfo("UTC")
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?)?")
_DIGIT = re.compile(r"[0-9]")


def group_bounds(metadata: Any, index: int, columns: Sequence[str]) -> dict[str, Bounds]:
    """Return the bounds of some columns in a row group, for those that have statistics."""
    group = metadata.row_group(index)
    bounds: dict[str, Bounds] = {}
    for place in range(group.num_columns):
        column = group.column(place)
        if column.path_in_schema not in columns:
            continue
        statistics = column.statistics
        if statistics is not None and statistics.has_min_max:
            low, high = statistics_bounds(statistics)
            if low is not None:
                bounds[column.path_in_schema] = (low, high)
    return bounds


def statistics_bounds(statistics: Any) -> tuple[Any, Any]:
    """Return the least and greatest value of a column chunk.

    ``None`` for times after the year 9999, which Python cannot express.
    """
    logical = json.loads(statistics.logical_type.to_json())
    # pyarrow returns the bounds of float16 as their two bytes.
    if logical["Type"] == "Float16" and statistics.has_min_max:
        return tuple(struct.unpack("<e", bound)[0] for bound in (statistics.min, statistics.max))
    step = _UNITS.get(logical.get("timeUnit", ""))
    if logical["Type"] != "Timestamp" or step is None or not statistics.has_min_max:
        return statistics.min, statistics.max
    # pyarrow would import pandas to convert times.
    epoch = datetime(1970, 1, 1, tzinfo=_UTC if logical["isAdjustedToUTC"] else None)
    try:
        return epoch + statistics.min_raw * step, epoch + statistics.max_raw * step
    except OverflowError:
        return None, None


def time_bounds(metadata: Any, column: str) -> list[Bounds | None]:
    """Return the least and greatest time of each row group; ``None`` if they are not certain.

    Times stored as text are returned as text; see `later_than`.
    """
    groups = range(metadata.num_row_groups)
    bounds = [group_bounds(metadata, group, [column]).get(column) for group in groups]
    texts = [value for pair in bounds if pair is not None for value in pair if _is_text(value)]
    return bounds if not texts or _have_one_form(texts) else [None] * len(bounds)


def groups_after(metadata: Any, column: str, since: datetime) -> list[int]:
    """Return the row groups that may hold rows after a moment; times have no zone."""
    bounds = time_bounds(metadata, column)
    return [
        group for group, pair in enumerate(bounds) if pair is None or later_than(pair[1], since)
    ]


def later_than(bound: Any, since: datetime) -> bool:
    """Check whether a bound may be after a moment; True if the two cannot be compared."""
    if _is_text(bound):
        # A text that is no ISO date cannot exclude its row group.
        try:
            bound = datetime.fromisoformat(bound)
        except ValueError:
            return True
    if not isinstance(bound, datetime) or bound.tzinfo is not None:
        return True
    return bound > since


def _is_text(value: Any) -> bool:
    return isinstance(value, str | bytes)


def _have_one_form(texts: Sequence[str | bytes]) -> bool:
    forms = {_DIGIT.sub("0", text) if isinstance(text, str) else "" for text in texts}
    return len(forms) == 1 and all(isinstance(t, str) and _ISO.fullmatch(t) for t in texts)
