"""The log of served answers: a sample of them, written as Parquet by hour beside the answering.

Answers are never slowed down or refused for their log. A thread writes; what does not fit into
memory while a store is down is dropped and counted.
"""

import atexit
import random
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gigacast.errors import ConfigError, StorageError
from gigacast.feature_store.online.question import Response
from gigacast.feature_store.trust.record import Record, hour_of, record_of, table_of
from gigacast.lake.feature_layout import log_key
from gigacast.settings.argument import check_argument
from gigacast.storage.parquet.writer import table_bytes
from gigacast.storage.store import Store


@dataclass(frozen=True)
class LogLimits:
    """When records are written, and how many are kept.

    Parameters
    ----------
    flush_bytes, max_bytes : int
        Memory of records after which they are written, and that they may take at most.
    flush_s : float
        Seconds after which records are written: those that a killed process loses.
    """

    flush_bytes: int = 4 << 20
    max_bytes: int = 32 << 20
    flush_s: float = 60.0


@dataclass
class LogCounts:
    """What became of the answers that were chosen for a log.

    Parameters
    ----------
    written : int
        Records in the store.
    dropped : int
        Records that were lost, since the store could not be written and memory was full.
    failures : int
        Writes that failed; they are repeated.
    """

    written: int = 0
    dropped: int = 0
    failures: int = 0


class RequestLog:
    """A log of served answers. Threads may share it.

    Parameters
    ----------
    store : Store
        Store that holds ``feature_store/``.
    share : float
        Share of the answers that are logged, 0 to 1. That of a join's ``sample_percent`` is taken
        of it.
    limits : LogLimits
    chance : function
        Returns a random number from 0 to 1.
    clock : function
        Returns the time, epoch seconds.

    Raises
    ------
    ConfigError
        If the share is none.
    """

    def __init__(
        self,
        store: Store,
        share: float = 1.0,
        *,
        limits: LogLimits = LogLimits(),
        chance: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_argument("share", share, float)
        if not 0 <= share <= 1:
            raise ConfigError(f"--log_share {share}: is no share", hint="give a number of 0 to 1")
        self._store = store
        self._share = share
        self._limits = limits
        self._chance, self._clock = chance, clock
        self._records: list[tuple[str, Record]] = []
        self._bytes = 0
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._is_closed = False
        self._writer: threading.Thread | None = None
        self.counts = LogCounts()

    def record(
        self,
        name: str,
        definition: str,
        response: Response,
        batch_ends: Mapping[str, int],
        share: float = 1.0,
    ) -> None:
        """Log an answer, if it is chosen.

        Parameters
        ----------
        name : str
            Join, or name of a group-by's log.
        definition : str
            Digest of the join that answered.
        response : Response
        batch_ends : mapping of str to int
            End of the batch that answered, by part.
        share : float
            The join's own share of answers that are logged.
        """
        if self._chance() >= self._share * share:
            return
        record = record_of(definition, response, batch_ends, int(self._clock() * 1000))
        with self._changed:
            if self._is_closed or self._bytes + record.size_bytes > self._limits.max_bytes:
                self.counts.dropped += 1
                return
            self._records.append((name, record))
            self._bytes += record.size_bytes
            if self._writer is None:
                self._start()
            if self._is_full:
                self._changed.notify()

    def flush(self) -> None:
        """Write all records that are in memory.

        Raises
        ------
        StorageError
            If they cannot be written; they stay in memory.
        """
        # One at a time: the records of a failed write go back before the next one takes them.
        with self._writing:
            with self._changed:
                records, self._records = self._records, []
            groups: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
            for name, record in records:
                groups[name, *hour_of(record.at)].append(record)
            while groups:
                place, members = groups.popitem()
                try:
                    self._write(place, members)
                except StorageError:
                    groups[place] = members
                    self._keep([(name, r) for (name, *_), rs in groups.items() for r in rs])
                    raise
                with self._changed:
                    self._bytes -= sum(record.size_bytes for record in members)
                    self.counts.written += len(members)

    def close(self) -> None:
        """Write what is in memory, and end the thread. What comes later is dropped.

        Raises
        ------
        StorageError
            If the records cannot be written; they are lost.
        """
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._writer is not None:
            self._writer.join()
            self._writer = None
            atexit.unregister(self._close_quietly)
        try:
            self.flush()
        except StorageError:
            with self._changed:
                self.counts.dropped += len(self._records)
                self._records, self._bytes = [], 0
            raise

    @property
    def _is_full(self) -> bool:
        return self._bytes >= self._limits.flush_bytes

    def _start(self) -> None:
        self._writer = threading.Thread(target=self._run, name="request-log", daemon=True)
        self._writer.start()
        # A daemon thread ends with the process, whatever it has in hand.
        atexit.register(self._close_quietly)

    def _close_quietly(self) -> None:
        try:
            self.close()
        except StorageError:
            return  # counted as dropped; the process ends

    def _run(self) -> None:
        has_failed = False
        while True:
            with self._changed:
                # After a failure the full memory is no reason to try again at once.
                self._changed.wait_for(
                    lambda: self._is_closed or (not has_failed and self._is_full),  # noqa: B023
                    self._limits.flush_s,
                )
                if self._is_closed:
                    return
            try:
                self.flush()
                has_failed = False
            except StorageError:
                has_failed = True
                with self._changed:
                    self.counts.failures += 1

    def _write(self, place: tuple[str, str, str], records: list[Record]) -> None:
        name, day, hour = place
        first = min(record.logged_ms for record in records)
        # A random name: several processes log the same join.
        key = log_key(name, day, hour, f"{first}-{uuid.uuid4().hex[:12]}")
        self._store.put(key, table_bytes(table_of(records), "zstd"))

    def _keep(self, records: list[tuple[str, Record]]) -> None:
        with self._changed:
            self._records = [*records, *self._records]
