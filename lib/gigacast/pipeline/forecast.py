"""The main job: plan what is left, run it anywhere, prove what was done. Imports all below.

`run_forecast` is the whole use case; people watch it through `RunEvents`.
"""

import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Protocol

from gigacast.core.month import IntRange
from gigacast.core.spec import Spec
from gigacast.core.task import Task
from gigacast.errors import DataNotFoundError
from gigacast.forecast.forecaster import ForecasterInfo
from gigacast.forecast.level import plan_levels
from gigacast.lake.audit import COMPLETED, FAILED, INTERRUPTED, Audit, AuditLog, new_run_id
from gigacast.lake.layout import version_prefix
from gigacast.lake.model import ResolvedModel
from gigacast.lake.planner import Plan, PlanRequest, make_plan
from gigacast.lake.receipt import Receipt, merge_counts
from gigacast.pipeline.choice import resolve_choice
from gigacast.pipeline.generation import generate_missing
from gigacast.pipeline.job import ForecastJob
from gigacast.pipeline.manifest import ManifestDraft
from gigacast.pipeline.partition import ForecastSetup
from gigacast.pipeline.spec import make_spec
from gigacast.runtime.choice import make_executor
from gigacast.runtime.executor import Executor, Failure, Outcome
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress

Clock = Callable[[], datetime]
MAX_AUDITED_FAILURES = 1000
"""More than these are counted, not listed: the audit is written again and again."""


def utc_now() -> datetime:
    """Return the time; the one clock runs use unless they are given another."""
    return datetime.now(UTC)


class RunEvents(Protocol):
    """What a run tells while it goes on."""

    def generated(self, partitions: int) -> None:
        """Take note that so many synthetic partitions were missing and have been made."""

    def planned(self, plan: Plan, tasks: int) -> None:
        """Take note that the plan is made and that this many of its tasks will run."""

    def finished(self, receipt: Receipt) -> None:
        """Take note that a partition is done."""

    def failed(self, task: Task, failure: Failure) -> None:
        """Take note that a partition failed; the others go on."""


class Silent:
    """Hears everything and says nothing."""

    def generated(self, partitions: int) -> None:
        """Nothing."""

    def planned(self, plan: Plan, tasks: int) -> None:
        """Nothing."""

    def finished(self, receipt: Receipt) -> None:
        """Nothing."""

    def failed(self, task: Task, failure: Failure) -> None:
        """Nothing."""


