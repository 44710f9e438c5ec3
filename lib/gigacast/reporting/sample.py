"""A sample of the series of a run: those furthest from their actuals, with their past.

Of a few partitions the first series are ranked, so that a report costs the same for a thousand
series and for a billion.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa

from gigacast.backtesting.evaluation.actuals import Actuals
from gigacast.backtesting.evaluation.join import Forecasts, match, read_forecasts, whole_series
from gigacast.backtesting.evaluation.partition import Reading
from gigacast.core.array import DoubleArray, FloatArray
from gigacast.core.partition.name import PartitionName, lineage_of, month_of_folder
from gigacast.core.partition.spec import horizon_of_spec
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.item_key import key_columns
from gigacast.errors import DataNotFoundError, GigacastError
from gigacast.forecasters.metric import intervals_of, quantile_loss
from gigacast.forecasting.prediction import long_table
from gigacast.forecasting.preview import Histories, Look, histories_of, look_of
from gigacast.forecasting.read import Generation
from gigacast.forecasting.stored.choice import describes_reading, read_recipe
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.spec import AGGREGATION, with_aggregation
from gigacast.lake.plan.manifest import read_manifest
from gigacast.lake.plan.receipt import Receipt, list_receipts, read_receipt
from gigacast.reporting.drift import STEPS as DRIFT_STEPS
from gigacast.reporting.drift import Drift, SeriesShift, drift_of, measure_shift
from gigacast.series.reader import read_series
from gigacast.series.source import SeriesSource
from gigacast.storage.parquet.read import open_object, read_batches
from gigacast.storage.store import Store

PARTITIONS = 6
"""Partitions of a sample."""
SERIES = 200
"""Series of each of them that are ranked."""
SHOWN = 6
"""Series that are drawn."""
STEPS = 96
"""Steps of the past that are drawn."""
_DUST = 1e-4
"""Mean size of forecasts of nothing."""
_MOST_BATCHES = 50
"""Batches of a partition that are searched for the past of a series."""


@dataclass(frozen=True)
class RankedSeries:
    """A series, and how far its forecast is from what came.

    Parameters
    ----------
    partition : str
    look : Look
    wql : float
        Weighted quantile loss of the steps whose actual is known; NaN without any.
    width : float
        Mean width of the widest interval relative to the median's size: the doubt of the model.
    """

    partition: str
    look: Look
    wql: float
    width: float


@dataclass(frozen=True)
class Sample:
    """Series and receipts of some partitions of a generation.

    Parameters
    ----------
    series : tuple of RankedSeries
        The worst first: those with actuals by their loss, then those with the widest intervals.
    receipts : tuple of Receipt
    ranked : int
        Number of series among which they were chosen.
    drift : Drift, optional
        How recent inputs differ from earlier ones; ``None`` where no input could be read.
    """

    series: tuple[RankedSeries, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    ranked: int = 0
    drift: Drift | None = None


@dataclass(frozen=True)
class _Part:
    """The first series of a partition."""

    partition: str
    table: pa.Table
    forecasts: Forecasts
    actual: FloatArray
    wql: DoubleArray
    width: DoubleArray
    receipt: Receipt | None
    job: ForecastJob
    items: tuple[str, ...]


def sample_series(
    job: ForecastJob, inputs: Store, outputs: Store, generation: Generation
) -> Sample:
    """Return the worst series among those of a few partitions of a generation.

    What cannot be read any more is left out: a report is made of what there is.

    Parameters
    ----------
    job : ForecastJob
        Job whose columns, pattern and selection say how the past and the actuals are read.
    inputs, outputs : Store
    generation : Generation
    """
    job, inputs = _described(job, inputs, outputs, generation)
    manifest, _ = read_manifest(outputs, generation.key)
    rows = [row for row in manifest.to_pylist() if row["rows"]]
    places = np.unique(np.linspace(0, len(rows) - 1, PARTITIONS).round().astype(np.int64))
    horizon = horizon_of_spec(generation.spec) or 1
    parts = []
    for row in [rows[place] for place in places.tolist()] if rows else []:
        with suppress(GigacastError, pa.ArrowException, OSError):
            parts.append(_read_part(job, inputs, outputs, row, horizon))
    order = _worst(parts)
    series = [_ranked(parts[number], row, inputs) for number, row in order]
    return Sample(
        tuple(entry for entry in series if entry is not None)[:SHOWN],
        tuple(part.receipt for part in parts if part.receipt is not None),
        sum(len(part.wql) for part in parts),
        drift_of([shift for part in parts for shift in _shift(part, inputs)]),
    )


def _described(
    job: ForecastJob, inputs: Store, outputs: Store, generation: Generation
) -> tuple[ForecastJob, Store]:
    """Return how the inputs of forecasts are read: as they were made, or as the job says."""
    recipe = None
    if not describes_reading(job):
        with suppress(GigacastError):
            recipe = read_recipe(outputs, generation)
    reading = Reading.of(job, inputs, recipe)
    return reading.job, reading.inputs


def _shift(part: _Part, inputs: Store) -> list[SeriesShift]:
    """Return how the first series of the inputs of a part have moved; nothing without inputs."""
    receipt = part.receipt
    name = part.job.pattern.parse(str(receipt.inputs[-1]["key"])) if receipt else None
    if name is None:
        return []
    with suppress(GigacastError, pa.ArrowException, OSError):
        batch = next(iter(_batches(part, inputs, name, DRIFT_STEPS)), None)
        if batch is not None:
            few = batch.take(np.arange(min(SERIES, len(batch))))
            return [measure_shift(few, part.partition)]
    return []


def _worst(parts: Sequence[_Part]) -> list[tuple[int, int]]:
    """Return part and row of the worst series; twice as many as are shown, as some have no time."""
    if not parts:
        return []
    wql = np.concatenate([part.wql for part in parts])
    width = np.concatenate([part.width for part in parts])
    owner = np.repeat(np.arange(len(parts)), [len(part.wql) for part in parts])
    row = np.concatenate([np.arange(len(part.wql)) for part in parts])
    is_scored = np.isfinite(wql)
    values = np.nan_to_num(np.where(is_scored, wql, width), nan=-1.0)
    order = np.lexsort((-values, ~is_scored))[: 2 * SHOWN]
    return list(zip(owner[order].tolist(), row[order].tolist(), strict=True))


def _read_part(
    job: ForecastJob, inputs: Store, outputs: Store, row: dict[str, str], horizon: int
) -> _Part:
    batches = read_batches(outputs, row["key"], if_match=row["etag"])
    table = next(whole_series(batches, horizon, SERIES * horizon))
    if (text := (table.schema.metadata or {}).get(AGGREGATION.encode())) is not None:
        job = replace(job, method=with_aggregation(job.method, text, "a forecast"))
    forecasts = read_forecasts(table, horizon)
    receipt = next(
        (read_receipt(outputs, key) for key, _ in list_receipts(outputs, row["key"])), None
    )
    items = key_columns(table.schema)
    actual = _actuals(job, inputs, forecasts, row["partition"], items)
    wql, width = rank(forecasts, actual)
    rows = long_table(table)
    return _Part(row["partition"], rows, forecasts, actual, wql, width, receipt, job, items)


def _actuals(
    job: ForecastJob,
    inputs: Store,
    forecasts: Forecasts,
    partition: str,
    items: tuple[str, ...],
) -> FloatArray:
    """Return the actual of each step, [N, H]; NaN where none has come."""
    unknown = np.full(forecasts.median.shape, np.nan, np.float32)
    month = month_of_folder(partition.rpartition("/")[0])
    if month is None:
        return unknown
    try:
        arrived, _ = Actuals(job, inputs).find(forecasts, month, lineage_of(partition), items)
    except GigacastError:
        return unknown
    return match(forecasts, arrived)


def rank(forecasts: Forecasts, actual: FloatArray) -> tuple[DoubleArray, DoubleArray]:
    """Return the weighted quantile loss of each series, and the relative width of its intervals.

    Parameters
    ----------
    forecasts : Forecasts
        N series of H steps.
    actual : float32 [N, H]
        NaN where unknown.

    Returns
    -------
    wql, width : float64 [N]
        NaN where undefined. The loss of a series whose actuals are all zero is relative to its
        median.
    """
    levels = np.asarray(forecasts.levels, np.float64)
    quantiles = forecasts.quantiles.astype(np.float64)
    answered = np.isfinite(actual) & np.isfinite(quantiles).all(axis=2)
    loss = quantile_loss(actual.astype(np.float64), quantiles, levels).mean(axis=2)
    size = np.where(answered, np.abs(actual), 0.0).sum(axis=1)
    # A series that has fallen to zero would have no loss: relative to its forecast it has one.
    expected = np.where(answered, np.abs(forecasts.median), 0.0).sum(axis=1)
    size = np.where(size > 0, size, expected)
    total = np.where(answered, loss, 0.0).sum(axis=1)
    undefined = np.full(len(actual), np.nan)
    wql = np.divide(total, size, out=undefined.copy(), where=size > 0)
    # Around zero a model's forecasts are dust, and so are their errors: a product that nobody buys
    # is not the worst of all.
    steps = np.maximum(answered.sum(axis=1), 1)
    wql = np.where((size > 0) & (size < _DUST * steps), 0.0, wql)
    intervals = intervals_of(forecasts.levels)
    if not intervals:
        return wql, undefined
    low, high = intervals[0]
    span = np.abs(quantiles[..., high] - quantiles[..., low]).mean(axis=1)
    middle = np.abs(forecasts.median.astype(np.float64)).mean(axis=1)
    width = np.divide(span, middle, out=undefined.copy(), where=middle > 0)
    return wql, np.where((middle > 0) & (middle + span < _DUST), 0.0, width)


def _ranked(part: _Part, row: int, inputs: Store) -> RankedSeries | None:
    """Return a series of a part with its past; ``None`` if it has no times."""
    names = part.forecasts.items.slice(row, 1).to_pylist()[0]
    pair = (str(names["item"]), str(names["target"]))
    histories: Histories = {}
    with suppress(GigacastError, pa.ArrowException, OSError):
        histories = _past(part, inputs, pair)
    horizon = part.forecasts.median.shape[1]
    rows = part.table.slice(row * horizon, horizon)
    try:
        look = look_of(rows, pair, part.forecasts.levels, histories, {})
    except DataNotFoundError:
        return None
    actual = part.actual[row]
    look = replace(look, actuals=actual if np.isfinite(actual).any() else None)
    return RankedSeries(part.partition, look, float(part.wql[row]), float(part.width[row]))


def _past(part: _Part, inputs: Store, pair: tuple[str, str]) -> Histories:
    if part.receipt is None:
        return {}
    name = part.job.pattern.parse(str(part.receipt.inputs[-1]["key"]))
    if name is None:
        return {}
    for number, histories in enumerate(_histories(part, inputs, name, pair[0])):
        if pair in histories or number >= _MOST_BATCHES:
            return histories
    return {}


def _histories(part: _Part, inputs: Store, name: PartitionName, item: str) -> Iterator[Histories]:
    for batch in _batches(part, inputs, name, STEPS):
        yield histories_of(batch, {item})


def _batches(part: _Part, inputs: Store, name: PartitionName, steps: int) -> Iterator[SeriesBatch]:
    """Yield the series of the inputs of a part, the last steps of each."""
    reading = part.job.method.reading
    options = replace(
        reading,
        # The forecasts say how their items are named, whatever the settings of now are.
        columns=replace(
            reading.columns,
            items=part.items,
            item_id=None if part.items else reading.columns.item_id,
        ),
        context_length=steps,
        item_id=name.symbol or name.series_name,
        memory_limit_bytes=part.job.resources.memory_limit_bytes,
    )
    yield from read_series(_sources(part.receipt, inputs, name), options)


def _sources(receipt: Receipt | None, inputs: Store, name: PartitionName) -> list[SeriesSource]:
    return [
        SeriesSource(
            # By its ETag: of an input that was replaced since, no past is drawn.
            open=partial(
                open_object,
                inputs,
                str(entry["key"]),
                if_match=str(entry["etag"]),
                size_bytes=int(str(entry["size_bytes"])),
            ),
            format=name.extension,
            name=str(entry["key"]),
        )
        for entry in (receipt.inputs if receipt is not None else [])
    ]
