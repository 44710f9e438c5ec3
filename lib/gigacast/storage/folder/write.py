"""Atomic writes of files: readers see a complete file or none.

A write has three steps, and a crash between any two of them leaves the old object intact:

1. The content is written to a temporary file beside the target. It is in the same folder because a
   rename is atomic only within a filesystem, and any folder may be a mount point.
2. The temporary file is fsynced. Otherwise a power failure after the rename could leave a file of
   the right name without its content.
3. Under a lock on the folder, the temporary file is renamed over the target (`publish`), or
   hard-linked to it if it must not exist yet (`publish_new`: unlike a rename, a link never
   replaces a file).

The lock makes check-then-write atomic between threads and processes. It also lets every rewrite get
a later modification time than the file before, which matters because the ETag consists of size and
modification time.

The folder itself is not fsynced: after a power failure a name may still lead to the old content.
That costs a recomputation, and no reader ever sees a part of the new content.
"""

import errno
import fcntl
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

RESERVED = ".gigacast."  # prefix of our own names: temporary files and the lock file
STALE_S = 24 * 3600.0  # no writer needs a day for one object
_LOCK_FILE = f"{RESERVED}lock"
# Errors of filesystems that cannot lock a folder (NFS among them), or have no hard links (FAT).
_NO_FOLDER_LOCKS = (errno.EBADF, errno.EINVAL, errno.ENOTSUP, errno.EACCES)
_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
_KERNEL_BYTES = 1 << 30  # per call of copy_file_range, which takes no "all"
_COMPARED_BYTES = 1 << 20
_CREATE_ATTEMPTS = 20  # each is lost only to a concurrent delete of the same folder
# Filesystems keep times with different resolutions; FAT's of two seconds is the coarsest.
_TIME_STEPS_NS = (1, 1_000, 1_000_000, 1_000_000_000, 2_000_000_000)


def file_etag(status: os.stat_result) -> str:
    """Return the ETag of a file, made of its size and modification time."""
    return f"{status.st_size:x}-{status.st_mtime_ns:x}"


@contextmanager
def temporary_beside(target: Path, content: bytes | Path, *, moved: bool = False) -> Iterator[Path]:
    """Yield a flushed temporary file with the content, beside ``target``; remove it at the end.

    With ``moved``, a local file on the same filesystem is hard-linked instead of copied.
    """
    path = target.with_name(f"{RESERVED}{secrets.token_hex(8)}.tmp")
    try:
        if not (moved and isinstance(content, Path) and _link(content, path)):
            _write(path, content)
        yield path
    finally:
        path.unlink(missing_ok=True)


