"""A version of a dataset as a read-only store of the files that its manifest names.

Files that the version shares with an earlier one appear under their own names. The ETag of a file
is the digest of its rows: the same in every version that shares it, and in every copy of the lake,
so that forecasts of unchanged files stay done. Every read is of the object that the manifest names.
"""

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import BinaryIO, NoReturn, Protocol, TypeVar

from gigacast.errors import (
    DatasetIntegrityError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StorageError,
)
from gigacast.lake.dataset.manifest import DatasetFile, DatasetManifest
from gigacast.lake.feature_layout import kept_key
from gigacast.storage.key import check_folder_prefix, check_key
from gigacast.storage.store import (
    Folder,
    ObjectMeta,
    Store,
    StoreAddress,
    Verify,
    cut_pages,
    fold_level,
)

_HINT = "restore the file, or publish the data again as another version"
_PIECE_BYTES = 8 << 20  # hashed at a time, so that memory does not grow with the file
# On a folder a digest takes a sixth of the time of decoding the file (7 of 43 ms per 8 MB); from S3
# it fetches a large file once more. So by default a run checks a sample of the files.
_SHARES: Mapping[Verify, float] = {"always": 1.0, "sample": 1 / 16, "never": 0.0}

T_co = TypeVar("T_co", covariant=True)


class _Read(Protocol[T_co]):
    """Reads one version of an object."""

    def __call__(self, key: str, *, if_match: str) -> T_co: ...


