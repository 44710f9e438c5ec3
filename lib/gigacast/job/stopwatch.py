"""Seconds by stage of one task."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Stopwatch:
    """Seconds by stage; stages run in several threads."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def measure(self, stage: str, besides: str | None = None) -> Iterator[None]:
        """Add the time of a block to a stage, less what it spent in the stage ``besides``."""
        start = time.perf_counter()
        nested = self.seconds.get(besides, 0.0) if besides else 0.0
        try:
            yield
        finally:
            elapsed = time.perf_counter() - start
            if besides:
                elapsed -= self.seconds.get(besides, 0.0) - nested
            with self._lock:
                self.seconds[stage] = self.seconds.get(stage, 0.0) + elapsed

    def each(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """Pass items on and add the time their making takes to a stage."""
        iterator = iter(items)
        while True:
            with self.measure(stage):
                item = next(iterator, None)
            if item is None:
                return
            yield item

    def rounded(self) -> dict[str, float]:
        """Return the seconds by stage, to the millisecond."""
        return {stage: round(seconds, 3) for stage, seconds in self.seconds.items()}
