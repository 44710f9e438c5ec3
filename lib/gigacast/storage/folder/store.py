"""A store in a local folder, to run the same job without a bucket."""

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
    is_equal,
    locked_folder,
    publish,
    publish_new,
    remove_empty_folders,
    temporary_beside,
)
from gigacast.storage.key import check_folder_prefix, check_key
from gigacast.storage.store import Folder, ObjectMeta, Store, StoreAddress, cut_pages

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Network filesystems report the first three; the last two are too many open files.
_TRANSIENT = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE, errno.ENFILE)


class FolderStore(Store):
    """Objects as files below a folder. The first write creates the folder if it is missing.

    Unlike on S3, a key cannot be both an object and a folder (``a`` and ``a/b``). Names that start
    with ``.gigacast.`` are reserved for temporary files. Temporary files left by a killed writer
    are never listed; a listing that finds one older than a day removes it.

    Parameters
    ----------
    root : Path
        Root folder. Links in its own path are followed, links that lead out of it are not.
    """

    # The usual limit of file systems. `os.pathconf` needs the folder, which may not exist yet.
    segment_bytes = 255

    def __init__(self, root: Path) -> None:
        self._root = root.expanduser().resolve()
        self.address = StoreAddress(f"file://{self._root}")

    def check(self) -> None:
        """Check that the folder exists and is readable."""
        with _translated(str(self._root)):
            if not self._root.is_dir():
                message = f"there is no folder {self._root}"
                raise BucketNotFoundError(message, hint="create it, or correct the path")
            with os.scandir(self._root):
                pass

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[list[ObjectMeta]]:
        """Yield pages of files; a missing folder has none."""
        with _translated(f"{self._root}/{prefix}"):
            yield from cut_pages(walk_folder(self._root, prefix, start_after))

    def list_folder(self, prefix: str = "") -> Folder:
        """Return one level below ``prefix``, without folders that contain no object."""
        with _translated(f"{self._root}/{prefix}"):
            folders, objects = list_level(self._root, check_folder_prefix(prefix))
        return Folder(tuple(folders), tuple(objects))

    def head(self, key: str) -> ObjectMeta:
        """Return the metadata of an object."""
        with self.open_file(key) as file:
            status = os.fstat(file.fileno())
        return ObjectMeta(key, file_etag(status), status.st_size, status.st_mtime_ns)

    def get(
        self, key: str, *, if_match: str | None = None, start: int = 0, stop: int | None = None
    ) -> bytes:
        """Return the bytes from ``start`` to ``stop``."""
        with self.open_file(key, if_match=if_match) as file, _translated(self._file_path(key)):
            file.seek(start)
            content = file.read(-1 if stop is None else max(0, stop - start))
            # Checked again after the read: a foreign program may write into the file in place,
            # and then the bytes could be a mixture.
            self._check_etag(key, os.fstat(file.fileno()), if_match)
        return content

    def open_file(self, key: str, *, if_match: str | None = None) -> BinaryIO:
        """Open the object's file for reading.

        The open file stays the old object when the key is rewritten, because `put` renames a new
        file over it.

        Raises
        ------
        ObjectNotFoundError
        PreconditionFailedError
            If ``if_match`` is given and differs from the object's ETag.
        """
        path = self._file_path(key)
        with _translated(path):
            # Without O_NONBLOCK, opening a named pipe would wait for its writer.
            fd = os.open(self._resolve(key), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        # The open descriptor is checked, not the path: the key may be rewritten in between.
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise ObjectNotFoundError(f"there is no object {path}")
            self._check_etag(key, status, if_match)
        except StorageError:
            os.close(fd)
            raise
        return os.fdopen(fd, "rb")

    def put(self, key: str, content: bytes | Path) -> str:
        """Write or replace a file and return its ETag."""
        with self._prepared(key, content) as (temporary, target):
            return publish(temporary, target)

    def put_unless_equal(self, key: str, content: bytes | Path) -> str:
        """Write or replace a file unless it has the content already, and return its ETag."""
        with self._prepared(key, content) as (temporary, target):
            if is_equal(temporary, target):
                return file_etag(target.stat())
            return publish(temporary, target)

    def put_if_absent(self, key: str, content: bytes | Path) -> str:
        """Write a file that must not exist yet."""
        return self._put_new(key, content)

    def move_if_absent(self, key: str, path: Path) -> str:
        """Move a local file into the store if the key does not exist."""
        return self._put_new(key, path, moved=True)

    def _put_new(self, key: str, content: bytes | Path, *, moved: bool = False) -> str:
        with self._prepared(key, content, moved=moved) as (temporary, target):
            try:
                return publish_new(temporary, target)
            except FileExistsError as error:
                message = f"{self._file_path(key)} exists already"
                raise PreconditionFailedError(message) from error

    def put_if_match(self, key: str, content: bytes | Path, etag: str) -> str:
        """Replace a file whose ETag must still be ``etag``."""
        with self._prepared(key, content) as (temporary, target):
            # The folder is locked by `_prepared`, so nobody writes between check and rename.
            if not target.is_file():
                raise PreconditionFailedError(f"{self._file_path(key)} is gone")
            self._check_etag(key, target.stat(), etag)
            return publish(temporary, target)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete files, and the folders that become empty (a lock file keeps its folder)."""
        for key in keys:
            target = self._target(key)
            with _translated(self._file_path(key)):
                _delete(target)
                remove_empty_folders(target.parent, self._root)

    def _file_path(self, key: str) -> str:
        return f"{self._root}/{key}"

    def _target(self, key: str) -> Path:
        """Return the path to write: below the root. If it is a link, it is not followed."""
        if any(part.startswith(RESERVED) for part in check_key(key).split("/")):
            hint = f"names that start with {RESERVED} are for temporary files and locks"
            raise StorageError(f"the key {key!r} is reserved", hint=hint)
        path = self._root / key
        parent = _follow(path.parent)
        if not parent.is_relative_to(self._root):
            raise StorageError(f"the key {key!r} leads out of {self._root}")
        return parent / path.name

    def _resolve(self, key: str) -> Path:
        """Return the path to read: below the root, with links followed."""
        path = _follow(self._target(key))
        if not path.is_relative_to(self._root):
            raise StorageError(f"the key {key!r} leads out of {self._root}")
        return path

    def _check_etag(self, key: str, status: os.stat_result, if_match: str | None) -> None:
        if if_match is not None and file_etag(status) != if_match:
            raise PreconditionFailedError(f"{self._file_path(key)} is no longer {if_match}")

    @contextmanager
    def _prepared(
        self, key: str, content: bytes | Path, *, moved: bool = False
    ) -> Iterator[tuple[Path, Path]]:
        """Yield the written temporary file and its target while the target's folder is locked."""
        target = self._target(key)
        if isinstance(content, Path) and not content.is_file():
            raise StorageError(f"there is no local file {content}")
        # Locked only after the content is written, so that large writes do not wait for each other.
        with (
            _translated(self._file_path(key), writing=True),
            temporary_beside(target, content, moved=moved) as temporary,
            locked_folder(target.parent),
        ):
            yield temporary, target


def _follow(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # before 3.13 a circle of links is a RuntimeError
        raise StorageError(f"{path} cannot be followed: {error}") from error


def _delete(target: Path) -> None:
    try:
        with locked_folder(target.parent):
            if not target.is_dir():
                target.unlink(missing_ok=True)
    except (FileNotFoundError, NotADirectoryError):
        return  # without the folder there is no object


@contextmanager
def _translated(path: str, *, writing: bool = False) -> Iterator[None]:
    """Raise the errors of the operating system as the package's own."""
    try:
        yield
    except OSError as error:
        raise _translate(error, path, writing=writing) from error


def _translate(error: OSError, path: str, *, writing: bool) -> StorageError:
    reason = error.strerror or str(error)
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return AccessDeniedError(f"{path}: {reason}", hint="check the permissions of the folder")
    if error.errno in _FULL:
        return StorageError(f"no room to write {path}: {reason}", hint="free space and run again")
    if error.errno in _TRANSIENT:
        return TransientStorageError(f"{path}: {reason}", hint="try again")
    # Before the next case: while reading, the same errors mean that there is no object.
    if writing and isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
        message = f"{path} cannot be written: a part of it is a file, or it is a folder"
        return StorageError(message, hint="a folder cannot hold both 'a' and 'a/b'")
    if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError):
        return ObjectNotFoundError(f"there is no object {path}")
    return StorageError(f"{path}: {reason}")