@dataclass(slots=True)
class Totals:
    """Sums over the partitions a run finished."""

    partitions: int = 0
    series: int = 0
    rows: int = 0
    rows_written: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    peak_rss_bytes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    repairs: dict[str, int] = field(default_factory=dict)

    def add(self, receipt: Receipt) -> None:
        """Count one more partition."""
        self.partitions += 1
        self.series += receipt.series
        self.rows += receipt.rows
        self.rows_written += int(str(receipt.output["rows"]))
        self.bytes_read += receipt.size_bytes
        self.bytes_written += int(str(receipt.output["size_bytes"]))
        self.peak_rss_bytes = max(self.peak_rss_bytes, receipt.peak_rss_bytes)
        for stage, seconds in receipt.seconds.items():
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + seconds, 3)
        merge_counts(self.reasons, receipt.reasons)
        merge_counts(self.repairs, receipt.repairs)


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Parameters
    ----------
    run_id : str
    status : str
        ``completed``, ``failed`` (some partition failed) or ``planned`` (a dry run).
    plan : Plan
    info : ForecasterInfo
    totals : Totals
    failures : list of (Task, Failure)
    elapsed_s : float
    outputs : str
        URL of the folder of the model version's predictions.
    """

    run_id: str
    status: str
    plan: Plan
    info: ForecasterInfo
    totals: Totals
    failures: list[tuple[Task, Failure]]
    elapsed_s: float
    outputs: str


@dataclass(frozen=True)
class Prepared:
    """A job with everything resolved: its stores open, its model pinned, its spec made."""

    job: ForecastJob
    inputs: Store
    outputs: Store
    model: ResolvedModel
    info: ForecasterInfo
    spec: Spec

    def request(self) -> PlanRequest:
        """Return what the planner is asked."""
        return PlanRequest(
            spec=self.spec,
            horizon=self.job.method.horizon,
            model_horizon=self.info.prediction_length,
            pattern=self.job.pattern,
            selection=self.job.selection,
            overwrite=self.job.overwrite,
        )


def prepare(job: ForecastJob) -> Prepared:
    """Open the stores and resolve, once, what is ``auto`` or ``ACTIVE``.

    Raises
    ------
    BucketNotFoundError, AccessDeniedError, ModelError, ConfigError
    """
    inputs = open_store(job.inputs)
    outputs = inputs if job.outputs == job.inputs else open_store(job.outputs)
    for address in {_checked_address(job, job.inputs), _checked_address(job, job.outputs)}:
        open_store(address).check()
    model, info = resolve_choice(job.model, outputs)
    # Levels the model cannot give fail here, once, and not in every partition.
    plan_levels(job.method.levels, info.levels, extrapolate=job.method.extrapolate_levels)
    spec = make_spec(info, job.method, job.selection)
    return Prepared(job, inputs, outputs, model, info, spec)


def _checked_address(job: ForecastJob, address: StoreAddress) -> StoreAddress:
    """Return what must exist: a folder's prefix is made when it is needed, the folder is not.

    On S3 the prefix is asked for, not the bucket: permissions may end there.
    """
    is_folder = address.url.startswith("file://")
    return job.bucket if is_folder and address.is_below(job.bucket) else address


def run_forecast(
    job: ForecastJob,
    *,
    events: RunEvents | None = None,
    executor: Executor | None = None,
    clock: Clock = utc_now,
    dry_run: bool = False,
) -> RunResult:
    """Forecast every pending partition.

    Parameters
    ----------
    job : ForecastJob
    events : RunEvents, optional
        Told how the run goes on.
    executor : Executor, optional
        Where tasks run; made from ``job.resources`` when absent.
    clock : callable
    dry_run : bool
        Plan, and write nothing.

    Raises
    ------
    DataNotFoundError
        When no object under the input root is asked for.
    ConfigError, StorageError, ModelError
        When the run can't start. What goes wrong later is in the result.
    """
    started = time.monotonic()
    events = events or Silent()
    prepared = prepare(job)
    draft = ManifestDraft(prepared.outputs, prepared.spec)
    if job.synthetic is not None and not dry_run:
        made = generate_missing(job.synthetic, prepared.inputs, job.resources, executor)
        events.generated(made)
    plan = make_plan(prepared.inputs, prepared.outputs, prepared.request(), on_done=draft.add_done)
    check_discovered(plan, job)
    tasks = plan.tasks[: job.limit]
    run = _Run(prepared, plan, tasks, draft, events, clock)
    events.planned(plan, len(tasks))
    if not dry_run:
        run.execute(executor or make_executor_for(job, len(tasks)))
    return RunResult(
        run_id=run.run_id,
        status="planned" if dry_run else run.log.audit.status,
        plan=plan,
        info=prepared.info,
        totals=run.totals,
        failures=run.failures,
        elapsed_s=time.monotonic() - started,
        outputs=f"{job.outputs.url}/{version_prefix(prepared.spec.model, prepared.spec.version)}",
    )


def make_executor_for(job: ForecastJob, tasks: int) -> Executor:
    """Return the executor a job asks for."""
    return make_executor(job.resources.executor, job.resources.n_jobs, n_tasks=tasks)


def check_discovered(plan: Plan, job: ForecastJob) -> None:
    """Refuse a plan that found nothing at all.

    Raises
    ------
    DataNotFoundError
        Naming what lay there instead.
    """
    if plan.discovered:
        return
    seen = [*plan.unmatched[:3], *plan.foreign_folders[:3]]
    found = f"; found instead: {', '.join(seen)}" if seen else ""
    raise DataNotFoundError(
        f"no partition under {job.inputs.url} matches what was asked for{found}",
        hint="expected {YYYY}/{MM}/NAME.parquet; see --prefix, --years, --symbol, "
        "and parquet_loader.file_patterns in the settings",
    )


class _Run:
    """One execution of a plan: its audit, its totals, its failures."""

    def __init__(
        self,
        prepared: Prepared,
        plan: Plan,
        tasks: list[Task],
        draft: ManifestDraft,
        events: RunEvents,
        clock: Clock,
    ) -> None:
        self.run_id = new_run_id(clock(), lambda n: os.urandom(n).hex())
        self.totals = Totals()
        self.failures: list[tuple[Task, Failure]] = []
        self._prepared = prepared
        self._tasks = sorted(
            tasks, key=lambda task: -task.size_bytes
        )  # longest first: no stragglers
        self._draft = draft
        self._events = events
        audit = _new_audit(self.run_id, prepared, plan, len(tasks), clock)
        self.log = AuditLog(prepared.outputs, audit, clock)

    def execute(self, executor: Executor) -> None:
        """Run the tasks; the audit says how it ended, whatever happens."""
        setup = ForecastSetup(
            self._prepared.job, self._prepared.model, self._prepared.info, self.run_id
        )
        self.log.save(force=True)
        with self._closing_audit():
            for outcome in executor.run(self._tasks, setup):
                self._take(outcome)
                self.log.save()
            self._draft.commit()

    def _take(self, outcome: Outcome[Task, Receipt]) -> None:
        audit = self.log.audit
        if outcome.failure is not None:
            self.failures.append((outcome.task, outcome.failure))
            if len(audit.failures) < MAX_AUDITED_FAILURES:
                audit.failures.append(
                    {
                        "partition": outcome.task.partition,
                        "month": outcome.task.month,
                        "attempts": outcome.attempts,
                        **asdict(outcome.failure),
                    }
                )
            audit.files_failed = len(self.failures)
            self._events.failed(outcome.task, outcome.failure)
        elif outcome.result is not None:
            self.totals.add(outcome.result)
            self._draft.add_receipt(outcome.result)
            audit.files_processed = self.totals.partitions
            self._events.finished(outcome.result)
        audit.totals = asdict(self.totals)

    @contextmanager
    def _closing_audit(self) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt:
            self.log.close(INTERRUPTED)
            raise
        except BaseException as error:
            self.log.audit.failures.append({"error": type(error).__name__, "message": str(error)})
            self.log.close(FAILED)
            raise
        self.log.close(FAILED if self.failures else COMPLETED)


def _new_audit(run_id: str, prepared: Prepared, plan: Plan, tasks: int, clock: Clock) -> Audit:
    selection = prepared.job.selection
    totals = plan.totals
    return Audit(
        session_id=run_id,
        start_time=clock().isoformat(),
        symbol=",".join(sorted(selection.symbols)) or None,
        year_range=_range(selection.months.years),
        month_range=_range(selection.months.months),
        files_discovered=plan.discovered,
        files_skipped=totals.done,
        settings=describe_job(prepared.job),
        plan={
            "tasks": tasks,
            "pending": totals.pending,
            "pending_bytes": plan.pending_bytes,
            "done": totals.done,
            "superseded": totals.superseded,
            "orphaned": totals.orphaned,
            "unmatched": plan.unmatched_count,
            "specs": {task.spec: prepared.spec.describe(task.horizon) for task in plan.tasks},
            "model_source": prepared.model.source,
        },
        software={name: version(name) for name in ("gigacast", "numpy", "pyarrow", "obstore")}
        | {"python": platform.python_version(), "engine": prepared.info.engine},
        host={"name": platform.node(), "pid": os.getpid(), "cpus": os.cpu_count() or 0},
    )


def _range(values: IntRange | None) -> list[int] | None:
    return [values.first, values.last] if values is not None else None


def describe_job(job: ForecastJob) -> dict[str, object]:
    """Return a job's settings as the audit records them; nothing in a job is secret."""
    method = asdict(job.method)
    method["frequency"] = job.method.frequency.alias if job.method.frequency else None
    return {
        "inputs": job.inputs.url,
        "outputs": job.outputs.url,
        "model": asdict(job.model),
        "method": method,
        "resources": asdict(job.resources),
        "overwrite": job.overwrite,
        "limit": job.limit,
    }
