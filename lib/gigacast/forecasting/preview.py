"""A view of forecasts with their past, and with actual values where these have come in.

For people: whole partitions are read to show a few of their series.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import FloatArray, IntArray, TimeArray
from gigacast.core.partition.name import folder_in
from gigacast.core.partition.task import InputObject, Task
from gigacast.core.problem import did_you_mean
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.item_key import items_of
from gigacast.core.time.zone import to_wall, zone_of
from gigacast.errors import DataNotFoundError
from gigacast.forecasting.prediction import level_name, long_table
from gigacast.forecasting.prepare import Prepared
from gigacast.forecasting.stored.partition import Finished
from gigacast.forecasting.worker import read_options, sources_of
from gigacast.series.reader import read_series
from gigacast.storage.parquet.read import read_table

AxisArray: TypeAlias = TimeArray | IntArray
MONTHS_AHEAD = 3
"""Months after a partition that are searched for actual values."""
MAX_ACTUAL_STEPS = 1_000_000
"""Maximum number of steps of actual values."""
MAX_SINCE = 4096
"""Steps that a partition may have got since its forecast."""


@dataclass(frozen=True)
class Look:
    """A series: its context, its forecast and its actual values.

    Parameters
    ----------
    item_id, target_name : str
    context_times, context : ndarray [T]
    times : ndarray [H]
    median : float32 [H]
    levels : tuple of float
        Q quantile levels.
    quantiles : float32 [H, Q]
    actuals : float32 [H] or None
        Actual value of each step, NaN where unknown; ``None`` if all are unknown.
    fallback : str or None
        Reason why the model did not make the forecast.
    is_stale : bool
        Whether the input has changed since the forecast.
    """

    item_id: str
    target_name: str
    context_times: AxisArray
    context: FloatArray
    times: AxisArray
    median: FloatArray
    levels: tuple[float, ...]
    quantiles: FloatArray
    actuals: FloatArray | None
    fallback: str | None
    is_stale: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the series for ``--json``: times in ISO 8601, missing values as ``None``."""
        columns = self.quantiles.T
        names = [level_name(level) for level in self.levels]
        return {
            "item_id": self.item_id,
            "target_name": self.target_name,
            "fallback": self.fallback,
            "context": {
                "timestamps": _plain_times(self.context_times),
                "values": _plain_numbers(self.context),
            },
            "timestamps": _plain_times(self.times),
            "predictions": _plain_numbers(self.median),
            "quantiles": dict(zip(names, map(_plain_numbers, columns), strict=True)),
            "actuals": None if self.actuals is None else _plain_numbers(self.actuals),
        }


def look_at(
    finished: Finished, *, items: Sequence[str] | None = None, count: int = 1, steps: int = 512
) -> list[Look]:
    """Return a few series of a partition.

    Parameters
    ----------
    finished : Finished
    items : sequence of str, optional
        Item ids as text; the first ``count`` series by default.
    count : int
    steps : int
        Maximum number of context steps.

    Raises
    ------
    DataNotFoundError
        When an item is not in the partition.
    """
    prepared, task = finished.prepared, finished.entry.task
    table = read_table(prepared.outputs, task.output_key, if_match=finished.entry.output.etag)
    table = long_table(table)
    chosen = choose_series(table, items, count)
    ids = {item for item, _ in chosen}
    since = MAX_SINCE if finished.is_stale else 0
    contexts = _histories(prepared, task, ids, steps + since)
    futures = _futures(prepared, task, ids)
    levels = prepared.job.method.levels
    looks = [look_of(table, pair, levels, contexts, futures) for pair in chosen]
    return [_shortened(look, steps, is_stale=finished.is_stale) for look in looks]


def _shortened(look: Look, steps: int, *, is_stale: bool) -> Look:
    """Return a look with the last steps of its context."""
    start = max(0, len(look.context) - steps)
    return replace(
        look,
        context_times=look.context_times[start:],
        context=look.context[start:],
        is_stale=is_stale,
    )


