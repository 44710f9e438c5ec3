"""An online store in a SQLite file: the default, without a server."""

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from gigacast.errors import StorageError, TransientStorageError
from gigacast.feature_store.online.store import Versioned, is_expired, new_version

_TABLE = (
    "CREATE TABLE IF NOT EXISTS features (key TEXT PRIMARY KEY, value BLOB NOT NULL, "
    "version INTEGER NOT NULL, expires INTEGER) WITHOUT ROWID"
)
_GET = "SELECT value, version, expires FROM features WHERE key = ?"
_PUT = "INSERT OR REPLACE INTO features VALUES (?, ?, ?, ?)"
_SCAN = "SELECT key, value, version, expires FROM features WHERE key >= ? AND key < ? ORDER BY key"
_PAGE = 1000
_BUSY_S = 30
_JOINED = 16
"""Keys of a statement at most. Measured: three keys in one take half of the time of three."""
_MAP_BYTES = 1 << 30
"""Bytes of the file that are read through the memory that the system caches it in, by all threads
and processes. Measured: a fifth less time for a read of a file that a connection's cache of 2 MB
does not hold."""
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class SqliteOnlineStore:
    """Values in a SQLite file, which several processes of one machine may share.

    Parameters
    ----------
    path : Path
        File, on a disk of this machine: SQLite's locks do not work on network disks.
    """

    is_local = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"{path}: its folder can't be made: {error.strerror}",
                hint="name another folder by --online_store or --bucket",
            ) from error
        with self._translated():
            self._connection()

    def get_many(self, keys: Sequence[str]) -> list[Versioned | None]:
        """Return the values of keys; see `OnlineStore.get_many`."""
        # Without the context manager of the other methods, which costs a fifth of a read.
        try:
            execute = self._connection().execute
            values: list[Versioned | None] = [None] * len(keys)
            for first in range(0, len(keys), _JOINED):
                part = keys[first : first + _JOINED]
                for place, value, version, expires in execute(_get_statement(len(part)), part):
                    if not is_expired(expires):
                        values[first + place] = Versioned(value, version)
        except sqlite3.Error as error:
            raise self._storage_error(error) from error
        return values

    def put_many(self, items: Iterable[tuple[str, bytes]], expires_at: int | None = None) -> None:
        """Write values; see `OnlineStore.put_many`."""
        rows = ((key, value, new_version(), expires_at) for key, value in items)
        with self._writing() as connection:
            connection.executemany(_PUT, rows)

    def put_if(
        self, key: str, version: int | None, value: bytes, expires_at: int | None = None
    ) -> bool:
        """Write a value if its key has this version; see `OnlineStore.put_if`."""
        with self._writing() as connection:
            current = self._value(connection.execute(_GET, (key,)).fetchone())
            if (current.version if current else None) != version:
                return False
            connection.execute(_PUT, (key, value, new_version(), expires_at))
            return True

    def scan(
        self, prefix: str, start: str = "", end: str | None = None
    ) -> Iterator[tuple[str, Versioned]]:
        """Yield keys and values below a prefix; see `OnlineStore.scan`."""
        first, last = max(prefix, start), _after(prefix)
        last = last if end is None else min(last, end)
        while True:
            # In pages: an open statement would keep the file from shrinking its log.
            with self._translated():
                rows = self._connection().execute(f"{_SCAN} LIMIT {_PAGE}", (first, last))
                page = rows.fetchall()
            for key, *fields in page:
                value = self._value(fields)
                if value is not None:
                    yield key, value
            if len(page) < _PAGE:
                return
            first = f"{page[-1][0]}\0"

    def drop(self, prefix: str) -> int:
        """Delete all values below a prefix; see `OnlineStore.drop`."""
        with self._writing() as connection:
            query = "DELETE FROM features WHERE key >= ? AND key < ?"
            return connection.execute(query, (prefix, _after(prefix))).rowcount

    def close(self) -> None:
        """Close the connections of all threads."""
        while self._connections:
            self._connections.pop().close()
        self._local = threading.local()

    def _connection(self) -> sqlite3.Connection:
        """Return the connection of this thread."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            # Transactions are begun by hand; another thread closes the connection at the end.
            connection = sqlite3.connect(
                self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            self._connections.append(connection)
            # Readers go on while a batch is written; after a power cut the last writes may be
            # gone, and the file is whole.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA mmap_size = {_MAP_BYTES}")
            connection.execute(_TABLE)
            self._local.connection = connection
        return connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._translated():
            connection = self._connection()
            # The lock for writing at once: a transaction that reads first cannot wait for it.
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._storage_error(error) from error

    def _storage_error(self, error: Exception) -> StorageError:
        # Another process writes for longer than a statement waits: later it may not.
        is_busy = getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY
        kind = TransientStorageError if is_busy else StorageError
        return kind(
            f"online store {self._path}: {error}",
            hint="name a file on a disk of this machine: --online_store sqlite:FILE",
        )

    @staticmethod
    def _value(row: Sequence[Any] | None) -> Versioned | None:
        if row is None or is_expired(row[2]):
            return None
        return Versioned(row[0], row[1])


@cache
def _get_statement(count: int) -> str:
    """Return the statement that reads several keys: their places, and their values if any."""
    # A search per key: the plan of "key IN (...)" takes half as long again.
    searches = (
        f"SELECT {place}, value, version, expires FROM features WHERE key = ?"  # noqa: S608
        for place in range(count)
    )
    return " UNION ALL ".join(searches)


def _after(prefix: str) -> str:
    """Return the first text after all that begin with a prefix."""
    return f"{prefix[:-1]}{chr(ord(prefix[-1]) + 1)}" if prefix else "\x7f"
