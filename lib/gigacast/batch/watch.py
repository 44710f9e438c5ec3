"""Watch an array run, end it, read what its children said.

How far a run is comes from what its children have written into the bucket, how they stand from the
service: one listing, the summaries that changed, and one request for all arrays, each time.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gigacast.batch.close import close_run, job_ids_of, read_summaries
from gigacast.batch.result import array_of, is_array_run
from gigacast.batch.service import WAITING, ArrayService, ChildState
from gigacast.errors import ComputeError, ConfigError, DataError, StorageError
from gigacast.job.run import utc_now
from gigacast.lake.plan.audit import Audit, Clock, list_children, read_audit, update_audit
from gigacast.storage.store import Store

FIRST_POLL_S = 1.0
LONGEST_POLL_S = 30.0
BACKOFF = 1.5
REASON = "cancelled by `gigacast cancel`"


@dataclass(frozen=True, slots=True)
class ArrayProgress:
    """How far an array run is.

    Parameters
    ----------
    tasks, done, failed, series : int
        Partitions, and the series forecast in those done. ``done`` includes what other runs did.
    children : mapping
        How many children are in each state, in the words of the service.
    reason : str, optional
        Why children wait, when the service says so.
    """

    tasks: int
    done: int = 0
    failed: int = 0
    series: int = 0
    children: Mapping[str, int] = field(default_factory=dict)
    reason: str | None = None

    @property
    def waiting(self) -> int:
        """Children that have not begun."""
        return sum(self.children.get(status, 0) for status in WAITING)


OnProgress = Callable[[ArrayProgress], None]


def watch_run(
    outputs: Store,
    run_id: str,
    service: ArrayService,
    *,
    on_progress: OnProgress = lambda progress: None,
    clock: Clock = utc_now,
    sleep: Callable[[float], None] = time.sleep,
) -> Audit:
    """Wait for the end of an array run, tell how it goes, and close it.

    Parameters
    ----------
    outputs : Store
        Rooted at the output root.
    run_id : str
    service : ArrayService
    on_progress : callable
        Told whenever something has changed.
    clock, sleep : callable

    Raises
    ------
    ConfigError
        When it is no array run.
    StorageError, ComputeError, PlanError
    """
    audit = find_array_run(outputs, run_id)
    look = _Look(outputs, audit, service)
    last: ArrayProgress | None = None
    pause_s = FIRST_POLL_S
    while True:
        progress = look.take()
        if progress != last:
            on_progress(progress)
            pause_s = FIRST_POLL_S
        if look.may_have_ended:
            audit = close_run(outputs, run_id, service, clock=clock)
            if audit.end_time is not None:
                return audit
        last = progress
        sleep(pause_s)
        pause_s = min(pause_s * BACKOFF, LONGEST_POLL_S)


def cancel_run(
    outputs: Store, run_id: str, service: ArrayService, *, clock: Clock = utc_now
) -> Audit:
    """End an array run: what waits never starts, what runs is asked to stop.

    What is finished is kept, and the next run does what is left.

    Raises
    ------
    ConfigError
        When it is no array run.
    StorageError, ComputeError
    """
    audit = find_array_run(outputs, run_id)
    if audit.end_time is not None:
        return audit

    def note(current: Audit) -> bool:
        if current.end_time is not None:
            return False
        array_of(current).setdefault("cancelled_at", clock().isoformat())
        return True

    audit = update_audit(outputs, run_id, note)
    service.cancel(job_ids_of(audit), REASON)
    return close_run(outputs, run_id, service, clock=clock)


def find_array_run(outputs: Store, run_id: str) -> Audit:
    """Return the audit of an array run.

    Raises
    ------
    ConfigError
        When there is no such run, or it is not an array's.
    """
    try:
        audit = read_audit(outputs, run_id)
    except StorageError as error:
        raise ConfigError(
            f"no run {run_id} under {outputs.address.url}: {error.message}",
            hint="`gigacast status` lists the latest runs; --bucket and --prefix as it was started",
        ) from error
    if not is_array_run(audit):
        raise ConfigError(
            f"{run_id} is no array run: the process that started it does the work",
            hint="`gigacast status` says how it stands",
        )
    return audit


@dataclass(frozen=True, slots=True)
class ChildLog:
    """What one child said last, and how it stands."""

    child: int
    state: ChildState
    lines: list[str]
    missing: str | None = None


def read_logs(
    outputs: Store, run_id: str, service: ArrayService, child: int | None = None, lines: int = 50
) -> list[ChildLog]:
    """Return the log of a child, or of every child that failed.

    A log that can't be read does not hide how the child stands.

    Raises
    ------
    ConfigError
        When the run has no such child.
    StorageError, ComputeError
    """
    audit = find_array_run(outputs, run_id)
    array = array_of(audit)
    count = int(array["children"])
    if child is not None and not 0 <= child < count:
        raise ConfigError(f"{run_id} has {count} children, none is {child}")
    states: dict[int, ChildState] = {}
    for job in array["jobs"]:
        first, size, job_id = job["first"], job["size"], job["job_id"]
        if child is None:
            found = service.failed_children(job_id)
            states |= {first + state.index: state for state in found}
        elif first <= child < first + size:
            states[child] = service.child(job_id, child - first)
    return [_log_of(service, number, state, lines) for number, state in states.items()]


def _log_of(service: ArrayService, child: int, state: ChildState, lines: int) -> ChildLog:
    if state.log_stream is None:
        return ChildLog(child, state, [], "it has not begun to log")
    try:
        return ChildLog(child, state, service.read_log(state, lines))
    except ComputeError as error:
        return ChildLog(child, state, [], str(error))


class _Look:
    """Looks at a run again and again, and reads only what has changed."""

    def __init__(self, outputs: Store, audit: Audit, service: ArrayService) -> None:
        self._outputs = outputs
        self._run_id = audit.session_id
        self._tasks = int(str(audit.plan["tasks"]))
        self._job_ids = job_ids_of(audit)
        self._service = service
        self._etags: dict[int, str] = {}
        self._summaries: dict[int, Audit] = {}
        self.may_have_ended = True

    def take(self) -> ArrayProgress:
        """Look once."""
        states = self._service.describe(self._job_ids)
        self.may_have_ended = all(state.has_ended for state in states)
        children: Counter[str] = Counter()
        for state in states:
            children.update(state.counts)
        self._read_changed()
        summaries = self._summaries.values()
        return ArrayProgress(
            tasks=self._tasks,
            done=sum(s.files_processed + s.files_skipped for s in summaries),
            failed=sum(s.files_failed for s in summaries),
            series=sum(int(str(s.totals.get("series", 0))) for s in summaries),
            children=dict(children),
            reason=next((s.reason for s in states if s.reason), None),
        )

    def _read_changed(self) -> None:
        try:
            etags = list_children(self._outputs, self._run_id)
            changed = [child for child, etag in etags.items() if self._etags.get(child) != etag]
            self._summaries |= read_summaries(self._outputs, self._run_id, changed)
            self._etags = etags
        except (StorageError, DataError):
            return  # the next look tells
