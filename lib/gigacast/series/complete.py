"""Complete items: all rows of an item together, streamed where they are contiguous, else sorted.

Streaming holds only the current batch, and the item that continues in the next batch. Its old rows
are dropped while it grows, so that even a series larger than memory can be streamed.

Rows in any other order are collected in memory up to a limit, then grouped by item, and rows too
old to matter are dropped. If there are still too many, they are written to disk in buckets by
ranges of ids (external distribution sort). Each bucket is then sorted in the same way, and divided
again if necessary. So the items come in the order of their ids, whatever the order of the rows and
the size of the memory. The files are in a temporary folder, which is removed when the iteration
ends, also by an exception.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import AnyArray, IntArray
from gigacast.core.column import to_arrow, to_numpy
from gigacast.core.time.frequency import Frequency
from gigacast.errors import DataQualityError
from gigacast.scratch import ScratchFolder
from gigacast.series.arrange import drop_null_times, keep_tail, sort_times, tail_length
from gigacast.series.rows import ItemRows, concat_rows, merge_neighbours
from gigacast.series.segment import offsets_of, sort_order, spread
from gigacast.series.source import ReadStats

_NO_IDS = pa.nulls(0, pa.string())  # an array of a list would import pandas
_BUCKETS = 32  # files per division, all open at the same time


@dataclass(frozen=True, slots=True)
class ItemRoom:
    """The most that the rows of one item may take in memory.

    Rows too old to matter are dropped, but rows of one instant are of one step, however many.

    Parameters
    ----------
    limit_bytes : int, optional
        Bytes of rows; no limit by default.
    least_rows : int
        Rows that are always allowed.
    """

    limit_bytes: int | None = None
    least_rows: int = 0

    def check(self, rows: ItemRows) -> None:
        """Refuse rows of one item that do not fit.

        Raises
        ------
        DataQualityError
        """
        count = len(rows.times)
        if self.limit_bytes is None or count <= self.least_rows or rows.nbytes <= self.limit_bytes:
            return
        times = len(np.unique(rows.times))
        raise DataQualityError(
            f"the item {str(rows.item_ids[0])[:80]!r} has {count:,} rows at {times:,} times, "
            "more than fit into memory",
            hint="name the column of ids by --item_column, or raise --memory_limit",
        )


@dataclass(frozen=True, slots=True)
class SortPlan:
    """Limits of the sorting.

    Parameters
    ----------
    hold_bytes : int
        Size of the rows to collect before they are grouped; grouping needs about five times as
        much memory.
    spill_dir : Path or None
        Folder for temporary files; ``None`` is the system's temporary folder.
    context_length : int
        Steps of context, from which follows which rows are too old.
    freq : Frequency or None
        Frequency given by the settings; ``None`` if it is to be inferred.
    targets : int
        Number of target columns that end a history, as for `keep_tail`.
    guard : callable, optional
        Called with the rows of an item that alone does not fit the limit; may refuse them.
    """

    hold_bytes: int
    spill_dir: Path | None
    context_length: int
    freq: Frequency | None
    targets: int = 0
    guard: Callable[[ItemRows], None] = lambda _: None


def sorted_items(parts: Iterable[ItemRows], plan: SortPlan, stats: ReadStats) -> Iterator[ItemRows]:
    """Yield complete items in ascending order of their ids."""
    parts = iter(parts)
    collected: list[ItemRows] = []
    size, limit = 0, plan.hold_bytes
    for part in parts:
        collected.append(part)
        size += part.nbytes
        if size <= limit:
            continue
        items = _shrink(group_items(collected), plan, stats)
        collected, size = [items], items.nbytes
        # If dropping old rows has not freed half of the memory, more rounds would not either.
        if size > limit // 2 and len(items) > 1:
            yield from _sort_on_disk(items, parts, plan, stats)
            return
        if len(items) == 1:
            plan.guard(items)
        # A single item cannot be divided, so its limit grows. Doubling keeps the work linear.
        limit = max(limit, 2 * size)
    if collected:
        yield group_items(collected)


def group_items(parts: list[ItemRows]) -> ItemRows:
    """Return one run per item in ascending order of ids, its rows in ascending order of time."""
    distinct, run_codes = _codes_of([part.item_ids for part in parts])
    rows = concat_rows([replace(part, item_ids=_NO_IDS) for part in parts])
    order = to_numpy(pc.sort_indices(distinct))
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    run_ranks = ranks[run_codes]
    groups = run_ranks if len(rows) == len(rows.times) else spread(run_ranks, rows.offsets)
    offsets = offsets_of(np.bincount(groups, minlength=len(order)))
    primary = np.bincount(run_ranks[rows.primary], minlength=len(order)) > 0
    # Items that are in order already are not copied.
    if (run_ranks[1:] < run_ranks[:-1]).any() or len(order) < len(rows):
        rows = rows.take_rows(sort_order(groups, rows.times), offsets)
    ids = distinct.take(to_arrow(order))
    return sort_times(ItemRows(ids, offsets, rows.times, rows.values, primary))


def _codes_of(ids: Sequence[pa.Array]) -> tuple[pa.Array, IntArray]:
    """Return the distinct ids that occur in several arrays, and the index of each one's id.

    The arrays may be dictionaries. Their texts are read once, and not row by row.
    """
    values: list[pa.Array] = []
    places: list[tuple[AnyArray, int]] = []
    start = size = 0
    for array in ids:
        is_coded = pa.types.is_dictionary(array.type)
        own = array.dictionary if is_coded else array
        # Batches of one row group have one dictionary.
        if not (is_coded and values and values[-1].equals(own)):
            values.append(own)
            start, size = size, size + len(own)
        indices = array.indices if is_coded else to_arrow(np.arange(len(own), dtype=np.int32))
        places.append((to_numpy(indices), start))
    encoded = pa.concat_arrays(values).dictionary_encode()
    code_of = to_numpy(encoded.indices)
    codes = np.empty(sum(len(indices) for indices, _ in places), np.int64)
    first = 0
    for indices, start in places:
        codes[first : first + len(indices)] = code_of[start:][indices]
        first += len(indices)
    used = np.zeros(len(encoded.dictionary), np.bool_)
    used[codes] = True
    if used.all():
        return encoded.dictionary, codes
    # Ids of rows that were left out are in dictionaries, too.
    return encoded.dictionary.filter(to_arrow(used)), (np.cumsum(used) - 1)[codes]


def _shrink(items: ItemRows, plan: SortPlan, stats: ReadStats) -> ItemRows:
    timed, dropped = drop_null_times(items)
    if dropped:
        # An item whose rows all lack a time keeps them until `regularise`, which gives it the
        # reason NO_TIMESTAMP instead of EMPTY.
        is_timeless = (np.diff(timed.offsets) == 0) & (np.diff(items.offsets) > 0)
        if is_timeless.any():
            return items
        stats.null_timestamps += dropped
    return keep_tail(timed, plan.context_length, plan.freq, plan.targets)


def _sort_on_disk(
    first: ItemRows, more: Iterable[ItemRows], plan: SortPlan, stats: ReadStats
) -> Iterator[ItemRows]:
    stats.path = "spilled"
    with ScratchFolder("sort", plan.spill_dir) as folder:
        paths = _write_buckets(first, more, folder, plan, stats)
        del first  # its rows are on disk now; the memory is needed for the buckets
        for path in paths:
            yield from sorted_items(_read_bucket(path), plan, stats)
            path.unlink()


def _write_buckets(
    first: ItemRows, more: Iterable[ItemRows], folder: Path, plan: SortPlan, stats: ReadStats
) -> list[Path]:
    borders = _choose_borders(first)
    paths = [folder / f"{index:03d}.arrow" for index in range(len(borders) + 1)]
    schema = _to_arrow(first).schema
    with ExitStack() as stack:
        writers = [stack.enter_context(pa.ipc.new_stream(str(path), schema)) for path in paths]
        _write_items(first, borders, writers)
        for items in _grouped(more, plan, stats):
            _write_items(items, borders, writers)
    return paths


def _choose_borders(items: ItemRows) -> list[Any]:
    """Return ids that divide the rows into about equal buckets."""
    # No border is the first id, so every bucket has fewer items than the whole. That makes the
    # recursion end, even if a single item has most of the rows.
    buckets = min(_BUCKETS, len(items))
    targets = items.offsets[-1] * np.arange(1, buckets) // buckets
    cuts = np.clip(np.searchsorted(items.offsets, targets), 1, len(items) - 1)
    return [items.item_ids[cut].as_py() for cut in np.unique(cuts).tolist()]


def _grouped(parts: Iterable[ItemRows], plan: SortPlan, stats: ReadStats) -> Iterator[ItemRows]:
    """Yield sorted runs of the parts, each about as large as the memory allows."""
    collected: list[ItemRows] = []
    size = 0
    for part in parts:
        collected.append(part)
        size += part.nbytes
        if size > plan.hold_bytes:
            yield _shrink(group_items(collected), plan, stats)
            collected, size = [], 0
    if collected:
        yield _shrink(group_items(collected), plan, stats)


def _write_items(
    items: ItemRows, borders: list[Any], writers: list[pa.ipc.RecordBatchStreamWriter]
) -> None:
    ids = items.item_ids
    cuts = [
        bisect_left(range(len(ids)), border, key=lambda n: ids[n].as_py()) for border in borders
    ]
    for writer, start, stop in zip(writers, [0, *cuts], [*cuts, len(ids)], strict=True):
        if stop > start:
            writer.write_batch(_to_arrow(items.slice(start, stop)))


def _to_arrow(items: ItemRows) -> pa.RecordBatch:
    offsets = to_arrow(items.offsets)
    columns = [items.times, *(value.astype(np.float64, copy=False) for value in items.values)]
    lists = [pa.LargeListArray.from_arrays(offsets, to_arrow(column)) for column in columns]
    names = ["item_id", "primary", *(f"column_{index}" for index in range(len(lists)))]
    return pa.record_batch([items.item_ids, to_arrow(items.primary), *lists], names=names)


def _read_bucket(path: Path) -> Iterator[ItemRows]:
    with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as reader:
        for batch in reader:
            item_ids, primary, times, *values = batch.columns
            yield ItemRows(
                item_ids,
                to_numpy(times.offsets),
                to_numpy(times.values),
                tuple(to_numpy(value.values) for value in values),
                to_numpy(primary),
            )


class Carry:
    """The rows so far of an item that is not complete.

    ``targets`` is as for `keep_tail`; ``guard`` is called with the rows that remain, and may refuse
    them.
    """

    def __init__(
        self,
        context_length: int,
        freq: Frequency | None,
        stats: ReadStats,
        targets: int = 0,
        guard: Callable[[ItemRows], None] = lambda _: None,
    ) -> None:
        self._guard = guard
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
            self._guard(rows)
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
            items = [*carry.take()]
            if len(part) - 1 > start:
                items.append(part.slice(start, len(part) - 1))
            yield from _joined(items)
            carry.add(part.slice(len(part) - 1, len(part)))
    yield from carry.take()


def _joined(items: list[ItemRows]) -> list[ItemRows]:
    """Return the carried item and those that follow it, together if it is the smaller part."""
    # To copy the rows costs less than all that is done for each part. A long item stays alone.
    if len(items) == 2 and len(items[0].times) < len(items[1].times):
        return [concat_rows(items)]
    return items
