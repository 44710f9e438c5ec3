"""A child of an array run: does its share of the plan with the code of a local run.

Tasks that an earlier attempt or another run has done have a receipt and are skipped, so a child may
be killed at any time.
"""

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast

from gigacast.batch.help import Helper, are_helping
from gigacast.batch.setup import load_work
from gigacast.batch.work import ArrayWork
from gigacast.core.exit import EXIT_AGAIN, EXIT_DONE, EXIT_FAILED
from gigacast.core.mark import moment_of
from gigacast.core.partition.task import Task
from gigacast.errors import CorruptedFileError, GigacastError, ObjectNotFoundError
from gigacast.job.audit import this_host
from gigacast.job.batch_options import ChildOrder
from gigacast.job.outage import Outage
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
from gigacast.lake.plan.receipt import Receipt
from gigacast.runtime.executor import Executor, Outcome, R, Setup, T, Worker
from gigacast.runtime.instance import this_machine
from gigacast.runtime.interruption import deferred
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress

KILLED = "killed"
_CHECKS_AT_ONCE = 16
_FRESH = timedelta(hours=1)
"""Age up to which a plan counts as new: other runs have hardly done any of its tasks."""


@dataclass(frozen=True, slots=True)
class Place:
    """Number, attempt and job of a child.

    Parameters
    ----------
    index : int
        Number within its array, from 0.
    attempt : int
        Number of the attempt, from 1.
    job_id : str
        Id that the service of array jobs gave.
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
    """Do the tasks of a child, write its summary, and return the exit code.

    Parameters
    ----------
    order : ChildOrder
    place : Place
    events : RunEvents, optional
        Receives the progress; ignored by default.
    executor : Executor, optional
        Runs the tasks; by default as many processes as keep the GPUs busy, or one per core
        without a GPU.
    clock : callable
        Gives the current time, with its zone.

    Returns
    -------
    int
        0 when every task is done, 1 when some failed, 75 when the child was asked to stop: the
        tasks in progress are abandoned, and the next attempt does them.

    Raises
    ------
    PlanError
        When the plan is not the one that the child was started with, or has expired.
    ModelError, StorageError
        When no task can run at all.
    """
    outputs, events = open_store(order.outputs), events or Silent()
    # An outage that begins before a child has read its plan is an outage as any other.
    outage = Outage([outputs], order.patience, events.waiting)
    plan = outage.call(lambda: read_plan(outputs, order.run_id, order.digest))
    # Most inputs of an old plan have changed or are done by now, so the plan is refused as a whole.
    plan.check_time(clock())
    # Large runs are several arrays, each numbered from 0 by the service.
    number = order.first + place.index
    tasks = outage.call(lambda: read_tasks(outputs, plan, number))
    child = outage.call(lambda: _Child(outputs, plan, number, tasks, place, clock))
    return child.execute(events, executor)


class _Child:
    """An attempt of a child, with the summary that it writes."""

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
        self._work = load_work(plan)
        self._is_helping = are_helping(plan)
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
        # The summary of the earlier attempts is replaced by this one, so their records are carried
        # over.
        attempts = [*_earlier_attempts(outputs, name, clock()), self._attempt]
        self._audit = Audit(
            session_id=name,
            start_time=attempts[0]["start"],
            files_discovered=len(tasks),
            plan={"child": number, "tasks": len(tasks), "attempts": attempts, "elsewhere": 0},
            software={**_engine_of(self._work), "python": platform.python_version()},
            host=this_host(),
        )

    def execute(self, events: RunEvents, executor: Executor | None) -> int:
        """Do the tasks that are pending, and return the exit code."""
        log = AuditLog(self._outputs, self._audit, self._clock)
        outage = Outage([self._outputs], self._work.patience, events.waiting)
        run = Run(log, events, outage=outage)
        try:
            pending = self._tasks
            if self._may_be_done():
                pending = outage.call(lambda: self._settle_earlier(run))
            run.execute(
                pending,
                outage.call(lambda: self._worker_setup(pending)),
                self._executor(executor, len(pending)),
                on_done=self._on_done,
            )
        except KeyboardInterrupt:
            self._close(log, INTERRUPTED)
            # The exit code that the job definition retries (``infra/``).
            return EXIT_AGAIN
        except BaseException:
            self._close(log, FAILED)
            raise
        outage.call(lambda: self._close(log, self._audit.status))
        self._help(log, executor)
        return EXIT_FAILED if run.failures else EXIT_DONE

    def _help(self, log: AuditLog, executor: Executor | None) -> None:
        """Do tasks of children that are behind; the summary gets the time that it took."""
        if not self._is_helping:
            return
        helper = Helper(self._outputs, self._plan, self._number, self._clock)
        helped = 0

        def do(tasks: Sequence[Task]) -> None:
            nonlocal helped
            own = executor or self._work.executor(len(tasks))
            for outcome in own.run(tasks, self._worker_setup(tasks)):
                helped += outcome.failure is None

        # What this child had to do is done, and its summary written: nothing here may change that.
        with suppress(KeyboardInterrupt, GigacastError):
            helper.run(do)
        if helped:
            with suppress(GigacastError), deferred(absorb=True):
                self._attempt |= {"end": self._clock().isoformat(), "helped": helped}
                log.close(self._audit.status)

    def _may_be_done(self) -> bool:
        """Whether some tasks may be done already, and all receipts are worth a check."""
        # Checked before the model is loaded: with all tasks done, it is not needed. A first attempt
        # on a new plan would find no receipt: simulated for ten million partitions, such checks
        # were ten million requests (docs/scale.md). Workers check before each task anyway.
        attempts = cast("list[object]", self._audit.plan["attempts"])
        return len(attempts) > 1 or self._plan.age(self._clock()) > _FRESH

    def _settle_earlier(self, run: Run) -> list[Task]:
        """Return the tasks without a valid receipt, and count the others."""
        with ThreadPoolExecutor(_CHECKS_AT_ONCE) as pool:
            receipts = list(pool.map(self._find_receipt, self._tasks))
        for receipt in receipts:
            # The summary covers all attempts: tasks of earlier ones belong to its totals.
            if receipt is not None and receipt.run_id == self._plan.run_id:
                run.totals.add(receipt)
                self._done.append(entry_of(receipt))
            elif receipt is not None:
                self._count_elsewhere()
        self._audit.files_processed = run.totals.partitions
        self._audit.totals = run.totals.describe()
        return [t for t, receipt in zip(self._tasks, receipts, strict=True) if receipt is None]

    def _find_receipt(self, task: Task) -> Receipt | None:
        return self._work.find(self._outputs, task, self._plan.run_id)

    def _worker_setup(self, pending: Sequence[Task]) -> "ChildSetup":
        run_id = self._plan.run_id
        worker = self._work.worker(self._outputs, run_id, pending)
        return ChildSetup(worker, self._outputs.address, run_id, self._work)

    def _executor(self, executor: Executor | None, tasks: int) -> Executor:
        executor = executor or self._work.executor(tasks)
        return _OwnResults(executor, self._plan.run_id, self._count_elsewhere)

    def _on_done(self, task: Task, receipt: Receipt) -> None:
        del task
        self._attempt["last_done"] = self._clock().isoformat()
        self._done.append(entry_of(receipt))

    def _count_elsewhere(self) -> None:
        self._elsewhere += 1
        self._audit.plan["elsewhere"] = self._elsewhere
        self._audit.files_skipped = self._elsewhere

    def _close(self, log: AuditLog, status: str) -> None:
        """Write the summary for the last time, with the end of this attempt."""
        # A further signal must not end the process between the two writes.
        with deferred(absorb=True):
            now = self._clock()
            self._attempt |= {"end": now.isoformat(), "status": status}
            if status == INTERRUPTED:
                self._attempt["lost_s"] = _lost_s(self._attempt, now)
            # Before the summary: whoever closes the run on its word reads this list, too.
            # Helpers take it for the end of this child, which is tried again when interrupted.
            if status != INTERRUPTED or not self._is_helping:
                self._write_outputs()
            log.close(status)

    def _write_outputs(self) -> None:
        """Write the rows of the manifest for this child's outputs.

        Closing reads one object per child instead of a receipt per task.
        """
        # Simulated for a million partitions, closing takes 5,000 requests (docs/scale.md).
        if self._done:
            key = child_outputs_key(self._plan.run_id, self._number)
            self._outputs.put(key, encode_table(to_table(self._done)))


def _earlier_attempts(outputs: Store, name: str, now: datetime) -> list[dict[str, Any]]:
    """Return the attempts listed in a child's summary; one without an end was killed."""
    try:
        attempts: list[dict[str, Any]] = read_audit(outputs, name).plan.get("attempts", [])  # type: ignore[assignment]
    except (ObjectNotFoundError, CorruptedFileError):
        return []
    for attempt in attempts:
        # SIGKILL, or the loss of the host, leaves no time to write an end.
        if attempt["end"] is None:
            attempt |= {"status": KILLED, "lost_s": _lost_s(attempt, now)}
    return attempts


