"""The interface of all stores, and the pages of their listings.

A store has a root prefix. Keys are relative to it, separated by ``/`` and without a leading slash;
`gigacast.storage.key` checks that they are usable. Writes are atomic: a reader sees the old object
or the new one, never a part.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from gigacast.storage.key import MAX_KEY_BYTES

Verify = Literal["always", "sample", "never"]
"""Files of a published dataset whose digest is checked before they are read."""
PAGE_KEYS = 1000
"""Objects per page: as many as one LIST request of S3 returns."""


class ObjectMeta(NamedTuple):
    """Metadata of an object. A named tuple for its size: a plan may hold a million of them.

    ``etag`` is opaque (a folder store makes it from size and mtime_ns); ``modified_ns`` is the time
    of the last change in nanoseconds since 1970.
    """

    key: str
    etag: str
    size_bytes: int
    modified_ns: int


class Folder(NamedTuple):
    """One level of a listing: its folders (each ending in ``/``) and its objects."""

    folders: tuple[str, ...]
    objects: tuple[ObjectMeta, ...]


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """Address of a store. It pickles, so that worker processes open their own connection.

    Parameters
    ----------
    url : str
        URL: ``s3://bucket/prefix``, ``gs://bucket/prefix``, ``az://container/prefix``,
        ``file:///folder`` or ``memory://name``.
    endpoint_url : str, optional
        Endpoint of the bucket; that of the environment (of S3 ``AWS_ENDPOINT_URL`` or the profile),
        then the own one of the cloud by default.
    region : str, optional
        Region of the bucket; ``AWS_REGION`` or the profile by default.
    verify : str
        Files of published datasets there whose recorded digest is checked; see `Verify`.
    """

    url: str
    endpoint_url: str | None = None
    region: str | None = None
    verify: Verify = "sample"

    def is_below(self, root: "StoreAddress") -> bool:
        """Check that this address is ``root`` or is below it."""
        # With the slash: s3://lake2 is not below s3://lake.
        return f"{self.url.rstrip('/')}/".startswith(f"{root.url.rstrip('/')}/")

    def child(self, prefix: str) -> "StoreAddress":
        """Return the address of a prefix below this one."""
        joined = f"{self.url.rstrip('/')}/{prefix.strip('/')}".rstrip("/")
        return replace(self, url=joined)


class Store(ABC):
    """Objects by key below one root.

    All methods raise only `StorageError` and its subclasses (`BucketNotFoundError`,
    `AccessDeniedError`, `ObjectNotFoundError`, `PreconditionFailedError`). A
    `TransientStorageError` is raised only after retries with backoff and jitter.
    """

    address: StoreAddress
    segment_bytes: int = MAX_KEY_BYTES
    """Bytes that the last part of a key may have."""

    @abstractmethod
    def check(self) -> None:
        """Check that the bucket or root folder is reachable: one request, retried as all are.

        Raises
        ------
        BucketNotFoundError, AccessDeniedError
        TransientStorageError
            If the endpoint does not answer.
        """

    @abstractmethod
    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[list[ObjectMeta]]:
        """Yield pages of the objects whose key starts with ``prefix``.

        Keys are in UTF-8 byte order, within pages and across them. ``prefix`` is text, not a
        folder: ``2014/0`` matches ``2014/01/a``. Without a match there are no pages. Every listed
        key can be read; names that are no usable keys are skipped with a warning.
        """

    @abstractmethod
    def list_folder(self, prefix: str = "") -> Folder:
        """Return one level below ``prefix`` (empty or ending in ``/``), both parts sorted."""

    @abstractmethod
    def head(self, key: str) -> ObjectMeta:
        """Return the metadata of an object.

        Raises
        ------
        ObjectNotFoundError
        """

    @abstractmethod
    def get(
        self, key: str, *, if_match: str | None = None, start: int = 0, stop: int | None = None
    ) -> bytes:
        """Return the bytes from ``start`` to ``stop`` (exclusive; the end by default).

        As in a slice, a range beyond the end of the object is cut off.

        Raises
        ------
        ObjectNotFoundError
        PreconditionFailedError
            If ``if_match`` is given and differs from the object's ETag.
        """

    def open_file(self, key: str, *, if_match: str | None = None) -> BinaryIO | None:
        """Open the object's file if the store is a folder; return ``None`` for other stores.

        Raises
        ------
        ObjectNotFoundError
        PreconditionFailedError
            If ``if_match`` is given and differs from the object's ETag.
        """
        return None

    @abstractmethod
    def put(self, key: str, content: bytes | Path) -> str:
        """Write or replace an object and return its ETag. A `Path` is streamed from disk."""

    def put_unless_equal(self, key: str, content: bytes | Path) -> str:
        """Write or replace an object unless it has the content already, and return its ETag.

        Two runs that make the same output at once then name the same ETag in their receipts.
        """
        # Where the ETag follows the content, as on S3, a second write changes nothing.
        return self.put(key, content)

    @abstractmethod
    def put_if_absent(self, key: str, content: bytes | Path) -> str:
        """Write an object that must not exist yet, and return its ETag. A `Path` is read from disk.

        Raises
        ------
        PreconditionFailedError
            If the key exists. Of several concurrent writers exactly one succeeds.
        """

    def move_if_absent(self, key: str, path: Path) -> str:
        """Move a local file into the store if the key does not exist, and return its ETag.

        The caller must not write to ``path`` afterwards and should delete it: a folder store on
        the same disk makes a hard link to the file instead of a copy.

        Raises
        ------
        PreconditionFailedError
            If the key exists.
        """
        return self.put_if_absent(key, path)

    @abstractmethod
    def put_if_match(self, key: str, content: bytes | Path, etag: str) -> str:
        """Replace an object whose ETag must still be ``etag`` (compare and swap).

        Raises
        ------
        PreconditionFailedError
            If the ETag differs or the object is gone.
        """

    @abstractmethod
    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; keys that do not exist are ignored."""


def cut_pages(objects: Iterable[ObjectMeta]) -> Iterator[list[ObjectMeta]]:
    """Yield a stream of objects in pages. Without objects there are no pages."""
    stream = iter(objects)
    while page := list(islice(stream, PAGE_KEYS)):
        yield page


def fold_level(prefix: str, objects: Iterable[ObjectMeta]) -> Folder:
    """Return the one level below a folder prefix, from all objects below it."""
    folders: dict[str, None] = {}
    direct: list[ObjectMeta] = []
    for meta in objects:
        head, slash, _ = meta.key[len(prefix) :].partition("/")
        if slash:
            folders[f"{prefix}{head}/"] = None
        else:
            direct.append(meta)
    return Folder(tuple(sorted(folders)), tuple(direct))
