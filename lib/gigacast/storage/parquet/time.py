"""Between which times the rows of row groups lie, by their statistics.

Times stored as text are compared as text where that is their order: ISO 8601, all bounds of one
form, without a zone. Rows of another form would show: in the order of text they would be a bound.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from gigacast.storage.parquet.bounds import group_bounds

_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?)?")
_DIGIT = re.compile(r"[0-9]")

Bounds = tuple[Any, Any]


def time_bounds(metadata: Any, column: str) -> list[Bounds | None]:
    """Return the least and the greatest time of each row group; ``None`` where it is not sure.

    Text is returned as text; see `later_than`.
    """
    groups = range(metadata.num_row_groups)
    found = [group_bounds(metadata, group, [column]).get(column) for group in groups]
    texts = [value for one in found if one is not None for value in one if _is_text(value)]
    return found if not texts or _one_form(texts) else [None] * len(found)


def groups_after(metadata: Any, column: str, since: datetime) -> list[int]:
    """Return the row groups that may hold rows after a moment, of times without a zone."""
    bounds = time_bounds(metadata, column)
    return [group for group, one in enumerate(bounds) if one is None or later_than(one[1], since)]


def later_than(bound: Any, since: datetime) -> bool:
    """Whether a bound may lie after a moment; what cannot be compared may."""
    if _is_text(bound):
        try:
            bound = datetime.fromisoformat(bound)
        except ValueError:
            return True
    if not isinstance(bound, datetime) or bound.tzinfo is not None:
        return True
    return bound > since


def _is_text(value: Any) -> bool:
    return isinstance(value, str | bytes)


def _one_form(texts: Sequence[str | bytes]) -> bool:
    forms = {_DIGIT.sub("0", text) if isinstance(text, str) else "" for text in texts}
    return len(forms) == 1 and all(isinstance(t, str) and _ISO.fullmatch(t) for t in texts)
