"""One task: read a partition, forecast it, write the predictions and the receipt.

Reading, predicting and writing overlap: while one batch is on the device the next is being read and
the last is being written. Each side waits for the other, so memory holds a few batches at most.
"""

import os
import platform
import resource
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from itertools import chain

import numpy as np
import pyarrow as pa

from gigacast.core.array import ByteArray, FloatArray
from gigacast.core.column import to_arrow
from gigacast.core.partition.task import Task
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.forecast import ForecastBatch, ForecastRequest
from gigacast.core.series.reason import Reason
from gigacast.errors import (
    SchemaError,
)
from gigacast.forecasters.batching import BatchBudget, forecast_batch
from gigacast.forecasters.forecaster import Forecaster, ForecasterInfo, PendingForecast, start
from gigacast.forecasters.levels import extrapolated_levels
from gigacast.forecasting.prediction import (
    prediction_batch,
    prediction_schema,
    row_group_rows,
    without_dropped,
)
from gigacast.job.covariates import Futures, describe_companions
from gigacast.job.forecast_job import ForecastJob, Method
from gigacast.job.location import dataset_name, open_inputs
from gigacast.job.model_choice import load_resolved
from gigacast.job.pin import inputs_pinned
from gigacast.job.stopwatch import Stopwatch
from gigacast.lake.model.resolve import ResolvedModel
from gigacast.lake.plan.receipt import Receipt, input_entries, write_receipt
from gigacast.runtime.instance import this_machine
from gigacast.series.reader import SeriesReader, read_series
from gigacast.series.source import ReadOptions, SeriesSource
from gigacast.storage.opening import open_store
from gigacast.storage.parquet.read import open_object
from gigacast.storage.parquet.writer import ParquetSink, PublishedParquet
from gigacast.storage.prefetch import Prefetched
from gigacast.storage.store import Store

BATCHES_AHEAD = 2
MAX_REASON_ITEMS = 100
MOST_SERIES = {"cpu": 4096, "cuda": 65_536}
"""In a batch; they are divided by length, and what is left must still fill the device."""
REPAIRS = ("duplicates", "snapped", "gaps", "null_items", "null_timestamps")


@dataclass(frozen=True)
class ForecastSetup:
    """A picklable recipe for the worker of a run: what every process needs to start.

    Parameters
    ----------
    job : ForecastJob
    model : ResolvedModel
        Pinned: workers never resolve again.
    info : ForecasterInfo
        What the plan's spec was made from; a worker that would differ refuses to work.
    run_id : str
    slot : int
        Which of the machine's processes this is for: it says which GPU.
    ignored : tuple of str
        Covariates that were asked for and that the model has no use for.
    """

    job: ForecastJob
    model: ResolvedModel
    info: ForecasterInfo
    run_id: str
    slot: int = 0
    ignored: tuple[str, ...] = ()

    def for_slot(self, slot: int) -> "ForecastSetup":
        """Return the recipe for the process in a slot."""
        return replace(self, slot=slot)

    def __call__(self) -> "PartitionForecaster":
        """Load the model, once per process, and return the worker."""
        forecaster = load_resolved(self.job.model, self.model, self.info, self.slot)
        return PartitionForecaster(self, forecaster)


@dataclass(slots=True)
class Tally:
    """What was forecast so far, and what not."""

    series: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    items: dict[str, list[str]] = field(default_factory=dict)
    newest: datetime | None = None
    futures: Futures = field(default_factory=Futures)

    def add(self, series: SeriesBatch, reasons: ByteArray) -> None:
        """Count a batch; name the first items of each reason."""
        self.series += len(series)
        if (newest := series.newest()) is not None:
            self.newest = max(newest, self.newest or newest)
        for code in np.unique(reasons[reasons != Reason.OK]):
            label = Reason(code).label
            rows = np.flatnonzero(reasons == code)
            self.reasons[label] = self.reasons.get(label, 0) + len(rows)
            known = self.items.setdefault(label, [])
            some = rows[: MAX_REASON_ITEMS - len(known)]
            known += [str(item) for item in series.item_ids.take(to_arrow(some)).to_pylist()]