class DatasetStore(Store):
    """The files of one version.

    Parameters
    ----------
    store : Store
        Rooted at the lake.
    manifest : DatasetManifest
    address : StoreAddress
        Address of the version, for messages.
    verify : str
        Files whose bytes are compared with the recorded SHA-256 before they are first read: all,
        a random one of sixteen, or none.
    draw : callable
        Gives random numbers in [0, 1).
    """

    def __init__(
        self,
        store: Store,
        manifest: DatasetManifest,
        address: StoreAddress,
        verify: Verify = "sample",
        *,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.address = address
        self.manifest = manifest
        self._store = store
        self._files = {file.path: file for file in manifest.files}
        self._copies: dict[str, ObjectMeta] = {}
        self._share = _SHARES[verify]
        self._draw = draw
        self._chosen: set[str] = set()
        self._seen: set[str] = set()

    @property
    def lake_address(self) -> StoreAddress:
        """Address of the lake, by which another process opens the same files."""
        return self._store.address

    def check(self) -> None:
        """Check that the lake can be reached."""
        self._store.check()

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[list[ObjectMeta]]:
        """Iterate over the files, a page at a time."""
        return cut_pages(
            self._meta(path)
            for path in sorted(self._files)
            if path.startswith(prefix) and (not start_after or path > start_after)
        )

    def list_folder(self, prefix: str = "") -> Folder:
        """Return one level below ``prefix``."""
        entries = [meta for page in self.list(check_folder_prefix(prefix)) for meta in page]
        return fold_level(prefix, entries)

    def head(self, key: str) -> ObjectMeta:
        """Return one file's metadata."""
        return self._meta(self._find(key).path)

    def get(
        self, key: str, *, if_match: str | None = None, start: int = 0, stop: int | None = None
    ) -> bytes:
        """Return the bytes ``start`` to ``stop`` of the object the manifest names.

        Raises
        ------
        DatasetIntegrityError
            When that object is gone or was replaced.
        """
        file = self._pinned(key, if_match)
        if start or stop is not None or not self._is_drawn(file):
            return self._read(file, partial(self._store.get, start=start, stop=stop))
        # The whole file is fetched anyway, so it is hashed without another request.
        content = self._fetch(file, self._store.get)
        self._compare(file, hashlib.sha256(content).hexdigest())
        return content

    def open_file(self, key: str, *, if_match: str | None = None) -> BinaryIO | None:
        """Open the object the manifest names when it is a file of this machine; ``None`` otherwise.

        Raises
        ------
        DatasetIntegrityError
            When that object is gone or was replaced.
        """
        return self._read(self._pinned(key, if_match), self._store.open_file)

    def _pinned(self, key: str, if_match: str | None) -> DatasetFile:
        file = self._find(key)
        if if_match is not None and if_match != file.content:
            raise PreconditionFailedError(f"{self.address.url}/{key} is no longer {if_match}")
        return file

    def _is_drawn(self, file: DatasetFile) -> bool:
        """Return whether a file is to be checked: at its first read, if at all."""
        # A plain file of the raw layer has no recorded digest.
        if file.key in self._seen or not file.sha256:
            return False
        # A damaged file stays chosen, so that every read of it fails.
        if file.key in self._chosen or self._draw() < self._share:
            self._chosen.add(file.key)
            return True
        self._seen.add(file.key)
        return False

    def _read(self, file: DatasetFile, read: "_Read[T_co]") -> T_co:
        if self._is_drawn(file):
            size = self._fetch(file, self._size)
            self._compare(file, self._fetch(file, partial(self._hash, size_bytes=size)))
        return self._fetch(file, read)

    def _size(self, key: str, *, if_match: str) -> int:
        meta = self._store.head(key)
        if meta.etag != if_match:
            raise PreconditionFailedError(f"{key} is no longer {if_match}")
        return meta.size_bytes

    def _hash(self, key: str, *, if_match: str, size_bytes: int) -> str:
        digest = hashlib.sha256()
        # The ETag is pinned, so that all pieces are of the same object.
        for start in range(0, size_bytes, _PIECE_BYTES):
            stop = start + _PIECE_BYTES
            digest.update(self._store.get(key, if_match=if_match, start=start, stop=stop))
        return digest.hexdigest()

    def _compare(self, file: DatasetFile, digest: str) -> None:
        if digest != file.sha256:
            url = f"{self._store.address.url}/{file.key}"
            message = f"{url} is damaged: its bytes are not those that were published"
            raise DatasetIntegrityError(message, hint=_HINT)
        self._seen.add(file.key)

    def _fetch(self, file: DatasetFile, read: "_Read[T_co]") -> T_co:
        copy = self._copies.get(file.path)
        try:
            if copy is not None:
                return read(copy.key, if_match=copy.etag)
            return read(file.key, if_match=file.etag)
        except (PreconditionFailedError, ObjectNotFoundError):
            # Only now, and once per file, the object is hashed: it may be a copy with another ETag.
            copy = self._find_copy(file)
        return read(copy.key, if_match=copy.etag)

    def locate(self, path: str) -> str:
        """Return the key of the object that holds a file, for other programs that read it.

        Raises
        ------
        DatasetIntegrityError
            When the object that the manifest names is gone or was replaced, and no copy is kept.
        """
        file = self._find(path)
        try:
            if self._store.head(file.key).etag == file.etag:
                return file.key
        except ObjectNotFoundError:
            pass
        return self._find_copy(file).key

    def _find_copy(self, file: DatasetFile) -> ObjectMeta:
        """Return an object with the same bytes.

        A copied lake has other ETags; a day of features that was computed again is kept elsewhere.
        """
        url, is_present = f"{self._store.address.url}/{file.key}", False
        for key in filter(None, (kept_key(file.key, file.sha256), file.key)):
            digested = self._digest(key)
            is_present = is_present or digested is not None
            if digested is not None and digested[1] == file.sha256:
                self._copies[file.path] = digested[0]
                self._seen.add(file.key)
                return digested[0]
        if not is_present:
            raise DatasetIntegrityError(f"{url} is gone", hint=_HINT)
        raise DatasetIntegrityError(f"{url} was replaced after it was published", hint=_HINT)

    def _digest(self, key: str) -> tuple[ObjectMeta, str] | None:
        """Return an object with its SHA-256; ``None`` if there is none."""
        try:
            meta = self._store.head(key)
            return meta, self._hash(key, if_match=meta.etag, size_bytes=meta.size_bytes)
        except ObjectNotFoundError:
            return None

    def put(self, key: str, content: bytes | Path) -> str:
        """Refuse: published versions never change."""
        self._refuse(key)

    def put_if_absent(self, key: str, content: bytes | Path) -> str:
        """Refuse: published versions never change."""
        self._refuse(key)

    def put_if_match(self, key: str, content: bytes | Path, etag: str) -> str:
        """Refuse: published versions never change."""
        self._refuse(key)

    def delete(self, keys: Iterable[str]) -> None:
        """Refuse: published versions never change."""
        self._refuse(next(iter(keys), ""))

    def _refuse(self, key: str) -> NoReturn:
        raise StorageError(
            f"{self.address.url}/{key} can't be written: published versions never change",
            hint="write to another prefix, or publish another version",
        )

    def _find(self, key: str) -> DatasetFile:
        if check_key(key) not in self._files:
            raise ObjectNotFoundError(f"{self.address.url} has no file {key}")
        return self._files[key]

    def _meta(self, path: str) -> ObjectMeta:
        file = self._files[path]
        return ObjectMeta(path, file.content, file.size_bytes, 0)
