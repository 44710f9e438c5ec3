"""The face of a service that runs array jobs.

An array run is no `Executor`: its children outlive whoever submitted them, and what they did is
read from the bucket, not from here. This is what is asked of the service itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

SUCCEEDED = "SUCCEEDED"
FAILED = "FAILED"
WAITING = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING")


@dataclass(frozen=True, slots=True)
class ArrayRequest:
    """A job to submit.

    Parameters
    ----------
    name : str
    queue, definition : str
        Where it waits, and what it runs.
    command : tuple of str
        Arguments of the program in the image.
    size : int
        Children; 1 is a plain job.
    timeout_s : int
        Of each attempt of a child.
    """

    name: str
    queue: str
    definition: str
    command: tuple[str, ...]
    size: int
    timeout_s: int


@dataclass(frozen=True, slots=True)
class ArrayState:
    """Where a job stands.

    Parameters
    ----------
    job_id, status : str
    counts : mapping
        Children by status.
    reason : str, optional
        Why it is where it is, when the service says so.
    is_known : bool
        The service forgets jobs a week or so after their end.
    """

    job_id: str
    status: str
    counts: Mapping[str, int] = field(default_factory=dict)
    reason: str | None = None
    is_known: bool = True

    @property
    def has_ended(self) -> bool:
        """Whether no child will start any more."""
        return self.status in {SUCCEEDED, FAILED} or not self.is_known


@dataclass(frozen=True, slots=True)
class ChildState:
    """How one child of a job stands.

    Parameters
    ----------
    index : int
        Within its array; 0 for a plain job.
    status : str
    reason : str, optional
        Why, in the words of the service.
    exit_code : int, optional
    attempts : int
    log_stream, log_group : str, optional
        Of the last attempt.
    """

    index: int
    status: str
    reason: str | None = None
    exit_code: int | None = None
    attempts: int = 0
    log_stream: str | None = None
    log_group: str | None = None


class ArrayService(Protocol):
    """Submits array jobs and says how they stand.

    Every method raises the `ComputeError` family only; throttling has been retried.
    """

    def submit(self, request: ArrayRequest) -> str:
        """Submit a job and return its id."""
        ...

    def describe(self, job_ids: Sequence[str]) -> list[ArrayState]:
        """Return where jobs stand, in their order: one request for a hundred of them."""
        ...

    def failed_children(self, job_id: str) -> list[ChildState]:
        """Return the children of a job that failed, by index."""
        ...

    def child(self, job_id: str, index: int) -> ChildState:
        """Return one child of a job."""
        ...

    def cancel(self, job_ids: Sequence[str], reason: str) -> None:
        """End jobs: what waits never starts, what runs is asked to stop (SIGTERM)."""
        ...

    def read_log(self, child: ChildState, lines: int) -> list[str]:
        """Return the last lines of a child's log."""
        ...
