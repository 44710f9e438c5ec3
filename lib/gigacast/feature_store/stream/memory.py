"""Streams in the memory of the process, and of lines of a file such as standard input."""

import queue
import threading
from collections.abc import Mapping, Sequence
from typing import BinaryIO

from gigacast.feature_store.stream.stream import Record, is_after


class MemoryStream:
    """Records in lists, a list per partition.

    Parameters
    ----------
    name : str
    partitions : mapping of str to list of bytes
        Values of the partitions; a value's position is its number, from 0 on.
    """

    def __init__(self, name: str, partitions: Mapping[str, list[bytes]]) -> None:
        self.name = name
        self.partitions = partitions
        self._next = dict.fromkeys(partitions, 0)

    def seek(self, positions: Mapping[str, str]) -> None:
        """Go on after positions; see `Stream.seek`."""
        self._next = {name: int(positions.get(name, "-1")) + 1 for name in self.partitions}

    def read(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        """Return the next records, of all partitions in turn; see `Stream.read`."""
        records: list[Record] = []
        for name, values in self.partitions.items():
            start = self._next.setdefault(name, 0)
            stop = min(start + max_records - len(records), len(values))
            records += [Record(name, str(n), values[n]) for n in range(start, stop)]
            self._next[name] = max(start, stop)
        return records

    @property
    def is_ended(self) -> bool:
        """Whether every record was read."""
        return all(self._next.get(n, 0) >= len(v) for n, v in self.partitions.items())

    def close(self) -> None:
        """Do nothing."""


class LineStream:
    """The lines of a file that may still grow, such as standard input.

    Lines have no place that a restart could go on from, so each run is a partition of its own: a
    line that is given twice counts twice.

    Parameters
    ----------
    file : binary file
    name : str
        Name of the run.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._count = 0
        self._is_ended = False
        # A read of a terminal cannot be given up after some time: a thread waits in it.
        reader = threading.Thread(target=self._read, args=(file,), daemon=True)
        reader.start()

    def seek(self, positions: Mapping[str, str]) -> None:
        """Skip lines up to a position; see `Stream.seek`."""
        while not is_after(str(self._count), positions.get(self.name)):
            self._count += 1

    def read(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        """Return the next lines; see `Stream.read`."""
        records: list[Record] = []
        wait = timeout_s
        while len(records) < max_records and not self._is_ended:
            try:
                line = self._lines.get(timeout=wait) if wait else self._lines.get_nowait()
            except queue.Empty:
                break
            wait = 0  # what is there already is taken with the first line
            if line is None:
                self._is_ended = True
            elif line.strip():
                records.append(Record(self.name, str(self._count), line.strip()))
                self._count += 1
        return records

    @property
    def is_ended(self) -> bool:
        """Whether the file ended."""
        return self._is_ended

    def close(self) -> None:
        """Do nothing: the file is the caller's."""

    def _read(self, file: BinaryIO) -> None:
        for line in file:
            self._lines.put(line)
        self._lines.put(None)
