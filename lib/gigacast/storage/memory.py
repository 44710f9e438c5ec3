"""A store in this process' memory: for tests, demonstrations and small jobs."""

import hashlib
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from gigacast.errors import ObjectNotFoundError, PreconditionFailedError, StorageError
from gigacast.storage.key import check_folder_prefix, check_key
from gigacast.storage.paging import cut_pages, fold_level
from gigacast.storage.store import Folder, ObjectMeta, Store, StoreAddress


class _Object(NamedTuple):
    content: bytes
    etag: str
    modified_ns: int


class _Bucket:
    """Objects by full key, with the lock that makes check-then-write one step."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.objects: dict[str, _Object] = {}


_buckets: dict[str, _Bucket] = {}
_buckets_lock = threading.Lock()


def _open_bucket(name: str) -> _Bucket:
    with _buckets_lock:
        return _buckets.setdefault(name, _Bucket())


def forget_memory(name: str) -> None:
    """Drop all objects of ``memory://name``; stores opened before keep what they see."""
    with _buckets_lock:
        _buckets.pop(name, None)


class MemoryStore(Store):
    """Objects in a named, process-wide memory: reopening the name shows the same objects.

    As on S3, the ETag is a digest of the content: equal bytes have equal ETags.

    Parameters
    ----------
    name : str
        The name after ``memory://``.
    prefix : str
        The root within that name.
    """

    def __init__(self, name: str, prefix: str = "") -> None:
        self._root = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._bucket = _open_bucket(name)
        self.address = StoreAddress(f"memory://{name}/{self._root}".rstrip("/"))

    def check(self) -> None:
        """Do nothing: memory can always be reached."""

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[list[ObjectMeta]]:
        """Iterate over a snapshot taken now, a page at a time."""
        return cut_pages(self._snapshot(prefix, start_after))

    def list_folder(self, prefix: str = "") -> Folder:
        """Return one level below ``prefix``."""
        return fold_level(prefix, self._snapshot(check_folder_prefix(prefix), ""))

    def head(self, key: str) -> ObjectMeta:
        """Return one object's metadata."""
        return _describe(key, self._find(key))

    def get(
        self, key: str, *, if_match: str | None = None, start: int = 0, stop: int | None = None
    ) -> bytes:
        """Return the bytes ``start`` to ``stop``."""
        found = self._find(key)
        if if_match is not None and found.etag != if_match:
            raise PreconditionFailedError(f"{self._where(key)} is no longer {if_match}")
        return found.content[start:stop]

    def put(self, key: str, content: bytes | Path) -> str:
        """Write an object, replacing any, and return its ETag."""
        with self._bucket.lock:
            return self._write(key, content)

    def put_if_absent(self, key: str, content: bytes | Path) -> str:
        """Write an object that must not exist yet."""
        with self._bucket.lock:
            if self._root + check_key(key) in self._bucket.objects:
                raise PreconditionFailedError(f"{self._where(key)} exists already")
            return self._write(key, content)

    def put_if_match(self, key: str, content: bytes | Path, etag: str) -> str:
        """Replace an object whose ETag must still be ``etag``."""
        with self._bucket.lock:
            found = self._bucket.objects.get(self._root + check_key(key))
            if found is None or found.etag != etag:
                raise PreconditionFailedError(f"{self._where(key)} is no longer {etag}")
            return self._write(key, content)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects, those that exist."""
        for key in keys:
            with self._bucket.lock:
                self._bucket.objects.pop(self._root + check_key(key), None)

    def _where(self, key: str) -> str:
        return f"{self.address.url}/{key}"

    def _find(self, key: str) -> _Object:
        with self._bucket.lock:
            found = self._bucket.objects.get(self._root + check_key(key))
        if found is None:
            raise ObjectNotFoundError(f"there is no object {self._where(key)}")
        return found

    def _write(self, key: str, content: bytes | Path) -> str:
        data = _read_local(content) if isinstance(content, Path) else bytes(content)
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        self._bucket.objects[self._root + check_key(key)] = _Object(data, etag, time.time_ns())
        return etag

    def _snapshot(self, prefix: str, start_after: str) -> Iterable[ObjectMeta]:
        root, after = self._root, self._root + start_after
        with self._bucket.lock:
            found = [
                (key, stored)
                for key, stored in self._bucket.objects.items()
                if key.startswith(root + prefix) and (not start_after or key > after)
            ]
        found.sort(key=lambda pair: pair[0])  # code points sort as their UTF-8 bytes do
        return (_describe(key[len(root) :], stored) for key, stored in found)


def _describe(key: str, stored: _Object) -> ObjectMeta:
    return ObjectMeta(key, stored.etag, len(stored.content), stored.modified_ns)


def _read_local(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"the local file {path} cannot be read: {error.strerror}") from error
