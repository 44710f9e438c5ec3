"""Anomalies of the last steps of series, against forecasts of these steps from before them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from gigacast.anomalies.kernel import Compared, Limits, describe_history
from gigacast.anomalies.panel import PANELS, dump_panels, worst_panels
from gigacast.anomalies.table import detect, schema_of
from gigacast.backtesting.partition import HISTORY, Windows
from gigacast.core.array import ByteArray, RealArray
from gigacast.core.column import to_arrow
from gigacast.core.partition.task import Task
from gigacast.core.series.base import add_bases
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.holdout import hold_out
from gigacast.core.series.item_key import ItemKey
from gigacast.core.series.reason import Reason
from gigacast.errors import NumberRangeError
from gigacast.forecasters.batching import BatchBudget, forecast_batch
from gigacast.forecasters.forecaster import Forecaster
from gigacast.forecasters.options import ForecastOptions
from gigacast.forecasting.prediction import item_fields
from gigacast.forecasting.worker import (
    ModelSetup,
    PartitionWorker,
    Tally,
    read_options,
)
from gigacast.job.watched import watched
from gigacast.job.worker import Stopwatch
from gigacast.series.source import ReadOptions


@dataclass(frozen=True)
class AnomalySetup:
    """A picklable recipe for the workers that search partitions for anomalies.

    Parameters
    ----------
    work : ModelSetup
    windows : Windows
        Number of horizons at the end of each series that are compared.
    limits : Limits
    """

    work: ModelSetup
    windows: Windows
    limits: Limits

    def for_slot(self, slot: int) -> "AnomalySetup":
        """Return the recipe for the process in a slot."""
        return replace(self, work=self.work.for_slot(slot))

    def __call__(self) -> "AnomalyWorker":
        """Load the model, once per process, and return the worker."""
        return AnomalyWorker(self, self.work.load())


@dataclass(frozen=True, slots=True)
class BatchAnomalies:
    """The anomalies of a batch as rows, why series were not compared, and pictures of the worst."""

    rows: pa.Table
    series: SeriesBatch
    reasons: ByteArray
    panels: list[dict[str, Any]] = field(default_factory=list)


class AnomalyWorker(PartitionWorker[BatchAnomalies]):
    """Searches one partition per call."""

    job = "anomalies"

    def __init__(self, setup: AnomalySetup, forecaster: Forecaster) -> None:
        super().__init__(setup.work, forecaster)
        self._windows, self._limits = setup.windows, setup.limits
        self._panels: list[dict[str, Any]] = []

    def _read_options(self, task: Task) -> ReadOptions:
        job = self._setup.job
        limit = job.resources.memory_limit_bytes
        options = read_options(task, job.method, self._setup.info, memory_limit_bytes=limit)
        steps = HISTORY + self._windows.span(task.horizon)
        # As in a backtest: about four batches of float32 series are in memory at once.
        limit_series = max(1, limit // 16 // (4 * steps))
        batch_series = min(options.batch_series, limit_series)
        return replace(options, context_length=steps, batch_series=batch_series, precise=True)

    def _results(
        self, task: Task, batches: Iterable[SeriesBatch], watch: Stopwatch, tally: Tally
    ) -> Iterator[BatchAnomalies]:
        forecaster = watched(self._forecaster, watch)
        method, resources = self._setup.job.method, self._setup.job.resources
        options = method.options(task.horizon, resources.batch_size)
        self._panels = []
        for batch in batches:
            with watch.measure("prepare", besides="predict"):
                anomalies = search_batch(
                    batch, forecaster, options, self._windows.count, self._limits, self._budget
                )
            tally.add(batch, anomalies.reasons)
            self._panels += anomalies.panels
            yield anomalies

    def _schema(self, task: Task, first: BatchAnomalies | None) -> pa.Schema:
        names = self._setup.job.method.columns.items
        metadata = {"gigacast.job": self.job, **self._metadata(task)}
        metadata |= ItemKey(names, ()).metadata if names else {}
        if first is not None:
            return first.rows.schema.with_metadata(metadata)
        keys = [*item_fields(None, names), pa.field("timestamp", pa.timestamp("us"))]
        keys.append(pa.field("target_name", pa.string()))
        return schema_of(pa.schema(keys)).with_metadata(metadata)

    def _last_metadata(self) -> dict[str, str]:
        return {PANELS: dump_panels(self._panels)}

    def _rows(self, result: BatchAnomalies, schema: pa.Schema) -> pa.RecordBatch:
        column = "median"
        if result.rows.schema.field(column).type != schema.field(column).type == pa.float32():
            raise NumberRangeError(
                "the numbers are float, which loses steps of the values",
                hint="write the numbers of the file as doubles",
            )
        columns = [
            column.combine_chunks().cast(field.type)
            for column, field in zip(result.rows.columns, schema, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=schema)


def search_batch(
    batch: SeriesBatch,
    forecaster: Forecaster,
    options: ForecastOptions,
    windows: int,
    limits: Limits,
    budget: BatchBudget | None = None,
) -> BatchAnomalies:
    """Return the anomalies among the last steps of a batch of series.

    Parameters
    ----------
    batch : SeriesBatch
        N series.
    forecaster : Forecaster
    options : ForecastOptions
        With the horizon H of each window.
    windows : int
        Number W of windows, one after the other: W * H steps of each series are compared.
    limits : Limits
    budget : BatchBudget, optional
        Memory limits found so far; a new budget by default.
    """
    horizon, span = options.horizon, windows * options.horizon
    reasons = batch.reasons.copy()
    rows = np.flatnonzero((reasons == Reason.OK) & (batch.lengths > horizon))
    reasons[(reasons == Reason.OK) & (batch.lengths <= horizon)] = Reason.TOO_SHORT
    good = batch.take(rows)
    # Beyond the digits of float32 only where a series is: see `core.series.base`.
    kind = np.float32 if good.bases is None else np.float64
    actual, median = (np.full((len(good), span), np.nan, kind) for _ in range(2))
    quantiles = np.full((len(good), span, len(options.levels)), np.nan, kind)
    for window in range(windows):
        split = hold_out(good, horizon, later=window * horizon)
        if not len(split.rows):
            continue
        forecast = forecast_batch(forecaster, split.contexts, options, budget)
        # The latest window stands last, so that runs go on from one window into the next.
        place = slice(span - (window + 1) * horizon, span - window * horizon)
        actual[split.rows, place] = split.actuals
        median[split.rows, place] = forecast.median
        quantiles[split.rows, place] = forecast.quantiles
    history = describe_history(*_before(good, span))
    keys = _keys(good, span)
    compared = Compared(actual, median, quantiles, options.levels, good.bases)
    table = detect(keys, compared, history, limits)
    return BatchAnomalies(table, batch, reasons, worst_panels(table, keys, compared))


def _before(batch: SeriesBatch, span: int) -> tuple[RealArray, np.ndarray]:
    """Return the values before the last ``span`` steps, and their offsets."""
    lengths = np.maximum(batch.lengths - span, 0)
    within = np.arange(len(batch.values)) - np.repeat(batch.offsets[:-1], batch.lengths)
    is_past = within < np.repeat(lengths, batch.lengths)
    values: RealArray = batch.values[is_past]
    if batch.bases is not None:
        # Zeros are those of the series, and not those of the differences to its base.
        values = add_bases(values, np.repeat(batch.bases, lengths))
    return values, np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])


def _keys(batch: SeriesBatch, span: int) -> pa.Table:
    """Return items, time and target of the last ``span`` steps of each series."""
    owner = to_arrow(np.repeat(np.arange(len(batch)), span))
    times = replace(batch, last_timestamps=batch.times_before(span)).future_arrow(span)
    fields = [*batch.item_fields(), pa.field("timestamp", batch.timestamp_type)]
    columns = [*(column.take(owner) for column in batch.item_columns()), times]
    fields.append(pa.field("target_name", pa.string()))
    columns.append(batch.target_names.cast(pa.string()).take(owner))
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))
