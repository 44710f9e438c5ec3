"""One run of a plan: tasks go to an executor, an audit says how it went. Of any job.

People watch a run through `RunEvents`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from gigacast.core.cost.bill import make_bill
from gigacast.core.cost.price import PriceTable
from gigacast.core.partition.task import Task
from gigacast.lake.plan.audit import COMPLETED, FAILED, INTERRUPTED, Audit, AuditLog
from gigacast.lake.plan.planner import Plan
from gigacast.lake.plan.receipt import Receipt, merge_counts
from gigacast.runtime.executor import Executor, Failure, Outcome, Setup
from gigacast.runtime.instance import this_machine

MAX_AUDITED_FAILURES = 1000
"""More than these are counted, not listed: the audit is written again and again."""


def utc_now() -> datetime:
    """Return the time; the one clock runs use unless they are given another."""
    return datetime.now(UTC)


class RunEvents(Protocol):
    """What a run tells while it goes on."""

    def generated(self, partitions: int) -> None:
        """Take note that so many synthetic partitions were missing and have been made."""

    def planned(self, run_id: str, plan: Plan, tasks: int) -> None:
        """Take note that the plan is made and that this many of its tasks will run."""

    def finished(self, receipt: Receipt) -> None:
        """Take note that a partition is done."""

    def failed(self, task: Task, failure: Failure) -> None:
        """Take note that a partition failed; the others go on."""

    def closed(self, status: str, totals: "Totals") -> None:
        """Take note that the run has ended, in one way or another, and its audit is written."""


class Silent:
    """Hears everything and says nothing."""

    def generated(self, partitions: int) -> None:
        """Nothing."""

    def planned(self, run_id: str, plan: Plan, tasks: int) -> None:
        """Nothing."""

    def finished(self, receipt: Receipt) -> None:
        """Nothing."""

    def failed(self, task: Task, failure: Failure) -> None:
        """Nothing."""

    def closed(self, status: str, totals: "Totals") -> None:
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

    def merge(self, other: "Totals") -> None:
        """Add the sums of others, as of another process."""
        for name in ("partitions", "series", "rows", "rows_written", "bytes_read", "bytes_written"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.peak_rss_bytes = max(self.peak_rss_bytes, other.peak_rss_bytes)
        for stage, seconds in other.seconds.items():
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + seconds, 3)
        merge_counts(self.reasons, other.reasons)
        merge_counts(self.repairs, other.repairs)


class Run:
    """One execution of a plan: its audit, its totals, its failures.

    Parameters
    ----------
    log : AuditLog
        Of the audit this run fills in.
    events : RunEvents
    on_receipt : callable
        Called with the receipt of each partition done.
    prices : PriceTable, optional
        What the time of this machine is billed by, where it is known what machine it is.
    """

    def __init__(
        self,
        log: AuditLog,
        events: RunEvents,
        on_receipt: Callable[[Receipt], None],
        prices: PriceTable | None = None,
    ) -> None:
        self.totals = Totals()
        self.failures: list[tuple[Task, Failure]] = []
        self._log = log
        self._events = events
        self._on_receipt = on_receipt
        self._prices = prices

    def execute(
        self,
        tasks: Sequence[Task],
        setup: Setup[Task, Receipt],
        executor: Executor,
        *,
        finish: Callable[[], None] = lambda: None,
    ) -> None:
        """Run the tasks; the audit says how it ended, whatever happens.

        Parameters
        ----------
        tasks : sequence of Task
        setup : Setup
            Makes the worker that does a task and returns its receipt.
        executor : Executor
        finish : callable
            Called when all tasks have been done or have failed, before the audit is closed.
        """
        self._log.save(force=True)
        with self._closing_audit():
            # Longest first: no stragglers.
            for outcome in executor.run(sorted(tasks, key=lambda t: -t.size_bytes), setup):
                self._take(outcome)
                self._log.save()
            finish()

    def _take(self, outcome: Outcome[Task, Receipt]) -> None:
        audit = self._log.audit
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
            self._on_receipt(outcome.result)
            audit.files_processed = self.totals.partitions
            self._events.finished(outcome.result)
        audit.totals = asdict(self.totals)

    @contextmanager
    def _closing_audit(self) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt:
            self._close(INTERRUPTED)
            raise
        except BaseException as error:
            self._log.audit.failures.append({"error": type(error).__name__, "message": str(error)})
            self._close(FAILED)
            raise
        self._close(FAILED if self.failures else COMPLETED)

    def _close(self, status: str) -> None:
        self._log.close(status, self._add_bill)
        self._events.closed(status, self.totals)

    def _add_bill(self, audit: Audit) -> None:
        rental = this_machine()
        if rental.instance is not None:
            bill = make_bill({rental: audit.elapsed_s}, self._prices, self.totals.series)
            audit.cost["actual"] = bill.describe()
