"""One child of an array run: its part of the plan, done by the code of every local run.

What is done already, by an earlier attempt or by another run, is found by its receipt and not done
again; so a child may be killed at any time.
"""

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast

from gigacast.batch.setup import fetch_model, load_setup, prepared_of
from gigacast.core.exit import EXIT_AGAIN, EXIT_DONE, EXIT_FAILED
from gigacast.core.partition.task import Task
from gigacast.errors import CorruptedFileError, ObjectNotFoundError
from gigacast.forecasting.partition import ForecastSetup
from gigacast.forecasting.prepare import Prepared
from gigacast.forecasting.run import make_executor_for
from gigacast.job.audit import this_host
from gigacast.job.batch_options import ChildOrder
from gigacast.job.run import Run, RunEvents, Silent, utc_now
from gigacast.lake.layout import child_outputs_key
from gigacast.lake.plan.audit import (
    FAILED,
    INTERRUPTED,
    RUNNING,
    Audit,
    AuditLog,
    Clock,
    read_audit,
)
from gigacast.lake.plan.manifest import ManifestEntry, encode_table, entry_of, to_table
from gigacast.lake.plan.plan_file import PlanFile, read_plan, read_tasks
from gigacast.lake.plan.receipt import Receipt, find_receipt
from gigacast.runtime.executor import Executor, Outcome, R, Setup, T, Worker
from gigacast.runtime.instance import this_machine
from gigacast.runtime.interruption import deferred
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store

KILLED = "killed"
_CHECKS_AT_ONCE = 16
_FRESH = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Place:
    """Which child this is, and where it runs.

    Parameters
    ----------
    index : int
        Within its array.
    attempt : int
        Counted from 1.
    job_id : str
    """

    index: int = 0
    attempt: int = 1
    job_id: str = ""


def run_child(
    order: ChildOrder,
    place: Place,
    *,
    events: RunEvents | None = None,
    executor: Executor | None = None,
    clock: Clock = utc_now,
) -> int:
    """Do a child's tasks, keep its summary, and return the exit code.

    Parameters
    ----------
    order : ChildOrder
    place : Place
    events : RunEvents, optional
    executor : Executor, optional
        By default a process per GPU, and without several of them this process.
    clock : callable

    Returns
    -------
    int
        0 when every task is done, 1 when some failed, 75 when it was asked to stop: what was in
        hand is abandoned, and the next attempt goes on.

    Raises
    ------
    PlanError
        When the plan is not the one it was started with, or has expired.
    ModelError, StorageError
        When no task could run at all.
    """
    outputs = open_store(order.outputs)
    plan = read_plan(outputs, order.run_id, order.digest)
    plan.check_time(clock())
    number = order.first + place.index
    tasks = read_tasks(outputs, plan, number)
    child = _Child(outputs, plan, number, tasks, place, clock)
    return child.execute(events or Silent(), executor)


class _Child:
    """One attempt of one child."""

    def __init__(
        self,
        outputs: Store,
        plan: PlanFile,
        number: int,
        tasks: list[Task],
        place: Place,
        clock: Clock,
    ) -> None:
        self._outputs = outputs
        self._plan = plan
        self._tasks = tasks
        self._clock = clock
        self._setup = load_setup(plan)
        self._prepared = prepared_of(self._setup)
        self._elsewhere = 0
        self._done: list[ManifestEntry] = []
        self._attempt: dict[str, Any] = {
            "attempt": place.attempt,
            "job_id": place.job_id,
            "host": platform.node(),
            **asdict(this_machine()),
            "start": clock().isoformat(),
            "last_done": None,
            "end": None,
            "status": RUNNING,
            "lost_s": 0.0,
        }
        self._number = number
        name = f"{plan.run_id}/{number}"
        attempts = [*_earlier_attempts(outputs, name, clock()), self._attempt]
        self._audit = Audit(
            session_id=name,
            start_time=attempts[0]["start"],
            files_discovered=len(tasks),
            plan={"child": number, "tasks": len(tasks), "attempts": attempts, "elsewhere": 0},
            software={"engine": self._setup.info.engine, "python": platform.python_version()},
            host=this_host(),
        )

    def execute(self, events: RunEvents, executor: Executor | None) -> int:
        """Do what is left."""
        log = AuditLog(self._outputs, self._audit, self._clock)
        run = Run(log, events)
        try:
            left = self._settle_earlier(run) if self._may_be_done() else self._tasks
            run.execute(
                left,
                self._worker_setup(left),
                self._executor(executor, len(left)),
                on_done=self._on_done,
            )
        except KeyboardInterrupt:
            self._close(log, INTERRUPTED)
            return EXIT_AGAIN
        except BaseException:
            self._close(log, FAILED)
            raise
        self._close(log, self._audit.status)
        return EXIT_FAILED if run.failures else EXIT_DONE

    def _may_be_done(self) -> bool:
        """Whether to ask for all receipts before anything is loaded.

        A first attempt on a fresh plan will find none; its workers ask once more for each task.
        """
        attempts = cast("list[object]", self._audit.plan["attempts"])
        return len(attempts) > 1 or self._plan.age(self._clock()) > _FRESH

    def _settle_earlier(self, run: Run) -> list[Task]:
        """Return the tasks without a valid receipt; count those an earlier attempt has done."""
        with ThreadPoolExecutor(_CHECKS_AT_ONCE) as pool:
            receipts = list(pool.map(self._find_receipt, self._tasks))
        for receipt in receipts:
            if receipt is not None and receipt.run_id == self._plan.run_id:
                run.totals.add(receipt)
                self._done.append(entry_of(receipt))
            elif receipt is not None:
                self._count_elsewhere()
        self._audit.files_processed = run.totals.partitions
        self._audit.totals = asdict(run.totals)
        return [t for t, receipt in zip(self._tasks, receipts, strict=True) if receipt is None]

    def _find_receipt(self, task: Task) -> Receipt | None:
        return find_done(self._outputs, task, self._plan.run_id, self._setup.job.overwrite)

    def _worker_setup(self, left: Sequence[Task]) -> "ChildSetup":
        # Nothing left, nothing loaded: not even fetched.
        model = fetch_model(self._setup, self._outputs) if left else self._prepared.model
        setup = ForecastSetup(
            self._setup.job,
            model,
            self._setup.info,
            self._plan.run_id,
            ignored=self._setup.ignored,
        )
        return ChildSetup(setup)

    def _executor(self, executor: Executor | None, tasks: int) -> Executor:
        chosen = executor or make_executor_for(fill_cores(self._prepared, tasks), tasks)
        return _OwnResults(chosen, self._plan.run_id, self._count_elsewhere)

    def _on_done(self, task: Task, receipt: Receipt) -> None:
        del task
        self._attempt["last_done"] = self._clock().isoformat()
        self._done.append(entry_of(receipt))

    def _count_elsewhere(self) -> None:
        self._elsewhere += 1
        self._audit.plan["elsewhere"] = self._elsewhere
        self._audit.files_skipped = self._elsewhere

    def _close(self, log: AuditLog, status: str) -> None:
        """Write the summary for the last time, with how this attempt ended."""
        with deferred(absorb=True):
            now = self._clock()
            self._attempt |= {"end": now.isoformat(), "status": status}
            if status == INTERRUPTED:
                self._attempt["lost_s"] = _lost_s(self._attempt, now)
            self._tell_outputs()  # before the summary: whoever reads that finds this
            log.close(status)

    def _tell_outputs(self) -> None:
        if self._done:
            key = child_outputs_key(self._plan.run_id, self._number)
            self._outputs.put(key, encode_table(to_table(self._done)))


