"""Files that Arrow reads ahead of the program, in a thread of its own.

Arrow goes on to read where a table is left before its end, as after a refusal. Python aborts the
process (exit code 134) if such a thread comes back from a file of Python while the interpreter
ends. So these reads are ended first.
"""

import atexit
import threading
import time
from typing import Any

import pyarrow as pa

_LONGEST_S = 30.0
"""How long the end of the process waits for reads that are under way, as over a network."""
_PAUSE_S = 0.01
"""How long no read begins before Arrow counts as done with its files."""


class _Reads:
    """The reads of all files that are under way."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._under_way = 0
        self._begun = 0
        self._is_ending = False
        self.unfinished = 0
        """Number of files whose end nobody has read."""

    def begin(self) -> bool:
        """Count a read; return False once the process ends."""
        with self._changed:
            self._begun += 1
            if self._is_ending:
                return False
            self._under_way += 1
            return True

    def end(self, *, is_last: bool) -> None:
        """Count a read as done."""
        with self._changed:
            self._under_way -= 1
            self.unfinished -= is_last
            self._changed.notify_all()

    def finish(self) -> None:
        """Wait for the reads under way, and until Arrow begins no more."""
        if not self.unfinished:
            return
        until = time.monotonic() + _LONGEST_S
        with self._changed:
            self._is_ending = True
        begun = -1
        while begun != self._begun and time.monotonic() < until:
            begun = self._begun
            with self._changed:
                self._changed.wait_for(lambda: not self._under_way, until - time.monotonic())
            time.sleep(_PAUSE_S)


_READS = _Reads()
atexit.register(_READS.finish)


class AheadFile:
    """A binary file of Python whose reads end before the process does."""

    closed = False

    def __init__(self, file: Any) -> None:
        self._file = file
        self._has_ended = False
        _READS.unfinished += 1

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; none once the process ends."""
        if not _READS.begin():
            return b""
        is_last = False
        try:
            content = bytes(self._file.read(size))
            is_last = not content and not self._has_ended
            self._has_ended |= not content
            return content
        finally:
            _READS.end(is_last=is_last)

    def close(self) -> None:
        """Do nothing: who has opened the file closes it."""


def ahead(file: Any) -> Any:
    """Return a file for Arrow to read ahead; its own files need no interpreter."""
    return file if isinstance(file, pa.NativeFile) else AheadFile(file)
