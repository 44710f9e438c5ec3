"""The streaming of contiguous rows, where the rows of every item follow each other.

Only the current batch is in memory, and the item that continues in the next batch. Its old rows are
dropped while it grows, so that even a series larger than memory can be streamed.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from gigacast.core.time.frequency import Frequency
from gigacast.series.arrange import drop_null_times, keep_tail, sort_times, tail_length
from gigacast.series.rows import ItemRows, concat_rows, merge_neighbours
from gigacast.series.source import ReadStats


class Carry:
    """The rows so far of an item that is not complete; ``targets`` as for `keep_tail`."""

    def __init__(
        self, context_length: int, freq: Frequency | None, stats: ReadStats, targets: int = 0
    ) -> None:
        self._context_length = context_length
        self._freq = freq
        self._targets = targets
        self._stats = stats
        self._parts: list[ItemRows] = []
        self._rows = 0
        self._compact_at = 0
        self._compact_at = self._next_limit()

    def add(self, part: ItemRows) -> None:
        """Add a run of the item."""
        self._parts.append(part)
        self._rows += len(part.times)
        if self._rows > self._compact_at:
            self._compact()

    def belongs(self, item_ids: pa.Array) -> bool:
        """Check whether the first of these ids is that of the incomplete item."""
        return bool(self._parts) and self._parts[0].item_ids[0] == item_ids[0]

    def take(self) -> Iterator[ItemRows]:
        """Yield the item, if there is one, and become empty."""
        if self._parts:
            yield merge_neighbours(concat_rows(self._parts))
        self._parts, self._rows = [], 0
        self._compact_at = self._next_limit()

    def _compact(self) -> None:
        rows, dropped = drop_null_times(merge_neighbours(concat_rows(self._parts)))
        if len(rows.times):
            self._stats.null_timestamps += dropped
            rows = keep_tail(sort_times(rows), self._context_length, self._freq, self._targets)
        else:
            # One row without a time is kept: it gives the item the reason NO_TIMESTAMP.
            self._stats.null_timestamps += dropped - 1
            rows = self._parts[0].filter_rows(np.arange(len(self._parts[0].times)) == 0)
        self._parts, self._rows = [rows], len(rows.times)
        self._compact_at = self._next_limit()

    def _next_limit(self) -> int:
        # Doubling: every row is copied a constant number of times on average, however long the
        # series. The lower bound spares short series the sorting.
        return max(8 * tail_length(self._context_length), 2 * self._rows)


def complete_items(parts: Iterable[ItemRows], carry: Carry) -> Iterator[ItemRows]:
    """Yield complete items from runs that may end at a batch border, in the same order."""
    # The last item of a part may continue in the next one, so it always goes through the carry.
    for part in parts:
        if len(part) == 0:
            continue
        start = 0
        if carry.belongs(part.item_ids):
            carry.add(part.slice(0, 1))
            start = 1
        if start < len(part):
            yield from carry.take()
            if len(part) - 1 > start:
                yield part.slice(start, len(part) - 1)
            carry.add(part.slice(len(part) - 1, len(part)))
    yield from carry.take()
