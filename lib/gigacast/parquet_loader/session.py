"""Sessions of loading, recorded under ``audit/``.

A session is an audit like that of a run. It is changed by compare and swap, so that several
processes can report to the same session. A session that has ended does not change.
"""

import re
import resource
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any

from gigacast.core.mark import moment_of
from gigacast.errors import ConfigError, CorruptedFileError, DataNotFoundError, ObjectNotFoundError
from gigacast.lake.layout import AUDIT, audit_key
from gigacast.lake.plan.audit import (
    COMPLETED,
    INTERRUPTED,
    RUNNING,
    Audit,
    Clock,
    read_audit,
    update_audit,
)
from gigacast.parquet_loader.dataset import LoadStats
from gigacast.parquet_loader.discovery import ParquetFileInfo
from gigacast.storage.store import Store

JOB = "load"
_UNSAFE = re.compile(r"[^A-Za-z0-9._=+-]")
_FIXED = {"session_id", "start_time", "job", "end_time"}


class SessionLog:
    """Records sessions.

    Parameters
    ----------
    outputs : Store
    clock : callable
        Returns the current time, with its zone.
    entropy : callable
        Returns a number of random bytes as hex digits.
    enabled : bool
        Whether sessions are recorded; without records they only have an id.
    timeout : timedelta
        Age from which a running session reads as interrupted: its process is gone.
    max_records : int
        Maximum records of a symbol; the oldest are deleted when a session starts.
    """

    def __init__(
        self,
        outputs: Store,
        clock: Clock,
        entropy: Callable[[int], str],
        *,
        enabled: bool = True,
        timeout: timedelta = timedelta(hours=24),
        max_records: int = 100,
    ) -> None:
        self._outputs = outputs
        self._clock = clock
        self._entropy = entropy
        self._enabled = enabled
        self._timeout = timeout
        self._max_records = max_records

    def start_session(
        self,
        symbol: str,
        year_range: Sequence[int] | None = None,
        month_range: Sequence[int] | None = None,
    ) -> str:
        """Start a session and return its id, as ``EURUSD_20240115_103000_4f9a``."""
        now = self._clock()
        label = _UNSAFE.sub("-", symbol)
        session_id = f"{label}_{now:%Y%m%d_%H%M%S}_{self._entropy(2)}"
        if self._enabled:
            self._forget_oldest(label)
            audit = Audit(
                session_id=session_id,
                start_time=now.isoformat(),
                job=JOB,
                symbol=symbol,
                year_range=list(year_range) if year_range else None,
                month_range=list(month_range) if month_range else None,
            )
            # Only if absent: a session of the same id, however unlikely, is not overwritten.
            self._outputs.put_if_absent(audit_key(session_id), audit.to_json())
        return session_id

    def update_session(self, session_id: str, **updates: Any) -> None:
        """Change fields of a running session, such as ``files_discovered=36``.

        Raises
        ------
        ConfigError
            If there is no such field.
        DataNotFoundError
            If there is no such session.
        """
        names = {field.name for field in fields(Audit)} - _FIXED
        if unknown := sorted(set(updates) - names):
            raise ConfigError(f"{unknown[0]}: no such field", hint=f"one of {', '.join(names)}")
        self._change(session_id, lambda audit: _set(audit, updates))

    def end_session(self, session_id: str, status: str = COMPLETED) -> None:
        """End a session. A session that has already ended does not change.

        Raises
        ------
        DataNotFoundError
            If there is no such session.
        """
        self._change(session_id, lambda audit: _set(audit, {"status": status}, self._clock()))

    def read_session(self, session_id: str) -> Audit:
        """Return the record of a session.

        Raises
        ------
        DataNotFoundError
        """
        audit = self._translated(session_id, lambda: read_audit(self._outputs, session_id))
        # A killed process cannot end its session.
        age = self._clock() - moment_of(audit.start_time)
        if audit.status == RUNNING and age > self._timeout:
            audit.status = INTERRUPTED
        return audit

    def _change(self, session_id: str, change: Callable[[Audit], bool]) -> None:
        if self._enabled:
            self._translated(session_id, lambda: update_audit(self._outputs, session_id, change))

    def _translated(self, session_id: str, access: Callable[[], Audit]) -> Audit:
        try:
            return access()
        except ObjectNotFoundError as error:
            raise DataNotFoundError(
                f"there is no session {session_id!r}", hint="start_audit_session returns the id"
            ) from error

    def _forget_oldest(self, label: str) -> None:
        prefix = f"{AUDIT}{label}_"
        form = re.compile(re.escape(prefix) + r"\d{8}_\d{6}_[0-9a-f]{4}\.json")
        keys = [e.key for page in self._outputs.list(prefix) for e in page if form.fullmatch(e.key)]
        # Ids of a symbol sort by their start time.
        for key in sorted(keys)[: max(0, len(keys) - self._max_records + 1)]:
            session_id = key.removeprefix(AUDIT).removesuffix(".json")
            # Another process may delete the same record.
            with suppress(ObjectNotFoundError, CorruptedFileError):
                # A run may have an id of this form; its audit is not deleted.
                if read_audit(self._outputs, session_id).job == JOB:
                    self._outputs.delete([key])


