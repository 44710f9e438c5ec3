"""The shell of every job: the tasks of a plan go to an executor, and an audit records the run.

A new job needs a plan function that returns a `PlannedJob`, and a setup whose workers return a
receipt for each task::

    run = start_run(planned, events=events, clock=clock)
    run.execute(planned.tasks, MySetup(job, run.run_id), executor)

Totals, failures, the status and the closing of the audit are kept here. `RunEvents` reports the
progress to people.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from gigacast.core.cost.bill import make_bill
from gigacast.core.cost.price import PriceTable
from gigacast.core.partition.task import Task
from gigacast.core.text import blank_secrets
from gigacast.errors import GigacastError, OutageError, StorageError, TransientStorageError
from gigacast.job.audit import PlannedJob, make_run_id, new_audit
from gigacast.job.outage import Outage, Patience, is_transient
from gigacast.job.totals import Totals
from gigacast.lake.plan.audit import COMPLETED, FAILED, INTERRUPTED, Audit, AuditLog, Clock
from gigacast.lake.plan.planner import Plan
from gigacast.lake.plan.receipt import Receipt
from gigacast.lake.plan.rows import DoneEntry
from gigacast.runtime.choice import InlineExecutor, make_executor
from gigacast.runtime.executor import Executor, Failure, Outcome, Setup
from gigacast.runtime.instance import this_machine
from gigacast.scratch import ScratchHold

logger = logging.getLogger(__name__)
MAX_AUDITED_FAILURES = 1000
"""Failures that an audit lists; more are only counted, since each save writes the whole audit."""


MAX_ROUNDS = 3
"""Starts of a task that fails although the store answers again: more would not help."""


def utc_now() -> datetime:
    """Return the current time: the clock of a run unless the caller gives another."""
    return datetime.now(UTC)


class RunEvents(Protocol):
    """The progress of a run, for people and logs. The methods do nothing by default."""

    def generated(self, partitions: int) -> None:
        """Report how many missing synthetic partitions were written."""
        return

    def of_model(self, name: str) -> None:
        """Report the model that the next plan is for, in jobs that compare several."""
        return

    def planned(self, run_id: str, plan: Plan, tasks: int) -> None:
        """Report the plan, and how many of its tasks this run does."""
        return

    def finished(self, receipt: Receipt) -> None:
        """Report a partition that is done."""
        return

    def failed(self, task: Task, failure: Failure) -> None:
        """Report a partition that failed; the run goes on with the others."""
        return

    def waiting(self, message: str) -> None:
        """Report that the run waits for a store, or goes on after a wait."""
        return

    def closed(self, status: str, totals: Totals) -> None:
        """Report the end of the run, after its audit is written."""
        return


class Silent(RunEvents):
    """Ignores all events."""


@dataclass(frozen=True, slots=True)
class FinishedTask:
    """A task that is done, by an earlier run or by this one.

    Parameters
    ----------
    task : Task
    output_key : str
    receipt : Receipt or str
        The receipt of a task done by this run; the receipt's key for one done before, since the
        planner lists receipts and reads none.
    """

    task: Task
    output_key: str
    receipt: Receipt | str

    @classmethod
    def before(cls, entry: DoneEntry) -> "FinishedTask":
        """Return a task that the planner found done."""
        return cls(entry.task, entry.output.key, entry.receipt_key)

    @classmethod
    def now(cls, task: Task, receipt: Receipt) -> "FinishedTask":
        """Return a task that this run has done."""
        return cls(task, str(receipt.output["key"]), receipt)


OnDone = Callable[[Task, Receipt], None]


def _ignore(*_: object) -> None:
    """Do nothing."""


def _largest_first(task: Task) -> int:
    # So that no large task starts when the others are nearly done.
    return -task.size_bytes


class Run:
    """One execution of a plan: its audit, totals and failures.

    Parameters
    ----------
    log : AuditLog
        Writes the audit that this run fills in.
    events : RunEvents
    prices : PriceTable, optional
        Prices of machine time, for the bill in the audit; no dollars by default.
    outage : Outage, optional
        Waits for the stores; without it a request that fails after its retries ends the run.
    """

    def __init__(
        self,
        log: AuditLog,
        events: RunEvents,
        prices: PriceTable | None = None,
        outage: Outage | None = None,
    ) -> None:
        self.totals = Totals()
        self.failures: list[tuple[Task, Failure]] = []
        self._log = log
        self._events = events
        self._prices = prices
        self._outage = outage or Outage((), Patience(0), events.waiting)
        self._on_done: OnDone = _ignore

    @property
    def audit(self) -> Audit:
        """The record of this run."""
        return self._log.audit

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return self.audit.session_id

    @property
    def status(self) -> str:
        """``completed``, or ``failed`` when some task failed."""
        return FAILED if self.failures else COMPLETED

    def execute(
        self,
        tasks: Sequence[Task],
        setup: Setup[Task, Receipt],
        executor: Executor,
        *,
        on_done: OnDone = _ignore,
        on_results: Callable[["Run"], None] = _ignore,
        order: Callable[[Task], Any] = _largest_first,
    ) -> None:
        """Do tasks; close the audit also after an error or an interrupt.

        Parameters
        ----------
        tasks : sequence of Task
        setup : Setup
            Makes the worker that does a task and returns its receipt.
        executor : Executor
            Runs the tasks.
        on_done : callable
            Called with each task that is done and its receipt; ignored by default.
        on_results : callable
            Called with this run when every task is done or has failed, before the audit is closed:
            manifests and reports are written here. Ignored by default.
        order : callable
            Key by which the tasks are sorted; the largest first by default.
        """
        self._on_done = on_done
        executor = self._surviving(executor) if tasks else executor
        # Before the first task: a run that is killed stays visible as one that never ended.
        self._outage.call(lambda: self._log.save(force=True))
        with ScratchHold(), self._closing_audit():
            pending = sorted(tasks, key=order)
            for rounds in range(MAX_ROUNDS):
                is_last = rounds == MAX_ROUNDS - 1
                pending = self._execute_once(pending, setup, executor, is_last=is_last)
                if not pending:
                    break
            # Within the block: a manifest that can't be written makes the run a failed one.
            self._outage.call(lambda: on_results(self))

    def _execute_once(
        self,
        tasks: Sequence[Task],
        setup: Setup[Task, Receipt],
        executor: Executor,
        *,
        is_last: bool,
    ) -> list[Task]:
        """Start every task once, and return those that an outage stopped."""
        # By identity: outcomes have the objects that were submitted, and tasks are large values.
        pending = {id(task): task for task in tasks}
        try:
            for outcome in executor.run(tasks, setup):
                if self._must_repeat(outcome, is_last=is_last):
                    continue
                pending.pop(id(outcome.task), None)
                self._take(outcome)
                self._save_in_passing()
        except TransientStorageError as error:
            # A worker could not load its model. `OutageError` itself comes from a wait above.
            if is_last or not self._outage.is_waited_out or isinstance(error, OutageError):
                raise
            self._outage.wait(error.message)
        return list(pending.values())

    def _must_repeat(self, outcome: Outcome[Task, Receipt], *, is_last: bool) -> bool:
        """Wait if a task failed because of an outage, and return whether it is to be repeated."""
        failure = outcome.failure
        if failure is None:
            self._outage.end()
        elif is_transient(failure.error) and self._outage.is_waited_out:
            self._outage.wait(failure.message)
            return not is_last
        return False

    def _save_in_passing(self) -> None:
        # The audit only shows the progress: losing a save loses nothing, and the next one has all.
        with suppress(StorageError):
            self._log.save()

    def _surviving(self, executor: Executor) -> Executor:
        """Return an executor that outlives its tasks if the last run of this job crashed."""
        if not (isinstance(executor, InlineExecutor) and executor.is_default):
            return executor
        # A file that crashes a native library would end this process as it ended the last one, and
        # every rerun. A process of its own costs a start, so only suspicion makes one.
        try:
            crashed = self._log.find_crashed()
        except StorageError:
            return executor
        if crashed is None:
            return executor
        logger.warning(
            "the run %s did not end, or lost a process: in case a file killed it, the tasks of "
            "this one run in a process of their own",
            crashed,
        )
        return make_executor("joblib", 1)

    def _take(self, outcome: Outcome[Task, Receipt]) -> None:
        if outcome.failure is not None:
            self._add_failure(outcome.task, outcome.failure, outcome.attempts)
        elif outcome.result is not None:
            self.totals.add(outcome.result)
            self._on_done(outcome.task, outcome.result)
            self.audit.files_processed = self.totals.partitions
            self._events.finished(outcome.result)
        self.audit.totals = self.totals.describe()

    def _add_failure(self, task: Task, failure: Failure, attempts: int) -> None:
        self.failures.append((task, failure))
        if len(self.audit.failures) < MAX_AUDITED_FAILURES:
            task_fields = {"partition": task.partition, "month": task.month, "attempts": attempts}
            self.audit.failures.append({**task_fields, **asdict(failure)})
        self.audit.files_failed = len(self.failures)
        self._events.failed(task, failure)

    @contextmanager
    def _closing_audit(self) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt:
            self._close(INTERRUPTED)
            raise
        except OutageError as error:
            self._describe(error)
            # The store is away, so a single attempt: without it the audit has no end.
            with suppress(StorageError):
                self._log.close(FAILED, self._add_bill)
            self._events.closed(FAILED, self.totals)
            raise
        # Whatever ended the run: an audit without an end is that of a killed one.
        except BaseException as error:
            self._describe(error)
            self._close(FAILED)
            raise
        self._close(self.status)

    def _describe(self, error: BaseException) -> None:
        text = error.text if isinstance(error, GigacastError) else str(error)
        message = blank_secrets(text)
        self.audit.failures.append({"error": type(error).__name__, "message": message})

    def _close(self, status: str) -> None:
        self._outage.call(lambda: self._log.close(status, self._add_bill))
        self._events.closed(status, self.totals)

    def _add_bill(self, audit: Audit) -> None:
        # A machine of unknown type has no price.
        rental = this_machine()
        if rental.instance is not None:
            bill = make_bill({rental: audit.elapsed_s}, self._prices, self.totals.series)
            audit.cost["actual"] = bill.describe()


def outage_of(planned: PlannedJob, events: RunEvents) -> Outage:
    """Return the wait of a job for its stores."""
    stores = [planned.outputs, *([planned.inputs] if planned.inputs is not None else [])]
    return Outage([*stores, *planned.waits_for], planned.patience, events.waiting)


def start_run(
    planned: PlannedJob,
    *,
    events: RunEvents | None = None,
    clock: Clock = utc_now,
    prices: PriceTable | None = None,
) -> Run:
    """Return a run of a planned job, with a new id and an audit; nothing is written yet.

    Parameters
    ----------
    planned : PlannedJob
    events : RunEvents, optional
        Receives the progress, beginning with the plan; ignored by default.
    clock : callable
        Gives the current time, with its zone.
    prices : PriceTable, optional
    """
    events = events or Silent()
    run_id = make_run_id(planned.description.job, clock)
    audit = new_audit(run_id, planned, clock)
    log = AuditLog(planned.outputs, audit, clock)
    run = Run(log, events, prices, outage_of(planned, events))
    events.planned(run_id, planned.plan, len(planned.tasks))
    return run
