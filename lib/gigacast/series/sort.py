"""Rows in any order to complete items in the order of their ids.

Rows are held up to a limit, then grouped and rid of what is too old to matter. If they are still
too many, they go to disk as sorted runs, cut by ranges of ids into buckets (external distribution
sort): each bucket is then sorted in the same way, cut again if it must be. So items come out in
the order of their ids, whatever the order of rows and however much memory there was. The files lie
in a temporary folder that goes when the iteration ends, also by an exception.
"""

import tempfile
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.column import to_arrow, to_numpy
from gigacast.core.time.frequency import Frequency
from gigacast.series.arrange import drop_null_times, keep_tail, sort_times
from gigacast.series.rows import ItemRows, concat_rows
from gigacast.series.segment import offsets_of, sort_order, spread
from gigacast.series.source import ReadStats

_BUCKETS = 32


@dataclass(frozen=True, slots=True)
class SortPlan:
    """How to sort.

    Parameters
    ----------
    hold_bytes : int
        Rows held before they are grouped; grouping needs some five times as much.
    spill_dir : Path, optional
    context_length : int
    freq : Frequency, optional
        Of what is too old to matter.
    targets : int
        As for `keep_tail`.
    """

    hold_bytes: int
    spill_dir: Path | None
    context_length: int
    freq: Frequency | None
    targets: int = 0


def sorted_items(parts: Iterable[ItemRows], plan: SortPlan, stats: ReadStats) -> Iterator[ItemRows]:
    """Iterate over complete items in ascending order of their ids."""
    parts = iter(parts)
    held: list[ItemRows] = []
    size, limit = 0, plan.hold_bytes
    for part in parts:
        held.append(part)
        size += part.nbytes
        if size <= limit:
            continue
        items = _shrink(group_items(held), plan, stats)
        held, size = [items], items.nbytes
        if size > limit // 2 and len(items) > 1:
            yield from _sort_on_disk(items, parts, plan, stats)
            return
        limit = max(limit, 2 * size)  # a single item is never split
    if held:
        yield group_items(held)


def group_items(parts: list[ItemRows]) -> ItemRows:
    """Return one run per item in ascending order of ids, its rows in ascending order of time."""
    rows = concat_rows(parts)
    encoded = rows.item_ids.dictionary_encode()
    order = to_numpy(pc.sort_indices(encoded.dictionary))
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    run_ranks = ranks[to_numpy(encoded.indices)]
    groups = spread(run_ranks, rows.offsets)
    offsets = offsets_of(np.bincount(groups, minlength=len(order)))
    primary = np.bincount(run_ranks[rows.primary], minlength=len(order)) > 0
    if (run_ranks[1:] < run_ranks[:-1]).any() or len(order) < len(rows):
        rows = rows.take_rows(sort_order(groups, rows.times), offsets)
    ids = encoded.dictionary.take(to_arrow(order))
    return sort_times(ItemRows(ids, offsets, rows.times, rows.values, primary))


def _shrink(items: ItemRows, plan: SortPlan, stats: ReadStats) -> ItemRows:
    timed, dropped = drop_null_times(items)
    if dropped:
        # An item whose rows all lack a time keeps them: they say why there is nothing.
        nothing = (np.diff(timed.offsets) == 0) & (np.diff(items.offsets) > 0)
        if nothing.any():
            return items
        stats.null_timestamps += dropped
    return keep_tail(timed, plan.context_length, plan.freq, plan.targets)


def _sort_on_disk(
    first: ItemRows, rest: Iterable[ItemRows], plan: SortPlan, stats: ReadStats
) -> Iterator[ItemRows]:
    stats.path = "spilled"
    with tempfile.TemporaryDirectory(prefix="gigacast-", dir=plan.spill_dir) as folder:
        paths = _write_buckets(first, rest, Path(folder), plan, stats)
        del first
        for path in paths:
            yield from sorted_items(_read_bucket(path), plan, stats)
            path.unlink()


def _write_buckets(
    first: ItemRows, rest: Iterable[ItemRows], folder: Path, plan: SortPlan, stats: ReadStats
) -> list[Path]:
    borders = _choose_borders(first)
    paths = [folder / f"{index:03d}.arrow" for index in range(len(borders) + 1)]
    schema = _to_arrow(first).schema
    with ExitStack() as stack:
        writers = [stack.enter_context(pa.ipc.new_stream(str(path), schema)) for path in paths]
        _write_items(first, borders, writers)
        for items in _grouped(rest, plan, stats):
            _write_items(items, borders, writers)
    return paths


def _choose_borders(items: ItemRows) -> list[Any]:
    """Return ids that cut the rows about evenly; every bucket has fewer items than all together."""
    buckets = min(_BUCKETS, len(items))
    targets = items.offsets[-1] * np.arange(1, buckets) // buckets
    cuts = np.clip(np.searchsorted(items.offsets, targets), 1, len(items) - 1)
    return [items.item_ids[cut].as_py() for cut in np.unique(cuts).tolist()]


def _grouped(parts: Iterable[ItemRows], plan: SortPlan, stats: ReadStats) -> Iterator[ItemRows]:
    held: list[ItemRows] = []
    size = 0
    for part in parts:
        held.append(part)
        size += part.nbytes
        if size > plan.hold_bytes:
            yield _shrink(group_items(held), plan, stats)
            held, size = [], 0
    if held:
        yield _shrink(group_items(held), plan, stats)


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