def _set(audit: Audit, updates: dict[str, Any], ended_at: datetime | None = None) -> bool:
    """Change a running session; return whether it was running."""
    # The first end counts: a `finally` that reports success must not hide a failure.
    if audit.end_time is not None:
        return False
    for name, value in updates.items():
        setattr(audit, name, list(value) if isinstance(value, tuple) else value)
    if ended_at is not None:
        audit.end_time = ended_at.isoformat()
    return True


class SessionProgress:
    """Counts what a session loads; files once each.

    Without a session id nothing is counted.
    """

    def __init__(self, log: SessionLog, session_id: str | None = None) -> None:
        self.session_id = session_id
        self._log = log
        self._seen: dict[str, set[str]] = {}
        self._stats = LoadStats()

    def note(self, field: str, files: Sequence[ParquetFileInfo]) -> None:
        """Count files as ``files_discovered``, ``files_processed`` or ``files_skipped``."""
        if self.session_id is None or not files:
            return
        self._log.update_session(self.session_id, **{field: self._count(field, files)})

    def note_load(self, files: Sequence[ParquetFileInfo], stats: LoadStats) -> None:
        """Count loaded files, and add the statistics of their load to those of the session."""
        if self.session_id is None:
            return
        self._stats.add(replace(stats, memory_bytes=0))
        self._stats.memory_bytes = max(self._stats.memory_bytes, stats.memory_bytes)
        bad = self._stats.bad_files
        self._log.update_session(
            self.session_id,
            files_processed=self._count("files_processed", files),
            files_failed=len(bad),
            failures=[
                {"partition": key, "error": message, "attempts": 1} for key, message in bad.items()
            ],
            totals=_totals(self._stats),
        )

    def _count(self, field: str, files: Sequence[ParquetFileInfo]) -> int:
        paths = self._seen.setdefault(field, set())
        paths |= {info.file_path for info in files}
        return len(paths)


def _totals(stats: LoadStats) -> dict[str, Any]:
    """Return the totals of a session, as its record has them."""
    seconds = stats.seconds
    lookups = stats.cache_hits + stats.cache_misses
    return {
        "rows": stats.rows,
        "bytes_read": stats.bytes_read,
        "seconds": {"load": round(seconds, 6)},
        "rows_per_second": round(stats.rows_per_second, 3),
        "bytes_per_second": round(stats.bytes_read / seconds, 3) if seconds else 0.0,
        "seconds_per_gigabyte": round(seconds / stats.bytes_read * 1e9, 3)
        if stats.bytes_read
        else None,
        "largest_load_bytes": stats.memory_bytes,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "cache_hits": stats.cache_hits,
        "cache_misses": stats.cache_misses,
        "cache_hit_rate": stats.cache_hits / lookups if lookups else None,
        "replaced": dict(stats.replaced),
    }
