"""Watch an array run, cancel it, and read the logs of its children.

The progress comes from the summaries that children write into the bucket, the states of the
children from the service. Each look costs one listing, the summaries that changed, and one request
of the service for all arrays.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gigacast.batch.close import close_run, job_ids_of, read_summaries
from gigacast.batch.result import array_of, is_array_run
from gigacast.batch.service import WAITING, ArrayService, ChildState
from gigacast.core.exit import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED
from gigacast.core.plural import counted
from gigacast.errors import (
    ComputeError,
    ConfigError,
    DataError,
    StorageError,
    TransientStorageError,
)
from gigacast.job.run import utc_now
from gigacast.lake.plan.audit import (
    FAILED,
    INTERRUPTED,
    Audit,
    Clock,
    list_children,
    read_audit,
    update_audit,
)
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress

FIRST_POLL_S = 1.0
LONGEST_POLL_S = 30.0
BACKOFF = 1.5
REASON = "cancelled by `gigacast cancel`"


@dataclass(frozen=True, slots=True)
class ArrayProgress:
    """The progress of an array run.

    Parameters
    ----------
    tasks, done, failed : int
        Partitions; ``done`` includes those that other runs did.
    series : int
        Series forecast in the partitions done.
    children : mapping
        Number of children by state, in the words of the service.
    reason : str, optional
        Reason why children wait, if the service gives one.
    """

    tasks: int
    done: int = 0
    failed: int = 0
    series: int = 0
    children: Mapping[str, int] = field(default_factory=dict)
    reason: str | None = None

    @property
    def waiting(self) -> int:
        """Number of children that have not started."""
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
    """Wait for the end of an array run, report its progress, and close it.

    Parameters
    ----------
    outputs : Store
        Rooted at the output root.
    run_id : str
    service : ArrayService
    on_progress : callable
        Called with the progress whenever it has changed; ignored by default.
    clock : callable
        Gives the current time, with its zone.
    sleep : callable
        Waits for a number of seconds.

    Raises
    ------
    ConfigError
        When the run is not an array run.
    StorageError, ComputeError, PlanError
    """
    audit = find_array_run(outputs, run_id)
    poll = _Poll(outputs, audit, service)
    last: ArrayProgress | None = None
    pause_s = FIRST_POLL_S
    while True:
        progress = poll.take()
        if progress != last:
            on_progress(progress)
            # Polled often while something happens, and rarely while children wait for machines.
            pause_s = FIRST_POLL_S
        if poll.may_have_ended:
            # The jobs have ended, but a summary may still be missing: `close_run` decides.
            audit = close_run(outputs, run_id, service, clock=clock)
            if audit.end_time is not None:
                return audit
        last = progress
        sleep(pause_s)
        pause_s = min(pause_s * BACKOFF, LONGEST_POLL_S)


def cancel_run(
    outputs: Store, run_id: str, service: ArrayService, *, clock: Clock = utc_now
) -> Audit:
    """Cancel an array run: waiting children never start, running ones are asked to stop.

    Finished partitions stay, and the next run does the others.

    Raises
    ------
    ConfigError
        When the run is not an array run.
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

    # The note comes first: closing then reports the tasks that are left as pending, not as failed,
    # whoever closes the run.
    audit = update_audit(outputs, run_id, note)
    service.cancel(job_ids_of(audit), REASON)
    return close_run(outputs, run_id, service, clock=clock)


def find_array_run(outputs: Store, run_id: str) -> Audit:
    """Return the audit of an array run.

    Raises
    ------
    ConfigError
        When the run does not exist, or is not an array run.
    """
    try:
        audit = read_audit(outputs, run_id)
    except TransientStorageError:
        raise  # an outage says nothing of the run
    except StorageError as error:
        raise ConfigError(
            f"no run {run_id} under {outputs.address.url}: {error.message}",
            hint="`gigacast status` lists the latest runs; give --bucket and --prefix of the run",
        ) from error
    if not is_array_run(audit):
        raise ConfigError(
            f"{run_id} is not an array run: the process that started it does the work",
            hint="`gigacast status` shows its state",
        )
    return audit


@dataclass(frozen=True, slots=True)
class ChildLog:
    """The last lines of a child's log, and its state.

    Parameters
    ----------
    child : int
        Number of the child in the run.
    state : ChildState
    lines : list of str
    missing : str, optional
        Reason why there are no lines.
    """

    child: int
    state: ChildState
    lines: list[str]
    missing: str | None = None


