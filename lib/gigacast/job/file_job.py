"""Jobs over files: what is asked for, planned by listings, run by any executor.

What quality and cleaning have in common: the partitions of a bucket, or the files of versions of a
dataset, each a task with an output, a receipt, and an audit around all of them.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import TypeVar

from gigacast.core.dataset.ref import DatasetRef
from gigacast.core.digest import digest_value
from gigacast.core.partition.name import NamingPattern
from gigacast.core.partition.task import Task
from gigacast.core.time.frequency import Frequency
from gigacast.core.time.trading_calendar import Calendar
from gigacast.errors import DataNotFoundError
from gigacast.job.audit import RunDescription, new_audit
from gigacast.job.forecast_job import Resources
from gigacast.job.location import open_inputs
from gigacast.job.run import Run, RunEvents
from gigacast.lake.dataset.catalog import Lake
from gigacast.lake.dataset.source import open_sources, resolve_sources
from gigacast.lake.plan.audit import Audit, AuditLog, Clock, new_run_id
from gigacast.lake.plan.discovery import Selection
from gigacast.lake.plan.file_plan import FoundFile, find_files, find_partitions, plan_files
from gigacast.lake.plan.planner import DoneEntry, Plan
from gigacast.lake.plan.receipt import Receipt
from gigacast.runtime.choice import make_executor
from gigacast.runtime.executor import Executor, Setup
from gigacast.series.source import ColumnNames, TimestampUnit
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress

PARTITIONS = "partitions"
READERS = 8
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Sources:
    """Where partitions are read from: an input root, or versions of a dataset of a lake."""

    address: StoreAddress
    refs: tuple[DatasetRef, ...] = ()

    def open(self) -> Store:
        """Open them.

        Raises
        ------
        DataNotFoundError, DatasetIntegrityError, StorageError
        """
        if not self.refs:
            return open_inputs(self.address)
        return open_sources(Lake(open_store(self.address)), self.refs)


@dataclass(frozen=True)
class Reading:
    """How partitions are read.

    Parameters
    ----------
    columns : ColumnNames
    timestamp_unit : str, optional
        Of whole numbers; told by their magnitude when absent.
    zone : str, optional
        Of times that name none; UTC when absent.
    calendar : Calendar
        When there should be rows.
    frequency : Frequency, optional
        That of the partition's name when absent, else inferred for each series.
    memory_limit_bytes : int
    """

    columns: ColumnNames = field(default_factory=ColumnNames)
    timestamp_unit: TimestampUnit | None = None
    zone: str | None = None
    calendar: Calendar = field(default_factory=Calendar)
    frequency: Frequency | None = None
    memory_limit_bytes: int = 1 << 30


@dataclass(frozen=True)
class FileJob:
    """Which files, and how they are read.

    Parameters
    ----------
    sources : Sources
        Versions named exactly.
    outputs : StoreAddress
        The lake's root.
    pattern : NamingPattern
    selection : Selection
        Of partitions; files of datasets are all taken.
    reading : Reading
    resources : Resources
    limit : int, optional
        At most so many of the files left to do.
    """

    sources: Sources
    outputs: StoreAddress
    pattern: NamingPattern = field(default_factory=NamingPattern)
    selection: Selection = field(default_factory=Selection)
    reading: Reading = field(default_factory=Reading)
    resources: Resources = field(default_factory=Resources)
    limit: int | None = None

    @property
    def source(self) -> str:
        """What the source is called in keys: ``raw/EURUSD``, or ``partitions``."""
        refs = self.sources.refs
        return f"{refs[0].layer}/{refs[0].name}" if refs else PARTITIONS

    @property
    def title(self) -> str:
        """What the source is called by people."""
        refs = self.sources.refs
        return ", ".join(map(str, refs)) if refs else self.sources.address.url

    def spec(self, more: dict[str, object]) -> tuple[str, dict[str, object]]:
        """Return the id of all that changes what comes out, and that as plain values."""
        reading = self.reading
        fields: dict[str, object] = {
            "columns": asdict(reading.columns),
            "timestamp_unit": reading.timestamp_unit,
            "zone": reading.zone,
            "calendar": str(reading.calendar),
            "holidays": [day.isoformat() for day in reading.calendar.holidays],
            "frequency": reading.frequency.alias if reading.frequency else None,
            **more,
        }
        return digest_value(plain_spec(fields), 8), fields


def plain_spec(value: object) -> object:
    """Return a spec as JSON takes it: dates and times as text."""
    if isinstance(value, dict):
        return {name: plain_spec(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain_spec(one) for one in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


def sources_of_dataset(address: StoreAddress, ref: DatasetRef, *, every: bool = False) -> Sources:
    """Return the versions a dataset's name means now.

    Raises
    ------
    DataNotFoundError
    """
    return Sources(address, resolve_sources(Lake(open_store(address)), ref, every=every))


@dataclass
class FileRun:
    """A plan that is made: what is done, what is left, and where.

    ``done`` holds what was done before and, as the run goes on, what it does: task and output key.
    """

    job: FileJob
    inputs: Store
    outputs: Store
    plan: Plan
    done: list[tuple[Task, str]]
    receipts: dict[str, Receipt | str]
    """By partition: the receipt, or the key of one that was there before."""
    paths: dict[str, str]

    @property
    def tasks(self) -> list[Task]:
        """What this run does."""
        return self.plan.tasks[: self.job.limit]


def plan_job(
    job: FileJob, prefix: str, spec: str, output_key: Callable[[FoundFile, str], str]
) -> FileRun:
    """List, and decide what is left to do.

    Raises
    ------
    DataNotFoundError
        When there is nothing of what is asked for.
    StorageError
    """
    outputs = open_store(job.outputs)
    inputs = job.sources.open()
    plan = Plan()
    if job.sources.refs:
        files = list(find_files(inputs, plan))
    else:
        alone = replace(job.selection, context_partitions=0, by_month=False)
        files = list(find_partitions(inputs, job.pattern, alone, plan))
    if not files:
        seen = ", ".join([*plan.unmatched[:3], *plan.foreign_folders[:3]])
        raise DataNotFoundError(
            f"no Parquet file of {job.title} is asked for"
            + (f"; found instead: {seen}" if seen else ""),
            hint="name a dataset, as raw/EURUSD; or see --prefix, --years, --symbol",
        )
    run = FileRun(job, inputs, outputs, plan, [], {}, {f.partition: f.path for f in files})

    def take_done(entry: DoneEntry) -> None:
        run.done.append((entry.task, entry.output.key))
        run.receipts[entry.task.partition] = entry.receipt_key

    plan_files(plan, files, outputs, (prefix, spec, output_key), take_done)
    return run


def execute(
    run: FileRun,
    audit: Audit,
    setup: Setup[Task, Receipt],
    events: RunEvents,
    watch: tuple[Executor | None, Clock, Callable[[Run, Audit], None]],
) -> Run:
    """Run what is left; the audit says how it went, also when nothing was left.

    Parameters
    ----------
    run : FileRun
    audit : Audit
    setup : callable
        Makes the worker.
    events : RunEvents
    watch : (Executor, clock, callable)
        Where tasks run (made from the job's resources when absent); the clock; and what is to be
        done with their results before the audit is closed.
    """
    executor, clock, finish = watch
    by_partition = {task.partition: task for task in run.tasks}

    def take(receipt: Receipt) -> None:
        run.done.append((by_partition[receipt.partition], str(receipt.output["key"])))
        run.receipts[receipt.partition] = receipt

    state = Run(AuditLog(run.outputs, audit, clock), events, take)
    events.planned(audit.session_id, run.plan, len(run.tasks))
    resources = run.job.resources
    place = executor or make_executor(resources.executor, resources.n_jobs, n_tasks=len(run.tasks))
    state.execute(run.tasks, setup, place, finish=lambda: finish(state, audit))
    return state


def audit_of(run: FileRun, job: str, settings: dict[str, object], clock: Clock) -> Audit:
    """Return the record of a run over files that is about to start."""
    totals = run.plan.totals
    described = RunDescription(
        job=job,
        settings={
            "inputs": run.job.title,
            "outputs": run.job.outputs.url,
            "resources": asdict(run.job.resources),
            **settings,
        },
        plan={
            "tasks": len(run.tasks),
            "pending": totals.pending,
            "done": totals.done,
            "superseded": totals.superseded,
            "unmatched": run.plan.unmatched_count,
        },
    )
    run_id = new_run_id(clock(), lambda n: os.urandom(n).hex(), job)
    return new_audit(run_id, described, run.plan, run.job.selection, clock)


def in_threads(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Apply a function that waits for the store to each item, a few at a time."""
    with ThreadPoolExecutor(READERS, thread_name_prefix="gigacast-read") as pool:
        return list(pool.map(function, items))
