"""The search in stored forecasts: a job over their partitions.

A partition is done when a receipt names its forecasts, the objects with their actuals as they are
listed now, and its anomalies, and these were searched for within the same limits.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import pyarrow as pa

from gigacast.anomalies.job import AnomalyJob
from gigacast.anomalies.panel import PANELS, load_panels
from gigacast.anomalies.partition import SEARCH, SearchSetup, searched
from gigacast.anomalies.result import AnomalyReport
from gigacast.backtesting.evaluation.partition import reach_of_months
from gigacast.backtesting.evaluation.plan import Listed, ScorePlanner, task_of
from gigacast.core.mark import Count
from gigacast.core.partition.name import PartitionName, is_whole_month, lineage_of
from gigacast.core.partition.task import Task
from gigacast.core.problem import Source
from gigacast.core.record import decode_json, read_record
from gigacast.core.time.month import Month
from gigacast.errors import CorruptedFileError, DataNotFoundError, ObjectNotFoundError
from gigacast.forecasting.read import Generation
from gigacast.forecasting.rows import ALL, LATEST
from gigacast.job.audit import PlannedJob, RunDescription
from gigacast.job.file_job import in_threads
from gigacast.job.location import open_inputs
from gigacast.job.run import Run, RunEvents, start_run
from gigacast.job.settled import StartRun
from gigacast.lake.layout import anomalies_key, anomaly_report_key
from gigacast.lake.plan.audit import Clock
from gigacast.lake.plan.listing import valid_receipt
from gigacast.runtime.choice import make_executor
from gigacast.runtime.executor import Executor
from gigacast.storage.parquet.read import open_parquet, translated_parquet
from gigacast.storage.store import ObjectMeta, Store

_AT_ONCE = 64
"""Partitions whose anomalies are in memory at a time."""
T = TypeVar("T")
_HINT = "delete it: the next search writes it again"


@dataclass(frozen=True)
class Counts:
    """What the footer of a dataset of anomalies says of the search."""

    limits: str
    origin: str
    reach: list[str]
    series: Count
    values: Count
    compared: Count
    origins: Count
    revision: Count = 1


@dataclass(frozen=True)
class FoundPart:
    """The anomalies of a partition, and what their footer says of the search."""

    partition: str
    rows: pa.Table
    counts: Counts
    panels: list[Any]

    def add_to(self, report: AnomalyReport) -> None:
        """Add the partition to a report."""
        report.series += self.counts.series
        report.values += self.counts.values
        report.compared += self.counts.compared
        report.origins = max(report.origins, self.counts.origins)
        report.add(self.partition, self.rows)
        report.add_panels(self.panels)


def read_found(outputs: Store, source: ObjectMeta | str, partition: str) -> FoundPart:
    """Return the anomalies of a partition as a search wrote them.

    Raises
    ------
    ObjectNotFoundError, CorruptedFileError, StorageError
    """
    key = source.key if isinstance(source, ObjectMeta) else source
    with open_parquet(outputs, source) as file:
        with translated_parquet(outputs, key):
            rows = file.read(use_threads=False)
        metadata = file.metadata.metadata or {}
    problem = Source(key, CorruptedFileError, "not the anomalies of a search", _HINT)
    counts = decode_json(metadata.get(SEARCH.encode(), b"null"), problem)
    return FoundPart(
        partition,
        rows,
        read_record(Counts, counts, problem, ignore_unknown=True),
        load_panels(metadata.get(PANELS.encode()), key),
    )


@dataclass(frozen=True)
class _Candidate:
    """A partition that was searched before."""

    task: Task
    output: ObjectMeta
    listed: Listed


class SearchPlanner(ScorePlanner):
    """Plans a search in the forecasts of a generation.

    Parameters
    ----------
    search : AnomalyJob
    inputs, outputs : Store
    """

    def __init__(self, search: AnomalyJob, inputs: Store, outputs: Store) -> None:
        super().__init__(search.forecast, inputs, outputs)
        self._search = search
        self._candidates: list[_Candidate] = []

    def settle(self, take: Callable[[FoundPart], None]) -> None:
        """Decide which partitions that were searched before are done, and hand their anomalies on.

        The others become tasks, in the order of the manifest.
        """
        for group in _groups(self._candidates):
            parts = in_threads(self._found, group)
            for candidate, part in zip(group, parts, strict=True):
                if part is None:
                    self._leave(candidate.task, candidate.listed, candidate.output.key)
                else:
                    self.result.done.append((candidate.task, candidate.output.key))
                    self.result.plan.months[_month(candidate.task)].done += 1
                    take(part)

    def _list(self, generation: Generation, keys: list[str]) -> Listed:
        def folder_of(key: str) -> str:
            return anomalies_key(key, self._search.origin)

        with_origins = self._search.origin != LATEST
        return Listed(self._outputs, generation, keys, folder_of, with_origins=with_origins)

    def _plan(
        self, generation: Generation, row: dict[str, str], name: PartitionName, listed: Listed
    ) -> None:
        key, origin = row["key"], self._search.origin
        self.result.generations[key] = generation
        forecasts = listed.forecasts(row)
        if origin not in {LATEST, ALL}:
            # The current one may be of that day, too: its metadata says so, which no plan reads.
            origins = [
                o.meta.key for o in listed.origins.get(key, []) if o.cutoff.startswith(origin)
            ]
            forecasts = [*forecasts[:1], *(f for f in forecasts[1:] if f.key in origins[:1])]
        task = task_of(generation, row, name, forecasts)
        scores = listed.scores.get(key, [])
        if scores:
            self._candidates.append(_Candidate(task, scores[0], listed))
        else:
            self._leave(task, listed, anomalies_key(key, origin))

    def _leave(self, task: Task, listed: Listed, key: str) -> None:
        """Add a task."""
        stale = tuple(receipt for _, receipt in listed.receipts.get(key, []))
        self.result.plan.months[_month(task)].pending += 1
        self.result.plan.tasks.append(replace(task, stale_receipts=stale))

    def _found(self, candidate: _Candidate) -> FoundPart | None:
        """Return the anomalies of a partition if it is done."""
        task, output = candidate.task, candidate.output
        try:
            part = read_found(self._outputs, output, task.partition)
            reach = reach_of_months(part.counts.reach)
        except (ObjectNotFoundError, CorruptedFileError):
            return None
        now = searched(self._search.limits, self._search.origin)
        if reach is None or now != {name: getattr(part.counts, name) for name in now}:
            return None
        lineage = lineage_of(task.partition)
        generation = self.result.generations[task.output_key]
        actuals = self._actuals(generation, is_whole_month(lineage))
        objects = actuals.objects(reach, _month(task), lineage)
        inputs = (*task.inputs, *objects)
        receipted = replace(task, inputs=inputs, own=len(objects), output_key=output.key)
        receipts = candidate.listed.receipts.get(output.key, [])
        return None if valid_receipt(receipted, output, receipts) is None else part


def _month(task: Task) -> Month:
    year, month = task.month.split("-")
    return Month(int(year), int(month))


def compare_stored(  # noqa: PLR0913, PLR0917 - what a run needs, from the one place that has it
    search: AnomalyJob,
    outputs: Store,
    generation: Generation,
    name: str,
    events: RunEvents | None,
    executor: Executor | None,
    clock: Clock,
    start: StartRun = start_run,
) -> AnomalyReport:
    """Compare the forecasts of a generation with the values that have come since.

    Parameters
    ----------
    search : AnomalyJob
    outputs : Store
    generation : Generation
    name : str
        Name of the report, for the audit.
    events : RunEvents, optional
    executor : Executor, optional
    clock : callable
    start : callable

    Raises
    ------
    DataNotFoundError
        If no partition is selected, or none has a forecast of the origin.
    StorageError
    """
    report = AnomalyReport("stored", search.limits, origin=search.origin)
    folder = anomalies_key(generation.key.rpartition("/")[0], search.origin)
    report.dataset = f"{search.forecast.outputs.url}/{folder}"
    shell = plan_stored(search, outputs, generation, name, lambda part: part.add_to(report))
    if shell.tasks:
        run = start(shell, events=events, clock=clock)
        _execute(search, shell, report, run, executor)
    if not report.origins and not report.failures:
        raise DataNotFoundError(
            f"{generation.key}: none of the requested partitions has a forecast of {search.origin}",
            hint="--origin all compares all that are kept",
        )
    return report


def plan_stored(
    search: AnomalyJob,
    outputs: Store,
    generation: Generation,
    name: str,
    take: Callable[[FoundPart], None],
) -> PlannedJob:
    """Plan a search in the forecasts of a generation; what was found before is handed on.

    Raises
    ------
    DataNotFoundError
        If no partition is selected.
    StorageError
    """
    inputs = open_inputs(search.forecast.inputs)
    planner = SearchPlanner(search, inputs, outputs)
    planner.add(generation)
    planner.settle(take)
    if not planner.result.count:
        raise DataNotFoundError(
            f"{generation.key}: no forecast of the requested months and series",
            hint="see --years, --months, --symbol, or make forecasts by --rolling",
        )
    return _planned(search, planner, (inputs, outputs), name)


def _planned(
    search: AnomalyJob, planner: SearchPlanner, stores: tuple[Store, Store], name: str
) -> PlannedJob:
    forecast, planned = search.forecast, planner.result
    tasks = planned.plan.tasks
    description = RunDescription(
        job="anomalies",
        settings={
            "inputs": forecast.inputs.url,
            "outputs": forecast.outputs.url,
            "model": search.model,
            "version": search.version,
            "origin": search.origin,
            "limits": asdict(search.limits),
            "resources": asdict(forecast.resources),
        },
        plan={
            "tasks": len(tasks),
            "pending": len(tasks),
            "done": len(planned.done),
            "result": anomaly_report_key(name, "").rstrip("."),
        },
    )
    return PlannedJob(
        stores[1],
        planned.plan,
        tasks,
        forecast.selection,
        description,
        inputs=stores[0],
        patience=forecast.resources.patience,
    )


def _execute(
    search: AnomalyJob,
    shell: PlannedJob,
    report: AnomalyReport,
    run: Run,
    executor: Executor | None,
) -> None:
    """Search the partitions that are left, and add them to the report."""
    report.run_id = run.run_id
    finished: list[tuple[str, str]] = []
    resources, tasks = search.forecast.resources, shell.tasks
    run.execute(
        tasks,
        SearchSetup(search, run.run_id),
        executor or make_executor(resources.executor, resources.n_jobs, n_tasks=len(tasks)),
        on_done=lambda task, receipt: finished.append((str(receipt.output["key"]), task.partition)),
    )
    report.failures += [(task.output_key, failure.message) for task, failure in run.failures]
    for part in _each(shell.outputs, sorted(finished)):
        part.add_to(report)


def _each(outputs: Store, finished: list[tuple[str, str]]) -> Iterator[FoundPart]:
    for group in _groups(finished):
        yield from in_threads(lambda entry: read_found(outputs, *entry), group)


def _groups(entries: Sequence[T]) -> Iterator[Sequence[T]]:
    return (entries[start : start + _AT_ONCE] for start in range(0, len(entries), _AT_ONCE))
