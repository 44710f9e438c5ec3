"""Forecasts and actuals, joined by item, target and time; nothing is read or written here.

Both are tables of ``item``, ``target``, ``time`` (int64: microseconds of UTC, or plain steps) and
numbers. Arrow's hash joins match them: no loop over rows or series.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import FloatArray, IntArray
from gigacast.core.column import text_column, to_arrow, to_numpy
from gigacast.core.series.batch import NO_TIME
from gigacast.core.series.item_key import items_of
from gigacast.forecasting.prediction import is_wide, level_name, long_table
from gigacast.series.duplicates import SAMPLE
from gigacast.series.source import ConflictSample, DuplicatePolicy

_KEYS = ["item", "target", "time"]
Rows = tuple[pa.Array, IntArray, IntArray, tuple[FloatArray, ...]]
"""Item ids [N], offsets [N + 1], times [R] and a column of values [R] per target."""


class TimeBounds(NamedTuple):
    """A first and a last time, microseconds of UTC or steps."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Forecasts:
    """The forecasts of a file or a part of it, series by series.

    Parameters
    ----------
    keys : pa.Table
        ``item``, ``target``, ``time`` and the number ``row`` of each of the N * H rows.
    median : float32 [N, H]
    quantiles : float32 [N, H, Q]
    levels : tuple of float
    """

    keys: pa.Table
    median: FloatArray
    quantiles: FloatArray
    levels: tuple[float, ...]

    @property
    def bounds(self) -> TimeBounds:
        """The first and the last time; for an empty file a range that contains no time."""
        times = to_numpy(pc.drop_null(self.keys["time"]))
        return TimeBounds(int(times.min()), int(times.max())) if len(times) else TimeBounds(1, 0)

    @property
    def first_times(self) -> IntArray:
        """The time of the first step of each series, int64 [N]; `NO_TIME` where unknown."""
        horizon = self.median.shape[1]
        times = to_numpy(pc.fill_null(self.keys["time"], NO_TIME))
        return times[:: max(1, horizon)]

    @property
    def items(self) -> pa.Table:
        """``item`` and ``target`` of each series, [N]."""
        horizon = self.median.shape[1]
        return self.keys.take(to_arrow(np.arange(0, self.keys.num_rows, max(1, horizon)))).select(
            ["item", "target"]
        )


