"""One stored object as a seekable file that is never held whole.

Parquet readers jump to the footer, then follow one stream per column. So a read fetches what it
asks for (at least a little, so that page headers cost no request each), and a read that goes on
where an earlier one ended makes the file fetch the next piece of that stream in the background.
"""

import io
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from gigacast.storage.store import ObjectMeta, Store

SMALLEST_FETCH_BYTES = 1 << 20
LARGEST_FETCH_BYTES = 8 << 20
AHEAD_BYTES = 4 << 20
KEPT_BYTES = 64 << 20
_THREADS = 4
_STREAMS = 64  # ends of reads remembered: more columns than that are read without read-ahead


class _Piece(NamedTuple):
    start: int
    stop: int
    content: "Future[bytes]"


class RangeFile(io.RawIOBase):
    """A read-only file over ranged reads of one version of an object.

    At most ``KEPT_BYTES`` are held beside what a read returns.

    Parameters
    ----------
    store : Store
    meta : ObjectMeta
        Every read asks for this ETag: the file never mixes two versions.
    smallest_bytes : int, optional
        What a read fetches at least; ``SMALLEST_FETCH_BYTES`` when absent.
    ahead : bool
        Whether to fetch what follows a read that followed another.

    Raises
    ------
    PreconditionFailedError
        From a read, when the object is no longer the one named.
    """

    def __init__(
        self,
        store: Store,
        meta: ObjectMeta,
        *,
        smallest_bytes: int | None = None,
        ahead: bool = True,
    ) -> None:
        self._smallest_bytes = smallest_bytes or SMALLEST_FETCH_BYTES
        self._ahead = ahead
        self._store = store
        self._meta = meta
        self._position = 0
        self._pieces: deque[_Piece] = deque()
        self._ends: deque[int] = deque(maxlen=_STREAMS)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="gigacast-range")

    def readable(self) -> bool:
        """Return true."""
        return True

    def seekable(self) -> bool:
        """Return true."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position and return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._meta.size_bytes}
        self._position = max(0, base[whence] + offset)
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Return as many bytes as asked for, fewer only at the end."""
        if self.closed:
            raise ValueError("the file is closed")
        start, end = self._position, self._meta.size_bytes
        stop = end if size is None or size < 0 else min(end, start + size)
        if start >= stop:
            return b""
        content = b"".join(self._collect(start, stop))
        self._position = stop
        self._forget_used(start, stop)
        self._read_ahead(start, stop)
        self._forget_oldest()
        return content

    def readall(self) -> bytes:
        """Return everything from the position on."""
        return self.read(-1)

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        """Fill a buffer and return the number of bytes, fewer only at the end."""
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        """Drop what was fetched; fetches under way are left to end."""
        if not self.closed:
            self._pieces.clear()
            self._pool.shutdown(wait=False, cancel_futures=True)
        super().close()

    def _collect(self, start: int, stop: int) -> list[memoryview]:
        """Return the parts of a range, fetched side by side where they are not held yet."""
        wanted: list[tuple[int, _Piece]] = []
        position = start
        while position < stop:
            piece = self._held(position) or self._fetch(position, stop)
            wanted.append((position, piece))
            position = piece.stop
        return [
            memoryview(piece.content.result())[position - piece.start : stop - piece.start]
            for position, piece in wanted
        ]

    def _held(self, position: int) -> _Piece | None:
        return next((p for p in self._pieces if p.start <= position < p.stop), None)

    def _fetch(self, start: int, stop: int) -> _Piece:
        """Begin to fetch a range, or its beginning: up to what is held, no more than the most."""
        stop = min([stop, *(p.start for p in self._pieces if p.start > start)])
        stop = min(stop, start + LARGEST_FETCH_BYTES)
        if stop - start < self._smallest_bytes:
            stop = min(self._meta.size_bytes, start + self._smallest_bytes)
            start = max(0, stop - self._smallest_bytes)  # at the end: what lies before the footer
        piece = _Piece(start, stop, self._pool.submit(self._get, start, stop))
        self._pieces.append(piece)
        return piece

    def _get(self, start: int, stop: int) -> bytes:
        return self._store.get(self._meta.key, if_match=self._meta.etag, start=start, stop=stop)

    def _read_ahead(self, start: int, stop: int) -> None:
        """Fetch what follows, when this read itself followed another and there is room."""
        if self._ahead and start in self._ends:
            self._ends.remove(start)
            ahead = stop
            while (piece := self._held(ahead)) is not None:
                ahead = piece.stop
            is_low = ahead < min(self._meta.size_bytes, stop + AHEAD_BYTES // 2)
            if is_low and self._held_bytes() + AHEAD_BYTES <= KEPT_BYTES:
                self._fetch(ahead, min(self._meta.size_bytes, ahead + AHEAD_BYTES))
        self._ends.append(stop)

    def _forget_used(self, start: int, stop: int) -> None:
        """Drop the pieces that were read to their end, but for the footer's."""
        end = self._meta.size_bytes
        for piece in [p for p in self._pieces if start < p.stop <= stop and p.stop != end]:
            self._pieces.remove(piece)

    def _forget_oldest(self) -> None:
        while self._held_bytes() > KEPT_BYTES:
            self._pieces.popleft()

    def _held_bytes(self) -> int:
        return sum(piece.stop - piece.start for piece in self._pieces)