def fill_cores(prepared: Prepared, tasks: int) -> Prepared:
    """Return what was prepared, with a process for each core of a child that has no GPU.

    Processes use cores better than threads do; where fewer tasks are left than there are cores,
    each process gets the threads of several.
    """
    resources, vcpus = prepared.job.resources, this_machine().vcpus
    if resources.n_jobs is not None or vcpus is None or prepared.info.device != "cpu":
        return prepared
    resources = replace(resources, n_jobs=max(1, min(vcpus, tasks)))
    return replace(prepared, job=replace(prepared.job, resources=resources))


def _earlier_attempts(outputs: Store, name: str, now: datetime) -> list[dict[str, Any]]:
    """Return the attempts a child's summary tells of; one without an end was killed."""
    try:
        attempts: list[dict[str, Any]] = read_audit(outputs, name).plan.get("attempts", [])  # type: ignore[assignment]
    except (ObjectNotFoundError, CorruptedFileError):
        return []
    for attempt in attempts:
        if attempt["end"] is None:
            attempt |= {"status": KILLED, "lost_s": _lost_s(attempt, now)}
    return attempts


def _lost_s(attempt: Mapping[str, Any], now: datetime) -> float:
    """Return the time since an attempt last had something done: its work on it is lost.

    Of one that was killed this is the most it can be: until the next attempt began.
    """
    since = datetime.fromisoformat(attempt["last_done"] or attempt["start"])
    return round(max(0.0, (now - since).total_seconds()), 3)


def find_done(store: Store, task: Task, run_id: str, overwrite: bool) -> Receipt | None:
    """Return the receipt of a task that needs no work; with ``overwrite`` only this run's own."""
    try:
        receipt = find_receipt(store, task)
    except CorruptedFileError:
        return None  # a receipt that proves nothing: done again, and replaced
    if receipt is None or (overwrite and receipt.run_id != run_id):
        return None
    return receipt


@dataclass(frozen=True)
class ChildSetup:
    """A picklable recipe for a worker that does what nobody has done yet.

    Parameters
    ----------
    setup : ForecastSetup
    """

    setup: ForecastSetup

    def for_slot(self, slot: int) -> "ChildSetup":
        """Return the recipe for the process in a slot."""
        return ChildSetup(self.setup.for_slot(slot))

    def __call__(self) -> Worker[Task, Receipt]:
        """Load the model, once per process, and return the worker."""
        forecaster = self.setup()
        outputs = open_store(self.setup.job.outputs)
        run_id, overwrite = self.setup.run_id, self.setup.job.overwrite

        def work(task: Task) -> Receipt:
            # Another run may have been faster since this child began.
            return find_done(outputs, task, run_id, overwrite) or forecaster(task)

        return work


class _OwnResults:
    """An executor whose outcomes are this run's: what another run had done is only counted."""

    def __init__(self, executor: Executor, run_id: str, count: Callable[[], None]) -> None:
        self._executor = executor
        self._run_id = run_id
        self._count = count

    def run(self, tasks: Sequence[T], setup: Setup[T, R]) -> Iterator[Outcome[T, R]]:
        for outcome in self._executor.run(tasks, setup):
            if isinstance(outcome.result, Receipt) and outcome.result.run_id != self._run_id:
                self._count()
            else:
                yield outcome
