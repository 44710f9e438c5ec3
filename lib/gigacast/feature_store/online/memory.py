"""An online store in the memory of the process, for tests and trials."""

import threading
from collections.abc import Iterable, Iterator, Sequence

from gigacast.feature_store.online.store import Versioned, is_between, is_expired, new_version


class MemoryOnlineStore:
    """Values in a dictionary; lost with the process."""

    is_local = True

    def __init__(self) -> None:
        self._values: dict[str, tuple[Versioned, int | None]] = {}
        self._lock = threading.Lock()

    def get_many(self, keys: Sequence[str]) -> list[Versioned | None]:
        """Return the values of keys; see `OnlineStore.get_many`."""
        return [self._get(key) for key in keys]

    def put_many(self, items: Iterable[tuple[str, bytes]], expires_at: int | None = None) -> None:
        """Write values; see `OnlineStore.put_many`."""
        for key, value in items:
            self._values[key] = (Versioned(bytes(value), new_version()), expires_at)

    def put_if(
        self, key: str, version: int | None, value: bytes, expires_at: int | None = None
    ) -> bool:
        """Write a value if its key has this version; see `OnlineStore.put_if`."""
        with self._lock:
            current = self._get(key)
            if (current.version if current else None) != version:
                return False
            self.put_many([(key, value)], expires_at)
            return True

    def scan(
        self, prefix: str, start: str = "", end: str | None = None
    ) -> Iterator[tuple[str, Versioned]]:
        """Yield keys and values below a prefix; see `OnlineStore.scan`."""
        for key in sorted(self._values):
            value = self._get(key)
            if value is not None and is_between(key, prefix, start, end):
                yield key, value

    def drop(self, prefix: str) -> int:
        """Delete all values below a prefix; see `OnlineStore.drop`."""
        keys = [key for key in [*self._values] if key.startswith(prefix)]
        for key in keys:
            self._values.pop(key, None)
        return len(keys)

    def close(self) -> None:
        """Do nothing: the values stay as long as the store."""

    def _get(self, key: str) -> Versioned | None:
        value, expires_at = self._values.get(key, (None, None))
        return None if is_expired(expires_at) else value
