"""The folder of a run for all its temporary files: spills, drafts, pools, staged versions.

A killed process removes nothing. So every file of a run is below one folder in ``TMPDIR``, and the
next run of the same user removes the folders whose run has ended. A run is alive as long as a
process of it has its lock, which the kernel releases however the process ends; a process id alone
could belong to a later process.
"""

import fcntl
import os
import platform
import shutil
import stat
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

PREFIX = "gigacast-run-"
"""Beginning of the names of these folders."""
LOCK = "lock"
_CREATING_S = 3600.0  # between making the folder and its lock file there are microseconds

_guard = threading.RLock()


class _Shared:
    """The folder of this process, its lock, and the number of its users."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self.lock: int | None = None
        self.users = 0
        self.pid = 0
        self.is_joined = False
        self.swept: set[str] = set()


_shared = _Shared()


class ScratchFolder:
    """An empty folder within the folder of the run; a context manager that removes it.

    Parameters
    ----------
    label : str
        Beginning of its name.
    parent : Path, optional
        Folder to make it in instead; that of the run by default.

    Raises
    ------
    OSError
        If it cannot be made.
    """

    def __init__(self, label: str, parent: Path | None = None) -> None:
        self._is_shared = parent is None
        folder = _claim() if parent is None else parent
        try:
            self.path = Path(tempfile.mkdtemp(prefix=f"{label}-", dir=folder))
        except BaseException:
            self._release()
            raise

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the folder with its files. A second call does nothing."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._release()

    def _release(self) -> None:
        if self._is_shared:
            self._is_shared = False
            _release()


class FolderBeside:
    """A folder beside a file that is being made, on its disk; a context manager that removes it.

    Those of killed processes of this user and machine are removed first.

    Parameters
    ----------
    parent : Path
        Folder that exists.
    prefix : str
        Beginning of its name, which must be of this package alone.

    Raises
    ------
    OSError
        If it cannot be made.
    """

    def __init__(self, parent: Path, prefix: str) -> None:
        self._parent = parent
        self._prefix = prefix

    def __enter__(self) -> Path:
        sweep(self._parent, self._prefix)
        self._path, self._lock_fd = _create(self._parent, self._prefix)
        return self._path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._path, ignore_errors=True)
        if self._lock_fd is not None:
            os.close(self._lock_fd)


class ScratchHold:
    """Keeps the folder of the run for the time of a ``with`` block; a context manager."""

    def __enter__(self) -> Self:
        # A run begins by clearing up, also one that will write no temporary file itself.
        self._path = _claim()
        return self

    def __exit__(self, *_: object) -> None:
        _release()

    @property
    def path(self) -> Path:
        """The folder of the run."""
        return self._path


def join_run(folder: Path) -> None:
    """Use the folder of the run that started this process.

    Parameters
    ----------
    folder : Path
        ``ScratchHold.path`` of the process that started this one.
    """
    with _guard:
        if (lock := _lock(folder / LOCK)) is not None:
            _shared.path, _shared.lock, _shared.pid = folder, lock, os.getpid()
            _shared.is_joined = True


def leave_run() -> None:
    """Give up the folder of a run that has been killed; the last of its processes removes it."""
    with _guard:
        path, lock = _shared.path, _shared.lock
        if path is not None and lock is not None and _shared.is_joined:
            os.close(lock)
            _shared.lock = None
            with suppress(OSError):
                _remove_if_ended(path)


def _claim() -> Path:
    """Return the folder of this process, made for its first user."""
    with _guard:
        if _shared.pid != os.getpid():
            # After a fork the folder belongs to the parent, which removes it.
            _shared.path, _shared.lock, _shared.users, _shared.is_joined = None, None, 0, False
            _shared.pid = os.getpid()
        if _shared.path is None:
            root = tempfile.gettempdir()
            if root not in _shared.swept:
                _shared.swept.add(root)
                sweep(Path(root))
            _shared.path, _shared.lock = _create(Path(root))
        _shared.users += 1
        return _shared.path


def _release() -> None:
    with _guard:
        _shared.users -= 1
        if _shared.users or _shared.is_joined or _shared.pid != os.getpid():
            return
        path, lock = _shared.path, _shared.lock
        _shared.path = _shared.lock = None
        if path is not None:
            shutil.rmtree(path, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _create(root: Path, prefix: str = PREFIX) -> tuple[Path, int | None]:
    while True:
        # Made by mkdtemp: for this user alone, under a name that nobody can have prepared.
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=root))
        try:
            (path / LOCK).write_text(platform.node())
        except BaseException:
            # On a full disk: nobody could tell later whose folder it was.
            shutil.rmtree(path, ignore_errors=True)
            raise
        lock = _lock(path / LOCK)
        # A run that began at the same moment may have swept the folder before it was locked.
        if (path / LOCK).exists():
            return path, lock
        if lock is not None:
            os.close(lock)


def _lock(path: Path) -> int | None:
    """Return a descriptor with a shared lock; ``None`` where files cannot be locked."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # Shared, so that worker processes keep the folder of their run as well.
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def sweep(root: Path, prefix: str = PREFIX) -> None:
    """Remove the folders of this user's runs in ``root`` that have ended.

    Folders of other users and of other machines stay, and everything that is no real folder.
    """
    with suppress(OSError):
        for path in root.glob(f"{prefix}*"):
            with suppress(OSError):
                if _is_ours(path):
                    _remove_if_ended(path)


def _is_ours(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()


def _remove_if_ended(path: Path) -> None:
    lock = path / LOCK
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        _remove_if_old(path)
        return
    try:
        machine = os.read(descriptor, 1024).decode(errors="replace")
        if not machine:
            _remove_if_old(path)
        # On a network disk the locks of other machines may be unknown to this one.
        if machine != platform.node():
            return
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(descriptor)


def _remove_if_old(path: Path) -> None:
    """Remove a folder whose run was killed before its lock was made, or is making it just now."""
    if time.time() - path.stat().st_mtime > _CREATING_S:
        shutil.rmtree(path, ignore_errors=True)