def _link(source: Path, path: Path) -> bool:
    """Try to hard-link a file as ``path`` and flush it. Return False if it must be copied."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A linked file would keep the group and rights it has, a new file gets the folder's.
        if _sets_rights(path.parent):
            return False
        path.hardlink_to(source)
    except FileExistsError:
        # A network filesystem may repeat a request whose first answer was lost.
        return path.samefile(source)
    except OSError:
        # Another filesystem, or one without links. Any other fault shows again in the copy.
        return False
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    return True


def _sets_rights(folder: Path) -> bool:
    """Check whether new files in a folder get their group or rights from it."""
    if folder.stat().st_mode & stat.S_ISGID:
        return True
    if not hasattr(os, "getxattr"):  # macOS: unknown, so the file is copied
        return True
    try:
        return bool(os.getxattr(folder, "system.posix_acl_default"))
    except OSError:  # no access list, or a filesystem without them
        return False


def _write(path: Path, content: bytes | Path) -> None:
    with os.fdopen(_create(path), "wb") as file:
        if isinstance(content, Path):
            _copy(content, file)
        else:
            file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _copy(source: Path, target: BinaryIO) -> None:
    """Copy a local file."""
    with source.open("rb", buffering=0) as file:
        # Copying in the kernel spares the way through Python, and some filesystems (XFS, Btrfs)
        # then share the blocks. It advances both files, so that after an error copyfileobj
        # continues at the same place, and raises if the fault is real.
        copy_in_kernel = getattr(os, "copy_file_range", None)
        with suppress(OSError):
            while copy_in_kernel and copy_in_kernel(file.fileno(), target.fileno(), _KERNEL_BYTES):
                pass
        shutil.copyfileobj(file, target, 1 << 20)


def _create(path: Path) -> int:
    """Create a file and its parent folders, and return its descriptor."""
    # A concurrent delete removes empty folders, perhaps the one that was just made.
    for _ in range(_CREATE_ATTEMPTS):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:
            continue  # the folder was removed between the two calls
        except FileExistsError:
            # From mkdir, either because a file has the folder's name, which is final, or because
            # the folder was removed while mkdir looked at it.
            if path.parent.exists() and not path.parent.is_dir():
                raise
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))


@contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """Hold the lock of a folder, which only one thread of one process can have at a time."""
    # The folder itself is locked, so no lock file stays behind. Network filesystems lock only
    # files that are open for writing, and folders cannot be; there a hidden lock file is used.
    try:
        fd = _open_locked(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno not in _NO_FOLDER_LOCKS:
            raise
        fd = _open_locked(path / _LOCK_FILE, os.O_RDWR | os.O_CREAT)
    try:
        yield
    finally:
        os.close(fd)


def _open_locked(path: Path, flags: int) -> int:
    fd = os.open(path, flags | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
    except BaseException:
        os.close(fd)
        raise
    return fd


def publish(temporary: Path, target: Path) -> str:
    """Rename a temporary file over the target, with a later modification time; return the ETag.

    The caller must hold the folder's lock.
    """
    # The time is set before the rename: a reader must never see the new content with an ETag
    # that changes once more.
    etag = _stamp(temporary, after_ns=_modified_ns(target))
    temporary.replace(target)
    return etag


def is_equal(temporary: Path, target: Path) -> bool:
    """Return whether the target is a file, and no link, with the content of a temporary file.

    It is flushed then, as a written one would be. The caller must hold the folder's lock.
    """
    try:
        fd = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # missing, a link, or unreadable: the write itself says what is wrong
        return False
    with os.fdopen(fd, "rb") as file, temporary.open("rb") as wanted:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size != temporary.stat().st_size:
            return False
        while content := wanted.read(_COMPARED_BYTES):
            if file.read(len(content)) != content:
                return False
        # Another program may have written it a moment ago.
        os.fsync(fd)
    return True


def publish_new(temporary: Path, target: Path) -> str:
    """Give a temporary file its target's name if that does not exist; return the ETag.

    The caller must hold the folder's lock, for filesystems without hard links.

    Raises
    ------
    FileExistsError
        If the target exists.
    """
    etag = _stamp(temporary, after_ns=0)
    try:
        target.hardlink_to(temporary)
    except FileExistsError:
        # The same file means that a network filesystem repeated a request that had succeeded.
        if not target.samefile(temporary):
            raise
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        # Without hard links the check and the rename are atomic only under the lock.
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        temporary.replace(target)
    return etag


def _modified_ns(target: Path) -> int:
    try:
        return target.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _stamp(path: Path, after_ns: int) -> str:
    """Set a modification time later than ``after_ns`` and return the ETag."""
    # Two writes of equal size within the clock's resolution would have the same ETag. The step is
    # raised until the filesystem, which may round times down, keeps a later one.
    modified_ns = time.time_ns()
    for step_ns in _TIME_STEPS_NS:
        modified_ns = max(modified_ns, after_ns + step_ns)
        os.utime(path, ns=(modified_ns, modified_ns))
        status = path.stat()
        if status.st_mtime_ns > after_ns:
            break
    return file_etag(status)


def remove_stale(path: Path) -> None:
    """Remove a temporary file older than `STALE_S`; younger ones may have a live writer."""
    with suppress(OSError):
        if path.suffix == ".tmp" and time.time() - path.stat().st_mtime > STALE_S:
            path.unlink()


def remove_empty_folders(path: Path, root: Path) -> None:
    """Remove a folder and its parents below the root as long as they are empty."""
    with suppress(OSError):
        while path != root:
            path.rmdir()
            path = path.parent
