"""The worker of jobs that run a model on partitions: forecasting and backtesting.

Reading, predicting and writing overlap: while a batch is on the device, the next one is read and
the last one is written. Each side waits for the other, so that memory holds a few batches at most.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import chain
from typing import ClassVar, Generic, Self, TypeVar

import numpy as np
import pyarrow as pa

from gigacast.core.array import ByteArray
from gigacast.core.column import to_arrow
from gigacast.core.partition.task import Task
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.forecast import ForecastBatch
from gigacast.core.series.reason import Reason
from gigacast.errors import NumberRangeError, SchemaError, TimeRangeError
from gigacast.forecasters.batching import BatchBudget
from gigacast.forecasters.forecaster import Forecaster, ForecasterInfo, usage_of, usage_since
from gigacast.forecasting.prepare import Prepared
from gigacast.job.covariates import Futures, describe_companions
from gigacast.job.forecast_job import ForecastJob, Method
from gigacast.job.location import open_inputs
from gigacast.job.model_choice import load_resolved
from gigacast.job.receipt import ModelUse, Work, new_receipt
from gigacast.job.spec import AGGREGATION, aggregation_text
from gigacast.job.worker import Stopwatch, check_key_length, inputs_pinned
from gigacast.lake.model.resolve import ResolvedModel
from gigacast.lake.plan.receipt import Receipt, write_receipt
from gigacast.series.reader import SeriesReader, read_series
from gigacast.series.source import ReadOptions, SeriesSource
from gigacast.storage.opening import open_store
from gigacast.storage.parquet.read import open_object
from gigacast.storage.parquet.writer import ParquetSink, PublishedParquet
from gigacast.storage.prefetch import Prefetched
from gigacast.storage.store import Store

BATCHES_AHEAD = 2
"""Batches read ahead of the model, and forecast ahead of the writer."""
MAX_REASON_ITEMS = 100
"""Item ids that a receipt names for each reason."""
MAX_SERIES = {"cpu": 4096, "cuda": 65_536}
"""Maximum series per batch. Batches are split by length; each part must still fill the device."""
REPAIRS = ("duplicates", "conflicts", "snapped", "gaps", "null_items", "null_timestamps")

T = TypeVar("T")


@dataclass(frozen=True)
class ModelSetup:
    """A picklable recipe for the workers of a run: everything that a process needs to start.

    Parameters
    ----------
    job : ForecastJob
    model : ResolvedModel
        Pinned by the plan: workers never resolve a model again.
    info : ForecasterInfo
        The forecaster of the plan's spec; a worker whose forecaster differs refuses to work.
    run_id : str
    slot : int
        Number of the process on its machine, from 0; it selects the GPU.
    ignored : tuple of str
        Covariates that the model does not support and that the settings leave out.
    generated : mapping of str to float
        Seconds in which this run has generated partitions, by their key.
    """

    job: ForecastJob
    model: ResolvedModel
    info: ForecasterInfo
    run_id: str
    slot: int = 0
    ignored: tuple[str, ...] = ()
    generated: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, prepared: Prepared, run_id: str) -> Self:
        """Return the recipe for a run of a prepared job."""
        return cls(prepared.job, prepared.model, prepared.info, run_id, ignored=prepared.ignored)

    def for_slot(self, slot: int) -> Self:
        """Return the recipe for the process in a slot."""
        return replace(self, slot=slot)

    def load(self) -> Forecaster:
        """Load the model on the device of the slot.

        Raises
        ------
        ModelError
        """
        return load_resolved(self.job.model, self.model, self.info, self.slot)


@dataclass(slots=True)
class Tally:
    """Counts of a task: series, those the model did not forecast, missing covariates.

    ``unchanged`` series were too short for the changes that ``enhance`` asks for. A portfolio has
    chosen no model for ``unseen`` series, and for ``replaced`` ones its model has failed.
    ``unsummed`` series are in no sum.
    """

    series: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    items: dict[str, list[str]] = field(default_factory=dict)
    newest: datetime | None = None
    futures: Futures = field(default_factory=Futures)
    unchanged: int = 0
    unseen: int = 0
    replaced: int = 0
    unsummed: int = 0

    def count(self, forecast: ForecastBatch) -> None:
        """Count the series that a forecast has treated in another way than asked."""
        self.unchanged += forecast.unchanged
        self.unseen += forecast.unseen
        self.replaced += forecast.replaced

    def add(self, series: SeriesBatch, reasons: ByteArray) -> None:
        """Count a batch, and name the first items of each reason.

        Parameters
        ----------
        series : SeriesBatch
            N series.
        reasons : int8 [N]
            Codes of `Reason`.
        """
        self.series += len(series)
        if (newest := series.newest()) is not None:
            self.newest = max(newest, self.newest or newest)
        for code in np.unique(reasons[reasons != Reason.OK]):
            label = Reason(code).label
            rows = np.flatnonzero(reasons == code)
            self.reasons[label] = self.reasons.get(label, 0) + len(rows)
            items = self.items.setdefault(label, [])
            first = rows[: MAX_REASON_ITEMS - len(items)]
            items += [str(item) for item in series.item_ids.take(to_arrow(first)).to_pylist()]


class PartitionWorker(ABC, Generic[T]):
    """Does one task per call; holds the model and the open stores.

    A subclass makes results (``T``) from a batch of series, and rows from results.
    """

    job: ClassVar[str]

    def __init__(self, setup: ModelSetup, forecaster: Forecaster) -> None:
        self._setup = setup
        self._forecaster = forecaster
        self._inputs = open_inputs(setup.job.inputs)
        self._outputs = open_store(setup.job.outputs)
        self._budget = BatchBudget(setup.job.resources.batch_size or "auto")
        self._used: Mapping[str, float] = {}

    def __call__(self, task: Task) -> Receipt:
        """Read a partition, write its output, then the receipt that names both.

        Raises
        ------
        InputChangedError
            When an input is no longer the object that was planned.
        DataError, ModelError, StorageError
        """
        check_key_length(self._outputs, task)
        options, self._used = self._read_options(task), usage_of(self._forecaster)
        # Types are those of the first batch. Only a later one may show that they cannot hold all
        # forecasts (nanoseconds end in 2262, float32 has 24 bits), so the file is begun again.
        while True:
            try:
                return self._do(task, options)
            except TimeRangeError:
                if options.wide_times:
                    raise
                options = replace(options, wide_times=True)
            except NumberRangeError:
                options = replace(options, wide_numbers=True)

    def _do(self, task: Task, options: ReadOptions) -> Receipt:
        watch, tally = Stopwatch(), Tally()
        with watch.measure_task(), inputs_pinned(task):
            reader = read_series(sources_of(task, self._inputs), options)
            written = self._write(task, self._overlapped(task, reader, watch, tally), watch)
        receipt = self._receipt(task, reader, written, tally, watch.rounded())
        self._finish(task, receipt, written.etag)
        return receipt

    def _finish(self, task: Task, receipt: Receipt, etag: str) -> None:
        """Write the receipt of an output that is written."""
        # The receipt comes last: a crash before it costs this task once more, and never leaves a
        # receipt for an output that is not there.
        write_receipt(self._outputs, task, receipt, etag)

    def _overlapped(
        self, task: Task, reader: SeriesReader, watch: Stopwatch, tally: Tally
    ) -> Iterator[T]:
        """Yield results while the next series are being read."""
        with Prefetched(watch.each("read", reader), BATCHES_AHEAD) as batches:
            yield from self._results(task, batches, watch, tally)
        check_times(task, reader)
        reader.check_conflicts()  # a backtest of the first series stops before the end
        tally.futures.refuse_if_all_lack(task.partition, self._setup.job.method)

    def _write(self, task: Task, results: Iterator[T], watch: Stopwatch) -> PublishedParquet:
        """Write results while the next are being made; publish the file when all are written."""
        with Prefetched(results, BATCHES_AHEAD) as ahead:
            stream = iter(ahead)
            # The types of ids and times are those of the first batch. Without a batch the output
            # is an empty file: it proves that there was nothing to forecast.
            first = next(stream, None)
            schema = self._schema(task, first)
            with self._open_sink(task, schema) as sink:
                for result in chain([first] if first is not None else [], stream):
                    with watch.measure("write"):
                        sink.write(self._rows(result, schema))
                sink.last_metadata.update(self._last_metadata())
        assert sink.published is not None  # noqa: S101 - the block ended without an error
        return sink.published

    @abstractmethod
    def _read_options(self, task: Task) -> ReadOptions:
        """Return how the inputs of a task are read."""

    @abstractmethod
    def _results(
        self, task: Task, batches: Iterable[SeriesBatch], watch: Stopwatch, tally: Tally
    ) -> Iterator[T]:
        """Yield the results of batches, and count the series."""

    @abstractmethod
    def _schema(self, task: Task, first: T | None) -> pa.Schema:
        """Return the columns of the output, in the types of the first result."""

    def _open_sink(self, task: Task, schema: pa.Schema) -> ParquetSink:
        """Return the output file of a task."""
        # An existing output is replaced. On the condition that none exists the first writer would
        # win, which may be a late worker with an old input (docs/decisions/0001).
        return ParquetSink(self._outputs, task.output_key, schema)

    @abstractmethod
    def _rows(self, result: T, schema: pa.Schema) -> pa.RecordBatch:
        """Return a result as rows of the output."""

    def _last_metadata(self) -> dict[str, str]:
        """Return metadata that are known when all results are written; none by default."""
        return {}

    def _metadata(self, task: Task) -> dict[str, str]:
        """Return the metadata of the output, so that a copy still says how it was made."""
        info = self._setup.info
        aggregation = aggregation_text(self._setup.job.method)
        return {
            **({AGGREGATION: aggregation} if aggregation is not None else {}),
            "gigacast.model": info.name,
            "gigacast.version": info.version,
            "gigacast.digest": info.digest,
            "gigacast.spec": task.spec,
            "gigacast.horizon": str(task.horizon),
            "gigacast.partition": task.partition,
            "gigacast.input_keys": "\n".join(entry.key for entry in task.inputs),
            "gigacast.input_etags": "\n".join(entry.etag for entry in task.inputs),
        }

    def _receipt(
        self,
        task: Task,
        reader: SeriesReader,
        written: PublishedParquet,
        tally: Tally,
        seconds: dict[str, float],
    ) -> Receipt:
        method, stats = self._setup.job.method, reader.stats
        generated_s = sum(self._setup.generated.get(entry.key, 0.0) for entry in task.inputs)
        if generated_s:
            seconds = {"generate": round(generated_s, 3), **seconds}
        unknown = tally.futures.lacking if method.missing_future == "past" else 0
        repairs = {name: getattr(stats, name) for name in REPAIRS}
        repairs |= {
            "unknown_futures": unknown,
            "not_enhanced": tally.unchanged,
            "not_selected": tally.unseen,
            "model_replaced": tally.replaced,
            "not_summed": tally.unsummed,
        }
        work = Work(
            job=self.job,
            run_id=self._setup.run_id,
            rows=stats.rows,
            series=tally.series,
            seconds=seconds,
            newest_timestamp=tally.newest.isoformat() if tally.newest is not None else None,
            repairs={name: count for name, count in repairs.items() if count},
            usage=usage_since(self._used, self._forecaster),
            model=ModelUse(
                info=self._setup.info,
                reasons=tally.reasons,
                reason_items=tally.items,
                covariates=describe_companions(method, self._setup.ignored),
                batch_sizes=[self._budget.largest],
            ),
        )
        measures = {name: getattr(written, name) for name in ("etag", "size_bytes", "rows")}
        return new_receipt(task, {"key": task.output_key, **measures}, work)


def check_times(task: Task, reader: SeriesReader) -> None:
    """Refuse a partition without a single readable timestamp.

    Raises
    ------
    SchemaError
    """
    stats = reader.stats
    # A wrong timestamp column gives a null time in every row. Without this check the result would
    # be an empty forecast and exit code 0.
    if stats.rows and stats.null_timestamps + stats.null_items >= stats.rows:
        raise SchemaError(
            f"{task.partition}: no row of {stats.rows} has an item id and a readable timestamp",
            hint="write dates as 2024-01-31, or name the column by --timestamp_column",
        )


def sources_of(task: Task, inputs: Store) -> list[SeriesSource]:
    """Return the inputs of a task for the reader, each pinned to its planned ETag."""
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
    """Return the maximum number of series in a batch, so that its forecasts fit into memory.

    Parameters
    ----------
    horizon : int
        H steps.
    levels : int
        Q quantile levels.
    memory_limit_bytes : int
    device : {"cpu", "cuda"}
    """
    # A forecast is float32 [H, Q + 1], and about eight copies exist at once: raw, post-processed,
    # as Arrow, and those of the batches ahead. Reading has the other three quarters of the limit.
    bytes_per_series = 8 * 4 * horizon * (levels + 1)
    return int(min(MAX_SERIES[device], max(1, memory_limit_bytes // 4 // bytes_per_series)))


def read_options(
    task: Task, method: Method, info: ForecasterInfo, *, memory_limit_bytes: int
) -> ReadOptions:
    """Return how the inputs of a task are read."""
    return replace(
        method.reading_for(info, task.horizon),
        # The id of the series of a file without an id column.
        item_id=task.symbol or task.partition.rpartition("/")[2],
        batch_series=batch_series(
            task.horizon, len(method.levels), memory_limit_bytes, info.device
        ),
        memory_limit_bytes=memory_limit_bytes,
    )
