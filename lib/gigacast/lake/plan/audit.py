"""The audit: the record of one run.

It is written when the run starts and replaced while it goes on, so that a killed run stays visible
as one that never ended.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated

from gigacast.core.mark import Amount, Count, Keys, Time, moment_of
from gigacast.core.problem import Source
from gigacast.core.record import decode_json, read_record
from gigacast.core.text import blank_secrets_in
from gigacast.errors import (
    CorruptedFileError,
    ObjectNotFoundError,
    PreconditionFailedError,
    WorkerLostError,
)
from gigacast.lake.layout import AUDIT, audit_key, audit_prefix
from gigacast.storage.store import Store

Clock = Callable[[], datetime]
RUNNING = "running"
COMPLETED = "completed"
FAILED = "failed"
INTERRUPTED = "interrupted"
_UNENDED_SINCE = timedelta(days=2)
_UNENDED_PAGES = 20  # each array run takes one or two, whatever its children have written
UPDATE_ATTEMPTS = 20  # each fails only if another process wrote the audit
_HINT = "delete it: outputs and receipts, and so what is left to do, do not depend on audits"


# Only some keys have a fixed form: those that a command reads. Each job adds others.
_TOTALS = {
    **dict.fromkeys(("partitions", "series", "kept", "rows", "rows_written"), Count),
    **dict.fromkeys(("bytes_read", "bytes_written", "peak_rss_bytes"), Count),
    "seconds": dict[str, Amount],
    "reasons": dict[str, Count],
    "repairs": dict[str, Count],
    "usage": dict[str, Amount],
}
_ATTEMPT = {
    "start": Time,
    "end": Time | None,
    "last_done": Time | None,
    "lost_s": Amount,
    "instance": str | None,
    "purchase": str | None,
    "vcpus": int | None,
}
_JOB = {"first": Count, "job_id": str}
_CHILD = {"child": Count, "reason": str | None, "log_stream": str | None}
_ARRAY = {
    "children": Count,
    "digest": str,
    "timeout_s": Amount,
    "jobs": list[Annotated[dict[str, object], Keys(_JOB, required=_JOB)]],
    "attempts": Count,
    "lost_s": Amount,
    "failed_children": list[Annotated[dict[str, object], Keys(_CHILD, required=_CHILD)]],
}
_PLAN = {
    "tasks": Count,
    "elsewhere": Count,
    "attempts": list[
        Annotated[
            dict[str, object],
            Keys(_ATTEMPT, required=("start", "end", "last_done", "lost_s")),
        ]
    ],
    "array": Annotated[
        dict[str, object], Keys(_ARRAY, required=("children", "digest", "timeout_s", "jobs"))
    ],
    "specs": dict[str, dict[str, object]],
    "covariates": Annotated[dict[str, object], Keys({"ignored": list[str]})],
}
_FAILURE = {
    "partition": str,
    "month": str,
    "error": str,
    "message": str,
    "hint": str | None,
    "traceback": str,
    "attempts": Count,
}
_BILL = {"dollars": float | None}
_COST = {"actual": Annotated[dict[str, object], Keys(_BILL)]}


@dataclass(slots=True)
class Audit:
    """The record of a run; users parse the fields from `session_id` to `status`.

    Parameters
    ----------
    session_id : str
        Id of the run.
    start_time, end_time : str
        ISO 8601, UTC; ``end_time`` is ``None`` until the run ends.
    symbol : str, optional
    year_range, month_range : list of int, optional
        Selection of the job: first and last.
    files_discovered, files_processed, files_skipped, files_failed : int
        Partitions found, done by this run, done before, failed.
    status : str
        ``running``, ``completed``, ``failed`` (some partition failed) or ``interrupted``.
    settings, plan, totals, software, host : mapping
    failures : list of {partition, error, message, hint, attempts}
    cost : mapping
        Hours and dollars: ``predicted`` at the start, ``actual`` at the end.
    """

    session_id: str
    start_time: Time
    job: str = "forecast"
    end_time: Time | None = None
    symbol: str | None = None
    year_range: list[int] | None = None
    month_range: list[int] | None = None
    files_discovered: Count = 0
    files_processed: Count = 0
    files_skipped: Count = 0
    files_failed: Count = 0
    status: str = RUNNING
    updated_at: str | None = None
    settings: dict[str, object] = field(default_factory=dict)
    plan: Annotated[dict[str, object], Keys(_PLAN)] = field(default_factory=dict)
    totals: Annotated[dict[str, object], Keys(_TOTALS)] = field(default_factory=dict)
    failures: list[Annotated[dict[str, object], Keys(_FAILURE)]] = field(default_factory=list)
    cost: Annotated[dict[str, object], Keys(_COST)] = field(default_factory=dict)
    software: dict[str, str] = field(default_factory=dict)
    host: dict[str, object] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """The status for people: a run without an end may run, or its process may be gone."""
        # Of the children of an array somebody else knows whether they run.
        is_open = self.status == RUNNING and not self.plan.get("array")
        return "running, or killed" if is_open else self.status

    @property
    def elapsed_s(self) -> float:
        """Seconds from start to end; 0 before the end, and if the clock was set back."""
        if self.end_time is None:
            return 0.0
        seconds = (moment_of(self.end_time) - moment_of(self.start_time)).total_seconds()
        return max(0.0, seconds)

    def end(self, status: str, now: datetime) -> None:
        """Record how and when the run ended."""
        self.status, self.end_time = status, now.isoformat()

    def to_json(self) -> bytes:
        """Return the stored form."""
        fields = blank_secrets_in(dataclasses.asdict(self))
        return json.dumps(fields, indent=1, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, content: bytes, key: str) -> "Audit":
        """Return the audit in a stored object; fields of later releases are ignored.

        Raises
        ------
        CorruptedFileError
            When it is not an audit.
        """
        source = Source(key, CorruptedFileError, "not an audit", _HINT)
        return read_record(cls, decode_json(content, source), source, ignore_unknown=True)


class AuditLog:
    """Writes the audit of a run into the store.

    Parameters
    ----------
    store : Store
        Rooted at the output root.
    audit : Audit
        Record that the caller changes between the calls.
    clock : callable
        Gives the current time, with its zone.
    interval_s : float
        Minimum seconds between two writes, so that a run of many short tasks does not spend its
        time on its audit.
    """

    def __init__(self, store: Store, audit: Audit, clock: Clock, interval_s: float = 10.0) -> None:
        self.audit = audit
        self._store = store
        self._clock = clock
        self._interval_s = interval_s
        self._saved_at: datetime | None = None

    def find_crashed(self) -> str | None:
        """Return the id of the run of this job before this one if it crashed, else ``None``.

        Raises
        ------
        StorageError
        """
        started = moment_of(self.audit.start_time)
        return find_crashed_run(self._store, self.audit.job, started)

    def save(self, *, force: bool = False) -> None:
        """Write the audit, unless the last write was less than ``interval_s`` ago or ``force``."""
        now = self._clock()
        # A clock that was set back makes no audit wait until it is there again.
        recent = self._saved_at is not None and (
            0 <= (now - self._saved_at).total_seconds() < self._interval_s
        )
        if recent and not force:
            return
        # No condition on the write: until it ends, only its own process writes the audit of a run.
        self.audit.updated_at = now.isoformat()
        # Before the write: while the store is away, not every task may wait for a save in passing.
        self._saved_at = now
        self._store.put(audit_key(self.audit.session_id), self.audit.to_json())

    def close(self, status: str, fill: Callable[[Audit], None] | None = None) -> None:
        """Write the audit for the last time.

        Parameters
        ----------
        status : str
        fill : callable, optional
            Adds fields that need the end time, such as the bill.
        """
        self.audit.end(status, self._clock())
        if fill is not None:
            fill(self.audit)
        self.save(force=True)


def read_audit(store: Store, run_id: str) -> Audit:
    """Return the audit of a run.

    Raises
    ------
    ObjectNotFoundError, CorruptedFileError
    """
    key = audit_key(run_id)
    return Audit.from_json(store.get(key), key)


def update_audit(store: Store, run_id: str, change: Callable[[Audit], bool]) -> Audit:
    """Change an audit by compare and swap; other processes may change it at the same time.

    Parameters
    ----------
    store : Store
    run_id : str
    change : callable
        Changes the audit in place and returns whether to write it. Called again, with the audit
        that is stored then, when another process wrote first.

    Returns
    -------
    Audit
        The stored audit.

    Raises
    ------
    ObjectNotFoundError, CorruptedFileError
    PreconditionFailedError
        When other processes wrote first `UPDATE_ATTEMPTS` times.
    """
    key = audit_key(run_id)
    for attempt in range(UPDATE_ATTEMPTS):
        # The GET has the ETag of the HEAD as a condition, so both are of the same audit.
        etag = store.head(key).etag
        try:
            audit = Audit.from_json(store.get(key, if_match=etag), key)
            if change(audit):
                store.put_if_match(key, audit.to_json(), etag)
        except PreconditionFailedError:
            if attempt == UPDATE_ATTEMPTS - 1:
                raise
            continue
        return audit
    raise AssertionError("unreachable")


def list_children(store: Store, run_id: str) -> dict[int, str]:
    """Return the ETags of the summaries that the children of an array run have written so far."""
    prefix = audit_prefix(run_id)
    entries = store.list_folder(prefix).objects
    names = [(e.key.removeprefix(prefix).removesuffix(".json"), e.etag) for e in entries]
    return {int(name): etag for name, etag in names if name.isdigit()}


def list_runs(store: Store) -> list[tuple[str, int]]:
    """Return the ids of all runs and the time of their last write in ns, the latest first.

    Raises
    ------
    StorageError
    """
    # Summaries of children are one folder deeper: a large array has thousands.
    entries = list(store.list_folder(AUDIT).objects)
    entries.sort(key=lambda entry: (entry.modified_ns, entry.key), reverse=True)
    return [(e.key.removeprefix(AUDIT).removesuffix(".json"), e.modified_ns) for e in entries]


def find_crashed_run(store: Store, job: str, now: datetime) -> str | None:
    """Return the id of the latest run of a job if it did not end, or lost a process; else ``None``.

    Only runs of the last two days are looked at: one listing and one read, in most cases.

    Raises
    ------
    StorageError
    """
    # Ids of runs sort by their start time.
    prefix = f"{AUDIT}{job}_"
    since = f"{prefix}{now - _UNENDED_SINCE:%Y%m%d}"
    keys = list(_keys_of_runs(store, prefix, since))
    if not keys:
        return None
    run_id = keys[-1].removeprefix(AUDIT).removesuffix(".json")
    try:
        audit = read_audit(store, run_id)
    except (ObjectNotFoundError, CorruptedFileError):
        return None
    lost = any(failure.get("error") == WorkerLostError.__name__ for failure in audit.failures)
    return run_id if audit.status == RUNNING or lost else None


def _keys_of_runs(store: Store, prefix: str, after: str) -> Iterator[str]:
    """Iterate over the keys of audits, without reading all that the children of a run have written.

    A folder of children that goes on beyond its page is leapt over.
    """
    for _ in range(_UNENDED_PAGES):
        page = next(iter(store.list(prefix, start_after=after)), [])
        if not page:
            return
        yield from (entry.key for entry in page if entry.key.count("/") == 1)
        run, slash, _ = page[-1].key.removeprefix(AUDIT).partition("/")
        after = f"{AUDIT}{run}/~" if slash else page[-1].key  # no name of a child sorts after it


def new_run_id(now: datetime, entropy: Callable[[int], str], label: str = "forecast") -> str:
    """Return a run id that sorts by time, as ``forecast_20261121_013702_4f9a``.

    Parameters
    ----------
    now : datetime
    entropy : callable
        Returns a number of random bytes as hex digits.
    label : str
        Name of the job.
    """
    return f"{label}_{now:%Y%m%d_%H%M%S}_{entropy(2)}"
