"""One task of a backtest: forecast a partition from past origins, write what was lost.

Each origin's contexts end before it; the forecaster sees nothing else of the partition. The output
holds the losses of every series and window, not the forecasts: figures by any group are made of
them, and a thousand series are a few hundred KiB.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import pyarrow as pa

from gigacast.backtesting.losses import losses_batch, losses_schema
from gigacast.core.array import ByteArray, IntArray
from gigacast.core.partition.task import Task
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.holdout import hold_out
from gigacast.core.series.reason import Reason
from gigacast.forecasters.batching import BatchBudget, forecast_batch
from gigacast.forecasters.forecaster import Forecaster
from gigacast.forecasters.metric import Losses, measure, seasonal_error
from gigacast.forecasters.naive import CONTEXT_LENGTH
from gigacast.forecasting.partition import (
    BATCHES_AHEAD,
    ForecastSetup,
    Tally,
    Watched,
    check_times,
    published_of,
    read_options,
    sources_of,
    task_receipt,
)
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.location import open_inputs
from gigacast.job.model_choice import load_resolved
from gigacast.job.pin import inputs_pinned
from gigacast.job.stopwatch import Stopwatch
from gigacast.lake.plan.receipt import Receipt, write_receipt
from gigacast.series.reader import SeriesReader, read_series
from gigacast.series.source import ReadOptions
from gigacast.storage.opening import open_store
from gigacast.storage.parquet.writer import ParquetSink, PublishedParquet
from gigacast.storage.prefetch import Prefetched

HISTORY = CONTEXT_LENGTH
"""Steps read before the first origin, whatever the model: scales are the same for all of them."""


@dataclass(frozen=True)
class Windows:
    """Where the origins lie.

    Parameters
    ----------
    count : int
        Origins per series; the last one has a whole horizon after it.
    step : int, optional
        Steps from one origin to the next; the horizon when absent.
    """

    count: int = 1
    step: int | None = None

    def later(self, horizon: int) -> list[int]:
        """Return how many steps lie after each window, the latest first."""
        return [n * (self.step or horizon) for n in range(self.count)]

    def span(self, horizon: int) -> int:
        """Return the steps from the first origin to the end."""
        return self.later(horizon)[-1] + horizon


@dataclass(frozen=True)
class BacktestSetup:
    """A picklable recipe for the worker of a backtest of one model.

    ``series`` are the most of a partition that are read; ``season`` see `BacktestJob`.
    """

    work: ForecastSetup
    windows: Windows
    series: int | None = None
    season: int | None = None

    def for_slot(self, slot: int) -> "BacktestSetup":
        """Return the recipe for the process in a slot."""
        return replace(self, work=self.work.for_slot(slot))

    def __call__(self) -> "PartitionBacktester":
        """Load the model, once per process, and return the worker."""
        work = self.work
        forecaster = load_resolved(work.job.model, work.model, work.info, work.slot)
        return PartitionBacktester(self, forecaster)


class PartitionBacktester:
    """Backtests one model on one partition per call; holds the model and the open stores."""

    def __init__(self, setup: BacktestSetup, forecaster: Forecaster) -> None:
        self._setup = setup.work
        self._windows = setup.windows
        self._series = setup.series
        self._season = setup.season
        self._forecaster = forecaster
        self._inputs = open_inputs(self._job.inputs)
        self._outputs = open_store(self._job.outputs)
        self._budget = BatchBudget(self._job.resources.batch_size or "auto")

    @property
    def _job(self) -> ForecastJob:
        return self._setup.job

    def __call__(self, task: Task) -> Receipt:
        """Read, forecast from every origin, write the losses, then the receipt that names both.

        Raises
        ------
        InputChangedError, DataError, ModelError, StorageError
        """
        watch, tally = Stopwatch(), Tally()
        with watch.measure("total"), inputs_pinned(task):
            reader = read_series(sources_of(task, self._inputs), self._read_options(task))
            written = self._write(task, self._lose(task, reader, watch, tally), watch)
        receipt = task_receipt("backtest", task, self._setup, reader, written, tally)
        receipt = replace(receipt, seconds=watch.rounded(), batch_sizes=[self._budget.largest])
        write_receipt(self._outputs, task, receipt, written.etag)
        return receipt

    def _read_options(self, task: Task) -> ReadOptions:
        limit = self._job.resources.memory_limit_bytes
        options = read_options(task, self._job.method, self._setup.info, memory_limit_bytes=limit)
        steps = HISTORY + self._windows.span(task.horizon)
        most = max(1, limit // 16 // (4 * steps))  # of about four batches in memory at once
        return replace(options, context_length=steps, batch_series=min(options.batch_series, most))

    def _lose(
        self, task: Task, reader: SeriesReader, watch: Stopwatch, tally: Tally
    ) -> Iterator["_Lost"]:
        """Yield the losses of each batch and window while the next series are being read."""
        forecaster = Watched(self._forecaster, watch)
        with Prefetched(watch.each("read", reader), BATCHES_AHEAD) as batches:
            for batch in _first(batches, self._series):
                reasons = batch.reasons.copy()
                good = np.flatnonzero(reasons == Reason.OK)
                tried = np.zeros(len(good), np.bool_)
                for window, later in enumerate(self._windows.later(task.horizon)):
                    held = hold_out(batch.take(good), task.horizon, later=later)
                    tried[held.rows] = True
                    if len(held.rows):
                        with watch.measure("prepare", besides="predict"):
                            yield self._forecast(held.contexts, held.actuals, forecaster, window)
                reasons[good[~tried]] = Reason.TOO_SHORT
                tally.add(batch, reasons)
        check_times(task, reader)

    def _forecast(
        self, contexts: SeriesBatch, actuals: object, forecaster: Forecaster, window: int
    ) -> "_Lost":
        method, resources = self._job.method, self._job.resources
        actual = np.asarray(actuals)
        options = method.options(actual.shape[1], resources.batch_size)
        options = replace(options, season=self._season)
        forecast = forecast_batch(forecaster, contexts, options, self._budget)
        scale = seasonal_error(
            contexts.values, contexts.offsets, seasons_of(contexts, self._season)
        )
        losses = measure(actual, forecast.median, forecast.quantiles, method.levels, scale)
        return _Lost(contexts, losses, forecast.reasons, window)

    def _write(self, task: Task, lost: Iterator["_Lost"], watch: Stopwatch) -> PublishedParquet:
        """Write the losses while the next are being made; publish the file when all are."""
        with Prefetched(lost, BATCHES_AHEAD) as ahead:
            stream = iter(ahead)
            first = next(stream, None)
            schema = losses_schema(
                first.contexts.item_ids.type if first is not None else pa.string(),
                first.contexts.timestamp_type if first is not None else pa.timestamp("us"),
                self._job.method.levels,
                self._metadata(task),
            )
            with ParquetSink(self._outputs, task.output_key, schema) as sink:
                for part in chain([first] if first is not None else [], stream):
                    with watch.measure("write"):
                        sink.write(
                            losses_batch(
                                part.contexts, part.losses, part.reasons, part.window, schema
                            )
                        )
        return published_of(sink)

    def _metadata(self, task: Task) -> dict[str, str]:
        info = self._setup.info
        return {
            "gigacast.job": "backtest",
            "gigacast.model": info.name,
            "gigacast.version": info.version,
            "gigacast.digest": info.digest,
            "gigacast.spec": task.spec,
            "gigacast.horizon": str(task.horizon),
            "gigacast.partition": task.partition,
            "gigacast.input_keys": "\n".join(entry.key for entry in task.inputs),
            "gigacast.input_etags": "\n".join(entry.etag for entry in task.inputs),
        }


def _first(batches: Iterable[SeriesBatch], count: int | None) -> Iterator[SeriesBatch]:
    """Yield the first so many series."""
    left = count
    for batch in batches:
        yield batch if left is None or len(batch) <= left else batch.slice(0, left)
        if left is not None:
            left -= len(batch)
            if left <= 0:
                return


@dataclass(frozen=True, slots=True)
class _Lost:
    """The losses of one window of one batch."""

    contexts: SeriesBatch
    losses: Losses
    reasons: ByteArray
    window: int


def seasons_of(batch: SeriesBatch, season: int | None = None) -> IntArray:
    """Return the steps of each series' season, [N]: by frequency, 1 without one, or as given."""
    if season is not None:
        return np.full(len(batch), season, np.int64)
    seasons = [*(frequency.season_length for frequency in batch.frequencies), 1]
    return np.array(seasons, np.int64)[batch.frequency_codes]
