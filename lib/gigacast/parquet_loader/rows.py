"""Pure functions that sort, merge and split loaded rows."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import BoolArray, IntArray
from gigacast.core.column import to_arrow, to_numpy
from gigacast.core.contract.evolution import conform, unify_schemas
from gigacast.core.plural import counted
from gigacast.core.series.item_key import ItemKey
from gigacast.errors import ConfigError, SchemaError
from gigacast.parquet_loader.dataset import LoadColumns, LoadedDataset
from gigacast.series.identity import id_type, valid_ids

D = TypeVar("D", bound=LoadedDataset)


def sort_rows(table: pa.Table, columns: LoadColumns) -> pa.Table:
    """Return rows in the order of item and time. Rows with equal keys keep their order."""
    keys = [(name, "ascending") for name in (*columns.ids, columns.timestamp)]
    # Files of one symbol are nearly always sorted: a comparison is cheaper than a sort.
    if len(keys) == 1:
        times = to_numpy(table.column(columns.timestamp).cast(pa.int64()))
        if len(times) < 2 or bool((times[1:] >= times[:-1]).all()):
            return table
    # Arrow's sort is not stable, so the row number is the last key.
    marked = table.append_column("__place__", to_arrow(np.arange(table.num_rows)))
    order = pc.sort_indices(marked, sort_keys=[*keys, ("__place__", "ascending")])
    return table.take(order)


def item_ids(data: LoadedDataset) -> pa.ChunkedArray:
    """Return the id of each row's item; a key where several columns identify it."""
    names, table = data.columns.ids, data.table
    if len(names) == 1:
        return table.column(names[0])
    columns = [table.column(name).combine_chunks() for name in names]
    key = ItemKey(names, tuple(id_type(column.type) for column in columns))
    parts = [valid_ids(c, kind, data.symbol) for c, kind in zip(columns, key.types, strict=True)]
    return pa.chunked_array([key.encode(parts)], pa.string())


def item_starts(table: pa.Table, columns: LoadColumns) -> IntArray:
    """Return the positions at which the items start, int64 [N]; rows are in the order of item."""
    changed = np.zeros(max(0, table.num_rows - 1), np.bool_)
    for name in columns.ids:
        ids = table.column(name).combine_chunks()
        differs = pc.not_equal(ids.slice(1), ids.slice(0, len(ids) - 1))
        changed |= to_numpy(pc.fill_null(differs, False))
    return np.append(0, np.flatnonzero(changed) + 1)


def split_rows(
    data: D, validation: float, test: float | None, *, time_based: bool = True
) -> tuple[D, ...]:
    """Split rows by time into training, validation and, with a share for it, test rows.

    Raises
    ------
    ConfigError
        If the split is not by time, a share is out of range, or a part would be empty.
    """
    if not time_based:
        raise ConfigError(
            "time_based_split=False: rows drawn at random would show a model its future",
            hint="leave it out; sample within the training part",
        )
    return _split_by_time(data, [share for share in (validation, test) if share is not None])


def _split_by_time(data: D, shares: Sequence[float]) -> tuple[D, ...]:
    """Split rows into consecutive spans of time; rows of the same time are in the same span.

    ``shares`` are those of all spans but the first, which gets the remaining rows.
    """
    if any(not 0 < share < 1 for share in shares) or sum(shares) >= 1:
        raise ConfigError(f"shares of a split are between 0 and 1 together, got {tuple(shares)}")
    times = to_numpy(data.table.column(data.columns.timestamp).cast(pa.int64()))
    ordered = np.sort(times)
    starts = np.cumsum([1 - sum(shares), *shares[:-1]])
    bounds = [ordered[min(len(times) - 1, round(len(times) * s))] for s in starts if len(times)]
    # By time instead of row number, so that all rows of one time are in the same span.
    part = np.searchsorted(np.array(bounds, np.int64), times, side="right")
    spans = [np.flatnonzero(part == number) for number in range(len(shares) + 1)]
    if any(not len(rows) for rows in spans):
        raise ConfigError(
            f"{data.symbol}: {counted(len(times), 'row')} cannot be split by {tuple(shares)}",
            hint="load more months, or use other shares",
        )
    return tuple(replace(data, table=data.table.take(to_arrow(rows))) for rows in spans)


def merge_rows(existing: D, new: LoadedDataset) -> D:
    """Return the rows of both; of two rows with the same item and time the new one.

    Raises
    ------
    SchemaError
        If their columns differ.
    """
    if existing.columns.all != new.columns.all:
        raise SchemaError(
            f"the columns differ: {', '.join(existing.columns.all)} and "
            f"{', '.join(new.columns.all)}",
            hint="load both with the same target_columns and feature_columns",
        )
    label = f"{existing.symbol} and its new rows"
    schema = unify_schemas([existing.table.schema, new.table.schema], label)
    # The new rows come last, and sorting keeps the order of ties: the last of a key is the new one.
    both = pa.concat_tables([conform(rows, schema, label) for rows in (existing.table, new.table)])
    ordered = sort_rows(both, existing.columns)
    keep = last_of_key(ordered, existing.columns)
    files = tuple(dict.fromkeys((*existing.files, *new.files)))
    return replace(existing, table=ordered.filter(to_arrow(keep)), files=files)


def last_of_key(table: pa.Table, columns: LoadColumns) -> BoolArray:
    """Return which rows are the last of their item and time, bool [R]; rows are in that order."""
    keep = np.ones(table.num_rows, dtype=np.bool_)
    if table.num_rows < 2:
        return keep
    same = np.ones(table.num_rows - 1, dtype=np.bool_)
    for name in (*columns.ids, columns.timestamp):
        column = table.column(name).combine_chunks()
        equal = pc.equal(column.slice(1), column.slice(0, len(column) - 1))
        same &= to_numpy(pc.fill_null(equal, False))
    keep[:-1] = ~same
    return keep