def read_logs(
    outputs: Store, run_id: str, service: ArrayService, child: int | None = None, lines: int = 50
) -> list[ChildLog]:
    """Return the log of a child, or the logs of all children that failed.

    A log that can't be read is reported in ``missing``, beside the state of its child.

    Parameters
    ----------
    outputs : Store
        Rooted at the output root.
    run_id : str
    service : ArrayService
    child : int, optional
        Number of the child in the run; all failed children by default.
    lines : int
        Maximum number of lines per child, the last ones.

    Raises
    ------
    ConfigError
        When the run has no child of that number.
    StorageError, ComputeError
    """
    audit = find_array_run(outputs, run_id)
    array = array_of(audit)
    count = int(array["children"])
    if child is not None and not 0 <= child < count:
        raise ConfigError(f"{run_id} has {counted(count, 'child', 'children')}, none is {child}")
    states: dict[int, ChildState] = {}
    for job in array["jobs"]:
        first, size, job_id = job["first"], job["size"], job["job_id"]
        if child is None:
            failed = service.failed_children(job_id)
            states |= {first + state.index: state for state in failed}
        elif first <= child < first + size:
            states[child] = service.child(job_id, child - first)
    return [_log_of(service, number, state, lines) for number, state in states.items()]


def _log_of(service: ArrayService, child: int, state: ChildState, lines: int) -> ChildLog:
    if state.log_stream is None:
        return ChildLog(child, state, [], "it has not begun to log")
    try:
        return ChildLog(child, state, service.read_log(state, lines))
    except ComputeError as error:
        return ChildLog(child, state, [], error.text)


def service_for(address: StoreAddress, attempts: int = 8) -> ArrayService:
    """Return AWS Batch in the region of a bucket, at ``AWS_ENDPOINT_URL`` if that is set.

    Parameters
    ----------
    address : StoreAddress
    attempts : int
        Number of attempts of a request that is throttled or gets no answer.
    """
    # The AWS clients take half a second to import, and only array runs need them.
    from gigacast.batch.aws import BatchService  # noqa: PLC0415

    return BatchService(address.region, attempts=attempts)


@dataclass(frozen=True)
class ArrayRun:
    """An array run to watch or to cancel: its id, its output root, and the service of its children.

    Parameters
    ----------
    run_id : str
    outputs : Store
        Rooted at the output root.
    service : ArrayService
    """

    run_id: str
    outputs: Store
    service: ArrayService

    @classmethod
    def open(cls, run_id: str, address: StoreAddress) -> "ArrayRun":
        """Open the outputs of a run and the service of its region; makes no request.

        Raises
        ------
        ConfigError, AccessDeniedError
        """
        return cls(run_id, open_store(address), service_for(address))

    @property
    def tasks(self) -> int:
        """Number of partitions that the run forecasts; reads the audit."""
        return int(str(find_array_run(self.outputs, self.run_id).plan["tasks"]))

    @property
    def audit(self) -> Audit:
        """The audit of the run as it is now; reads it."""
        return find_array_run(self.outputs, self.run_id)

    @property
    def job(self) -> str:
        """Kind of the job; reads the audit."""
        return find_array_run(self.outputs, self.run_id).job

    def watch(self, on_progress: OnProgress) -> Audit:
        """Wait for the end of the run and close it; see `watch_run`."""
        return watch_run(self.outputs, self.run_id, self.service, on_progress=on_progress)

    def cancel(self) -> Audit:
        """Cancel the run; see `cancel_run`."""
        return cancel_run(self.outputs, self.run_id, self.service)

    def read_logs(self, child: int | None, lines: int) -> list[ChildLog]:
        """Return the last lines of a child's log, or of those of all failed children."""
        return read_logs(self.outputs, self.run_id, self.service, child, lines)


def exit_code(audit: Audit) -> int:
    """Return the exit code of a command for a run that has ended."""
    return {FAILED: EXIT_FAILED, INTERRUPTED: EXIT_INTERRUPTED}.get(audit.status, EXIT_DONE)


class _Poll:
    """Polls a run, and reads only the summaries that have changed."""

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
        """Return the progress now."""
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
            return  # a passing error: the next poll reads the same summaries