class PartitionForecaster:
    """Forecasts one partition per call; holds the model and the open stores."""

    def __init__(self, setup: ForecastSetup, forecaster: Forecaster) -> None:
        self._setup = setup
        self._forecaster = forecaster
        self._inputs = open_inputs(setup.job.inputs)
        self._outputs = open_store(setup.job.outputs)
        self._budget = BatchBudget(setup.job.resources.batch_size or "auto")

    def __call__(self, task: Task) -> Receipt:
        """Read, forecast, write the output, then the receipt that names both.

        Raises
        ------
        InputChangedError
            When an input is no longer the object that was planned.
        DataError, ModelError, StorageError
        """
        watch, tally = Stopwatch(), Tally()
        with watch.measure("total"), inputs_pinned(task):
            reader = read_series(sources_of(task, self._inputs), self._read_options(task))
            written = self._write(task, self._forecast(task, reader, watch, tally), watch)
        receipt = task_receipt("forecast", task, self._setup, reader, written, tally)
        receipt = replace(receipt, seconds=watch.rounded(), batch_sizes=[self._budget.largest])
        write_receipt(self._outputs, task, receipt, written.etag)
        return receipt

    def _read_options(self, task: Task) -> ReadOptions:
        method = self._setup.job.method
        limit = self._setup.job.resources.memory_limit_bytes
        return read_options(task, method, self._setup.info, memory_limit_bytes=limit)

    def _forecast(
        self, task: Task, reader: SeriesReader, watch: Stopwatch, tally: Tally
    ) -> Iterator[ForecastBatch]:
        """Yield forecasts while the next series are being read."""
        options = self._setup.job.method.options(task.horizon, self._setup.job.resources.batch_size)
        forecaster = Watched(self._forecaster, watch)
        with Prefetched(watch.each("read", reader), BATCHES_AHEAD) as batches:
            for batch in batches:
                with watch.measure("prepare", besides="predict"):
                    forecast = forecast_batch(forecaster, batch, options, self._budget)
                tally.add(forecast.series, forecast.reasons)
                if not self._setup.ignored:
                    tally.futures.add(batch, task.horizon)
                yield forecast
        check_times(task, reader)
        tally.futures.refuse_if_all_lack(task.partition, self._setup.job.method)

    def _write(
        self, task: Task, forecasts: Iterator[ForecastBatch], watch: Stopwatch
    ) -> PublishedParquet:
        """Write the forecasts while the next are being made; publish the file when all are."""
        method = self._setup.job.method
        with Prefetched(forecasts, BATCHES_AHEAD) as ahead:
            stream = iter(ahead)
            first = next(stream, None)
            series = first.series if first is not None else None
            schema = prediction_schema(
                series.item_ids.type if series is not None else pa.string(),
                series.timestamp_type if series is not None else pa.timestamp("us"),
                method.levels,
                method.layout,
                self._metadata(task),
            )
            rows = row_group_rows(task.horizon, method.layout)
            with ParquetSink(self._outputs, task.output_key, schema, row_group_rows=rows) as sink:
                for forecast in chain([first] if first is not None else [], stream):
                    with watch.measure("write"):
                        kept = without_dropped(forecast, method.fallback)
                        sink.write(prediction_batch(kept, schema, method.layout))
        return published_of(sink)

    def _metadata(self, task: Task) -> dict[str, str]:
        """Say what the file is, so that one that has left its folder still says so."""
        info, method = self._setup.info, self._setup.job.method
        marked = extrapolated_levels(method.levels, info.levels)
        dataset = dataset_name(self._setup.job.inputs)
        return {
            **({"gigacast.dataset": dataset} if dataset else {}),
            "gigacast.model": info.name,
            "gigacast.version": info.version,
            "gigacast.digest": info.digest,
            "gigacast.spec": task.spec,
            "gigacast.horizon": str(task.horizon),
            "gigacast.partition": task.partition,
            "gigacast.input_keys": "\n".join(entry.key for entry in task.inputs),
            "gigacast.input_etags": "\n".join(entry.etag for entry in task.inputs),
            "gigacast.extrapolated_levels": ",".join(f"{level:.10g}" for level in marked),
        }