def _lost_s(attempt: Mapping[str, Any], now: datetime) -> float:
    """Return the seconds since an attempt last finished a task: work that has to be repeated.

    For an attempt that was killed this is an upper bound: it ends when the next attempt begins.
    """
    since = moment_of(attempt["last_done"] or attempt["start"])
    return round(max(0.0, (now - since).total_seconds()), 3)


@dataclass(frozen=True)
class ChildSetup:
    """A picklable recipe for a worker that skips tasks which are done already.

    Parameters
    ----------
    setup : callable
        Recipe for the worker that does the tasks.
    outputs : StoreAddress
        Output root.
    run_id : str
    work : ArrayWork
        Finds what is done.
    """

    setup: Setup[Task, Receipt]
    outputs: StoreAddress
    run_id: str
    work: ArrayWork

    def for_slot(self, slot: int) -> "ChildSetup":
        """Return the recipe for the process in a slot."""
        place = getattr(self.setup, "for_slot", None)
        return self if place is None else replace(self, setup=place(slot))

    def __call__(self) -> Worker[Task, Receipt]:
        """Load what the worker needs, once per process, and return it."""
        do = self.setup()
        outputs = open_store(self.outputs)

        def work(task: Task) -> Receipt:
            # Another run may have done the task since this child began.
            return self.work.find(outputs, task, self.run_id) or do(task)

        return work


def _engine_of(work: ArrayWork) -> dict[str, str]:
    return {} if work.engine is None else {"engine": work.engine}


class _OwnResults:
    """An executor that yields only outcomes of this run; tasks done by other runs are counted."""

    def __init__(self, executor: Executor, run_id: str, count: Callable[[], None]) -> None:
        self._executor = executor
        self._run_id = run_id
        self._count = count

    def run(self, tasks: Sequence[T], setup: Setup[T, R]) -> Iterator[Outcome[T, R]]:
        for outcome in self._executor.run(tasks, setup):
            # A partition belongs to the totals of one run only: that which did it.
            if isinstance(outcome.result, Receipt) and outcome.result.run_id != self._run_id:
                self._count()
            else:
                yield outcome
