"""Close an array run: add up the results of its children in the run's audit.

Any process may close a run, and several may try at the same time: a rule on the state of the job,
`watch`, `status`. The audit is replaced by compare and swap, and one that has an end is left alone.
A child that was killed has no complete summary; its receipts are counted instead.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial

from gigacast.batch.result import READERS, ArrayResult, array_of, is_array_run
from gigacast.batch.service import ArrayService, ArrayState, ChildState
from gigacast.batch.setup import load_work
from gigacast.core.mark import moment_of
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
"""Time after a submission in which the service may not know the job yet."""


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
    """Close an array run if it has ended; may be called at any time, and repeatedly.

    Parameters
    ----------
    outputs : Store
        Rooted at the output root.
    run_id : str
    service : ArrayService, optional
        Returns the states of the jobs. Without it, a run has ended when the summary of every child
        has an end.
    clock : callable
        Gives the current time, with its zone.

    Returns
    -------
    Audit
        The audit as it is now; without an ``end_time`` the run has not ended.

    Raises
    ------
    StorageError, ComputeError, PlanError
    """
    audit = read_audit(outputs, run_id)
    if audit.end_time is not None or not is_array_run(audit):
        return audit
    states = service.describe(job_ids_of(audit)) if service is not None else []
    if not _may_have_ended(audit, states, clock()):
        return audit  # `watch` polls: up to here this is a single request of the service
    summaries = read_summaries(outputs, run_id)
    fill: Callable[[Audit], None]
    try:
        plan = read_plan(outputs, run_id, str(array_of(audit)["digest"]))
        if not states and not _all_have_ended(plan, summaries, clock()):
            return audit
        failed = _failed_children(audit, service) if service is not None else {}
        result = _add_up(outputs, plan, failed, summaries)
        fill = partial(result.fill, states=states)
    except PlanError as error:
        # The plan was changed, so its children refused it. `watch` would wait forever for an end in
        # the audit, so the run is closed by the summaries alone.
        if not states:
            raise
        fill = partial(_fill_without_plan, summaries=summaries, error=error)

    def close(current: Audit) -> bool:
        # Called again whenever another process replaced the audit first.
        if current.end_time is not None:
            return False
        fill(current)
        current.end(current.status, clock())
        current.updated_at = current.end_time
        return True

    closed = update_audit(outputs, run_id, close)
    # After the audit: a crash in between only delays the next run until the lease ends by itself.
    release_lease(outputs, run_id)
    return closed


def _add_up(
    outputs: Store,
    plan: PlanFile,
    failed: Mapping[int, ChildState],
    summaries: Mapping[int, Audit],
) -> ArrayResult:
    """Return the sums over all children of a run, and update the manifests."""
    result = ArrayResult(outputs, plan, load_work(plan), failed)
    # Child by child, so that memory holds the tasks of one.
    for child in range(len(plan.shares)):
        result.add_child(child, summaries.get(child))
    # Before the audit: a run with an end has its manifest. A crash in between costs nothing but
    # another closing, which merges the same entries.
    result.publish()
    return result


def _fill_without_plan(audit: Audit, summaries: Mapping[int, Audit], error: PlanError) -> None:
    """Fill the audit of a run from the summaries of its children, without the plan's tasks."""
    failure: dict[str, object] = {
        "error": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
    }
    audit.failures = [failure, *(f for summary in summaries.values() for f in summary.failures)]
    audit.files_processed = sum(summary.files_processed for summary in summaries.values())
    audit.files_failed = sum(summary.files_failed for summary in summaries.values())
    array_of(audit).update(attempts=0, lost_s=0.0, failed_children=[])
    audit.status = FAILED


def read_summaries(
    outputs: Store, run_id: str, children: Iterable[int] | None = None
) -> dict[int, Audit]:
    """Return the summaries that children have written, by the number of the child.

    Parameters
    ----------
    outputs : Store
    run_id : str
    children : iterable of int, optional
        Numbers of the children to read; all by default.
    """
    numbers = list_children(outputs, run_id) if children is None else children

    def read(child: int) -> tuple[int, Audit | None]:
        try:
            return child, read_audit(outputs, f"{run_id}/{child}")
        except (ObjectNotFoundError, CorruptedFileError):
            return child, None

    # One small object per child: the time goes into waiting for the store.
    with ThreadPoolExecutor(READERS) as pool:
        summaries = list(pool.map(read, numbers))
    return {child: summary for child, summary in summaries if summary is not None}


def _may_have_ended(audit: Audit, states: list[ArrayState], now: datetime) -> bool:
    """Whether all jobs may have ended, by the service; true without states."""
    # The service forgets jobs after about a week, and may not know a new one yet: an unknown job
    # has ended unless its run has only just begun.
    is_new = now - moment_of(audit.start_time) < _SETTLING
    return all(state.has_ended and (state.is_known or not is_new) for state in states)


def _all_have_ended(plan: PlanFile, summaries: Mapping[int, Audit], now: datetime) -> bool:
    """Whether the summary of every child has an end, or the plan has expired for all of them."""
    ended = len(summaries) == len(plan.shares) and all(
        summary.status in {COMPLETED, FAILED} for summary in summaries.values()
    )
    return ended or now >= moment_of(plan.expires_at)


def _failed_children(audit: Audit, service: ArrayService) -> dict[int, ChildState]:
    """Return the states of the children that failed, by their number in the run."""
    return {
        job["first"] + state.index: state
        for job in array_of(audit)["jobs"]
        for state in service.failed_children(job["job_id"])
    }