def task_receipt(
    job: str,
    task: Task,
    setup: ForecastSetup,
    reader: SeriesReader,
    written: PublishedParquet,
    tally: Tally,
) -> Receipt:
    """Return what a worker of any job that runs a model has to show for a task.

    ``seconds`` and ``batch_sizes`` are the caller's to fill in.
    """
    info, stats = setup.info, reader.stats
    return Receipt(
        job=job,
        partition=task.partition,
        run_id=setup.run_id,
        finished_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        inputs=input_entries(task),
        output={
            "key": task.output_key,
            "etag": written.etag,
            "size_bytes": written.size_bytes,
            "rows": written.rows,
        },
        rows=stats.rows,
        series=tally.series,
        seconds={},
        reasons=tally.reasons,
        reason_items=tally.items,
        repairs={
            **{name: n for name in REPAIRS if (n := getattr(stats, name))},
            **_unknown_futures(setup.job.method, tally),
        },
        covariates=describe_companions(setup.job.method, setup.ignored),
        newest_timestamp=tally.newest.isoformat() if tally.newest is not None else None,
        model=info.name,
        version=info.version,
        digest=info.digest,
        spec=task.spec,
        horizon=task.horizon,
        device=info.device,
        precision=info.precision,
        peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        instance=this_machine().instance,
        purchase=this_machine().purchase,
        host={
            "name": platform.node(),
            "pid": os.getpid(),
            "engine": info.engine,
            "gigacast": version("gigacast"),
        },
    )


def _unknown_futures(method: Method, tally: Tally) -> dict[str, int]:
    """Return how many series were forecast without what was said to be known ahead."""
    count = tally.futures.lacking if method.missing_future == "past" else 0
    return {"unknown_futures": count} if count else {}


class Watched:
    """A forecaster whose time counts as the stage ``predict``."""

    def __init__(self, forecaster: Forecaster, watch: Stopwatch) -> None:
        self._forecaster = forecaster
        self._watch = watch

    @property
    def info(self) -> ForecasterInfo:
        """What the forecaster is."""
        return self._forecaster.info

    def predict(self, request: ForecastRequest) -> FloatArray:
        """Forecast one batch."""
        return self.start(request)()

    def start(self, request: ForecastRequest) -> PendingForecast:
        """Begin to forecast one batch."""
        with self._watch.measure("predict"):
            started = start(self._forecaster, request)

        def result() -> FloatArray:
            with self._watch.measure("predict"):
                return started()

        return result


def published_of(sink: ParquetSink) -> PublishedParquet:
    """Return what a sink that was left well has written."""
    assert sink.published is not None  # noqa: S101 - the block ended well
    return sink.published


def check_times(task: Task, reader: SeriesReader) -> None:
    """Refuse a partition without one readable timestamp: its columns are not what they seem.

    Raises
    ------
    SchemaError
    """
    stats = reader.stats
    if stats.rows and stats.null_timestamps + stats.null_items >= stats.rows:
        raise SchemaError(
            f"{task.partition}: no row of {stats.rows} has an item id and a readable timestamp",
            hint="write dates as 2024-01-31, or name the column by --timestamp_column",
        )


def sources_of(task: Task, inputs: Store) -> list[SeriesSource]:
    """Return a task's inputs as the reader takes them, each pinned to its planned ETag."""
    first_own = len(task.inputs) - task.own
    return [
        SeriesSource(
            open=partial(
                open_object, inputs, entry.key, if_match=entry.etag, size_bytes=entry.size_bytes
            ),
            format=entry.extension,
            name=entry.key,
            primary=place >= first_own,
        )
        for place, entry in enumerate(task.inputs)
    ]


def batch_series(horizon: int, levels: int, memory_limit_bytes: int, device: str = "cpu") -> int:
    """Return how many series a batch may hold, so that its forecasts stay within the memory too.

    A forecast is float32 [H, Q + 1]; there are about eight copies of it at once: raw, finished,
    as Arrow, and of the batches ahead.
    """
    bytes_per_series = 8 * 4 * horizon * (levels + 1)
    return int(min(MOST_SERIES[device], max(1, memory_limit_bytes // 4 // bytes_per_series)))


def read_options(
    task: Task, method: Method, info: ForecasterInfo, *, memory_limit_bytes: int
) -> ReadOptions:
    """Return how a task's inputs are read."""
    return ReadOptions(
        columns=method.columns,
        context_length=min(method.context_length or info.context_length, info.context_length),
        freq=method.frequency,
        min_length=method.min_length,
        item_id=task.symbol or task.partition.rpartition("/")[2],
        batch_series=batch_series(
            task.horizon, len(method.levels), memory_limit_bytes, info.device
        ),
        memory_limit_bytes=memory_limit_bytes,
        timestamp_unit=method.timestamp_unit,
        horizon=task.horizon,
        joint=method.joint_targets,
    )