def choose_series(
    table: pa.Table, items: Sequence[str] | None, count: int
) -> list[tuple[str, str]]:
    """Return item and target of the series to look at; the first ones by default.

    Raises
    ------
    DataNotFoundError
        When an item has no forecast.
    """
    series = pa.table({"item": items_of(table), "target": table["target_name"]})
    names = series.group_by(["item", "target"], use_threads=False).aggregate([])
    pairs = [(str(r["item"]), str(r["target"])) for r in names.to_pylist()]
    if items is None:
        return pairs[:count]
    missing = set(items) - {item for item, _ in pairs}
    if missing:
        existing = ", ".join(item for item, _ in pairs[:5])
        absent = sorted(missing)[0]
        raise DataNotFoundError(
            f"no item {absent!r} in this partition; there are: {existing}",
            hint=did_you_mean(absent, dict.fromkeys(item for item, _ in pairs)) or None,
        )
    return [pair for pair in pairs if pair[0] in set(items)]


Histories = dict[tuple[str, str], tuple[AxisArray, FloatArray]]


def _histories(prepared: Prepared, task: Task, items: set[str], steps: int) -> Histories:
    """Return the times and values of the series of some items, by item and target."""
    options = read_options(task, prepared.job.method, prepared.info, memory_limit_bytes=2**30)
    options = replace(options, context_length=steps)
    histories: Histories = {}
    for batch in read_series(sources_of(task, prepared.inputs), options):
        histories |= histories_of(batch, items)
    return histories


def histories_of(batch: SeriesBatch, items: set[str]) -> Histories:
    """Return the times and values of the series of some items in a batch, by item and target."""
    names = batch.item_ids.cast(pa.string()).to_pylist()
    regular = batch.frequency_codes >= 0
    histories: Histories = {}
    for row in [n for n, name in enumerate(names) if name in items and regular[n]]:
        frequency = batch.frequencies[batch.frequency_codes[row]]
        values = batch.values[batch.offsets[row] : batch.offsets[row + 1]]
        last = batch.last_timestamps[row : row + 1]
        back = np.arange(len(values))[::-1]
        times = frequency.shift(np.repeat(last, len(values)), -back)
        key = (names[row], str(batch.target_names[row]))
        histories[key] = (_as_times(times, batch.timestamp_type), values)
    return histories


def _as_times(times: IntArray, kind: pa.DataType) -> AxisArray:
    return times if pa.types.is_integer(kind) else times.astype("datetime64[us]")


def _futures(prepared: Prepared, task: Task, items: set[str]) -> Histories:
    """Return the series of some items in the months after a partition, as far as these exist."""
    parts_by_series: dict[tuple[str, str], list[tuple[AxisArray, FloatArray]]] = {}
    for later in _later_inputs(prepared, task):
        follower = replace(task, inputs=(later,), own=1)
        for key, value in _histories(prepared, follower, items, MAX_ACTUAL_STEPS).items():
            parts_by_series.setdefault(key, []).append(value)
    return {
        key: (np.concatenate([t for t, _ in parts]), np.concatenate([v for _, v in parts]))
        for key, parts in parts_by_series.items()
    }


def _later_inputs(prepared: Prepared, task: Task) -> list[InputObject]:
    """Return the newest objects of the same symbol or part in the following months."""
    pattern = prepared.job.pattern
    own = pattern.parse(task.inputs[-1].key)
    if own is None:
        return []
    later = []
    for ahead in range(1, MONTHS_AHEAD + 1):
        month = own.month.shift(ahead)
        newest: tuple[int, InputObject] | None = None
        folders = folder_in(own.folder, month)
        pages = (page for folder in folders for page in prepared.inputs.list(f"{folder}/"))
        for meta in (meta for page in pages for meta in page):
            name = pattern.parse(meta.key)
            if name is None or name.lineage != own.lineage:
                continue
            # Of several generations the newest counts, as for the planner.
            if newest is None or meta.modified_ns > newest[0]:
                entry = InputObject(meta.key, meta.etag, meta.size_bytes, name.extension)
                newest = (meta.modified_ns, entry)
        later += [newest[1]] if newest else []
    return later


