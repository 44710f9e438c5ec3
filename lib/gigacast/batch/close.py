"""Close an array run: whoever sees its end first adds up what the children did.

The audit is replaced by compare and swap, and one that has an end is left alone: a rule on the
job's state, `watch` and `status` may all try at once. What a child's summary does not tell, because
it was killed, its receipts do.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial

from gigacast.batch.result import READERS, ArrayResult, array_of, is_array_run
from gigacast.batch.service import ArrayService, ArrayState, ChildState
from gigacast.batch.setup import load_setup
from gigacast.errors import CorruptedFileError, ObjectNotFoundError, PlanError
from gigacast.job.run import utc_now
from gigacast.lake.lease import release_lease
from gigacast.lake.plan.audit import (
    COMPLETED,
    FAILED,
    Audit,
    Clock,
    list_children,
    read_audit,
    update_audit,
)
from gigacast.lake.plan.plan_file import PlanFile, read_plan
from gigacast.storage.store import Store

_SETTLING = timedelta(minutes=5)
"""A job submitted a moment ago may be unknown to the service still."""


def job_ids_of(audit: Audit) -> list[str]:
    """Return the ids of the jobs of an array run."""
    return [str(job["job_id"]) for job in array_of(audit)["jobs"]]


def close_run(
    outputs: Store,
    run_id: str,
    service: ArrayService | None = None,
    *,
    clock: Clock = utc_now,
) -> Audit:
    """Close an array run if it has ended; it is safe to ask at any time, and again.

    Parameters
    ----------
    outputs : Store
        Rooted at the output root.
    run_id : str
    service : ArrayService, optional
        Asked how the jobs stand. Without one a run has ended when every child says so.
    clock : callable

    Returns
    -------
    Audit
        As it is now; without an ``end_time`` the run goes on.

    Raises
    ------
    StorageError, ComputeError, PlanError
    """
    audit = read_audit(outputs, run_id)
    if audit.end_time is not None or not is_array_run(audit):
        return audit
    states = service.describe(job_ids_of(audit)) if service is not None else []
    if not _may_have_ended(audit, states, clock()):
        return audit  # so far one request: this is asked again and again
    summaries = read_summaries(outputs, run_id)
    try:
        plan = read_plan(outputs, run_id, str(array_of(audit)["digest"]))
        if not states and not _told_its_end(plan, summaries, clock()):
            return audit
        failed = _failed_children(audit, service) if service is not None else {}
        result = ArrayResult(outputs, plan, load_setup(plan), failed)
        for child in range(len(plan.shares)):
            result.add_child(child, summaries.get(child))
        result.write_manifests()
        fill = partial(result.fill, states=states)
    except PlanError as error:
        # Somebody changed the plan: its children refused it, and what they did is still to be told.
        if not states:
            raise
        fill = partial(_fill_without_plan, summaries=summaries, error=error)

    def close(current: Audit) -> bool:
        if current.end_time is not None:
            return False
        fill(current)
        current.end(current.status, clock())
        current.updated_at = current.end_time
        return True

    closed = update_audit(outputs, run_id, close)
    release_lease(outputs, run_id)
    return closed


def _fill_without_plan(audit: Audit, summaries: Mapping[int, Audit], error: PlanError) -> None:
    """Write into a run's audit what its children told, and why there is no more."""
    told: dict[str, object] = {
        "error": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
    }
    audit.failures = [told, *(f for summary in summaries.values() for f in summary.failures)]
    audit.files_processed = sum(summary.files_processed for summary in summaries.values())
    audit.files_failed = sum(summary.files_failed for summary in summaries.values())
    array_of(audit).update(attempts=0, lost_s=0.0, failed_children=[])
    audit.status = FAILED


def read_summaries(
    outputs: Store, run_id: str, children: Iterable[int] | None = None
) -> dict[int, Audit]:
    """Return the summaries that children have written, of all of them or of some."""
    wanted = list_children(outputs, run_id) if children is None else children

    def read(child: int) -> tuple[int, Audit | None]:
        try:
            return child, read_audit(outputs, f"{run_id}/{child}")
        except (ObjectNotFoundError, CorruptedFileError):
            return child, None

    with ThreadPoolExecutor(READERS) as pool:
        found = list(pool.map(read, wanted))
    return {child: summary for child, summary in found if summary is not None}


def _may_have_ended(audit: Audit, states: list[ArrayState], now: datetime) -> bool:
    """Whether the service says so; without its word the children's is asked."""
    is_new = now - datetime.fromisoformat(audit.start_time) < _SETTLING
    return all(state.has_ended and (state.is_known or not is_new) for state in states)


def _told_its_end(plan: PlanFile, summaries: Mapping[int, Audit], now: datetime) -> bool:
    """Whether every child says that it has ended, or none can begin any more."""
    told = len(summaries) == len(plan.shares) and all(
        summary.status in {COMPLETED, FAILED} for summary in summaries.values()
    )
    return told or now >= datetime.fromisoformat(plan.expires_at)


def _failed_children(audit: Audit, service: ArrayService) -> dict[int, ChildState]:
    """Return what the service says of the children that failed, by their number in the run."""
    return {
        job["first"] + state.index: state
        for job in array_of(audit)["jobs"]
        for state in service.failed_children(job["job_id"])
    }
