"""The result of an array run: the summaries of its children, and receipts where one is missing.

Added up child by child, then written into the run's audit.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from typing import Any, cast

import pyarrow as pa

from gigacast.batch.service import ArrayState, ChildState
from gigacast.batch.work import ArrayWork, Closing
from gigacast.core.cost.bill import Rental, Usage
from gigacast.core.mark import moment_of
from gigacast.core.partition.task import Task
from gigacast.errors import CorruptedFileError, ObjectNotFoundError
from gigacast.job.run import MAX_AUDITED_FAILURES
from gigacast.job.settled import failures_of
from gigacast.job.totals import Totals
from gigacast.lake.layout import child_outputs_key
from gigacast.lake.plan.audit import COMPLETED, FAILED, INTERRUPTED, Audit
from gigacast.lake.plan.manifest import decode_table, to_table
from gigacast.lake.plan.plan_file import PlanFile, read_tasks
from gigacast.lake.plan.receipt import Receipt
from gigacast.storage.store import Store

READERS = 16
"""Receipts and lists of outputs read in parallel: each is a small object."""


def is_array_run(audit: Audit) -> bool:
    """Whether the tasks of a run are done by the children of an array."""
    return "array" in audit.plan


def array_of(audit: Audit) -> dict[str, Any]:
    """Return the description of the array in an audit."""
    return cast("dict[str, Any]", audit.plan["array"])


@dataclass
class ArrayResult:
    """The sums over the children of an array run.

    Parameters
    ----------
    outputs : Store
        Rooted at the output root.
    plan : PlanFile
    work : ArrayWork
    failed : mapping of int to ChildState
        Children that failed, by the service.
    totals : Totals
    failures, unfinished : list of dict
        Partitions that failed, and those that no child finished.
    elsewhere : int
        Partitions that other runs had done.
    attempts : int
    lost_s : float
        Seconds of work that had to be repeated.
    usage : Usage
        Time of machines, for the bill.
    children : list of dict
        Children that failed, as the audit lists them.
    notes, sums : dict
        Further entries for the plan of the audit, and for its totals.
    """

    outputs: Store
    plan: PlanFile
    work: ArrayWork
    failed: Mapping[int, ChildState]
    totals: Totals = field(default_factory=Totals)
    failures: list[dict[str, object]] = field(default_factory=list)
    elsewhere: int = 0
    unfinished: list[dict[str, object]] = field(default_factory=list)
    attempts: int = 0
    lost_s: float = 0.0
    usage: Usage = field(default_factory=Usage)
    children: list[dict[str, object]] = field(default_factory=list)
    notes: dict[str, object] = field(default_factory=dict)
    sums: dict[str, object] = field(default_factory=dict)

    def add_child(self, child: int, summary: Audit | None) -> None:
        """Add the results of a child, by its summary or else by the receipts of its tasks."""
        state = self.failed.get(child)
        self._add_attempts(summary, state)
        share = self.plan.shares[child]
        open_tasks = 0
        # A summary that accounts for every task is one request; the receipts are one for each task.
        if summary is not None and _accounted(summary) == share.tasks:
            self.totals.merge(totals_of(summary))
            self.elsewhere += summary.files_skipped
        else:
            open_tasks = self._add_tasks(child, summary, state)
        failed = [self._traced(failure, child, state) for failure in _failures(summary)]
        self.failures += failed
        if state is not None:
            self._note_failed(child, state, len(failed) + open_tasks)

    def _add_tasks(self, child: int, summary: Audit | None, state: ChildState | None) -> int:
        """Count the tasks of a child by their receipts; return how many are not done."""
        failed = {failure["partition"] for failure in _failures(summary)}
        tasks = [t for t in read_tasks(self.outputs, self.plan, child) if t.partition not in failed]
        with ThreadPoolExecutor(READERS) as pool:
            receipts = list(pool.map(self._find_receipt, tasks))
        pending = []
        for task, receipt in zip(tasks, receipts, strict=True):
            if receipt is None:
                pending.append(task)
            elif receipt.run_id == self.plan.run_id:
                self.totals.add(receipt)
            else:
                self.elsewhere += 1
        self.unfinished += [self._unfinished(task, child, summary, state) for task in pending]
        return len(pending)

    def _find_receipt(self, task: Task) -> Receipt | None:
        return self.work.find(self.outputs, task, self.plan.run_id)

    def _add_attempts(self, summary: Audit | None, state: ChildState | None) -> None:
        attempts = cast("list[dict[str, Any]]", summary.plan.get("attempts", [])) if summary else []
        # An attempt that ended before it wrote its summary is known to the service only.
        self.attempts += max(len(attempts), state.attempts if state is not None else 0)
        for attempt in attempts:
            self.lost_s += float(attempt["lost_s"])
            self.usage.add(_rental_of(attempt), _spent_s(attempt))

    def _note_failed(self, child: int, state: ChildState, partitions: int) -> None:
        self.children.append(
            {
                "child": child,
                "partitions": partitions,
                "reason": state.reason,
                "exit_code": state.exit_code,
                "attempts": state.attempts,
                "log_stream": state.log_stream,
            }
        )

    def _unfinished(
        self, task: Task, child: int, summary: Audit | None, state: ChildState | None
    ) -> dict[str, object]:
        """Return a failure entry for a task, with the reason of the child or of the service."""
        # Failures without a partition ended the child itself.
        ends = [f for f in summary.failures if "partition" not in f] if summary else []
        message = f"{ends[-1].get('error')}: {ends[-1].get('message')}" if ends else ""
        reason = state.reason if state is not None and state.reason else "no reason given"
        code = f", exit code {state.exit_code}" if state and state.exit_code is not None else ""
        failure: dict[str, object] = {
            "partition": task.partition,
            "month": task.month,
            "attempts": state.attempts if state is not None else 0,
            "error": "WorkerLostError",
            "message": message or f"child {child} ended before it: {reason}{code}",
            "hint": f"`gigacast logs {self.plan.run_id} {child}`; the next run does this one",
        }
        return self._traced(failure, child, state)

    def _traced(
        self, failure: Mapping[str, object], child: int, state: ChildState | None
    ) -> dict[str, object]:
        stream = state.log_stream if state is not None else None
        return {**failure, "child": child, "log_stream": stream}

    def publish(self) -> None:
        """Write the manifests, or publish the datasets, of what is done."""
        is_whole = not (self.failures or self.unfinished)
        reasons = failures_of([*self.failures, *self.unfinished])
        closing = Closing(self.outputs, self.plan.run_id, is_whole, left=reasons)
        with ThreadPoolExecutor(READERS) as pool:
            self.work.close(closing, pool.map(self._outputs_of, range(len(self.plan.shares))))
        self.failures += closing.failures
        self.notes |= closing.notes
        self.sums |= closing.totals

    def _outputs_of(self, child: int) -> pa.Table:
        """Return the rows of the manifest that a child has written; none without its list."""
        key = child_outputs_key(self.plan.run_id, child)
        try:
            return decode_table(self.outputs.get(key), key)
        except (ObjectNotFoundError, CorruptedFileError):
            return to_table([])

    def fill(self, audit: Audit, states: list[ArrayState]) -> None:
        """Write the sums into the run's audit."""
        array = array_of(audit)
        was_cancelled = "cancelled_at" in array
        array |= {
            "status": [{"status": s.status, "reason": s.reason, **s.counts} for s in states],
            "attempts": self.attempts,
            "lost_s": round(self.lost_s, 3),
            "failed_children": self.children[:MAX_AUDITED_FAILURES],
            "unfinished": len(self.unfinished),
            "elsewhere": self.elsewhere,
        }
        audit.plan.update(self.notes)
        audit.files_processed = self.totals.partitions
        audit.files_skipped += self.elsewhere
        audit.totals = {**self.totals.describe(), **self.sums}
        bill = self.usage.bill(self.work.prices, self.totals.series)
        audit.cost["actual"] = bill.describe()
        # The tasks that a cancelled run left did not fail: they are pending, as before the run.
        failures = self.failures + ([] if was_cancelled else self.unfinished)
        audit.failures = failures[:MAX_AUDITED_FAILURES]
        audit.files_failed = len(failures)
        audit.status = INTERRUPTED if was_cancelled else FAILED if failures else COMPLETED


def _rental_of(attempt: Mapping[str, Any]) -> Rental:
    return Rental(*(attempt.get(field.name) for field in fields(Rental)))


def _spent_s(attempt: Mapping[str, Any]) -> float:
    """Return the seconds that an attempt ran; an upper bound for one that was killed."""
    start = moment_of(attempt["start"])
    if attempt["end"] is not None:
        return (moment_of(attempt["end"]) - start).total_seconds()
    last_sign = moment_of(attempt["last_done"] or attempt["start"])
    return (last_sign - start).total_seconds() + float(attempt["lost_s"])


def totals_of(summary: Audit) -> Totals:
    """Return the totals of an audit, without those of its own job or of a later release."""
    names = {field.name for field in fields(Totals)}
    stages = {name: value for name, value in summary.totals.items() if name in names}
    return Totals(**cast("dict[str, Any]", stages))


def _accounted(summary: Audit) -> int:
    """Return how many tasks a summary accounts for."""
    return summary.files_processed + summary.files_skipped + summary.files_failed


def _failures(summary: Audit | None) -> list[dict[str, object]]:
    """Return the failures of partitions in a child's summary."""
    return [f for f in summary.failures if "partition" in f] if summary is not None else []
