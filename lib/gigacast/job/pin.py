"""What a store says of inputs that changed under a task."""

from collections.abc import Iterator
from contextlib import contextmanager

from gigacast.core.partition.task import Task
from gigacast.errors import (
    InputChangedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StorageError,
)


@contextmanager
def inputs_pinned(task: Task) -> Iterator[None]:
    """Turn a broken If-Match, and a full local disk, into what they mean for the task."""
    try:
        yield
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
