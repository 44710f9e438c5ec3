"""The one face of all stores.

A store is rooted at a prefix: keys are relative to it, use ``/`` and never start with one; which
keys are usable is in ``key``.
Writes are atomic: a reader sees the old object or the new one, never a part.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple


class ObjectMeta(NamedTuple):
    """One listed object. A tuple, because a plan may hold a million of them.

    ``etag`` is opaque (a folder's is made from size and mtime_ns); ``modified_ns`` is the time of
    the last change in nanoseconds since 1970.
    """

    key: str
    etag: str
    size_bytes: int
    modified_ns: int


class Folder(NamedTuple):
    """One level of a listing: the folders (each ending in ``/``) and the objects directly in it."""

    folders: tuple[str, ...]
    objects: tuple[ObjectMeta, ...]


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """Where a store is: a value that pickles, so that worker processes open their own.

    Parameters
    ----------
    url : str
        ``s3://bucket/prefix``, ``file:///folder`` or ``memory://name``.
    endpoint_url : str, optional
        Another S3 endpoint than AWS' own; ``AWS_ENDPOINT_URL`` is read when absent.
    region : str, optional
        ``AWS_REGION`` and the profile are read when absent.
    """

    url: str
    endpoint_url: str | None = None
    region: str | None = None

    def is_below(self, other: "StoreAddress") -> bool:
        """Whether this is a prefix of the same store, or the very same."""
        return f"{self.url.rstrip('/')}/".startswith(f"{other.url.rstrip('/')}/")

    def child(self, prefix: str) -> "StoreAddress":
        """Return the address of a prefix below this one."""
        joined = f"{self.url.rstrip('/')}/{prefix.strip('/')}".rstrip("/")
        return StoreAddress(joined, self.endpoint_url, self.region)


class Store(ABC):
    """Objects by key below one root.

    Every method raises the `StorageError` family only: `BucketNotFoundError`, `AccessDeniedError`,
    `ObjectNotFoundError` and `PreconditionFailedError` say which; what is transient has been
    retried with backoff and jitter before `TransientStorageError` is raised.
    """

    address: StoreAddress

    @abstractmethod
    def check(self) -> None:
        """Make sure the bucket or root folder can be reached: one request, at most ten seconds.

        Raises
        ------
        BucketNotFoundError, AccessDeniedError
        TransientStorageError
            When the endpoint does not answer.
        """

    @abstractmethod
    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[list[ObjectMeta]]:
        """Iterate over the objects whose key starts with ``prefix``, a page at a time.

        Pages and the keys in them are in UTF-8 byte order of the key. ``prefix`` is text, not a
        folder: ``2014/0`` matches ``2014/01/a``. Nothing matching gives no pages. Every key listed
        can be read; names in a bucket or folder that cannot be keys are skipped with a warning.
        """

    @abstractmethod
    def list_folder(self, prefix: str = "") -> Folder:
        """Return one level below ``prefix`` (empty or ending in ``/``), both parts sorted."""

    @abstractmethod
    def head(self, key: str) -> ObjectMeta:
        """Return one object's metadata.

        Raises
        ------
        ObjectNotFoundError
        """

    @abstractmethod
    def get(
        self, key: str, *, if_match: str | None = None, start: int = 0, stop: int | None = None
    ) -> bytes:
        """Return the bytes ``start`` to ``stop`` (exclusive; ``None`` is the end).

        As in a slice, what lies behind the object's end is left out.

        Raises
        ------
        ObjectNotFoundError
        PreconditionFailedError
            When ``if_match`` is given and the object's ETag differs.
        """

    def open_file(self, key: str, *, if_match: str | None = None) -> BinaryIO | None:
        """Open an object that is a file of this machine, to be read where it lies; else ``None``.

        Raises
        ------
        ObjectNotFoundError
        PreconditionFailedError
            When ``if_match`` is given and the ETag differs.
        """
        return None

    @abstractmethod
    def put(self, key: str, content: bytes | Path) -> str:
        """Write an object, replacing any, and return its ETag. A `Path` is streamed from disk."""

    @abstractmethod
    def put_if_absent(self, key: str, content: bytes | Path) -> str:
        """Write an object that must not exist yet, and return its ETag. A `Path` is read from disk.

        Raises
        ------
        PreconditionFailedError
            When there is one: of many racing writers exactly one wins.
        """

    def move_if_absent(self, key: str, path: Path) -> str:
        """Write a local file, which its owner gives up, as `put_if_absent` does.

        A folder on the same disk takes the file itself, without a copy. Under its old name it is
        to be removed, and never written to again.

        Raises
        ------
        PreconditionFailedError
        """
        return self.put_if_absent(key, path)

    @abstractmethod
    def put_if_match(self, key: str, content: bytes | Path, etag: str) -> str:
        """Replace an object whose ETag must still be ``etag`` (compare and swap).

        Raises
        ------
        PreconditionFailedError
            When it is another, or gone.
        """

    @abstractmethod
    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; a key that does not exist is not an error."""
