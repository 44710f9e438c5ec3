"""The one face of all executors."""

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from gigacast.errors import GigacastError

T = TypeVar("T")
R = TypeVar("R")
Worker = Callable[[T], R]
"""Does one task. Made once per process by a `Setup`, so it may hold a loaded model."""
Setup = Callable[[], Worker[T, R]]
"""A picklable recipe for a worker."""


@runtime_checkable
class SlottedSetup(Protocol):
    """A setup whose worker depends on which of the processes it works in, as one per GPU does."""

    def for_slot(self, slot: int) -> Setup[Any, Any]:
        """Return the setup of the process in a slot: they are numbered from 0, without gaps."""
        ...


def make_worker(setup: Setup[T, R], slot: int = 0) -> Worker[T, R]:
    """Make the worker of the process in a slot."""
    return setup.for_slot(slot)() if isinstance(setup, SlottedSetup) else setup()


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a task failed.

    Parameters
    ----------
    error : str
        Name of the error's class: ``CorruptedFileError``, ``WorkerLostError``, ``ValueError``.
    message : str
        What was wrong, and where.
    hint : str, optional
        What to do about it, where the error knows.
    traceback : str
        Where it was raised, as Python prints it; empty where nobody can tell.
    """

    error: str
    message: str
    hint: str | None = None
    traceback: str = ""

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """Describe an exception in plain strings, whatever it is: it need not pickle nor print."""
        report = traceback.TracebackException.from_exception(error)
        message, hint = str(report).strip(), None
        if isinstance(error, GigacastError):
            message, hint = error.message, error.hint
        return cls(type(error).__name__, message, hint, "".join(report.format()))


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T, R]):
    """One finished task.

    Parameters
    ----------
    task : T
        The task as it was given, the same object.
    result : R or None
        What the worker returned; ``None`` when the task failed.
    failure : Failure or None
        Why the task failed; ``None`` when it did not. It alone says which: a worker that returns
        nothing has neither.
    attempts : int
        How often the task was started: more than once where a process died around it.
    """

    task: T
    result: R | None
    failure: Failure | None
    attempts: int = 1


class Executor(Protocol):
    """Runs tasks wherever it runs them."""

    def run(self, tasks: Sequence[T], setup: Setup[T, R]) -> Iterator[Outcome[T, R]]:
        """Yield an outcome per task, as they finish, in any order.

        A task that raises, or whose process dies, is an outcome with a failure; the others go on.
        A `SlottedSetup` is told which of the processes it works in.
        Nothing runs before the first outcome is asked for. Closing the iterator early (or an
        exception thrown into it) stops the workers and leaves no process behind.

        Raises
        ------
        Exception
            What ``setup`` raised, once, whatever the number of processes.
        WorkerLostError
            The process dies whenever it runs ``setup``: no task can run.
        """
        ...
