"""Decoded rows of objects, kept on this machine.

An entry is known by what it holds: the object's address, its key, its ETag and what was read of it.
An object that changes has another ETag, so that no entry ever becomes stale. Entries are written
aside and renamed, and end in a checksum: what was cut short or damaged is a miss and is removed.
Any number of processes may share a folder, which stays within its limit: what was not used for the
longest time goes first.
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

FORMAT = 1  # goes into every key: another form of entries is another cache
_ENDING = ".rows"
_SCRATCH = ".writing-"
_STALE_S = 3600.0
_CHECKSUM_BYTES = 16


@dataclass(slots=True)
class CacheStats:
    """What a cache was asked for.

    Parameters
    ----------
    hits, misses : int
    stored, evicted : int
        Entries written by this process, and removed by it to make room.
    damaged : int
        Entries that were cut short or changed, and removed.
    failures : int
        Entries that could not be written: the disk is full, or the folder read-only.
    """

    hits: int = 0
    misses: int = 0
    stored: int = 0
    evicted: int = 0
    damaged: int = 0
    failures: int = 0

    @property
    def hit_rate(self) -> float:
        """The share of hits, 0 to 1; 0 when nothing was asked for."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else 0.0


def entry_name(address: StoreAddress, source: ObjectMeta, what: Sequence[object]) -> str:
    """Return the name of what was read of one version of an object.

    Parameters
    ----------
    address : StoreAddress
    source : ObjectMeta
    what : sequence
        JSON-able: columns, for example.
    """
    where = [address.url, address.endpoint_url, source.key, source.etag, source.size_bytes]
    return digest_value([FORMAT, *where, *what], length=40)


class TableCache:
    """A folder of decoded rows.

    Parameters
    ----------
    folder : Path
        Made when something is stored.
    limit_bytes : int
        What all entries may take.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.stats = CacheStats()
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._lock = Lock()

    def get(self, name: str) -> pa.Table | None:
        """Return an entry, whole, or ``None``."""
        path = self._path(name)
        table = None
        with suppress(OSError):
            content = path.read_bytes()
            table = _decode(content)
            if table is None:
                path.unlink()
                self._count("damaged")
            else:
                os.utime(path)  # used just now: it goes last
        self._count("misses" if table is None else "hits")
        return table

    def put(self, name: str, table: pa.Table) -> None:
        """Keep an entry, making room for it; one that would not fit is left out."""
        content = _encode(table)
        size_bytes = content.size + _CHECKSUM_BYTES
        if size_bytes > self._limit_bytes:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._make_room(size_bytes)
            self._publish(self._path(name), content)
        except OSError:
            self._count("failures")  # the rows were read all the same
        else:
            self._count("stored")

    def _publish(self, path: Path, content: pa.Buffer) -> None:
        scratch = self._folder / f"{_SCRATCH}{secrets.token_hex(8)}"
        try:
            with scratch.open("xb") as file:
                file.write(content)
                file.write(_checksum(content))
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)

    def _make_room(self, needed_bytes: int) -> None:
        """Remove the entries used longest ago, and what killed writers left."""
        entries = sorted(self._entries())
        total = sum(size_bytes for _, size_bytes, _ in entries) + needed_bytes
        for used_at, size_bytes, path in entries:
            abandoned = path.name.startswith(_SCRATCH) and time.time() - used_at > _STALE_S
            fits = total <= self._limit_bytes
            if not abandoned and (fits or path.name.startswith(_SCRATCH)):
                continue
            with suppress(OSError):  # another process was first
                path.unlink()
                self._count("evicted")
            total -= size_bytes

    def _entries(self) -> list[tuple[float, int, Path]]:
        found = []
        with os.scandir(self._folder) as listing:
            for entry in listing:
                if not entry.name.endswith(_ENDING) and not entry.name.startswith(_SCRATCH):
                    continue
                with suppress(OSError):
                    stat = entry.stat()
                    found.append((stat.st_mtime, stat.st_size, Path(entry.path)))
        return found

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{_ENDING}"

    def _count(self, what: str) -> None:
        with self._lock:
            setattr(self.stats, what, getattr(self.stats, what) + 1)


def _encode(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _checksum(content: pa.Buffer | memoryview) -> bytes:
    return hashlib.blake2b(content, digest_size=_CHECKSUM_BYTES).digest()


def _decode(content: bytes) -> pa.Table | None:
    """Return the rows of an entry; ``None`` when it is not what was written."""
    body = memoryview(content)[:-_CHECKSUM_BYTES]
    if len(content) <= _CHECKSUM_BYTES or _checksum(body) != content[-_CHECKSUM_BYTES:]:
        return None
    with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
        return reader.read_all()
