"""The streaming process: reads a topic and applies it until it is told to stop."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any, TypeVar

from gigacast.errors import StorageError, TransientStorageError, UnknownSchemaError
from gigacast.feature_store.stream.apply import StreamApplier, StreamCounts
from gigacast.feature_store.stream.stream import MAX_RECORDS, Record, Stream
from gigacast.job.outage import Patience
from gigacast.job.telemetry import Unit, embed_metrics
from gigacast.storage.retry import RetryPolicy

T = TypeVar("T")
POLL_S = 0.5
"""Longest wait for records: a stop is noticed after it."""
_WAITS = RetryPolicy(longest_delay_s=30.0)


@dataclass(frozen=True)
class StreamReport:
    """The result of a streaming process.

    Parameters
    ----------
    name : str
        Group-by.
    stream : str
        Topic.
    counts : StreamCounts
    seconds : float
    behind : int, optional
        Records of the topic that were not read; none where the stream does not tell.
    behind_ms : int, optional
        Time by which the last reads were behind the newest record; none where the stream tells
        records.
    """

    name: str
    stream: str
    counts: StreamCounts
    seconds: float
    behind: int | None = None
    behind_ms: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {
            "group_by": self.name,
            "stream": self.stream,
            "seconds": round(self.seconds, 3),
            "behind": self.behind,
            "behind_ms": self.behind_ms,
            **asdict(self.counts),
        }


@dataclass(frozen=True)
class StreamWatch:
    """What a streaming process tells while it runs.

    Parameters
    ----------
    on_read : function
        Called with the counts after each read, whose records are applied then.
    on_wait : function
        Called with the reason when a wait begins: the store or the stream does not answer, or the
        schema of a record is not there.
    """

    on_read: Callable[[StreamCounts], None] = lambda counts: None
    on_wait: Callable[[str], None] = lambda reason: None


def run_stream(
    applier: StreamApplier,
    stream: Stream,
    *,
    stop: threading.Event | None = None,
    idle_s: float | None = None,
    patience: Patience | None = None,
    watch: StreamWatch = StreamWatch(),
) -> StreamReport:
    """Apply a stream until it ends, is idle for some time, or a stop is asked for.

    Records are read only when those before are written, so a slow store slows the reading down.

    Parameters
    ----------
    applier : StreamApplier
    stream : Stream
    stop : threading.Event, optional
    idle_s : float, optional
        Seconds without a record after which the process ends; never by default.
    patience : Patience, optional
        How long an outage of the store is waited out; ten minutes by default.
    watch : StreamWatch

    Raises
    ------
    StorageError
        If store or stream fail, also after several attempts. A successor goes on where this ended.
    """
    stop, patience = stop or threading.Event(), patience or Patience()
    start = last = time.monotonic()
    wait = _Wait(stop, patience, watch.on_wait)
    wait.call(lambda: stream.seek(applier.positions()))
    while not stop.is_set():
        # Another definition begins at the start of the stream.
        if wait.call(applier.refresh):
            wait.call(lambda: stream.seek(applier.positions()))
        records = wait.call(lambda: stream.read(MAX_RECORDS, POLL_S))
        now = time.monotonic()
        if records:
            last = now
            _apply(applier, records, wait)
        watch.on_read(applier.counts)
        if records:
            continue
        if stream.is_ended or (idle_s is not None and now - last >= idle_s):
            break
    seconds = time.monotonic() - start
    name, behind = applier.served.name, _behind(stream, applier.counts)
    return StreamReport(name, stream.name, applier.counts, seconds, behind, _behind_ms(stream))


def _behind_ms(stream: Stream) -> int | None:
    """Return the time by which the last reads were behind the newest record."""
    lag_ms: Callable[[], int | None] = getattr(stream, "lag_ms", lambda: None)
    return lag_ms()


def _behind(stream: Stream, counts: StreamCounts) -> int | None:
    """Return the records that were not read. A topic that is gone by now has none to tell of."""
    lag: Callable[[], int] | None = getattr(stream, "lag", None)
    if lag is None or not counts.read:
        return None
    try:
        return lag()
    except StorageError:
        return None


class StreamMetrics:
    """Writes what a streaming process does as log lines that are CloudWatch metrics as well.

    Parameters
    ----------
    name : str
        Group-by.
    stream : Stream
        Told how far it is behind its newest record, as far as it knows.
    write : function
        Receives the lines.
    every_s : float
        Seconds between two lines.
    clock : function
        Returns the time, epoch seconds.
    """

    def __init__(
        self,
        name: str,
        stream: Stream,
        write: Callable[[str], None],
        every_s: float = 60.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._name, self._stream, self._write = name, stream, write
        self._every_s, self._clock = every_s, clock
        self._last = clock()
        self._applied = self._garbage = 0

    def __call__(self, counts: StreamCounts) -> None:
        """Write a line, if it is time."""
        now = self._clock()
        if now - self._last < self._every_s:
            return
        metrics: dict[str, tuple[float, Unit]] = {
            "RecordsApplied": (counts.applied - self._applied, "Count"),
            "RecordsUnreadable": (counts.garbage - self._garbage, "Count"),
        }
        if counts.lag_ms is not None:
            metrics["StreamLag"] = (counts.lag_ms / 1000, "Seconds")
        behind, behind_ms = _behind(self._stream, counts), _behind_ms(self._stream)
        if behind is not None:
            metrics["RecordsBehind"] = (behind, "Count")
        if behind_ms is not None:
            metrics["StreamBehind"] = (behind_ms / 1000, "Seconds")
        fields = {"event": "feature_store_stream", "group_by": self._name}
        at = datetime.fromtimestamp(now, UTC)
        self._write(json.dumps(embed_metrics(fields, metrics, at=at, dimensions=("group_by",))))
        self._last, self._applied, self._garbage = now, counts.applied, counts.garbage


def _apply(applier: StreamApplier, records: Sequence[Record], wait: "_Wait") -> None:
    """Apply records; what was written before a failure is known by its positions afterwards."""
    remaining = records

    def attempt() -> None:
        nonlocal remaining
        try:
            applier.apply(remaining)
        except UnknownSchemaError:
            remaining = applier.waiting
            raise

    wait.call(attempt)


@dataclass(frozen=True)
class _Wait:
    """Repeats requests while the store or the stream does not answer.

    Parameters
    ----------
    stop : threading.Event
        Ends a wait.
    patience : Patience
    report : function
        Called with the reason when a wait begins.
    """

    stop: threading.Event
    patience: Patience
    report: Callable[[str], None]

    def call(self, request: Callable[[], T]) -> T:
        """Return the result of a request.

        Raises
        ------
        TransientStorageError
            If it failed for as long as the process waits, or a stop is asked for.
        """
        since = self.patience.clock()
        for attempt in count():
            try:
                return request()
            except TransientStorageError as error:
                if not attempt:
                    self.report(error.message)
                left_s = self.patience.limit_s - (self.patience.clock() - since)
                if left_s <= 0 or self.stop.wait(min(left_s, _WAITS.delay_s(attempt, 0.75))):
                    raise
        raise AssertionError  # the count has no end
