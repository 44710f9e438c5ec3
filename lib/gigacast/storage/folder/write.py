"""Writing files so that readers see all of a file or nothing of it.

A temporary file beside the target (so on the same filesystem, whatever is mounted where) is
written, flushed to disk and renamed over it, under a lock on the folder that holds both. The lock
makes check-then-write one step between threads and processes, and lets every rewrite get a
modification time later than the one before: the ETag is made of it.

The content is fsynced, the folder is not: after a power failure a name may still lead to the old
content, which costs a recomputation, but never to a part of the new one.
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

RESERVED = ".gigacast."  # names that start so are ours: temporary files and the lock
STALE_S = 24 * 3600.0  # no writer takes a day for one object
_LOCK_FILE = f"{RESERVED}lock"
_NO_FOLDER_LOCKS = (errno.EBADF, errno.EINVAL, errno.ENOTSUP, errno.EACCES)
_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
_KERNEL_BYTES = 1 << 30
_CREATE_ATTEMPTS = 20
_TIME_STEPS_NS = (1, 1_000, 1_000_000, 1_000_000_000, 2_000_000_000)


def file_etag(found: os.stat_result) -> str:
    """Return the ETag of a file: its size and its time of modification."""
    return f"{found.st_size:x}-{found.st_mtime_ns:x}"


@contextmanager
def temporary_beside(target: Path, content: bytes | Path, *, moved: bool = False) -> Iterator[Path]:
    """Yield a flushed temporary file with the content beside ``target``; it is gone at the end.

    A local file that is ``moved`` lends itself, where it lies on the same disk.
    """
    path = target.with_name(f"{RESERVED}{secrets.token_hex(8)}.tmp")
    try:
        if not (moved and isinstance(content, Path) and _link(content, path)):
            _write(path, content)
        yield path
    finally:
        path.unlink(missing_ok=True)


def _link(source: Path, path: Path) -> bool:
    """Give a file another name, and tell whether that could be done; it is flushed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if _bequeaths(path.parent):
            return False
        path.hardlink_to(source)
    except FileExistsError:
        return path.samefile(source)  # a network filesystem asked twice, and the first did it
    except OSError:
        return False  # another disk, or no links: what is wrong beside shows when it is copied
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    return True


def _bequeaths(folder: Path) -> bool:
    """Tell whether new files get their group or their rights from a folder."""
    if folder.stat().st_mode & stat.S_ISGID:
        return True
    if not hasattr(os, "getxattr"):
        return True
    try:
        return bool(os.getxattr(folder, "system.posix_acl_default"))
    except OSError:  # none, or a filesystem that knows none
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
    """Copy a local file, within the kernel where it can: that shares blocks on some filesystems."""
    with source.open("rb", buffering=0) as file:
        within_kernel = getattr(os, "copy_file_range", None)
        with suppress(OSError):  # what is left is copied by hand, and fails there if it must
            while within_kernel and within_kernel(file.fileno(), target.fileno(), _KERNEL_BYTES):
                pass
        shutil.copyfileobj(file, target, 1 << 20)


def _create(path: Path) -> int:
    """Create a file and the folders above it, which a racing delete may be clearing away."""
    for _ in range(_CREATE_ATTEMPTS):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:
            continue  # cleared away between two steps
        except FileExistsError:
            if path.parent.exists() and not path.parent.is_dir():
                raise  # a file is where a folder must be; else the folder was cleared away just now
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))


@contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """Hold the folder's lock: one thread of one process at a time.

    The folder itself is locked, so nothing is left behind. Network filesystems that lock only
    what is open for writing get a hidden lock file instead.
    """
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
    """Rename over the target, which gets a later time than it had; return the ETag.

    The folder's lock must be held.
    """
    etag = _stamp(temporary, after_ns=_modified_ns(target))
    temporary.replace(target)
    return etag


def publish_new(temporary: Path, target: Path) -> str:
    """Give the file its name unless something has it; return the ETag.

    The folder's lock must be held, for filesystems without hard links.

    Raises
    ------
    FileExistsError
    """
    etag = _stamp(temporary, after_ns=0)
    try:
        target.hardlink_to(temporary)
    except FileExistsError:
        if not target.samefile(temporary):  # else a network filesystem asked twice
            raise
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
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
    """Set a modification time after the given one, as coarse as the filesystem keeps it."""
    wanted_ns = time.time_ns()
    for step_ns in _TIME_STEPS_NS:
        wanted_ns = max(wanted_ns, after_ns + step_ns)
        os.utime(path, ns=(wanted_ns, wanted_ns))
        found = path.stat()
        if found.st_mtime_ns > after_ns:
            break
    return file_etag(found)


def remove_stale(path: Path) -> None:
    """Remove a temporary file whose writer was killed; a young one may still be written."""
    with suppress(OSError):
        if path.suffix == ".tmp" and time.time() - path.stat().st_mtime > STALE_S:
            path.unlink()


def remove_empty_folders(path: Path, root: Path) -> None:
    """Remove a folder and its parents below the root while they are empty."""
    with suppress(OSError):
        while path != root:
            path.rmdir()
            path = path.parent
