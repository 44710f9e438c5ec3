"""The evidence of all candidates, read partition by partition and aligned by series and origin."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.backtesting.leaderboard.breakdown import Segmenter
from gigacast.backtesting.losses import read_losses
from gigacast.core.array import BoolArray, DoubleArray, FloatArray, IntArray, RealArray, UintArray
from gigacast.core.column import to_arrow, to_numpy
from gigacast.core.partition.task import Task
from gigacast.core.series.item_key import items_of
from gigacast.errors import DataNotFoundError
from gigacast.selection.decision import Evidence, Forecasts
from gigacast.selection.evidence import ACTUALS, ORIGIN_TIME, QUANTILES, has_doubles, hashes_of
from gigacast.selection.job import ALL, SERIES
from gigacast.settings.command.selection import SelectMetric
from gigacast.storage.parquet.read import read_table
from gigacast.storage.store import Store


@dataclass(frozen=True)
class Gathered:
    """The evidence of all candidates, and the names of its units and series.

    Parameters
    ----------
    evidence : Evidence
    labels : tuple of str
        Names of the U units; empty for units that are series.
    items, targets : pa.Array [S]
        Names of the series.
    unit_of : int64 [S]
        Unit of each series: that of its latest origin.
    partitions : int
        Partitions with evidence.
    left_out : int
        Rows that not all candidates have, or whose loss has no scale.
    """

    evidence: Evidence
    labels: tuple[str, ...]
    items: pa.Array
    targets: pa.Array
    unit_of: IntArray
    partitions: int
    left_out: int


@dataclass(frozen=True)
class Reading:
    """What is read of the evidence.

    Parameters
    ----------
    store : Store
    levels : tuple of float
    segment : str
    segmenter : Segmenter, optional
        Assigns rows to segments, unless units are series or all of them.
    metric : {"sql", "wql"}
    most_values : int
        Numbers of forecasts that may be in memory at once; 0 reads none.
    """

    store: Store
    levels: tuple[float, ...]
    segment: str
    segmenter: Segmenter | None
    metric: SelectMetric
    most_values: int = 0


@dataclass
class _Rows:
    """Aligned rows of partitions, by column."""

    loss: list[DoubleArray] = field(default_factory=list)
    label: list[IntArray] = field(default_factory=list)
    hashes: list[UintArray] = field(default_factory=list)
    origin: list[IntArray] = field(default_factory=list)
    items: list[pa.Array] = field(default_factory=list)
    targets: list[pa.Array] = field(default_factory=list)
    quantiles: list[FloatArray] = field(default_factory=list)
    actuals: list[FloatArray] = field(default_factory=list)
    unit_loss: list[DoubleArray] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    partitions: int = 0
    left_out: int = 0


def gather(reading: Reading, outputs: Sequence[Mapping[str, tuple[Task, str]]]) -> Gathered:
    """Read the evidence of M candidates.

    Parameters
    ----------
    reading : Reading
    outputs : sequence of mapping of str to (Task, str)
        Task and key by partition, of each candidate.

    Raises
    ------
    DataNotFoundError
        If there is no forecast that all of them have made.
    SchemaError, CorruptedFileError, StorageError
    """
    rows = _Rows()
    everywhere = sorted(set.intersection(*(set(side) for side in outputs)))
    for partition in everywhere:
        tables = [read_table(reading.store, side[partition][1]) for side in outputs]
        task, _ = outputs[0][partition]
        _add(rows, reading, tables, task, len(everywhere))
    if not rows.loss:
        raise DataNotFoundError(
            "no series is long enough for a window, or no model has forecast it",
            hint="ask for fewer --windows or a shorter --horizon",
        )
    return _joined(rows, reading)


def _add(
    rows: _Rows, reading: Reading, tables: Sequence[pa.Table], task: Task, partitions: int
) -> None:
    """Add the rows of a partition that all candidates have judged."""
    aligned = _aligned(tables)
    rows.left_out += max(table.num_rows for table in tables) - aligned[0].num_rows
    if not aligned[0].num_rows:
        return
    loss, factor, is_scaled = _losses(aligned, reading)
    rows.left_out += int((~is_scaled).sum())
    keep = np.flatnonzero(is_scaled)
    if reading.most_values:
        keep = _sample(keep, aligned[0], reading, len(aligned), partitions)
    first = aligned[0].take(to_arrow(keep))
    if not len(keep):
        return
    rows.partitions += 1
    rows.loss.append(loss[:, keep])
    rows.hashes.append(hashes_of(first))
    rows.origin.append(np.asarray(to_numpy(first[ORIGIN_TIME]), np.int64))
    rows.items.append(_text(items_of(first)))
    rows.targets.append(_text(first["target_name"]))
    rows.label.append(_label(rows, reading, first, task))
    if reading.most_values:
        quantiles, actuals = _numbers([t.take(to_arrow(keep)) for t in aligned], reading.levels)
        rows.quantiles.append(quantiles)
        rows.actuals.append(actuals)
        rows.unit_loss.append(factor[keep])


def _aligned(tables: Sequence[pa.Table]) -> list[pa.Table]:
    """Return the rows that all tables have, in the same order: by series and origin."""
    keys = []
    for table in tables:
        key = np.empty(table.num_rows, [("series", np.uint64), ("origin", np.int64)])
        key["series"], key["origin"] = hashes_of(table), to_numpy(table[ORIGIN_TIME])
        keys.append(key)
    common = keys[0]
    for key in keys[1:]:
        common = np.intersect1d(common, key)
    common = np.unique(common)
    places = []
    for key in keys:
        order = np.argsort(key, order=("series", "origin"))
        places.append(order[np.searchsorted(key[order], common)])
    return [t.take(to_arrow(place)) for t, place in zip(tables, places, strict=True)]


def _losses(
    tables: Sequence[pa.Table], reading: Reading
) -> tuple[DoubleArray, DoubleArray, BoolArray]:
    """Return losses [M, R], the factor of summed losses [R], and whether rows count [R]."""
    losses = [read_losses(table, reading.levels) for table in tables]
    steps = np.maximum(losses[0].steps, 1)
    size = steps * len(reading.levels)
    if reading.metric == "wql":
        unit = np.ones(len(steps))
        is_scaled = np.ones(len(steps), np.bool_)
    else:
        # A constant context has no seasonal error; the size of its values takes its place.
        magnitude = losses[0].magnitude / steps
        unit = np.where(losses[0].scale > 0, losses[0].scale, magnitude)
        is_scaled = unit > 0
    factor = 1 / (np.where(is_scaled, unit, 1.0) * size)
    total = np.stack([entry.quantile.sum(axis=1) for entry in losses])
    # A model that gave no number for a step must not look better for it.
    is_whole = np.stack([entry.missed == 0 for entry in losses]).all(axis=0)
    is_counted = is_scaled & is_whole & (losses[0].steps > 0) & np.isfinite(total).all(axis=0)
    return total * factor, factor, is_counted


def _sample(
    rows: IntArray, table: pa.Table, reading: Reading, models: int, partitions: int
) -> IntArray:
    """Return as many rows as fit into memory, whole series of the smallest hashes."""
    width = len(table[QUANTILES][0].as_py())
    limit = max(1, reading.most_values // (models * max(1, width) * partitions))
    if len(rows) <= limit:
        return rows
    hashes = hashes_of(table)[rows]
    sampled: IntArray = rows[hashes <= np.sort(hashes)[limit - 1]]
    return sampled


def _label(rows: _Rows, reading: Reading, table: pa.Table, task: Task) -> IntArray:
    if reading.segment == SERIES:
        return np.zeros(table.num_rows, np.int64)
    if reading.segment == ALL or reading.segmenter is None:
        names, codes = [ALL], np.zeros(table.num_rows, np.int64)
    else:
        names, codes = reading.segmenter.label(table, task)
    numbers = [rows.labels.setdefault(name, len(rows.labels)) for name in names]
    labels: IntArray = np.array(numbers, np.int64)[codes]
    return labels


def _joined(rows: _Rows, reading: Reading) -> Gathered:
    hashes, origin = np.concatenate(rows.hashes), np.concatenate(rows.origin)
    distinct, series = np.unique(hashes, return_inverse=True)
    series = series.ravel().astype(np.int64)
    # The latest row of each series names it, and its unit.
    order = np.lexsort((origin, series))
    last = order[np.searchsorted(series[order], np.arange(len(distinct)), "right") - 1]
    by_series = reading.segment == SERIES
    unit = series if by_series else np.concatenate(rows.label)
    names = to_arrow(last)
    evidence = Evidence(
        loss=np.concatenate(rows.loss, axis=1),
        unit=unit,
        series=series,
        origin=origin,
        units=len(distinct) if by_series else len(rows.labels),
        forecasts=_forecasts(rows, reading.levels) if reading.most_values else None,
    )
    return Gathered(
        evidence=evidence,
        labels=tuple(rows.labels),
        items=pa.concat_arrays(rows.items).take(names),
        targets=pa.concat_arrays(rows.targets).take(names),
        unit_of=unit[last],
        partitions=rows.partitions,
        left_out=rows.left_out,
    )


def _forecasts(rows: _Rows, levels: tuple[float, ...]) -> Forecasts:
    # Horizons may differ between partitions: steps beyond a shorter one have no actual value.
    steps = max(actuals.shape[1] for actuals in rows.actuals)
    quantiles = [
        np.pad(q, ((0, 0), (0, 0), (0, steps - q.shape[2]), (0, 0))) for q in rows.quantiles
    ]
    actuals = [
        np.pad(a, ((0, 0), (0, steps - a.shape[1])), constant_values=np.nan) for a in rows.actuals
    ]
    return Forecasts(
        np.concatenate(quantiles, axis=1),
        np.concatenate(actuals),
        levels,
        np.concatenate(rows.unit_loss),
    )


def _numbers(
    tables: Sequence[pa.Table], levels: tuple[float, ...]
) -> tuple[FloatArray, FloatArray]:
    """Return quantiles [M, R, H, Q] and actual values [R, H] of the rows of M candidates.

    Where numbers are large and change little, both are distances to the first actual value of the
    row: losses are the same, and float32 has no others.
    """
    quantiles = np.stack([_matrix(table, QUANTILES, levels) for table in tables])
    actuals = _matrix(tables[0], ACTUALS, ())[..., 0]
    if any(map(has_doubles, tables)):
        first = np.isfinite(actuals).argmax(axis=1)
        level = actuals.astype(np.float64)[np.arange(len(actuals)), first]
        quantiles, actuals = quantiles - level[:, None, None], actuals - level[:, None]
    return quantiles.astype(np.float32, copy=False), actuals.astype(np.float32, copy=False)


def _matrix(table: pa.Table, name: str, levels: tuple[float, ...]) -> RealArray:
    flat = to_numpy(table[name].combine_chunks().flatten())
    matrix: RealArray = flat.reshape(table.num_rows, -1, max(1, len(levels)))
    return matrix


def _text(column: pa.ChunkedArray) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    texts = pc.cast(column, pa.string())
    return texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