def whole_series(
    batches: Iterable[pa.RecordBatch], horizon: int, max_steps: int
) -> Iterator[pa.Table]:
    """Cut a file of predictions, in either layout, into parts of whole series.

    Parameters
    ----------
    batches : iterable of pa.RecordBatch
        Batches of the file, in order.
    horizon : int
        Steps of a series: its rows in the long layout.
    max_steps : int
        Maximum number of steps of a part, which has at least one series.
    """
    pending: pa.Table | None = None
    for batch in batches:
        part = pa.Table.from_batches([batch])
        pending = part if pending is None else pa.concat_tables([pending, part])
        rows_each = 1 if is_wide(pending.schema) else horizon
        size = max(1, max_steps // horizon) * rows_each
        while pending.num_rows >= size:
            yield pending.slice(0, size)
            pending = pending.slice(size)
    if pending is not None and pending.num_rows:
        yield pending


def read_forecasts(table: pa.Table, horizon: int) -> Forecasts:
    """Return predictions, in either layout, as matrices.

    Parameters
    ----------
    table : pa.Table
        Complete series, as the job writes them: the H rows of a series together, in order.
    horizon : int
    """
    rows = long_table(table)
    levels = tuple(float(name) for name in rows.column_names if _is_level(name))
    shape = (rows.num_rows // horizon, horizon)
    columns = [_numbers(rows[level_name(level)]).reshape(shape) for level in levels]
    keys = pa.table(
        {
            "item": _plain(items_of(rows)),
            "target": _plain(rows["target_name"]),
            "time": to_micros(rows["timestamp"]),
            "row": to_arrow(np.arange(rows.num_rows)),
        }
    )
    median = _numbers(rows["predictions"]).reshape(shape)
    return Forecasts(keys, median, np.stack(columns, axis=2), levels)


def _is_level(name: str) -> bool:
    try:
        return 0 < float(name) < 1
    except ValueError:
        return False


def _numbers(column: pa.ChunkedArray) -> FloatArray:
    # Forecasts whose steps float32 would lose are doubles, and so are their actuals.
    kind = np.float64 if pa.types.is_float64(column.type) else np.float32
    return to_numpy(pc.fill_null(column, float("nan"))).astype(kind, copy=False)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    is_dictionary = pa.types.is_dictionary(column.type)
    return column.cast(column.type.value_type) if is_dictionary else column


def to_micros(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return timestamps, dates or plain steps as int64: microseconds of UTC, or the steps."""
    if pa.types.is_integer(column.type):
        return column.cast(pa.int64())
    # Nanoseconds are cut: the times of actuals are microseconds, too.
    zone = column.type.tz if pa.types.is_timestamp(column.type) else None
    return column.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64())


@dataclass(frozen=True, slots=True)
class FoundActuals:
    """Actuals of forecasts.

    Parameters
    ----------
    table : pa.Table
        ``item``, ``target``, ``time`` and ``actual``, with one row per key.
    conflicts, compared : int
        Rows with the key of another row and other values; rows in all.
    sample : ConflictSample, optional
        Keys of the first such rows; none without any.
    """

    table: pa.Table
    conflicts: int
    compared: int
    sample: ConflictSample | None = None


def select_actuals(
    parts: Iterable[tuple[Rows, tuple[str, ...]]],
    forecasts: Forecasts,
    duplicates: DuplicatePolicy | None = None,
) -> FoundActuals:
    """Return the rows of the items and times of forecasts, as a table for `match`.

    Memory holds only these rows, however many are read. A repeated time gets the mean of its
    values, or what ``duplicates`` says.
    """
    item_ids = pc.unique(forecasts.items["item"])
    item_type = item_ids.type
    tables = [
        table
        for rows, targets in parts
        for table in _within(rows, targets, item_ids, forecasts.bounds)
    ]
    # Without a part, the empty table still gives the join its columns and types.
    empty = pa.table(
        {
            "item": pa.array([], item_type),
            "target": pa.array([], pa.string()),
            "time": pa.array([], pa.int64()),
            "actual": pa.array([], pa.float64()),
        }
    )
    chosen = duplicates if duplicates in {"sum", "first", "last"} else "mean"
    # Of several threads Arrow does not know which row was first.
    groups = pa.concat_tables([empty, *tables]).group_by(_KEYS, use_threads=False)
    values = groups.aggregate(
        [("actual", statistic) for statistic in (chosen, "min", "max", "count")]
    )
    counts = to_numpy(values["actual_count"])
    differs = to_numpy(pc.less(values["actual_min"], values["actual_max"]))
    return FoundActuals(
        values.select([*_KEYS, f"actual_{chosen}"]).rename_columns([*_KEYS, "actual"]),
        conflicts=int((counts[differs] - 1).sum()),
        compared=int(counts.sum()),
        sample=_sample_of(values.filter(to_arrow(differs))) if differs.any() else None,
    )


def _sample_of(conflicts: pa.Table) -> ConflictSample:
    first = conflicts.slice(0, SAMPLE)
    return ConflictSample(first["item"].combine_chunks(), to_numpy(first["time"]))


def _within(
    rows: Rows, targets: tuple[str, ...], item_ids: pa.Array, bounds: TimeBounds
) -> Iterable[pa.Table]:
    items, offsets, times, values = rows
    items = items.cast(item_ids.type)
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    inside = (times != NO_TIME) & (times >= bounds.first) & (times <= bounds.last)
    inside &= to_numpy(pc.is_in(items, value_set=item_ids))[owner]
    for target, column in zip(targets, values, strict=True):
        # Without missing values: their steps count as waiting for an actual.
        chosen = np.flatnonzero(inside & np.isfinite(column))
        if len(chosen):
            names = pa.DictionaryArray.from_arrays(
                to_arrow(np.zeros(len(chosen), np.int32)), text_column([target])
            )
            yield pa.table(
                {
                    "item": items.take(to_arrow(owner[chosen])),
                    "target": names.cast(pa.string()),
                    "time": to_arrow(times[chosen]),
                    "actual": to_arrow(column[chosen].astype(np.float64)),
                }
            )


def match(forecasts: Forecasts, actuals: pa.Table) -> FloatArray:
    """Return the actual of each forecast step, [N, H]; NaN where there is none."""
    # A hash join does not keep the order of the rows, so each carries its number.
    joined = forecasts.keys.join(actuals, keys=_KEYS, join_type="inner")
    actual = np.full(forecasts.median.size, np.nan, forecasts.median.dtype)
    actual[to_numpy(joined["row"])] = to_numpy(joined["actual"])
    return actual.reshape(forecasts.median.shape)
