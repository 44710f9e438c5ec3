"""A store in the memory of this process, for tests, demonstrations and small jobs."""

import hashlib
import threading
import time
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from gigacast.errors import ObjectNotFoundError, PreconditionFailedError, StorageError
from gigacast.storage.key import check_folder_prefix, check_key
from gigacast.storage.store import PAGE_KEYS, Folder, ObjectMeta, Store, StoreAddress, fold_level


class _Object(NamedTuple):
    content: bytes
    etag: str
    modified_ns: int


class _Bucket:
    """Objects by full key, and the lock that makes check-then-write atomic."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.objects: dict[str, _Object] = {}
        # In order, so that a listing of a folder does not look at all other objects. Python
        # compares strings by code point, which is the order of their UTF-8 bytes.
        self._keys: list[str] = []

    def put(self, key: str, stored: _Object) -> None:
        """Write or replace an object."""
        if key not in self.objects:
            insort(self._keys, key)
        self.objects[key] = stored

    def remove(self, key: str) -> None:
        """Remove an object; nothing happens if there is none."""
        if self.objects.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    def pages(self, prefix: str, after: str) -> Iterator[list[tuple[str, _Object]]]:
        """Yield the objects whose key starts with a prefix and is greater than another, sorted."""
        while page := self._page(prefix, after):
            yield page
            after = page[-1][0]

    def _page(self, prefix: str, after: str) -> list[tuple[str, _Object]]:
        with self.lock:
            first = max(bisect_left(self._keys, prefix), bisect_right(self._keys, after))
            found = self._keys[first : first + PAGE_KEYS]
            keys = takewhile(lambda key: key.startswith(prefix), found)
            return [(key, self.objects[key]) for key in keys]


_buckets: dict[str, _Bucket] = {}
_buckets_lock = threading.Lock()


def _open_bucket(name: str) -> _Bucket:
    with _buckets_lock:
        return _buckets.setdefault(name, _Bucket())


def forget_memory(name: str) -> None:
    """Drop all objects of ``memory://name``. Stores that are already open keep their objects."""
    with _buckets_lock:
        _buckets.pop(name, None)


class MemoryStore(Store):
    """Objects in a named memory of this process; reopening the name shows the same objects.

    As on S3, the ETag is a digest of the content, so equal bytes have equal ETags.

    Parameters
    ----------
    name : str
        Name after ``memory://``.
    prefix : str
        Root of the store within that name.
    """

    def __init__(self, name: str, prefix: str = "") -> None:
        self._root = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._bucket = _open_bucket(name)
        self.address = StoreAddress(f"memory://{name}/{self._root}".rstrip("/"))

    def check(self) -> None:
        """Do nothing: memory is always reachable."""

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[list[ObjectMeta]]:
        """Yield pages, each as it is when it is taken, like those of S3."""
        after = self._root + start_after if start_after else ""
        for page in self._bucket.pages(self._root + prefix, after):
            yield [self._meta(key, stored) for key, stored in page]

    def list_folder(self, prefix: str = "") -> Folder:
        """Return one level below ``prefix``."""
        pages = self._bucket.pages(self._root + check_folder_prefix(prefix), "")
        return fold_level(prefix, (self._meta(*entry) for page in pages for entry in page))

    def head(self, key: str) -> ObjectMeta:
        """Return the metadata of an object."""
        return _describe(key, self._find(key))

    def get(
        self, key: str, *, if_match: str | None = None, start: int = 0, stop: int | None = None
    ) -> bytes:
        """Return the bytes from ``start`` to ``stop``."""
        stored = self._find(key)
        if if_match is not None and stored.etag != if_match:
            raise PreconditionFailedError(f"{self._url(key)} is no longer {if_match}")
        return stored.content[start:stop]

    def put(self, key: str, content: bytes | Path) -> str:
        """Write or replace an object and return its ETag."""
        with self._bucket.lock:
            return self._write(key, content)

    def put_if_absent(self, key: str, content: bytes | Path) -> str:
        """Write an object that must not exist yet."""
        with self._bucket.lock:
            if self._root + check_key(key) in self._bucket.objects:
                raise PreconditionFailedError(f"{self._url(key)} exists already")
            return self._write(key, content)

    def put_if_match(self, key: str, content: bytes | Path, etag: str) -> str:
        """Replace an object whose ETag must still be ``etag``."""
        with self._bucket.lock:
            stored = self._bucket.objects.get(self._root + check_key(key))
            if stored is None or stored.etag != etag:
                raise PreconditionFailedError(f"{self._url(key)} is no longer {etag}")
            return self._write(key, content)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; keys that do not exist are ignored."""
        for key in keys:
            with self._bucket.lock:
                self._bucket.remove(self._root + check_key(key))

    def _meta(self, key: str, stored: _Object) -> ObjectMeta:
        """Return the metadata of an object with its full key."""
        return _describe(key[len(self._root) :], stored)

    def _url(self, key: str) -> str:
        return f"{self.address.url}/{key}"

    def _find(self, key: str) -> _Object:
        with self._bucket.lock:
            stored = self._bucket.objects.get(self._root + check_key(key))
        if stored is None:
            raise ObjectNotFoundError(f"there is no object {self._url(key)}")
        return stored

    def _write(self, key: str, content: bytes | Path) -> str:
        data = _read_local(content) if isinstance(content, Path) else bytes(content)
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        self._bucket.put(self._root + check_key(key), _Object(data, etag, time.time_ns()))
        return etag


def _describe(key: str, stored: _Object) -> ObjectMeta:
    return ObjectMeta(key, stored.etag, len(stored.content), stored.modified_ns)


def _read_local(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"the local file {path} cannot be read: {error.strerror}") from error
