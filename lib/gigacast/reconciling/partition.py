"""The task of a reconciliation: forecast the series of a month and their sums that add up.

All series of a month are in memory together, as every sum may be of any of them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from gigacast.backtesting.partition import Windows
from gigacast.core.array import DoubleArray, FloatArray
from gigacast.core.column import to_arrow
from gigacast.core.partition.task import Task
from gigacast.core.plural import counted
from gigacast.core.series.batch import SeriesBatch, concat_batches
from gigacast.core.series.forecast import ForecastBatch
from gigacast.core.series.holdout import hold_out
from gigacast.errors import ConfigError
from gigacast.forecasters.batching import forecast_batch
from gigacast.forecasters.forecaster import Forecaster
from gigacast.forecasters.levels import normal_score
from gigacast.forecasting.prediction import MEAN, prediction_batch, prediction_schema
from gigacast.forecasting.worker import ModelSetup, PartitionWorker, Tally, read_options
from gigacast.job.watched import watched
from gigacast.job.worker import Stopwatch
from gigacast.reconciling.panel import Panel, panels_of
from gigacast.reconciling.projection import reconciliation_of, stretches
from gigacast.series.source import ReadOptions
from gigacast.settings.command.reconciliation import ReconcileMethod

SUM_BY, BASE = "sum_by", "base"
_BYTES_OF_SYSTEM = 3 * 8
"""Bytes for each two sums: the system of equations, its copy and its factors."""


@dataclass(frozen=True)
class ReconcileSetup(ModelSetup):
    """A picklable recipe for the workers of a reconciliation.

    Parameters
    ----------
    levels : tuple of tuple of str
        Columns of each level of sums, the total first.
    method : {"bottom_up", "mint_diagonal", "mint_shrink"}
    windows : Windows
    """

    levels: tuple[tuple[str, ...], ...] = ((),)
    method: ReconcileMethod = "mint_shrink"
    windows: Windows = field(default_factory=Windows)

    def __call__(self) -> "PartitionReconciler":
        """Load the model, once per process, and return the worker."""
        return PartitionReconciler(self, self.load())


@dataclass(frozen=True, slots=True)
class Reconciled:
    """Reconciled forecasts of a panel.

    Parameters
    ----------
    panel : Panel
    forecast : ForecastBatch
        Quantiles and medians, moved and stretched.
    base, mean : float64 [A + N, H]
        Means before and after.
    """

    panel: Panel
    forecast: ForecastBatch
    base: DoubleArray
    mean: DoubleArray


class PartitionReconciler(PartitionWorker[Reconciled]):
    """Reconciles the forecasts of one month per call."""

    job = "reconcile"

    def __init__(self, setup: ReconcileSetup, forecaster: Forecaster) -> None:
        super().__init__(setup, forecaster)
        self._own = setup
        self._left_out = 0

    def _read_options(self, task: Task) -> ReadOptions:
        job = self._setup.job
        limit = job.resources.memory_limit_bytes
        options = read_options(task, job.method, self._setup.info, memory_limit_bytes=limit)
        steps = options.context_length + self._own.windows.span(task.horizon)
        return replace(options, context_length=steps, precise=True)

    def _results(
        self, task: Task, batches: Iterable[SeriesBatch], watch: Stopwatch, tally: Tally
    ) -> Iterator[Reconciled]:
        forecaster = watched(self._forecaster, watch)
        parts = list(batches)
        if not parts:
            return
        whole_month = concat_batches(parts)
        panels, apart = panels_of(whole_month, self._own.levels)
        tally.add(whole_month, whole_month.reasons)
        tally.unsummed += len(apart)
        for panel in panels:
            self._check_size(panel, task)
            with watch.measure("prepare", besides="predict"):
                yield self._reconciled(panel, task.horizon, forecaster)

    def _check_size(self, panel: Panel, task: Task) -> None:
        sums, limit = panel.hierarchy.sums, self._setup.job.resources.memory_limit_bytes
        if self._own.method != "bottom_up" and sums**2 * _BYTES_OF_SYSTEM > limit:
            raise ConfigError(
                f"{task.partition}: {counted(sums, 'sum')} make too large a system of equations",
                hint="take fewer --sum, --method bottom_up, or a larger --memory_limit",
            )

    def _reconciled(self, panel: Panel, horizon: int, forecaster: Forecaster) -> Reconciled:
        method = self._setup.job.method
        forecast = self._forecast(panel.series, horizon, forecaster)
        base = _mean_of(forecast)
        errors = self._errors(panel.series, horizon, forecaster)
        spread = _spread_of(forecast, method.levels)
        reconciliation = reconciliation_of(panel.hierarchy, self._own.method, errors, spread)
        mean = reconciliation.apply(base)
        if method.non_negative:
            series = np.maximum(mean[panel.hierarchy.sums :], 0)
            mean = np.concatenate([panel.hierarchy.add_up(series), series])
        shift, more = mean - base, stretches(reconciliation, errors)[:, None] - 1

        def moved(values: FloatArray) -> FloatArray:
            # In this form, values that nothing moves keep all their bits.
            own = values + shift + more * (values - base)
            return np.maximum(own, 0 if method.non_negative else -np.inf).astype(values.dtype)

        quantiles = [moved(forecast.quantiles[..., q]) for q in range(len(method.levels))]
        changed = replace(
            forecast,
            quantiles=np.stack(quantiles, axis=-1),
            median=moved(forecast.median),
            mean=None,
        )
        return Reconciled(panel, changed, base, mean)

    def _forecast(self, series: SeriesBatch, horizon: int, forecaster: Forecaster) -> ForecastBatch:
        job = self._setup.job
        options = job.method.options(horizon, job.resources.batch_size)
        return forecast_batch(forecaster, series, options, self._budget)

    def _errors(self, series: SeriesBatch, horizon: int, forecaster: Forecaster) -> DoubleArray:
        """Return the errors of means at past origins, [A + N, windows * H]; NaN where unknown."""
        errors = np.full((len(series), self._own.windows.count, horizon), np.nan)
        for window, later in enumerate(self._own.windows.later(horizon)):
            split = hold_out(series, horizon, later=later)
            if len(split.rows):
                forecast = self._forecast(split.contexts, horizon, forecaster)
                errors[split.rows, window] = split.actuals - _mean_of(forecast)
        return errors.reshape(len(series), -1)

    def _schema(self, task: Task, first: Reconciled | None) -> pa.Schema:
        method = self._setup.job.method
        series = None if first is None else first.panel.series
        names = method.columns.items
        schema = prediction_schema(
            series,
            method.levels,
            "long",
            self._metadata(task),
            series.future_type(task.horizon) if series is not None else None,
            names,
        )
        if first is not None:
            kinds = [column.type for column in first.panel.items]
            ids = names or (schema.names[0],)
            fields = [pa.field(name, kind) for name, kind in zip(ids, kinds, strict=True)]
            others = [field for field in schema if field.name not in {*ids, "item_id"}]
            schema = pa.schema([*fields, *others], metadata=schema.metadata)
        own = [pa.field(SUM_BY, pa.string()), (BASE, pa.float64()), (MEAN, pa.float64())]
        return pa.schema([*schema, *own], metadata=schema.metadata)

    def _rows(self, result: Reconciled, schema: pa.Schema) -> pa.RecordBatch:
        forecast = result.forecast
        rows = to_arrow(np.repeat(np.arange(len(forecast.series)), forecast.horizon))
        # Sums have no ids of the series' types: their columns replace the one of made-up names.
        count = len(result.panel.items)
        plain = pa.schema([pa.field("item_id", pa.string()), *list(schema)[count:-3]])
        columns = prediction_batch(forecast, plain, "long").columns[1:]
        items = [column.take(rows) for column in result.panel.items]
        own = [result.panel.sum_by.take(rows), _numbers(result.base), _numbers(result.mean)]
        return pa.RecordBatch.from_arrays([*items, *columns, *own], schema=schema)

    def _metadata(self, task: Task) -> dict[str, str]:
        return {"gigacast.job": "reconcile", **super()._metadata(task)}


def _mean_of(forecast: ForecastBatch) -> DoubleArray:
    assert forecast.mean is not None  # noqa: S101 - the method asks for it
    return forecast.mean.astype(np.float64)


def _spread_of(forecast: ForecastBatch, levels: tuple[float, ...]) -> DoubleArray:
    """Return the variance that the outermost quantiles of a forecast have, [A + N]."""
    width = normal_score(levels[-1]) - normal_score(levels[0])
    if width <= 0:
        return np.full(len(forecast.series), np.nan)
    deviation = (forecast.quantiles[..., -1] - forecast.quantiles[..., 0]) / width
    variance: DoubleArray = np.mean(np.square(deviation.astype(np.float64)), axis=1)
    return variance


def _numbers(values: DoubleArray) -> pa.Array:
    flat = np.ascontiguousarray(values).ravel()
    return to_arrow(flat, np.isnan(flat))
