"""One task: read a partition, forecast it, write the predictions and the receipt.

Reading, predicting and writing overlap: while one batch is on the device the next is being read and
the last is being written. Each side waits for the other, so memory holds a few batches at most.
Imports everything below ``pipeline``.
"""

import os
import platform
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from itertools import chain

import numpy as np
import pyarrow as pa

from gigacast.core.forecast import ForecastBatch, ForecastRequest
from gigacast.core.reason import Reason
from gigacast.core.series import FloatArray
from gigacast.core.task import Task
from gigacast.errors import (
    InputChangedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    SchemaError,
    StorageError,
)
from gigacast.forecast.batching import BatchBudget, forecast_batch
from gigacast.forecast.describe import load_forecaster
from gigacast.forecast.forecaster import Forecaster, ForecasterInfo
from gigacast.forecast.level import extrapolated_levels
from gigacast.lake.model import ResolvedModel
from gigacast.lake.receipt import Receipt, input_entries, write_receipt
from gigacast.pipeline.job import ForecastJob, Method
from gigacast.pipeline.prediction import (
    prediction_batch,
    prediction_schema,
    row_group_rows,
    without_dropped,
)
from gigacast.pipeline.stopwatch import Stopwatch
from gigacast.series.reader import SeriesReader, read_series
from gigacast.series.source import ReadOptions, SeriesSource
from gigacast.storage.opening import open_store
from gigacast.storage.parquet import ParquetSink, PublishedParquet, open_object
from gigacast.storage.prefetch import Prefetched
from gigacast.storage.store import Store

BATCHES_AHEAD = 2
MAX_REASON_ITEMS = 100
MOST_SERIES = 4096
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
    """

    job: ForecastJob
    model: ResolvedModel
    info: ForecasterInfo
    run_id: str

    def __call__(self) -> "PartitionForecaster":
        """Load the model, once per process, and return the worker."""
        forecaster = load_forecaster(self.model.folder, self.info)
        return PartitionForecaster(self, forecaster)


@dataclass(slots=True)
class _Tally:
    """What was forecast so far, and what not."""

    series: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    items: dict[str, list[str]] = field(default_factory=dict)

    def add(self, forecast: ForecastBatch) -> None:
        """Count a batch; name the first items of each reason."""
        self.series += len(forecast.series)
        for code in np.unique(forecast.reasons[forecast.reasons != Reason.OK]):
            label = Reason(code).label
            rows = np.flatnonzero(forecast.reasons == code)
            self.reasons[label] = self.reasons.get(label, 0) + len(rows)
            known = self.items.setdefault(label, [])
            some = rows[: MAX_REASON_ITEMS - len(known)]
            known += [
                str(item) for item in forecast.series.item_ids.take(pa.array(some)).to_pylist()
            ]


class PartitionForecaster:
    """Forecasts one partition per call; holds the model and the open stores."""

    def __init__(self, setup: ForecastSetup, forecaster: Forecaster) -> None:
        self._setup = setup
        self._forecaster = forecaster
        self._inputs = open_store(setup.job.inputs)
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
        watch, tally = Stopwatch(), _Tally()
        with watch.measure("total"), _inputs_pinned(task):
            reader = read_series(sources_of(task, self._inputs), self._read_options(task))
            written = self._write(task, self._forecast(task, reader, watch, tally), watch)
        receipt = self._receipt(task, reader, written, tally)
        receipt = replace(receipt, seconds=watch.rounded())
        write_receipt(self._outputs, task, receipt, written.etag)
        return receipt

    def _read_options(self, task: Task) -> ReadOptions:
        method = self._setup.job.method
        limit = self._setup.job.resources.memory_limit_bytes
        return read_options(task, method, self._setup.info, memory_limit_bytes=limit)

    def _forecast(
        self, task: Task, reader: SeriesReader, watch: Stopwatch, tally: _Tally
    ) -> Iterator[ForecastBatch]:
        """Yield forecasts while the next series are being read."""
        options = self._setup.job.method.options(task.horizon, self._setup.job.resources.batch_size)
        forecaster = _Watched(self._forecaster, watch)
        with Prefetched(watch.each("read", reader), BATCHES_AHEAD) as batches:
            for batch in batches:
                with watch.measure("prepare", besides="predict"):
                    forecast = forecast_batch(forecaster, batch, options, self._budget)
                tally.add(forecast)
                yield forecast
        _check_times(task, reader)

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
        return _published(sink)

    def _metadata(self, task: Task) -> dict[str, str]:
        """Say what the file is, so that one that has left its folder still says so."""
        info, method = self._setup.info, self._setup.job.method
        marked = extrapolated_levels(method.levels, info.levels)
        return {
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

    def _receipt(
        self, task: Task, reader: SeriesReader, written: PublishedParquet, tally: _Tally
    ) -> Receipt:
        info, stats = self._setup.info, reader.stats
        return Receipt(
            job="forecast",
            partition=task.partition,
            run_id=self._setup.run_id,
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
            repairs={name: n for name in REPAIRS if (n := getattr(stats, name))},
            model=info.name,
            version=info.version,
            digest=info.digest,
            spec=task.spec,
            horizon=task.horizon,
            device=info.device,
            precision=info.precision,
            batch_sizes=[self._budget.largest],
            peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            host={
                "name": platform.node(),
                "pid": os.getpid(),
                "engine": info.engine,
                "gigacast": version("gigacast"),
            },
        )


class _Watched:
    """A forecaster whose time counts as the stage ``predict``."""

    def __init__(self, forecaster: Forecaster, watch: Stopwatch) -> None:
        self._forecaster = forecaster
        self._watch = watch

    @property
    def info(self) -> ForecasterInfo:
        return self._forecaster.info

    def predict(self, request: ForecastRequest) -> FloatArray:
        with self._watch.measure("predict"):
            return self._forecaster.predict(request)


def _published(sink: ParquetSink) -> PublishedParquet:
    assert sink.published is not None  # noqa: S101 - the block ended well
    return sink.published


def _check_times(task: Task, reader: SeriesReader) -> None:
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


@contextmanager
def _inputs_pinned(task: Task) -> Iterator[None]:
    """Turn a broken If-Match, and a full local disk, into what they mean for the task."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{task.partition}: the local disk can't be written: {error.strerror or error}",
            hint="free space, or set TMPDIR to a larger disk",
        ) from error
    except (PreconditionFailedError, ObjectNotFoundError) as error:
        raise InputChangedError(
            f"{task.partition}: an input changed after the plan was made: {error.message}",
            hint="the next run plans it again",
        ) from error


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


def batch_series(horizon: int, levels: int, memory_limit_bytes: int) -> int:
    """Return how many series a batch may hold, so that its forecasts stay within the memory too.

    A forecast is float32 [H, Q + 1]; there are about eight copies of it at once: raw, finished,
    as Arrow, and of the batches ahead.
    """
    bytes_per_series = 8 * 4 * horizon * (levels + 1)
    return int(min(MOST_SERIES, max(1, memory_limit_bytes // 4 // bytes_per_series)))


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
        batch_series=batch_series(task.horizon, len(method.levels), memory_limit_bytes),
        memory_limit_bytes=memory_limit_bytes,
        timestamp_unit=method.timestamp_unit,
    )
