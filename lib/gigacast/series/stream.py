"""Contiguous rows: every item's rows follow each other.

Nothing is held but the current batch and the item its border cuts. That item's old rows are
dropped while it grows, so even one series longer than memory streams through.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from gigacast.core.time.frequency import Frequency
from gigacast.series.arrange import drop_null_times, keep_tail, sort_times, tail_length
from gigacast.series.rows import ItemRows, concat_rows, merge_neighbours
from gigacast.series.source import ReadStats


class Carry:
    """The rows so far of one item that is not complete; ``targets`` as for `keep_tail`."""

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
        """Take one more run of the item."""
        self._parts.append(part)
        self._rows += len(part.times)
        if self._rows > self._compact_at:
            self._compact()

    def belongs(self, item_ids: pa.Array) -> bool:
        """Tell whether the first of these ids is the item carried."""
        return bool(self._parts) and self._parts[0].item_ids[0] == item_ids[0]

    def take(self) -> Iterator[ItemRows]:
        """Give the item up, if there is one."""
        if self._parts:
            yield merge_neighbours(concat_rows(self._parts))
        self._parts, self._rows = [], 0
        self._compact_at = self._next_limit()

    def _compact(self) -> None:
        rows, dropped = drop_null_times(merge_neighbours(concat_rows(self._parts)))
        if len(rows.times):
            self._stats.null_timestamps += dropped
            rows = keep_tail(sort_times(rows), self._context_length, self._freq, self._targets)
        else:  # one row stays, to say that there were some
            self._stats.null_timestamps += dropped - 1
            rows = self._parts[0].filter_rows(np.arange(len(self._parts[0].times)) == 0)
        self._parts, self._rows = [rows], len(rows.times)
        self._compact_at = self._next_limit()

    def _next_limit(self) -> int:
        return max(8 * tail_length(self._context_length), 2 * self._rows)


def complete_items(parts: Iterable[ItemRows], carry: Carry) -> Iterator[ItemRows]:
    """Turn runs as they come into runs that are whole items, in the same order."""
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
