"""The listing of a folder in key order.

Only the names of the current folder and its parents are in memory, sorted by their UTF-8 bytes. A
subfolder is sorted as its name with a slash, so that ``a-b`` and ``a.b`` come before ``a/b``, as on
S3. Folders that cannot contain a match are not opened.
"""

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from gigacast.storage.folder.write import RESERVED, file_etag, remove_stale
from gigacast.storage.key import is_usable
from gigacast.storage.store import ObjectMeta

_log = logging.getLogger(__name__)


def walk_folder(root: Path, prefix: str = "", start_after: str = "") -> Iterator[ObjectMeta]:
    """Yield the files below ``root`` whose key starts with ``prefix``, in key order.

    Links to folders are not followed. Links to files are, if the files are below the root.
    """
    base, slash, _ = prefix.rpartition("/")
    if slash and not is_usable(base):
        return iter(())
    folder = root / base
    if slash and not _stays_inside(root, folder):
        return iter(())
    return _walk(root, folder, base + slash, prefix, start_after)


def list_level(root: Path, prefix: str) -> tuple[list[str], list[ObjectMeta]]:
    """Return the non-empty folders and the objects directly below a folder prefix."""
    base = prefix.rstrip("/")
    if base and not (is_usable(base) and _stays_inside(root, root / base)):
        return [], []
    folders, objects = [], []
    for name, entry in _sorted_entries(root, root / base):
        key = prefix + name
        if not name.endswith("/"):
            objects.extend(_describe(key, entry))
        # As on S3, a folder exists only if it contains an object, however deep.
        elif any(_walk(root, Path(entry.path), key, key, "")):
            folders.append(key)
    return folders, objects


def _walk(
    root: Path, folder: Path, folder_key: str, prefix: str, start_after: str
) -> Iterator[ObjectMeta]:
    for name, entry in _sorted_entries(root, folder):
        key = folder_key + name
        if not _may_match(key, prefix, start_after):
            continue
        if name.endswith("/"):
            yield from _walk(root, Path(entry.path), key, prefix, start_after)
        else:
            yield from _describe(key, entry)


def _may_match(key: str, prefix: str, start_after: str) -> bool:
    """Check that a file matches, or that a folder (ending in ``/``) may contain a match."""
    if key.endswith("/"):
        inside = key.startswith(prefix) or prefix.startswith(key)
        return inside and (key > start_after or start_after.startswith(key))
    return key.startswith(prefix) and key > start_after


def _sorted_entries(root: Path, folder: Path) -> list[tuple[str, os.DirEntry[str]]]:
    """Return the usable names of a folder in key order; names of subfolders end in a slash."""
    named = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if name := _key_part(root, entry):
                    named.append((name, entry))
    except (FileNotFoundError, NotADirectoryError):
        return []  # deleted since its parent was read
    # Python compares strings by code point, which is the order of their UTF-8 bytes.
    named.sort(key=lambda pair: pair[0])
    return named


def _key_part(root: Path, entry: os.DirEntry[str]) -> str | None:
    if entry.name.startswith(RESERVED):
        remove_stale(Path(entry.path))
        return None
    if not is_usable(entry.name):
        _log.warning("skipped %r: its name cannot be a key", entry.path)
        return None
    if entry.is_symlink() and not _is_file_inside(root, entry):
        _log.warning("skipped %r: it links to a folder or out of the store's folder", entry.path)
        return None
    return f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name


def _is_file_inside(root: Path, entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file() and _stays_inside(root, Path(entry.path))
    except OSError:  # a circle of links
        return False


def _stays_inside(root: Path, path: Path) -> bool:
    try:
        return path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # before Python 3.13 a circle of links is a RuntimeError
        return False


def _describe(key: str, entry: os.DirEntry[str]) -> list[ObjectMeta]:
    """Return the object of an entry, or nothing if it is gone or not a regular file."""
    try:
        status = entry.stat()
    except FileNotFoundError:
        return []
    if not stat.S_ISREG(status.st_mode):
        return []
    return [ObjectMeta(key, file_etag(status), status.st_size, status.st_mtime_ns)]
