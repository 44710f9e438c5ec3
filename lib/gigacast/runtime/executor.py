"""The interface of all executors: tasks in, one outcome per task out."""

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from gigacast.core.text import blank_secrets
from gigacast.errors import GigacastError

T = TypeVar("T")
R = TypeVar("R")
Worker = Callable[[T], R]
"""Function that runs a task. A `Setup` makes it once per process, so it may hold a model."""
Setup = Callable[[], Worker[T, R]]
"""Picklable function that makes a worker."""


@runtime_checkable
class SlottedSetup(Protocol):
    """A setup that depends on the number of its process, as a setup with a GPU per process does."""

    def for_slot(self, slot: int) -> Setup[Any, Any]:
        """Return the setup of a process. Slots number the processes from 0, without gaps."""
        ...


def make_worker(setup: Setup[T, R], slot: int = 0) -> Worker[T, R]:
    """Make the worker of the process with this slot number."""
    return setup.for_slot(slot)() if isinstance(setup, SlottedSetup) else setup()


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a task failed.

    Parameters
    ----------
    error : str
        Class name of the error: ``CorruptedFileError``, ``WorkerLostError``, ``ValueError``.
    message : str
        Description of the fault and its place.
    hint : str, optional
        Advice on how to mend it; none by default.
    traceback : str
        Traceback as Python prints it; empty if it is unknown.
    """

    error: str
    message: str
    hint: str | None = None
    traceback: str = ""

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """Describe any exception by strings, even if it can neither be pickled nor printed."""
        # TracebackException formats exceptions whose __str__ raises; str(error) would raise too.
        report = traceback.TracebackException.from_exception(error)
        message, hint = str(report).strip(), None
        if isinstance(error, GigacastError):
            message, hint = error.message, error.hint
        # Failures are stored in audits and logs, and clients echo headers and endpoints.
        trace = blank_secrets("".join(report.format()))
        return cls(type(error).__name__, blank_secrets(message), hint, trace)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T, R]):
    """A finished task with its result or failure.

    Parameters
    ----------
    task : T
        The submitted task: the same object, not a copy.
    result : R or None
        Value returned by the worker; ``None`` if the task failed.
    failure : Failure or None
        Reason of the failure; ``None`` if the task succeeded. Test this field, not ``result``,
        for success: a worker may return ``None``.
    attempts : int
        Number of times the task was started; more than 1 if a process died while it ran.
    """

    task: T
    result: R | None
    failure: Failure | None
    attempts: int = 1


class Executor(Protocol):
    """Runs tasks, in this process or in others."""

    def run(self, tasks: Sequence[T], setup: Setup[T, R]) -> Iterator[Outcome[T, R]]:
        """Yield an outcome per task as the tasks finish, in any order.

        A task that raises, or whose process dies, gives an outcome with a failure; the other
        tasks continue. A `SlottedSetup` gets the number of its process.
        No task starts before the first outcome is requested. Closing the iterator early (or
        throwing an exception into it) stops the workers and leaves no process behind.

        Raises
        ------
        Exception
            The error that ``setup`` raised, once, whatever the number of processes.
        WorkerLostError
            If the process dies whenever it runs ``setup``, so that no task can run.
        """
        ...
