"""The programs of the model: the product's own code over whatever store it is given."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import lru_cache
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pyarrow as pa

from gigacast.core.partition.task import Task
from gigacast.core.series.batch import SeriesBatch
from gigacast.forecasters.naive import SeasonalNaive
from gigacast.forecasting import prune as prune_module
from gigacast.forecasting.manifest import ManifestDraft
from gigacast.forecasting.read import Generation, read_generation
from gigacast.forecasting.worker import PartitionWorker, sources_of
from gigacast.job.file_worker import FileOutput, FileWorker
from gigacast.job.receipt import Work, new_receipt
from gigacast.job.run import Run, Silent
from gigacast.job.worker import Stopwatch
from gigacast.lake.plan import listing
from gigacast.lake.plan.audit import Audit, AuditLog
from gigacast.lake.plan.origin import publish_kept, trim_origins
from gigacast.lake.plan.planner import PlanRequest, make_plan
from gigacast.lake.plan.receipt import Receipt
from gigacast.runtime.choice import InlineExecutor
from gigacast.series.reader import SeriesReader
from gigacast.series.source import ReadOptions
from gigacast.storage.parquet.writer import PublishedParquet, table_bytes
from gigacast.storage.store import Store
from tests.unit.lake.plans import REQUEST, SPEC

GENERATION = Generation(SPEC.model, SPEC.version, SPEC.id(7), 0)
KEEP = 3
"""Forecasts of a partition that are kept: all different ones, as long as there are three."""
_START = datetime(2024, 1, 1, tzinfo=UTC)


class _Unthreaded:
    """Stands in for `Prefetched`: a thread for each listing would take most of the time."""

    def __init__(self, source: Iterable[object], ahead: int) -> None:
        self._source = source

    def __iter__(self) -> Iterator[object]:
        return iter(self._source)

    def close(self) -> None:
        """Stop nothing: no thread runs."""


def unthreaded() -> AbstractContextManager[object]:
    """List in the thread of the planner for the ``with`` block."""
    return patch.object(listing, "Prefetched", _Unthreaded)


@lru_cache
def forecast_of(content: bytes) -> bytes:
    """Return the forecast of an input: a Parquet file that names its content."""
    return table_bytes(pa.table({"of": [content.decode()]}), "zstd")


class ForecastWorker(PartitionWorker[bytes]):
    """The worker of forecasts with the model left out: order, pins and receipts are the real ones.

    Its reading is that of `sources_of`, which pins each input; its output is `forecast_of`.
    """

    job = "forecast"

    def __init__(self, store: Store) -> None:
        self._inputs = self._outputs = store
        self._forecaster = SeasonalNaive()  # asked for what it has used of an API: nothing

    def _read_options(self, task: Task) -> ReadOptions:
        return ReadOptions()

    def _overlapped(self, task: Task, *_: object) -> Iterator[bytes]:
        for source in sources_of(task, self._inputs):
            with source.open() as file:
                yield file.read()

    def _write(self, task: Task, results: Iterable[bytes], watch: Stopwatch) -> PublishedParquet:
        content = forecast_of(b"".join(results))
        is_first = not task.stale_receipts
        etag = publish_kept(self._outputs, task.output_key, content, is_first=is_first)
        return PublishedParquet(task.output_key, etag, 1, len(content))

    def _finish(self, task: Task, receipt: Receipt, etag: str) -> None:
        super()._finish(task, receipt, etag)
        if task.stale_receipts:
            trim_origins(self._outputs, task.output_key, etag, KEEP)

    def _receipt(
        self, task: Task, reader: SeriesReader, written: PublishedParquet, *_: object
    ) -> Receipt:
        output = {"key": task.output_key, "etag": written.etag, "rows": written.rows}
        output["size_bytes"] = written.size_bytes
        return new_receipt(task, output, Work(self.job, "run", 1, 1, {}))

    def _results(self, task: Task, batches: Iterable[SeriesBatch], *_: Any) -> Iterator[bytes]:
        raise AssertionError("the model reads the bytes of its sources")

    def _schema(self, task: Task, first: bytes | None) -> pa.Schema:
        raise AssertionError("the model writes bytes")

    def _rows(self, result: bytes, schema: pa.Schema) -> pa.RecordBatch:
        raise AssertionError("the model writes bytes")


class JobOverFiles(FileWorker):
    """The worker of jobs over files, as quality and cleaning are."""

    job = "forecast"

    def __init__(self, store: Store) -> None:
        self._inputs = self._outputs = store
        self._run_id = "run"

    def make(self, task: Task, watch: Stopwatch) -> FileOutput:
        content = b"".join(self._inputs.get(i.key, if_match=i.etag) for i in task.inputs)
        forecast = forecast_of(content)
        etag = self._outputs.put(task.output_key, forecast)
        size = len(forecast)
        return FileOutput(
            {"key": task.output_key, "etag": etag, "size_bytes": size, "rows": 1}, 1, 1, None
        )


def run(store: Store, request: PlanRequest = REQUEST, worker: Any = ForecastWorker) -> str:
    """Plan, work, write the manifest: the steps of `run_forecast`; return the status."""
    draft = ManifestDraft(store, request.spec)
    with unthreaded():
        plan = make_plan(store, store, request, on_done=draft.add_all)
    audit = Audit("run", _START.isoformat())
    job = Run(AuditLog(store, audit, lambda: _START), Silent())
    job.execute(
        plan.tasks,
        lambda: worker(store),
        InlineExecutor(),
        on_done=lambda _, receipt: draft.add_receipt(receipt),
        on_results=lambda _: draft.commit(),
    )
    return job.status


def prune(store: Store, request: PlanRequest = REQUEST) -> int:
    """Delete orphans and stale receipts; return their number."""
    prepared = SimpleNamespace(
        inputs=store,
        outputs=store,
        spec=request.spec,
        request=lambda: request,
        job=SimpleNamespace(keep_origins=KEEP),
    )
    with unthreaded(), patch.object(prune_module, "prepare", lambda job: job):
        litter = prune_module.find_litter(prepared)  # type: ignore[arg-type]
    return prune_module.remove(litter)


def read(store: Store) -> tuple[str, ...]:
    """Read the forecasts of the last finished run; return what they are forecasts of."""
    return tuple(read_generation(store, GENERATION)["of"].to_pylist())
