"""Iterators that run ahead of their reader.

What waits for the network or the disk goes on in a thread while its reader works; the thread stays
a few items ahead and no more, which bounds the memory.
"""

import contextlib
import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Prefetched(Generic[T]):
    """Runs an iterator in a thread that stays at most ``ahead`` items in front of its reader.

    An error of the iterator is raised to the reader in its place. `close` stops the thread.
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
        except BaseException as error:
            self._offer((False, error))
        finally:
            # A generator that was left early cleans up here, in the thread that ran it.
            with contextlib.suppress(AttributeError):
                source.close()  # type: ignore[attr-defined]

    def _offer(self, entry: tuple[bool, T | BaseException | None]) -> bool:
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
        """Stop the thread; what it has fetched is dropped."""
        self._closed.set()
        while self._thread.is_alive():
            try:
                self._queue.get_nowait()
            except queue.Empty:
                self._thread.join(timeout=0.2)

    def __enter__(self) -> "Prefetched[T]":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
