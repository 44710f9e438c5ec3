"""Lines of a CSV file, counted while it is read."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

_LINE_FEED, _RETURN = 10, 13


class CountedFile:
    """A binary file that counts the lines that are not empty.

    Parameters
    ----------
    file : file
        Binary file.

    Attributes
    ----------
    lines : int
        Lines so far that are not empty; the last one counts even if it does not end.
    """

    closed = False

    def __init__(self, file: Any) -> None:
        self._file = file
        self._ended = 0
        self._open = b""  # what is behind the last line feed, as far as it matters

    @property
    def lines(self) -> int:
        """Return the number of lines so far."""
        return self._ended + bool(self._open.strip(b"\r"))

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        content = bytes(self._file.read(size))
        if content:
            self._count(content)
        return content

    def close(self) -> None:
        """Do nothing: who has opened the file closes it."""

    @contextmanager
    def again(self, encoding: str) -> Iterator[io.TextIOWrapper | None]:
        """Open the lines of the file from its start, as text; a context manager.

        It gives ``None`` for files that can be read once.
        """
        if not self._file.seekable():
            yield None
            return
        self._file.seek(0)
        text = io.TextIOWrapper(self._file, encoding, errors="replace", newline="")
        try:
            yield text
        finally:
            text.detach()

    def _count(self, content: bytes) -> None:
        joined = np.frombuffer(self._open + content, np.uint8)
        ends = np.flatnonzero(joined == _LINE_FEED)
        lengths = np.diff(ends, prepend=-1) - 1
        # A line of a carriage return alone is empty, too.
        singles = ends[lengths == 1] - 1
        returns = np.count_nonzero(joined[singles] == _RETURN)
        self._ended += len(ends) - int(np.count_nonzero(lengths == 0)) - int(returns)
        last = joined[ends[-1] + 1 :] if len(ends) else joined
        self._open = last[:2].tobytes()
