"""The interface of all online stores: values by key, with versions for conditional writes."""

import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

MAX_KEY_BYTES = 511
"""Longest key that every store takes; LMDB has the least room."""


_UNUSED_KEY = "check"


class Versioned(NamedTuple):
    """A stored value, and the version that a conditional write names."""

    value: bytes
    version: int


class OnlineStore(Protocol):
    """Values by key. Keys are texts of ASCII, at most `MAX_KEY_BYTES` long.

    Every method may be called from several threads, and raises `StorageError` if the store cannot
    be reached or refuses.
    """

    @property
    def is_local(self) -> bool:
        """Whether reads take microseconds: of memory, or of a file of this machine."""

    def get_many(self, keys: Sequence[str]) -> list[Versioned | None]:
        """Return the values of keys in their order; None for keys without one, or expired."""

    def put_many(self, items: Iterable[tuple[str, bytes]], expires_at: int | None = None) -> None:
        """Write values, whatever is there before.

        Parameters
        ----------
        items : iterable of (str, bytes)
        expires_at : int, optional
            Epoch second from which the values count as absent; never by default.
        """

    def put_if(
        self, key: str, version: int | None, value: bytes, expires_at: int | None = None
    ) -> bool:
        """Write a value if its key has this version; None means that there is no value.

        Returns
        -------
        bool
            Whether it was written. If not, another writer was first.
        """

    def scan(
        self, prefix: str, start: str = "", end: str | None = None
    ) -> Iterator[tuple[str, Versioned]]:
        """Yield keys and values below a prefix, in any order.

        Parameters
        ----------
        prefix : str
        start, end : str, optional
            First key, inclusive, and last, exclusive.
        """

    def drop(self, prefix: str) -> int:
        """Delete all values below a prefix, which is not empty, and return their number."""

    def close(self) -> None:
        """Free connections and files."""


class OnlineAnswer:
    """The question whether an online store answers, for a run that waits for it.

    Parameters
    ----------
    store : OnlineStore
    """

    def __init__(self, store: OnlineStore) -> None:
        self._store = store

    def check(self) -> None:
        """Read a key that is never written; see `gigacast.job.outage.Answering`."""
        self._store.get_many([_UNUSED_KEY])


def new_version() -> int:
    """Return a version that no value had before.

    Random rather than counted: after a delete and a new write a counter would begin again, and a
    writer from before would take the value for the one it read.
    """
    return secrets.randbits(62) + 1


def is_expired(expires_at: int | None) -> bool:
    """Return whether a value with this end counts as absent now."""
    return expires_at is not None and expires_at <= time.time()


def is_between(key: str, prefix: str, start: str, end: str | None) -> bool:
    """Return whether a scan yields a key."""
    return key.startswith(prefix) and key >= start and (end is None or key < end)
