"""Steps that workers of all jobs share: pinned inputs and the time by stage of a task."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from gigacast.core.partition.task import Task
from gigacast.errors import (
    InputChangedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StorageError,
)
from gigacast.lake.layout import longest_output, receipt_key
from gigacast.storage.key import MAX_KEY_BYTES
from gigacast.storage.store import Store

T = TypeVar("T")


@contextmanager
def inputs_pinned(task: Task) -> Iterator[None]:
    """Raise errors of the store and of the local disk as errors of the task.

    Raises
    ------
    InputChangedError
        When an input is gone or is no longer the object that was planned (its If-Match fails).
    StorageError
        When the local disk can't be written.
    """
    try:
        yield
    # Only local files raise it: a store raises the errors of the package.
    except OSError as error:
        raise StorageError(
            f"{task.partition}: the local disk can't be written: {error.strerror or error}",
            hint="free space, or set TMPDIR to a larger disk",
        ) from error
    except (PreconditionFailedError, ObjectNotFoundError) as error:
        raise InputChangedError(
            f"{task.partition}: an input changed after the plan was made: {error.message}",
            hint="the next run plans it again",
        ) from error


def check_key_length(outputs: Store, task: Task) -> None:
    """Refuse a task whose output or receipt the store could not name, before anything is read.

    Raises
    ------
    StorageError
    """
    key = receipt_key(task.output_key, task.input_id, "")
    name = task.output_key.rpartition("/")[2]
    longest = longest_output(outputs.segment_bytes)
    if len(name.encode()) > longest or len(key.encode()) > MAX_KEY_BYTES:
        raise StorageError(
            f"{task.partition[:80]}...: the name of its forecast has {len(name.encode())} bytes, "
            f"and the key of its receipt {len(key.encode())}; {outputs.address.url} holds names of "
            f"{longest} bytes and keys of {MAX_KEY_BYTES}",
            hint="give the input a shorter name, or use a shorter --prefix",
        )


class Stopwatch:
    """Seconds by stage of one task. Stages may run in several threads."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def measure_task(self) -> Iterator[None]:
        """Add the wall time of a task as ``total``, and the processor time of all its threads."""
        # A process does one task at a time, so its processor time is the task's.
        start = time.process_time()
        with self.measure("total"):
            yield
        self.seconds["cpu"] = time.process_time() - start

    @contextmanager
    def measure(self, stage: str, besides: str | None = None) -> Iterator[None]:
        """Add the time of a block to a stage, less its time in the nested stage ``besides``."""
        start = time.perf_counter()
        nested = self.seconds.get(besides, 0.0) if besides else 0.0
        try:
            yield
        finally:
            elapsed = time.perf_counter() - start
            # The nested stage has an entry of its own: its time must not count twice.
            if besides:
                elapsed -= self.seconds.get(besides, 0.0) - nested
            # Reading, predicting and writing add to the same mapping from their own threads.
            with self._lock:
                self.seconds[stage] = self.seconds.get(stage, 0.0) + elapsed

    def each(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """Yield items, and add the time it takes to make each of them to a stage."""
        iterator = iter(items)
        while True:
            # Only the call of `next` counts: the consumer works between two items.
            with self.measure(stage):
                item = next(iterator, None)
            if item is None:
                return
            yield item

    def rounded(self) -> dict[str, float]:
        """Return the seconds by stage, rounded to milliseconds."""
        return {stage: round(seconds, 3) for stage, seconds in self.seconds.items()}
