"""An iterator that runs in a thread ahead of its reader.

The thread waits for the network or the disk while the reader computes. It stays at most a few items
ahead, which bounds the memory.
"""

import contextlib
import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Prefetched(Generic[T]):
    """Runs an iterator in a thread, at most ``ahead`` items ahead of its reader.

    An error of the iterator is raised in the reader, after the items before it. `close` stops the
    thread.
    """

    def __init__(self, source: Iterable[T], ahead: int) -> None:
        self._queue: queue.Queue[tuple[bool, T | BaseException | None]] = queue.Queue(ahead)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._fill, args=(source,), daemon=True)
        self._thread.start()

    def _fill(self, source: Iterable[T]) -> None:
        try:
            for item in source:
                if not self._offer((True, item)):
                    return
            self._offer((False, None))
        # All errors, SystemExit too: a reader that gets none would wait for the next item forever.
        except BaseException as error:
            self._offer((False, error))
        finally:
            # A generator that is stopped early must clean up in the thread that ran it.
            with contextlib.suppress(AttributeError):
                source.close()  # type: ignore[attr-defined]

    def _offer(self, entry: tuple[bool, T | BaseException | None]) -> bool:
        # A blocking put() would never notice `close` when the reader has stopped reading.
        while not self._closed.is_set():
            try:
                self._queue.put(entry, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False

    def __iter__(self) -> Iterator[T]:
        while True:
            more, item = self._queue.get()
            if not more:
                if item is not None:
                    raise item  # type: ignore[misc]
                return
            yield item  # type: ignore[misc]

    def close(self) -> None:
        """Stop the thread and drop the items it has fetched."""
        self._closed.set()
        # The queue is emptied, so that a thread that waits for room wakes up at once.
        while self._thread.is_alive():
            try:
                self._queue.get_nowait()
            except queue.Empty:
                self._thread.join(timeout=0.2)

    def __enter__(self) -> "Prefetched[T]":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
