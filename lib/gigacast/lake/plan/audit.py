"""The audit: the record of one run.

It is written when the run starts and replaced as it goes, so that a killed run is visible as one
that never ended. The clock comes in as an argument.
"""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from gigacast.errors import CorruptedFileError, PreconditionFailedError
from gigacast.lake.layout import AUDIT, audit_key, audit_prefix
from gigacast.storage.store import Store

Clock = Callable[[], datetime]
RUNNING = "running"
COMPLETED = "completed"
FAILED = "failed"
INTERRUPTED = "interrupted"
UPDATE_ATTEMPTS = 20


@dataclass(slots=True)
class Audit:
    """The record of a run; `session_id` to `status` are the fields people already parse.

    Parameters
    ----------
    session_id : str
        The run id.
    start_time, end_time : str
        ISO 8601, UTC; ``end_time`` is ``None`` until the run ends.
    symbol : str, optional
    year_range, month_range : list of int, optional
        As asked for.
    files_discovered, files_processed, files_skipped : int
        Partitions found, forecast by this run, done before.
    status : str
        ``running``, ``completed``, ``failed`` (some partition failed) or ``interrupted``.
    settings, plan, totals, software, host : mapping
    failures : list of {partition, error, message, hint, attempts}
    cost : mapping
        ``predicted`` when the run began, and the ``actual`` hours and dollars when it had ended.
    """

    session_id: str
    start_time: str
    job: str = "forecast"
    end_time: str | None = None
    symbol: str | None = None
    year_range: list[int] | None = None
    month_range: list[int] | None = None
    files_discovered: int = 0
    files_processed: int = 0
    files_skipped: int = 0
    files_failed: int = 0
    status: str = RUNNING
    updated_at: str | None = None
    settings: dict[str, object] = field(default_factory=dict)
    plan: dict[str, object] = field(default_factory=dict)
    totals: dict[str, object] = field(default_factory=dict)
    failures: list[dict[str, object]] = field(default_factory=list)
    cost: dict[str, object] = field(default_factory=dict)
    software: dict[str, str] = field(default_factory=dict)
    host: dict[str, object] = field(default_factory=dict)

    @property
    def elapsed_s(self) -> float:
        """Seconds from its start to its end; 0 while it has none."""
        if self.end_time is None:
            return 0.0
        taken = datetime.fromisoformat(self.end_time) - datetime.fromisoformat(self.start_time)
        return taken.total_seconds()

    def end(self, status: str, now: datetime) -> None:
        """Record how and when the run ended."""
        self.status, self.end_time = status, now.isoformat()

    def to_json(self) -> bytes:
        """Return the audit as it is stored."""
        return json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, content: bytes, key: str) -> "Audit":
        """Read a stored audit.

        Raises
        ------
        CorruptedFileError
            When it is not an audit.
        """
        try:
            values = json.loads(content)
            names = {f.name for f in dataclasses.fields(cls)}
            return cls(**{k: v for k, v in values.items() if k in names})
        except (ValueError, TypeError, AttributeError) as error:
            raise CorruptedFileError(f"{key}: not an audit: {error}") from error


class AuditLog:
    """Keeps one run's audit in the store.

    Parameters
    ----------
    store : Store
        Rooted at the output root.
    audit : Audit
        Changed by the caller between the calls.
    clock : callable
        Gives the time, with its zone.
    interval_s : float
        `save` writes at most this often.
    """

    def __init__(self, store: Store, audit: Audit, clock: Clock, interval_s: float = 10.0) -> None:
        self.audit = audit
        self._store = store
        self._clock = clock
        self._interval_s = interval_s
        self._saved_at: datetime | None = None

    def save(self, *, force: bool = False) -> None:
        """Write the audit, unless that was done a moment ago."""
        now = self._clock()
        recent = self._saved_at is not None and (
            (now - self._saved_at).total_seconds() < self._interval_s
        )
        if recent and not force:
            return
        self.audit.updated_at = now.isoformat()
        self._store.put(audit_key(self.audit.session_id), self.audit.to_json())
        self._saved_at = now

    def close(self, status: str, fill: Callable[[Audit], None] | None = None) -> None:
        """Write the audit for the last time; ``fill`` adds what is known only at the end."""
        self.audit.end(status, self._clock())
        if fill is not None:
            fill(self.audit)
        self.save(force=True)


def read_audit(store: Store, run_id: str) -> Audit:
    """Read one run's audit.

    Raises
    ------
    ObjectNotFoundError, CorruptedFileError
    """
    key = audit_key(run_id)
    return Audit.from_json(store.get(key), key)


def update_audit(store: Store, run_id: str, change: Callable[[Audit], bool]) -> Audit:
    """Change an audit that others may change as well, by compare and swap.

    Parameters
    ----------
    store : Store
    run_id : str
    change : callable
        Changes the audit it is given and returns whether that is to be written. It is called
        again, with what others have written, when somebody was faster.

    Returns
    -------
    Audit
        As it is stored now.

    Raises
    ------
    ObjectNotFoundError, CorruptedFileError
    PreconditionFailedError
        When others were faster again and again.
    """
    key = audit_key(run_id)
    for attempt in range(UPDATE_ATTEMPTS):
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
    """Return the ETags of the summaries that an array run's children have written so far."""
    prefix = audit_prefix(run_id)
    entries = [entry for page in store.list(prefix) for entry in page]
    names = [(e.key.removeprefix(prefix).removesuffix(".json"), e.etag) for e in entries]
    return {int(name): etag for name, etag in names if name.isdigit()}


def recent_runs(store: Store, count: int) -> list[str]:
    """Return the ids of the latest runs, newest first (by the time of their last write)."""
    entries = [e for page in store.list(AUDIT) for e in page if e.key.count("/") == 1]
    entries.sort(key=lambda entry: (entry.modified_ns, entry.key), reverse=True)
    return [e.key.removeprefix(AUDIT).removesuffix(".json") for e in entries[:count]]


def new_run_id(now: datetime, entropy: Callable[[int], str], label: str = "forecast") -> str:
    """Return a run id that sorts by time, as ``forecast_20261121_013702_4f9a``."""
    return f"{label}_{now:%Y%m%d_%H%M%S}_{entropy(2)}"
