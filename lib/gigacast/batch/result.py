"""What an array run came to: what its children told, and receipts where they could not.

Filled child by child, then written into the run's audit.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any, cast

import pyarrow as pa

from gigacast.batch.child import find_done
from gigacast.batch.service import ArrayState, ChildState
from gigacast.batch.setup import ArraySetup, prepared_of
from gigacast.core.cost.bill import Rental, Usage
from gigacast.core.partition.task import Task
from gigacast.errors import CorruptedFileError, ObjectNotFoundError
from gigacast.forecasting.manifest import ManifestDraft
from gigacast.job.run import MAX_AUDITED_FAILURES, Totals
from gigacast.lake.layout import child_outputs_key
from gigacast.lake.plan.audit import COMPLETED, FAILED, INTERRUPTED, Audit
from gigacast.lake.plan.manifest import decode_table, to_table
from gigacast.lake.plan.plan_file import PlanFile, read_tasks
from gigacast.lake.plan.planner import make_plan
from gigacast.lake.plan.receipt import Receipt
from gigacast.storage.store import Store

READERS = 16


def is_array_run(audit: Audit) -> bool:
    """Whether the children of an array do, or did, this run."""
    return "array" in audit.plan


def array_of(audit: Audit) -> dict[str, Any]:
    """Return what an audit says of its array."""
    return cast("dict[str, Any]", audit.plan["array"])


@dataclass
class ArrayResult:
    """What an array run came to."""

    outputs: Store
    plan: PlanFile
    setup: ArraySetup
    failed: Mapping[int, ChildState]
    totals: Totals = field(default_factory=Totals)
    failures: list[dict[str, object]] = field(default_factory=list)
    elsewhere: int = 0
    unfinished: list[dict[str, object]] = field(default_factory=list)
    attempts: int = 0
    lost_s: float = 0.0
    usage: Usage = field(default_factory=Usage)
    children: list[dict[str, object]] = field(default_factory=list)

    def add_child(self, child: int, summary: Audit | None) -> None:
        """Add what a child did; where it could not say, ask for the receipts of its tasks."""
        state = self.failed.get(child)
        self._add_attempts(summary, state)
        share = self.plan.shares[child]
        open_tasks = 0
        if summary is not None and _accounted(summary) == share.tasks:
            self.totals.merge(Totals(**cast("dict[str, Any]", summary.totals)))
            self.elsewhere += summary.files_skipped
        else:
            open_tasks = self._add_tasks(child, summary, state)
        failed = [self._traced(failure, child, state) for failure in _failures(summary)]
        self.failures += failed
        if state is not None:
            self._note_failed(child, state, len(failed) + open_tasks)

    def _add_tasks(self, child: int, summary: Audit | None, state: ChildState | None) -> int:
        """Count a child's tasks by their receipts; return how many nobody has done."""
        told = {failure["partition"] for failure in _failures(summary)}
        tasks = [t for t in read_tasks(self.outputs, self.plan, child) if t.partition not in told]
        with ThreadPoolExecutor(READERS) as pool:
            receipts = list(pool.map(self._find_receipt, tasks))
        left = []
        for task, receipt in zip(tasks, receipts, strict=True):
            if receipt is None:
                left.append(task)
            elif receipt.run_id == self.plan.run_id:
                self.totals.add(receipt)
            else:
                self.elsewhere += 1
        self.unfinished += [self._unfinished(task, child, summary, state) for task in left]
        return len(left)

    def _find_receipt(self, task: Task) -> Receipt | None:
        return find_done(self.outputs, task, self.plan.run_id, self.setup.job.overwrite)

    def _add_attempts(self, summary: Audit | None, state: ChildState | None) -> None:
        told = cast("list[dict[str, Any]]", summary.plan.get("attempts", [])) if summary else []
        self.attempts += max(len(told), state.attempts if state is not None else 0)
        for attempt in told:
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
        """Return why a task was not done, as the child or else the service tells."""
        whole = [f for f in summary.failures if "partition" not in f] if summary else []
        told = f"{whole[-1]['error']}: {whole[-1]['message']}" if whole else ""
        reason = state.reason if state is not None and state.reason else "no reason given"
        code = f", exit code {state.exit_code}" if state and state.exit_code is not None else ""
        failure: dict[str, object] = {
            "partition": task.partition,
            "month": task.month,
            "attempts": state.attempts if state is not None else 0,
            "error": "WorkerLostError",
            "message": told or f"child {child} ended before it: {reason}{code}",
            "hint": f"`gigacast logs {self.plan.run_id} {child}`; a new run does what is left",
        }
        return self._traced(failure, child, state)

    def _traced(
        self, failure: Mapping[str, object], child: int, state: ChildState | None
    ) -> dict[str, object]:
        stream = state.log_stream if state is not None else None
        return {**failure, "child": child, "log_stream": stream}

    def write_manifests(self) -> None:
        """Bring the manifests up to date with everything that is done now."""
        prepared = prepared_of(self.setup)
        draft = ManifestDraft(prepared.outputs, prepared.spec)
        with ThreadPoolExecutor(READERS) as pool:
            for table in pool.map(self._outputs_of, range(len(self.plan.shares))):
                draft.add_rows(table)
        make_plan(
            prepared.inputs, prepared.outputs, prepared.request_to_read(), on_done=draft.add_done
        )
        draft.commit()

    def _outputs_of(self, child: int) -> pa.Table:
        """Return what a child says it has forecast: a request for thousands of receipts."""
        key = child_outputs_key(self.plan.run_id, child)
        try:
            return decode_table(self.outputs.get(key), key)
        except (ObjectNotFoundError, CorruptedFileError):
            return to_table([])

    def fill(self, audit: Audit, states: list[ArrayState]) -> None:
        """Write it into the run's audit."""
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
        audit.files_processed = self.totals.partitions
        audit.files_skipped += self.elsewhere
        audit.totals = asdict(self.totals)
        bill = self.usage.bill(self.setup.job.prices, self.totals.series)
        audit.cost["actual"] = bill.describe()
        # What a cancelled run left is no failure: it is pending, as it was before.
        failures = self.failures + ([] if was_cancelled else self.unfinished)
        audit.failures = failures[:MAX_AUDITED_FAILURES]
        audit.files_failed = len(failures)
        audit.status = INTERRUPTED if was_cancelled else FAILED if failures else COMPLETED


def _rental_of(attempt: Mapping[str, Any]) -> Rental:
    return Rental(*(attempt.get(field.name) for field in fields(Rental)))


def _spent_s(attempt: Mapping[str, Any]) -> float:
    """Return how long an attempt ran; of one that was killed, the most it can have."""
    start = datetime.fromisoformat(attempt["start"])
    if attempt["end"] is not None:
        return (datetime.fromisoformat(attempt["end"]) - start).total_seconds()
    known = datetime.fromisoformat(attempt["last_done"] or attempt["start"])
    return (known - start).total_seconds() + float(attempt["lost_s"])


def _accounted(summary: Audit) -> int:
    return summary.files_processed + summary.files_skipped + summary.files_failed


def _failures(summary: Audit | None) -> list[dict[str, object]]:
    """Return the failures of partitions that a child tells of."""
    return [f for f in summary.failures if "partition" in f] if summary is not None else []
