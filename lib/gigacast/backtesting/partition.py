"""The task of a backtest: forecast a partition from past origins, and write the losses.

The context of each forecast ends at its origin; the forecaster sees nothing after it. The output
holds the losses of every series and window instead of the forecasts: figures by any group follow
from them, and those of a thousand series take a few hundred KiB.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from gigacast.backtesting.losses import losses_batch, losses_schema
from gigacast.core.array import ByteArray, FloatArray, IntArray
from gigacast.core.partition.task import Task
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.holdout import HeldOut, hold_out
from gigacast.core.series.item_key import ItemKey
from gigacast.core.series.reason import Reason
from gigacast.forecasters.around.calibration import scores_of
from gigacast.forecasters.around.pool import Pool
from gigacast.forecasters.batching import forecast_batch
from gigacast.forecasters.forecaster import Forecaster
from gigacast.forecasters.metric import Losses, measure, seasonal_error
from gigacast.forecasters.naive import CONTEXT_LENGTH
from gigacast.forecasters.pooling import find_pool, needs_pool
from gigacast.forecasting.prediction import item_fields
from gigacast.forecasting.worker import (
    ModelSetup,
    PartitionWorker,
    Tally,
    read_options,
    sources_of,
)
from gigacast.job.watched import watched
from gigacast.job.worker import Stopwatch
from gigacast.series.reader import read_series
from gigacast.series.source import ReadOptions

HISTORY = CONTEXT_LENGTH
"""Steps read before the first origin for every model, so that all have the same scales."""


@dataclass(frozen=True)
class Windows:
    """The origins from which each series is forecast.

    Parameters
    ----------
    count : int
        Number of origins per series; a whole horizon follows the last one.
    step : int, optional
        Steps from one origin to the next; the horizon by default.
    """

    count: int = 1
    step: int | None = None

    def later(self, horizon: int) -> list[int]:
        """Return the number of steps after each window, the latest window first."""
        return [n * (self.step or horizon) for n in range(self.count)]

    def span(self, horizon: int) -> int:
        """Return the number of steps from the first origin to the end."""
        return self.later(horizon)[-1] + horizon


@dataclass(frozen=True)
class BacktestSetup:
    """A picklable recipe for the workers that backtest one model.

    Parameters
    ----------
    work : ModelSetup
    windows : Windows
    series : int, optional
        Maximum number of series per partition; all by default.
    season : int, optional
        Steps of a season; by frequency by default.
    calibrate : bool
        Whether the scores of a calibration are written as well.
    """

    work: ModelSetup
    windows: Windows
    series: int | None = None
    season: int | None = None
    calibrate: bool = False

    def for_slot(self, slot: int) -> "BacktestSetup":
        """Return the recipe for the process in a slot."""
        return replace(self, work=self.work.for_slot(slot))

    def __call__(self) -> "PartitionBacktester":
        """Load the model, once per process, and return the worker."""
        return PartitionBacktester(self, self.work.load())


@dataclass(frozen=True, slots=True)
class WindowLosses:
    """The losses of one window of a batch: N forecasts.

    Parameters
    ----------
    contexts : SeriesBatch
        N series that end at the origin.
    losses : Losses
    reasons : int8 [N]
        Codes of `Reason`: why the model did not make a forecast.
    window : int
        Number of the window; 0 is the latest.
    scores : float32 [N, H, Q], optional
        Scores of a calibration; NaN where the model did not make the forecast.
    actuals : float32 [N, H], optional
        float64 of series with bases.
    quantiles : float32 [N, H, Q], optional
    """

    contexts: SeriesBatch
    losses: Losses
    reasons: ByteArray
    window: int
    scores: FloatArray | None = None
    actuals: FloatArray | None = None
    quantiles: FloatArray | None = None


class PartitionBacktester(PartitionWorker[WindowLosses]):
    """Backtests one model on one partition per call."""

    job = "backtest"

    def __init__(self, setup: BacktestSetup, forecaster: Forecaster) -> None:
        super().__init__(setup.work, forecaster)
        self._windows = setup.windows
        self._series = setup.series
        self._season = setup.season
        self._calibrate = setup.calibrate
        self._pools: list[Pool] = []

    def _read_options(self, task: Task) -> ReadOptions:
        job = self._setup.job
        limit = job.resources.memory_limit_bytes
        options = read_options(task, job.method, self._setup.info, memory_limit_bytes=limit)
        steps = HISTORY + self._windows.span(task.horizon)
        # About four batches are in memory at once, and series are float32: a quarter of the limit.
        limit_series = max(1, limit // 16 // (4 * steps))
        # All models are compared with the same values, so that those of large numbers keep their
        # steps whatever a model can see of them.
        batch_series = min(options.batch_series, limit_series)
        return replace(options, context_length=steps, batch_series=batch_series, precise=True)

    def _results(
        self, task: Task, batches: Iterable[SeriesBatch], watch: Stopwatch, tally: Tally
    ) -> Iterator[WindowLosses]:
        forecaster = watched(self._forecaster, watch)
        self._pools = self._find_pools(task)
        for batch in _first(batches, self._series):
            reasons = batch.reasons.copy()
            # The others keep the reason that the reader gave them.
            good = np.flatnonzero(reasons == Reason.OK)
            tried = np.zeros(len(good), np.bool_)
            for window, split in self._splits(batch.take(good), task.horizon):
                tried[split.rows] = True
                if len(split.contexts):
                    with watch.measure("prepare", besides="predict"):
                        yield self._measure(split.contexts, split.actuals, forecaster, window)
            # Series with no window to score count as too short; the others count as forecast.
            reasons[good[~tried]] = Reason.TOO_SHORT
            tally.add(batch, reasons)

    def _find_pools(self, task: Task) -> list[Pool]:
        """Return the common effects of a partition at the origin of each window.

        It is a reading of its own: an origin must not see what came after it.
        """
        options = self._setup.job.method.options(task.horizon, None)
        if not needs_pool(options):
            return []

        def contexts(later: int) -> Iterator[SeriesBatch]:
            reader = read_series(sources_of(task, self._inputs), self._read_options(task))
            for batch in _first(reader, self._series):
                yield hold_out(batch, task.horizon, later=later).contexts

        windows = self._windows.later(task.horizon)
        return [find_pool(contexts(later), self._setup.info, options) for later in windows]

    def _splits(self, series: SeriesBatch, horizon: int) -> Iterator[tuple[int, HeldOut]]:
        """Yield the number of each window, and its contexts and actual values."""
        for window, later in enumerate(self._windows.later(horizon)):
            yield window, hold_out(series, horizon, later=later)

    def _measure(
        self, contexts: SeriesBatch, actuals: FloatArray, forecaster: Forecaster, window: int
    ) -> WindowLosses:
        """Forecast contexts and return the losses against the actual values [N, H]."""
        method, resources = self._setup.job.method, self._setup.job.resources
        actual = np.asarray(actuals)
        options = method.options(actual.shape[1], resources.batch_size)
        pool = self._pools[window] if self._pools else None
        options = replace(options, season=self._season, pool=pool)
        forecast = forecast_batch(forecaster, contexts, options, self._budget)
        seasons = seasons_of(contexts, self._season)
        scale = seasonal_error(contexts.values, contexts.offsets, seasons)
        losses = measure(actual, forecast.median, forecast.quantiles, method.levels, scale)
        scores = None
        if self._calibrate:
            scores = scores_of(actual, forecast.median, forecast.quantiles)
            scores[forecast.reasons != Reason.OK] = np.nan
        return WindowLosses(
            contexts, losses, forecast.reasons, window, scores, actual, forecast.quantiles
        )

    def _schema(self, task: Task, first: WindowLosses | None) -> pa.Schema:
        names = self._setup.job.method.columns.items
        return losses_schema(
            item_fields(first.contexts if first is not None else None, names),
            first.contexts.timestamp_type if first is not None else pa.timestamp("us"),
            self._setup.job.method.levels,
            self._metadata(task),
            scored=self._calibrate,
        )

    def _rows(self, result: WindowLosses, schema: pa.Schema) -> pa.RecordBatch:
        return losses_batch(
            result.contexts, result.losses, result.reasons, result.window, schema, result.scores
        )

    def _metadata(self, task: Task) -> dict[str, str]:
        names = self._setup.job.method.columns.items
        named = ItemKey(names, ()).metadata if names else {}
        return {"gigacast.job": "backtest", **super()._metadata(task), **named}


def _first(batches: Iterable[SeriesBatch], count: int | None) -> Iterator[SeriesBatch]:
    """Yield batches up to a number of series."""
    remaining = count
    for batch in batches:
        yield batch if remaining is None or len(batch) <= remaining else batch.slice(0, remaining)
        if remaining is not None:
            remaining -= len(batch)
            if remaining <= 0:
                return


def seasons_of(batch: SeriesBatch, season: int | None = None) -> IntArray:
    """Return the steps of each series' season, [N].

    Parameters
    ----------
    batch : SeriesBatch
        N series.
    season : int, optional
        Steps for all series; by default by the frequency of each, 1 for a series without one.
    """
    if season is not None:
        return np.full(len(batch), season, np.int64)
    # The last entry is that of code -1: no frequency.
    seasons = [*(frequency.season_length for frequency in batch.frequencies), 1]
    return np.array(seasons, np.int64)[batch.frequency_codes]
