"""Cache of decoded rows on the local disk.

The name of an entry is a digest of the object's address, key and ETag, and of the part that was
read. An object that changes has another ETag, so no entry becomes stale. Entries end in a checksum:
a damaged or truncated entry is a miss and is removed. Any number of processes may share a folder,
which stays within its limit: the entries used longest ago are removed first.
"""

import hashlib
import os
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import pyarrow as pa

from gigacast.core.digest import digest_value
from gigacast.storage.store import ObjectMeta, StoreAddress

FORMAT = 1  # part of every name: entries of another form are never read
_ENDING = ".rows"
_SCRATCH = ".writing-"
_STALE_S = 3600.0  # age from which an unfinished file belongs to a killed process
_CHECKSUM_BYTES = 16


@dataclass(slots=True)
class CacheStats:
    """Statistics of a cache in this process.

    Parameters
    ----------
    hits, misses : int
    stored, evicted : int
        Number of entries written, and of entries removed to make room.
    damaged : int
        Number of truncated or changed entries, which were removed.
    failures : int
        Number of entries that could not be written: the disk is full, or the folder read-only.
    """

    hits: int = 0
    misses: int = 0
    stored: int = 0
    evicted: int = 0
    damaged: int = 0
    failures: int = 0

    @property
    def hit_rate(self) -> float:
        """Share of hits, 0 to 1; 0 without lookups."""
        lookups = self.hits + self.misses
        return self.hits / lookups if lookups else 0.0


def entry_name(address: StoreAddress, source: ObjectMeta, part: Sequence[object]) -> str:
    """Return the name of the entry for a part of one version of an object.

    Parameters
    ----------
    address : StoreAddress
    source : ObjectMeta
    part : sequence
        JSON-able description of the part, such as its columns.
    """
    version = [address.url, address.endpoint_url, source.key, source.etag, source.size_bytes]
    return digest_value([FORMAT, *version, *part], length=40)


class TableCache:
    """A folder of decoded rows.

    Parameters
    ----------
    folder : Path
        Created when the first entry is stored.
    limit_bytes : int
        Maximum bytes of all entries.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.stats = CacheStats()
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._lock = Lock()

    def get(self, name: str) -> pa.Table | None:
        """Return an entry; ``None`` if there is none, or it is damaged."""
        path = self._path(name)
        table = None
        with suppress(OSError):
            content = path.read_bytes()
            table = _decode(content)
            if table is None:
                path.unlink()
                self._count("damaged")
            else:
                os.utime(path)  # entries used longest ago are removed first
        self._count("misses" if table is None else "hits")
        return table

    def put(self, name: str, table: pa.Table) -> None:
        """Store an entry, and make room for it. An entry larger than the limit is not stored."""
        content = _encode(table)
        size_bytes = content.size + _CHECKSUM_BYTES
        if size_bytes > self._limit_bytes:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._make_room(size_bytes)
            self._publish(self._path(name), content)
        except OSError:
            self._count("failures")  # the caller has its rows: a full disk is no error
        else:
            self._count("stored")

    def _publish(self, path: Path, content: pa.Buffer) -> None:
        # Written under another name and renamed, so that no process reads a part of an entry.
        scratch = self._folder / f"{_SCRATCH}{secrets.token_hex(8)}"
        try:
            with scratch.open("xb") as file:
                file.write(content)
                file.write(_checksum(content))
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)

    def _make_room(self, needed_bytes: int) -> None:
        """Remove the entries used longest ago, and the unfinished files of killed processes."""
        entries = sorted(self._entries())
        # Other processes add entries too, so the folder is listed each time.
        total = sum(size_bytes for _, size_bytes, _ in entries) + needed_bytes
        # Entries come oldest first, so eviction ends with the first that fits. Unfinished files are
        # removed only when they are so old that their writer must have been killed.
        for used_at, size_bytes, path in entries:
            abandoned = path.name.startswith(_SCRATCH) and time.time() - used_at > _STALE_S
            fits = total <= self._limit_bytes
            if not abandoned and (fits or path.name.startswith(_SCRATCH)):
                continue
            with suppress(OSError):  # another process has removed it
                path.unlink()
                self._count("evicted")
            total -= size_bytes

    def _entries(self) -> list[tuple[float, int, Path]]:
        entries = []
        with os.scandir(self._folder) as listing:
            for entry in listing:
                if not entry.name.endswith(_ENDING) and not entry.name.startswith(_SCRATCH):
                    continue
                with suppress(OSError):
                    stat = entry.stat()
                    entries.append((stat.st_mtime, stat.st_size, Path(entry.path)))
        return entries

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{_ENDING}"

    def _count(self, field: str) -> None:
        with self._lock:
            setattr(self.stats, field, getattr(self.stats, field) + 1)


def _encode(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _checksum(content: pa.Buffer | memoryview) -> bytes:
    return hashlib.blake2b(content, digest_size=_CHECKSUM_BYTES).digest()


def _decode(content: bytes) -> pa.Table | None:
    """Return the rows of an entry; ``None`` if its checksum does not match."""
    body = memoryview(content)[:-_CHECKSUM_BYTES]
    if len(content) <= _CHECKSUM_BYTES or _checksum(body) != content[-_CHECKSUM_BYTES:]:
        return None
    with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
        return reader.read_all()