def look_of(
    table: pa.Table,
    pair: tuple[str, str],
    levels: tuple[float, ...],
    contexts: Histories,
    futures: Histories,
) -> Look:
    """Return a series with its history and what has come since.

    Parameters
    ----------
    table : pa.Table
        Predictions in the long layout.
    pair : tuple of str
        Item and target.
    levels : tuple of float
        Quantile levels of the predictions.
    contexts, futures : mapping
        Times and values before and after the forecast, by item and target.

    Raises
    ------
    DataNotFoundError
        When the series has no frequency, and so no times.
    """
    item, target = pair
    mask = pc.and_(
        pc.equal(items_of(table).cast(pa.string()), item),
        pc.equal(table["target_name"].cast(pa.string()), target),
    )
    rows = table.filter(mask)
    stamps = rows["timestamp"]
    if stamps.null_count:
        raise DataNotFoundError(
            f"{item} has no frequency, hence no times to draw: {rows['fallback'][0].as_py()}",
            hint="choose another series by --item, or give --freq to the job",
        )
    times = wall_times(stamps)
    assert times is not None  # noqa: S101 - none is null
    quantiles = np.stack([_floats(rows[level_name(level)]) for level in levels], axis=1)
    history = contexts.get(pair, (times[:0], np.empty(0, np.float32)))
    before, since = _split(history, times[0])
    return Look(
        item_id=item,
        target_name=target,
        context_times=before[0],
        context=before[1],
        times=times,
        median=_floats(rows["predictions"]),
        levels=levels,
        quantiles=quantiles,
        actuals=_actuals(times, _joined(since, futures.get(pair))),
        fallback=rows["fallback"][0].as_py(),
    )


Values: TypeAlias = tuple[AxisArray, FloatArray]


def _split(history: Values, first: np.datetime64 | np.int64) -> tuple[Values, Values]:
    """Return the values before the first step of a forecast, and those that came since."""
    times, values = history
    place = int(np.searchsorted(times.astype(first.dtype), first))
    return (times[:place], values[:place]), (times[place:], values[place:])


def _joined(since: Values, future: Values | None) -> Values | None:
    """Return what came since in the partition itself and in later months."""
    if not len(since[0]):
        return future
    if future is None:
        return since
    return np.concatenate([since[0], future[0]]), np.concatenate([since[1], future[1]])


def _plain_numbers(values: FloatArray) -> list[float | None]:
    # The shortest text of each number: for a float32 not the long one of its double.
    texts = (str(value) for value in values)
    return [float(text) if text not in {"nan", "inf", "-inf"} else None for text in texts]


def _plain_times(times: AxisArray) -> list[int | str]:
    if np.issubdtype(times.dtype, np.integer):
        return [int(time) for time in times]
    return [time.isoformat() for time in times.astype("datetime64[us]").tolist()]


def _floats(column: pa.ChunkedArray) -> FloatArray:
    # Numbers of series that float32 cannot hold are doubles.
    kind = np.float64 if pa.types.is_float64(column.type) else np.float32
    return np.asarray(column.to_numpy(), dtype=kind)


def wall_times(stamps: pa.ChunkedArray) -> AxisArray | None:
    """Return times as an axis shows them: local times, or steps; ``None`` if one is missing."""
    if stamps.null_count:
        return None
    if pa.types.is_integer(stamps.type):
        return np.asarray(stamps.to_numpy())
    # numpy has no zones: the axis shows local times in the zone of the series.
    if pa.types.is_timestamp(stamps.type) and stamps.type.tz is not None:
        micros = stamps.cast(pa.timestamp("us", stamps.type.tz), safe=False).cast(pa.int64())
        return to_wall(micros.to_numpy(), zone_of(stamps.type)).astype("datetime64[us]")
    return np.asarray(stamps.cast(pa.timestamp("us"), safe=False).to_numpy())


def _actuals(times: AxisArray, future: tuple[AxisArray, FloatArray] | None) -> FloatArray | None:
    """Return the actual value at each time, [H]; ``None`` when none is known yet."""
    if future is None:
        return None
    known_times, values = future
    ordered = known_times.astype(times.dtype)
    # `searchsorted` puts a time after the last one beyond the end of the array. Moved to the last
    # place, it is compared with the last time and differs, so that its value is NaN.
    place = np.minimum(np.searchsorted(ordered, times), len(ordered) - 1)
    actual = np.where(ordered[place] == times, values[place], np.float32(np.nan))
    return actual if np.isfinite(actual).any() else None
