"""The end of a job whose tasks other machines have done: its own code, which does no task.

Reports, versions and leaderboards are written by the code of a local run. It plans again, finds
what is done, and is told of what the others could not do.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from gigacast.core.cost.price import PriceTable
from gigacast.core.partition.task import Task
from gigacast.job.audit import PlannedJob, new_audit
from gigacast.job.run import Run, RunEvents, Silent, utc_now
from gigacast.lake.plan.audit import Audit, AuditLog, Clock
from gigacast.runtime.executor import Failure, Outcome, R, Setup, T

LEFT = Failure("WorkerLostError", "no machine has done it", "run the command again")
"""Why a task is not done of which nothing else is known."""


class StartRun(Protocol):
    """Makes the run of a planned job, as `gigacast.job.run.start_run` does."""

    def __call__(
        self,
        planned: PlannedJob,
        *,
        events: RunEvents | None = None,
        clock: Clock = utc_now,
        prices: PriceTable | None = None,
    ) -> Run:
        """Return a run."""


class _UnwrittenLog(AuditLog):
    def save(self, *, force: bool = False) -> None:
        """Do nothing: the run of the others has an audit."""
        del force


@dataclass(frozen=True)
class Settled:
    """The run of the other machines: an executor that does no task, and what starts its run.

    Parameters
    ----------
    run_id : str
    left : mapping of str to Failure
        Partitions that are not done, and why.
    unknown : Failure, optional
        Why any other task is not done; such tasks are neither done nor failed by default.
    done : int
        Partitions that the others have done.
    totals : mapping of str
        What their audit counts.
    """

    run_id: str
    left: Mapping[str, Failure] = field(default_factory=dict)
    unknown: Failure | None = None
    done: int = 0
    totals: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, audit: Audit) -> "Settled":
        """Return a run that has ended, by its audit."""
        left = failures_of(audit.failures)
        return cls(audit.session_id, left, done=audit.files_processed, totals=audit.totals)

    def start(
        self,
        planned: PlannedJob,
        *,
        events: RunEvents | None = None,
        clock: Clock = utc_now,
        prices: PriceTable | None = None,
    ) -> Run:
        """Return a run with the id of the others, whose audit is not written."""
        del prices
        audit = new_audit(self.run_id, planned, clock)
        return Run(_UnwrittenLog(planned.outputs, audit, clock), events or Silent())

    def run(self, tasks: Sequence[T], setup: Setup[T, R]) -> Iterator[Outcome[T, R]]:
        """Yield the failures of the tasks that the others could not do."""
        del setup
        for task in tasks:
            failure = self.left.get(cast("Task", task).partition, self.unknown)
            if failure is not None:
                yield Outcome(task, None, failure)


def failures_of(entries: Sequence[Mapping[str, Any]]) -> dict[str, Failure]:
    """Return the failures of partitions, from entries of an audit."""
    return {
        str(entry["partition"]): Failure(
            str(entry.get("error")), str(entry.get("message")), entry.get("hint")
        )
        for entry in entries
        if "partition" in entry
    }
