"""A store that counts its requests and fails where it is told to.

A plan of faults is a list of `Fault`: which request, on which keys, at which of them, before or
after it took effect, and what is raised. ``SimulatedCrash`` is no ``Exception``: like a killed
process it passes through every ``except Exception``.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from unittest import mock

from gigacast.errors import TransientStorageError
from gigacast.storage.memory import MemoryStore
from gigacast.storage.store import Folder, ObjectMeta, Store

Request = Literal[
    "check", "list", "list_folder", "head", "get", "put", "put_if_absent", "put_if_match", "delete"
]
WRITES: tuple[Request, ...] = ("put", "put_if_absent", "put_if_match", "delete")


class SimulatedCrash(BaseException):
    """The process was killed here."""


def any_key(key: str) -> bool:
    """Match every key."""
    return True


@dataclass(frozen=True)
class Fault:
    """Fail at one request, or at several in a row.

    Parameters
    ----------
    requests : tuple of str
        Kinds of request this fault counts, such as ``("put",)`` or ``WRITES``.
    matches : callable
        Which keys it counts (for ``list``: the prefix).
    nth : int
        The first of the counted requests that fails, from 1.
    times : int
        How many of them fail.
    when : str
        ``before`` the request takes effect, or ``after``.
    error : callable
        Makes what is raised.
    """

    requests: tuple[Request, ...]
    matches: Callable[[str], bool] = any_key
    nth: int = 1
    times: int = 1
    when: Literal["before", "after"] = "before"
    error: Callable[[], BaseException] = SimulatedCrash


def transient() -> TransientStorageError:
    """Make the error of a store that is throttled, after all retries."""
    return TransientStorageError("injected: throttled")


class FaultyStore(Store):
    """A store around another one.

    Attributes
    ----------
    counts : Counter
        Requests by kind; a ``list`` counts each page, and the empty end of an empty listing.
    log : list of (str, str)
        Requests in their order: kind and key.
    """

    def __init__(self, store: Store, faults: Sequence[Fault] = ()) -> None:
        self.store = store
        self.address = store.address
        self.faults = list(faults)
        self.counts: Counter[str] = Counter()
        self.log: list[tuple[str, str]] = []
        self._met: Counter[int] = Counter()
        self._lock = threading.Lock()

    def check(self) -> None:
        with self._request("check", ""):
            self.store.check()

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[list[ObjectMeta]]:
        pages = iter(self.store.list(prefix, start_after=start_after))
        with self._request("list", prefix):
            page = next(pages, None)
        while page is not None:
            yield page
            page = next(pages, None)
            if page is not None:
                with self._request("list", prefix):
                    pass

    def list_folder(self, prefix: str = "") -> Folder:
        with self._request("list_folder", prefix):
            return self.store.list_folder(prefix)

    def head(self, key: str) -> ObjectMeta:
        with self._request("head", key):
            return self.store.head(key)

    def get(
        self, key: str, *, if_match: str | None = None, start: int = 0, stop: int | None = None
    ) -> bytes:
        with self._request("get", key):
            return self.store.get(key, if_match=if_match, start=start, stop=stop)

    def put(self, key: str, content: bytes | Path) -> str:
        with self._request("put", key):
            return self.store.put(key, content)

    def put_if_absent(self, key: str, content: bytes | Path) -> str:
        with self._request("put_if_absent", key):
            return self.store.put_if_absent(key, content)

    def put_if_match(self, key: str, content: bytes | Path, etag: str) -> str:
        with self._request("put_if_match", key):
            return self.store.put_if_match(key, content, etag)

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            with self._request("delete", key):
                self.store.delete([key])

    @contextmanager
    def _request(self, kind: Request, key: str) -> Iterator[None]:
        due = self._count(kind, key)
        for fault in due:
            if fault.when == "before":
                raise fault.error()
        yield
        for fault in due:
            if fault.when == "after":
                raise fault.error()

    def _count(self, kind: Request, key: str) -> "list[Fault]":
        with self._lock:
            self.counts[kind] += 1
            self.log.append((kind, key))
            return [fault for fault in self.faults if self._is_due(fault, kind, key)]

    def _is_due(self, fault: Fault, kind: Request, key: str) -> bool:
        if kind not in fault.requests or not fault.matches(key):
            return False
        self._met[id(fault)] += 1
        return fault.nth <= self._met[id(fault)] < fault.nth + fault.times


@contextmanager
def counted_pages() -> Iterator[list[int]]:
    """Yield the sizes of the pages that `MemoryStore.list` has brought so far."""
    sizes: list[int] = []
    pages_of = MemoryStore.list

    def counted(*args: Any, **options: Any) -> Any:
        for page in pages_of(*args, **options):
            sizes.append(len(page))
            yield page

    with mock.patch.object(MemoryStore, "list", counted):
        yield sizes
