"""A store in a local folder: the same job without a bucket."""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gigacast.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StorageError,
    TransientStorageError,
)
from gigacast.storage.folder.walk import list_level, walk_folder
from gigacast.storage.folder.write import (
    RESERVED,
    file_etag,
    locked_folder,
    publish,
    publish_new,
    remove_empty_folders,
    temporary_beside,
)
from gigacast.storage.key import check_folder_prefix, check_key
from gigacast.storage.paging import cut_pages
from gigacast.storage.store import Folder, ObjectMeta, Store, StoreAddress

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PASSING = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE, errno.ENFILE)


class FolderStore(Store):
    """Objects as files below a folder, which writing creates when it is missing.

    Other than on S3 a key cannot be both an object and a folder (``a`` and ``a/b``). Names that
    start with ``.gigacast.`` are reserved for temporary files. Temporary files that a killed
    writer left are never listed, and removed by a listing that meets them a day later.

    Parameters
    ----------
    root : Path
        The folder; links on the way to it are followed, links out of it are not.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.expanduser().resolve()
        self.address = StoreAddress(f"file://{self._root}")

    def check(self) -> None:
        """Make sure that the folder exists and can be read."""
        with _translated(str(self._root)):
            if not self._root.is_dir():
                message = f"there is no folder {self._root}"
                raise BucketNotFoundError(message, hint="create it, or correct the path")
            with os.scandir(self._root):
                pass

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[list[ObjectMeta]]:
        """Iterate over the files, a page at a time; a missing folder holds none."""
        with _translated(f"{self._root}/{prefix}"):
            yield from cut_pages(walk_folder(self._root, prefix, start_after))

    def list_folder(self, prefix: str = "") -> Folder:
        """Return one level below ``prefix``; folders that hold no object are left out."""
        with _translated(f"{self._root}/{prefix}"):
            folders, objects = list_level(self._root, check_folder_prefix(prefix))
        return Folder(tuple(folders), tuple(objects))

    def head(self, key: str) -> ObjectMeta:
        """Return one object's metadata."""
        with self.open_file(key) as file:
            found = os.fstat(file.fileno())
        return ObjectMeta(key, file_etag(found), found.st_size, found.st_mtime_ns)

    def get(
        self, key: str, *, if_match: str | None = None, start: int = 0, stop: int | None = None
    ) -> bytes:
        """Return the bytes ``start`` to ``stop``."""
        with self.open_file(key, if_match=if_match) as file, _translated(self._where(key)):
            file.seek(start)
            content = file.read(-1 if stop is None else max(0, stop - start))
            self._check_etag(key, os.fstat(file.fileno()), if_match)
        return content

    def open_file(self, key: str, *, if_match: str | None = None) -> BinaryIO:
        """Open the file itself for reading: it stays the same object when the key is rewritten.

        Raises
        ------
        ObjectNotFoundError
        PreconditionFailedError
            When ``if_match`` is given and the ETag differs.
        """
        where = self._where(key)
        with _translated(where):
            # Without O_NONBLOCK, opening a named pipe would wait for its writer.
            fd = os.open(self._resolve(key), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise ObjectNotFoundError(f"there is no object {where}")
            self._check_etag(key, found, if_match)
        except StorageError:
            os.close(fd)
            raise
        return os.fdopen(fd, "rb")

    def put(self, key: str, content: bytes | Path) -> str:
        """Write a file, replacing any, and return its ETag."""
        with self._prepared(key, content) as (temporary, target):
            return publish(temporary, target)

    def put_if_absent(self, key: str, content: bytes | Path) -> str:
        """Write a file that must not exist yet."""
        return self._put_new(key, content)

    def move_if_absent(self, key: str, path: Path) -> str:
        """Take a local file as one that must not exist yet."""
        return self._put_new(key, path, moved=True)

    def _put_new(self, key: str, content: bytes | Path, *, moved: bool = False) -> str:
        with self._prepared(key, content, moved=moved) as (temporary, target):
            try:
                return publish_new(temporary, target)
            except FileExistsError as error:
                message = f"{self._where(key)} exists already"
                raise PreconditionFailedError(message) from error

    def put_if_match(self, key: str, content: bytes | Path, etag: str) -> str:
        """Replace a file whose ETag must still be ``etag``."""
        with self._prepared(key, content) as (temporary, target):
            if not target.is_file():
                raise PreconditionFailedError(f"{self._where(key)} is gone")
            self._check_etag(key, target.stat(), etag)
            return publish(temporary, target)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete files, and the folders this leaves empty (one with a lock file is not)."""
        for key in keys:
            target = self._target(key)
            with _translated(self._where(key)):
                _delete(target)
                remove_empty_folders(target.parent, self._root)

    def _where(self, key: str) -> str:
        return f"{self._root}/{key}"

    def _target(self, key: str) -> Path:
        """Return the path to write to: below the root, and itself never followed as a link."""
        if any(part.startswith(RESERVED) for part in check_key(key).split("/")):
            raise StorageError(f"the key {key!r} is reserved", hint=f"{RESERVED}* is for our files")
        path = self._root / key
        parent = _follow(path.parent)
        if not parent.is_relative_to(self._root):
            raise StorageError(f"the key {key!r} leads out of {self._root}")
        return parent / path.name

    def _resolve(self, key: str) -> Path:
        """Return the path to read from: below the root, links followed."""
        path = _follow(self._target(key))
        if not path.is_relative_to(self._root):
            raise StorageError(f"the key {key!r} leads out of {self._root}")
        return path

    def _check_etag(self, key: str, found: os.stat_result, if_match: str | None) -> None:
        if if_match is not None and file_etag(found) != if_match:
            raise PreconditionFailedError(f"{self._where(key)} is no longer {if_match}")

    @contextmanager
    def _prepared(
        self, key: str, content: bytes | Path, *, moved: bool = False
    ) -> Iterator[tuple[Path, Path]]:
        """Yield the written temporary file and its target, with the target's folder locked."""
        target = self._target(key)
        if isinstance(content, Path) and not content.is_file():
            raise StorageError(f"there is no local file {content}")
        with (
            _translated(self._where(key), writing=True),
            temporary_beside(target, content, moved=moved) as temporary,
            locked_folder(target.parent),
        ):
            yield temporary, target


def _follow(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # links in a circle are a RuntimeError until 3.13
        raise StorageError(f"{path} cannot be followed: {error}") from error


def _delete(target: Path) -> None:
    try:
        with locked_folder(target.parent):
            if not target.is_dir():
                target.unlink(missing_ok=True)
    except (FileNotFoundError, NotADirectoryError):
        return  # no such folder, so no such object


@contextmanager
def _translated(where: str, *, writing: bool = False) -> Iterator[None]:
    """Raise what the operating system says as the package's errors: the one seam."""
    try:
        yield
    except OSError as error:
        raise _translate(error, where, writing=writing) from error


def _translate(error: OSError, where: str, *, writing: bool) -> StorageError:
    reason = error.strerror or str(error)
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return AccessDeniedError(f"{where}: {reason}", hint="check the permissions of the folder")
    if error.errno in _FULL:
        return StorageError(f"no room to write {where}: {reason}", hint="free space and run again")
    if error.errno in _PASSING:
        return TransientStorageError(f"{where}: {reason}", hint="try again")
    if writing and isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
        message = f"{where} cannot be written: a part of it is a file, or it is a folder"
        return StorageError(message, hint="a folder cannot hold both 'a' and 'a/b'")
    if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError):
        return ObjectNotFoundError(f"there is no object {where}")
    return StorageError(f"{where}: {reason}")
