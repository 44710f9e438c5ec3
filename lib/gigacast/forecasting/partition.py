"""The task of a forecasting job: read a partition, forecast it, write the predictions."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from gigacast.core.partition.task import Task
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.forecast import ForecastBatch
from gigacast.forecasters.around.pool import Pool
from gigacast.forecasters.batching import forecast_batch
from gigacast.forecasters.budget import needs_one_shape
from gigacast.forecasters.forecaster import Forecaster, is_shift_free
from gigacast.forecasters.levels import extrapolated_levels
from gigacast.forecasters.options import ForecastOptions
from gigacast.forecasters.pooling import find_pool, needs_pool
from gigacast.forecasting.prediction import (
    prediction_batch,
    prediction_schema,
    row_group_rows,
    with_mean,
    without_dropped,
)
from gigacast.forecasting.refresh.former import Form
from gigacast.forecasting.refresh.probe import keeps_numbers
from gigacast.forecasting.refresh.task import Compute, Refresh, RefreshOptions
from gigacast.forecasting.stored.recipe import recipe_metadata
from gigacast.forecasting.worker import (
    ModelSetup,
    PartitionWorker,
    Tally,
    read_options,
    sources_of,
)
from gigacast.job.location import dataset_name
from gigacast.job.spec import make_spec
from gigacast.job.watched import watched
from gigacast.job.worker import Stopwatch
from gigacast.lake.plan.origin import publish_kept, trim_origins
from gigacast.lake.plan.receipt import Receipt
from gigacast.series.reader import read_series
from gigacast.series.source import ReadOptions
from gigacast.storage.parquet.writer import ParquetSink

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ForecastSetup(ModelSetup):
    """A picklable recipe for the workers of a forecasting run; see `ModelSetup`."""

    def __call__(self) -> "PartitionForecaster":
        """Load the model, once per process, and return the worker."""
        return PartitionForecaster(self, self.load())


class KeepingSink(ParquetSink):
    """A sink that keeps the forecast which it replaces; see `lake.plan.origin`."""

    is_first = False

    def _put(self, path: Path) -> str:
        return publish_kept(self._store, self._key, path, is_first=self.is_first)


class PartitionForecaster(PartitionWorker[ForecastBatch]):
    """Forecasts one partition per call."""

    job = "forecast"

    def __init__(self, setup: ModelSetup, forecaster: Forecaster) -> None:
        super().__init__(setup, forecaster)
        self._refresh: Refresh | None = None
        self._keeps = setup.job.incremental and keeps_numbers(forecaster)
        if setup.job.incremental and not self._keeps:
            logger.warning(
                "incremental: on %s the numbers of a series depend on its batch by rounding; every "
                "series is computed",
                forecaster.info.device,
            )
        elif self._keeps:
            self._budget.fixed = needs_one_shape(forecaster.info)

    def _read_options(self, task: Task) -> ReadOptions:
        job = self._setup.job
        limit = job.resources.memory_limit_bytes
        options = read_options(task, job.method, self._setup.info, memory_limit_bytes=limit)
        return replace(options, precise=is_shift_free(self._setup.info))

    def _results(
        self, task: Task, batches: Iterable[SeriesBatch], watch: Stopwatch, tally: Tally
    ) -> Iterator[ForecastBatch]:
        job = self._setup.job
        options = job.method.options(task.horizon, job.resources.batch_size)
        if needs_pool(options):
            with watch.measure("prepare"):
                options = replace(options, pool=self._pool(task, options))
        forecaster = watched(self._forecaster, watch)

        def compute(batch: SeriesBatch) -> ForecastBatch:
            return forecast_batch(forecaster, batch, options, self._budget)

        forecast_of = self._kept_or(compute, task)
        for batch in batches:
            with watch.measure("prepare", besides="predict"):
                forecast = forecast_of(batch)
            tally.add(forecast.series, forecast.reasons)
            tally.count(forecast)
            # Where the model ignores covariates, missing future values change no forecast.
            if not self._setup.ignored:
                tally.futures.add(batch, task.horizon)
            yield forecast

    def _pool(self, task: Task, options: ForecastOptions) -> Pool:
        """Return the common effects of a partition, in a reading of its own."""
        reader = read_series(sources_of(task, self._inputs), self._read_options(task))
        return find_pool(reader, self._setup.info, options)

    def _kept_or(self, compute: Compute, task: Task) -> Compute:
        """Return ``compute``, in incremental runs only for series that have changed."""
        self._close_former()
        job, info = self._setup.job, self._setup.info
        if not self._keeps:
            return compute
        refresh = Refresh(
            self._outputs,
            task,
            RefreshOptions(
                info=info,
                form=Form(task.horizon, job.method.levels, job.method.fallback, job.method.mean),
                batch_size=job.resources.batch_size,
                joint=job.method.joint_targets,
                may_keep=not job.overwrite,
                limit_bytes=job.resources.memory_limit_bytes,
            ),
        )
        self._refresh = refresh
        return partial(refresh.forecast, compute=compute)

    def _close_former(self) -> None:
        if self._refresh is not None:
            self._refresh.close()

    def _schema(self, task: Task, first: ForecastBatch | None) -> pa.Schema:
        method = self._setup.job.method
        schema = prediction_schema(
            first.series if first is not None else None,
            method.levels,
            method.layout,
            self._metadata(task),
            first.series.future_type(task.horizon) if first is not None else None,
            method.columns.items,
        )
        return with_mean(schema) if method.mean else schema

    def _open_sink(self, task: Task, schema: pa.Schema) -> ParquetSink:
        rows = row_group_rows(task.horizon, self._setup.job.method.layout)
        kind = KeepingSink if self._setup.job.keep_origins > 1 else ParquetSink
        sink = kind(self._outputs, task.output_key, schema, row_group_rows=rows)
        if isinstance(sink, KeepingSink):
            # A receipt in the plan, valid or not, tells of a forecast that was there.
            sink.is_first = not task.stale_receipts
        return sink

    def _receipt(self, *facts: Any) -> Receipt:
        receipt = super()._receipt(*facts)
        if not self._setup.job.incremental:
            return receipt
        return replace(receipt, kept=self._refresh.kept if self._refresh is not None else 0)

    def _finish(self, task: Task, receipt: Receipt, etag: str) -> None:
        refresh = self._refresh
        if refresh is not None:
            refresh.close()
            # Before the receipt: a crash in between leaves a note of a forecast that is there. Not
            # where memory ran out, as calls had another shape from then on.
            if not self._budget.fixed or self._budget.is_exact:
                refresh.write_note(etag)
        super()._finish(task, receipt, etag)
        # Last of all: a crash before it leaves an origin too many, which the next forecast of the
        # partition or `prune` deletes.
        if self._setup.job.keep_origins > 1 and task.stale_receipts:
            trim_origins(self._outputs, task.output_key, etag, self._setup.job.keep_origins)

    def _rows(self, result: ForecastBatch, schema: pa.Schema) -> pa.RecordBatch:
        method = self._setup.job.method
        return prediction_batch(without_dropped(result, method.fallback), schema, method.layout)

    def _metadata(self, task: Task) -> dict[str, str]:
        levels = extrapolated_levels(self._setup.job.method.levels, self._setup.info.levels)
        dataset = dataset_name(self._setup.job.inputs)
        # The order is part of the file: the same input, model and spec give the same bytes.
        return {
            **({"gigacast.dataset": dataset} if dataset else {}),
            **super()._metadata(task),
            "gigacast.extrapolated_levels": ",".join(f"{level:.10g}" for level in levels),
            **self._recipe(task),
        }

    def _recipe(self, task: Task) -> dict[str, str]:
        setup = self._setup
        spec = make_spec(setup.info, setup.job.method, setup.job.selection)
        # Plans of an earlier release may describe a spec in another way than this one.
        return (
            recipe_metadata(spec, task.horizon, setup.job)
            if spec.id(task.horizon) == task.spec
            else {}
        )
