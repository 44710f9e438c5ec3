"""A stored object as a seekable file, read by ranges and never held in memory completely.

Parquet readers jump to the footer, then read one stream per column, in many small steps. So a read
that continues where an earlier one ended fetches at least ``SMALLEST_FETCH_BYTES``, so that small
page headers do not cost a request each, and makes the file fetch the next piece of that stream in
the background. Other reads fetch their bytes only. No byte is fetched ahead twice, so that reading
a whole object fetches it once.
"""

import io
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from gigacast.storage.store import ObjectMeta, Store

# The answer to a single GET is copied once more into Python's memory, so one large GET is slow
# (200 MiB: half the speed of boto3, docs/decisions/0002-object-store-client.md). Ranges of at most
# 8 MiB, four at a time, are fetched side by side instead.
SMALLEST_FETCH_BYTES = 1 << 20
LARGEST_FETCH_BYTES = 8 << 20
TAIL_BYTES = 64 << 10  # fetched at the end of the object, where readers find the footer
AHEAD_BYTES = 4 << 20  # size of a piece that is fetched ahead
KEPT_BYTES = 64 << 20  # fetched pieces in memory, per open file
_THREADS = 4
_STREAMS = 64  # remembered ends of reads; files with more columns get no read-ahead


@dataclass(slots=True, eq=False)
class _Piece:
    start: int
    stop: int
    content: "Future[bytes]"
    unread_bytes: int


class RangeFile(io.RawIOBase):
    """A read-only file over range requests to one version of an object.

    It keeps at most ``KEPT_BYTES`` in memory, besides the result of a read.

    Parameters
    ----------
    store : Store
        Store of the object.
    meta : ObjectMeta
        Metadata of the object. Every request carries its ETag as If-Match, so that the file never
        mixes two versions.
    smallest_bytes : int, optional
        Minimum bytes per request; ``SMALLEST_FETCH_BYTES`` by default.
    ahead : bool
        Whether to fetch ahead of sequential reads.

    Raises
    ------
    PreconditionFailedError
        From a read, if the object has been replaced.
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
        self._fetched: list[tuple[int, int]] = []
        self._ends: deque[int] = deque(maxlen=_STREAMS)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="gigacast-range")

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
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
        """Return ``size`` bytes, fewer only at the end of the file."""
        if self.closed:
            raise ValueError("the file is closed")
        start, end = self._position, self._meta.size_bytes
        stop = end if size is None or size < 0 else min(end, start + size)
        if start >= stop:
            return b""
        content = b"".join(self._collect(start, stop))
        self._position = stop
        self._forget_used()
        self._read_ahead(start, stop)
        self._forget_oldest()
        return content

    def readall(self) -> bytes:
        """Return all bytes from the position to the end."""
        return self.read(-1)

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        """Fill a buffer and return the number of bytes, fewer only at the end of the file."""
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        """Drop the fetched pieces and cancel the requests that have not begun."""
        # Running requests are not waited for: their answers are dropped with the pool.
        if not self.closed:
            self._pieces.clear()
            self._pool.shutdown(wait=False, cancel_futures=True)
        super().close()

    def _collect(self, start: int, stop: int) -> list[memoryview]:
        """Return the parts of a range; those not in memory are fetched side by side."""
        pieces: list[tuple[int, _Piece]] = []
        position, continues = start, start in self._ends
        # All requests begin before the first result is waited for.
        while position < stop:
            piece = self._piece_at(position) or self._fetch(position, stop, continues=continues)
            pieces.append((position, piece))
            piece.unread_bytes -= min(stop, piece.stop) - position
            position = piece.stop
        return [
            memoryview(piece.content.result())[position - piece.start : stop - piece.start]
            for position, piece in pieces
        ]

    def _piece_at(self, position: int) -> _Piece | None:
        return next((p for p in self._pieces if p.start <= position < p.stop), None)

    def _fetch(self, start: int, stop: int, *, continues: bool) -> _Piece:
        """Start to fetch a range up to the next piece in memory or the largest request."""
        stop = least = min(stop, start + LARGEST_FETCH_BYTES)
        # A lone read, as of the ids alone, gets its bytes only: what is around them may never be
        # read. Without read-ahead lone reads are small headers.
        smallest = self._smallest_bytes if continues or not self._ahead else 0
        if stop == self._meta.size_bytes:
            smallest = min(self._smallest_bytes, TAIL_BYTES)
        if stop - start < smallest:
            stop = min(self._meta.size_bytes, start + smallest)
            # At the end of the file the piece is extended to the left: Parquet readers begin with
            # the last bytes, and the footer lies before them.
            begin = max(0, stop - smallest)
            start = min(start, max([begin, *(p.stop for p in self._pieces if p.stop <= start)]))
            stop = max(least, self._next_fetched(start, stop))
        # Nothing that is in memory is fetched again.
        stop = min([stop, *(p.start for p in self._pieces if p.start > start)])
        self._fetched.append((start, stop))
        content = self._pool.submit(self._get, start, stop)
        piece = _Piece(start, stop, content, stop - start)
        self._pieces.append(piece)
        return piece

    def _next_fetched(self, start: int, stop: int) -> int:
        """Return the first byte of a range that was fetched before, or its end."""
        return min([stop, *(max(a, start) for a, b in self._fetched if a < stop and b > start)])

    def _get(self, start: int, stop: int) -> bytes:
        return self._store.get(self._meta.key, if_match=self._meta.etag, start=start, stop=stop)

    def _read_ahead(self, start: int, stop: int) -> None:
        """Fetch the next piece of a stream if this read continued an earlier one."""
        if self._ahead and start in self._ends:
            self._ends.remove(start)
            ahead = stop
            while (piece := self._piece_at(ahead)) is not None:
                ahead = piece.stop
            # Half a piece is still unread when the next one is requested, so that decoding and
            # fetching overlap.
            is_low = ahead < min(self._meta.size_bytes, stop + AHEAD_BYTES // 2)
            if is_low and self._size_in_memory() + AHEAD_BYTES <= KEPT_BYTES:
                limit = min(self._meta.size_bytes, ahead + AHEAD_BYTES)
                # Columns are read side by side, so what is ahead of one may have been read.
                if (limit := self._next_fetched(ahead, limit)) > ahead:
                    self._fetch(ahead, limit, continues=False)
        self._ends.append(stop)

    def _forget_used(self) -> None:
        """Drop the pieces of which as many bytes were read as they have."""
        # The last piece is kept: a Parquet reader returns to it, first for the footer's length,
        # then for the footer.
        end = self._meta.size_bytes
        for piece in [p for p in self._pieces if p.unread_bytes <= 0 and p.stop != end]:
            self._pieces.remove(piece)

    def _forget_oldest(self) -> None:
        while self._size_in_memory() > KEPT_BYTES:
            self._pieces.popleft()

    def _size_in_memory(self) -> int:
        return sum(piece.stop - piece.start for piece in self._pieces)
