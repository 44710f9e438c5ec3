"""An online store in LMDB: a memory-mapped file, twice as fast as SQLite."""

import struct
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gigacast.errors import MissingExtraError, StorageError
from gigacast.feature_store.online.store import (
    Versioned,
    is_between,
    is_expired,
    new_version,
)

_HEAD = struct.Struct("<qq")  # version and end of a value; 0 for none
_BATCH = 10_000
MAP_BYTES = 1 << 40
"""Greatest size of the file. Only an address range is taken, no memory and no disk."""


class LmdbOnlineStore:
    """Values in a folder of LMDB.

    Parameters
    ----------
    path : Path
        Folder, on a disk of this machine: LMDB's map does not work on network disks.
    map_bytes : int
        Greatest size of the file.
    """

    is_local = True

    # LMDB allows a file to be open once in a process, so stores of the same folder share it.
    _open: dict[Path, tuple[Any, int]] = {}  # noqa: RUF012 - shared on purpose
    _lock = threading.Lock()

    def __init__(self, path: Path, map_bytes: int = MAP_BYTES) -> None:
        self._lmdb = _load()
        self._path = path.resolve()
        self._is_open = True
        with self._translated(), self._lock:
            self._path.mkdir(parents=True, exist_ok=True)
            env, users = self._open.get(self._path, (None, 0))
            if env is None:
                # Threads of a pool may take turns with a transaction for reading.
                env = self._lmdb.open(
                    str(self._path), map_size=map_bytes, max_readers=512, meminit=False
                )
            self._open[self._path] = (env, users + 1)
        self._env = env

    def get_many(self, keys: Sequence[str]) -> list[Versioned | None]:
        """Return the values of keys; see `OnlineStore.get_many`."""
        # Without the context manager of the other methods, which costs as much as a read.
        try:
            with self._env.begin() as transaction:
                get = transaction.get
                # Most streamed days of an entity have no value: no call for those.
                return [
                    None if (stored := get(key.encode())) is None else _unpack(stored)
                    for key in keys
                ]
        except (self._lmdb.Error, OSError) as error:
            raise self._storage_error(error) from error

    def put_many(self, items: Iterable[tuple[str, bytes]], expires_at: int | None = None) -> None:
        """Write values; see `OnlineStore.put_many`."""
        with self._translated(), self._env.begin(write=True) as transaction:
            for key, value in items:
                transaction.put(key.encode(), _pack(value, expires_at))

    def put_if(
        self, key: str, version: int | None, value: bytes, expires_at: int | None = None
    ) -> bool:
        """Write a value if its key has this version; see `OnlineStore.put_if`."""
        with self._translated(), self._env.begin(write=True) as transaction:
            current = _unpack(transaction.get(key.encode()))
            if (current.version if current else None) != version:
                return False
            transaction.put(key.encode(), _pack(value, expires_at))
            return True

    def scan(
        self, prefix: str, start: str = "", end: str | None = None
    ) -> Iterator[tuple[str, Versioned]]:
        """Yield keys and values below a prefix; see `OnlineStore.scan`."""
        with self._translated(), self._env.begin() as transaction:
            for raw, stored in _from(transaction.cursor(), max(prefix, start).encode()):
                key, value = raw.decode(), _unpack(stored)
                if not is_between(key, prefix, start, end):
                    return
                if value is not None:
                    yield key, value

    def drop(self, prefix: str) -> int:
        """Delete all values below a prefix; see `OnlineStore.drop`."""
        total = 0
        while True:
            # In parts: one long transaction would keep other writers out.
            with self._translated(), self._env.begin(write=True) as transaction:
                cursor, count = transaction.cursor(), 0
                more = cursor.set_range(prefix.encode())
                while more and count < _BATCH and cursor.key().startswith(prefix.encode()):
                    more = cursor.delete()
                    # The cursor stands on the next key after a delete.
                    count += 1
            total += count
            if count < _BATCH:
                return total

    def close(self) -> None:
        """Close the file, if no other store of the process uses it."""
        with self._lock:
            if not self._is_open:
                return
            self._is_open = False
            env, users = self._open.pop(self._path)
            if users > 1:
                self._open[self._path] = (env, users - 1)
            else:
                env.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (self._lmdb.Error, OSError) as error:
            raise self._storage_error(error) from error

    def _storage_error(self, error: Exception) -> StorageError:
        return StorageError(
            f"online store {self._path}: {error}",
            hint="name a folder on a disk of this machine: --online_store lmdb:FOLDER",
        )


def _load() -> Any:
    try:
        import lmdb  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError(
            "the online store lmdb: needs lmdb, which is not installed",
            hint="pip install 'gigacast[lmdb]'",
        ) from error
    return lmdb


def _from(cursor: Any, first: bytes) -> Iterator[tuple[bytes, bytes]]:
    if cursor.set_range(first):
        yield from cursor.iternext()


def _pack(value: bytes, expires_at: int | None) -> bytes:
    return _HEAD.pack(new_version(), expires_at or 0) + value


def _unpack(stored: bytes | None) -> Versioned | None:
    if stored is None:
        return None
    version, expires_at = _HEAD.unpack_from(stored)
    return None if is_expired(expires_at or None) else Versioned(stored[_HEAD.size :], version)
