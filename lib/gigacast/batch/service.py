"""The interface of a service that runs array jobs.

An array run is not an `Executor`: its children outlive the process that submitted them, and their
results are read from the bucket. The service submits and cancels jobs and knows their states.
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
        Names of the queue and of the job definition.
    command : tuple of str
        Arguments of the program in the image.
    size : int
        Number of children; 1 is a plain job.
    timeout_s : int, optional
        Time limit of each attempt of a child; that of the definition by default.
    stack : str
        Deployment that the job is tagged with; no tag by default.
    """

    name: str
    queue: str
    definition: str
    command: tuple[str, ...]
    size: int
    timeout_s: int | None
    stack: str = ""


@dataclass(frozen=True, slots=True)
class ArrayState:
    """The state of a job.

    Parameters
    ----------
    job_id, status : str
    counts : mapping
        Number of children by status.
    reason : str, optional
        Reason of the status, where the service gives one.
    is_known : bool
        Whether the service knows the job; it forgets jobs about a week after their end.
    """

    job_id: str
    status: str
    counts: Mapping[str, int] = field(default_factory=dict)
    reason: str | None = None
    is_known: bool = True

    @property
    def has_ended(self) -> bool:
        """Whether no child of the job will start any more."""
        return self.status in {SUCCEEDED, FAILED} or not self.is_known


@dataclass(frozen=True, slots=True)
class ChildState:
    """The state of a child of a job.

    Parameters
    ----------
    index : int
        Number within its array; 0 for a plain job.
    status : str
    reason : str, optional
        Reason of the status, in the words of the service.
    exit_code : int, optional
    attempts : int
    log_stream, log_group : str, optional
        Where the last attempt logged.
    """

    index: int
    status: str
    reason: str | None = None
    exit_code: int | None = None
    attempts: int = 0
    log_stream: str | None = None
    log_group: str | None = None


class ArrayService(Protocol):
    """Submits and cancels array jobs, and returns their states.

    All methods raise `ComputeError` and its subclasses only, after retrying throttled requests.
    """

    def submit(self, request: ArrayRequest) -> str:
        """Submit a job and return its id."""
        ...

    def describe(self, job_ids: Sequence[str]) -> list[ArrayState]:
        """Return the states of jobs, in their order, by one request per hundred jobs."""
        ...

    def failed_children(self, job_id: str) -> list[ChildState]:
        """Return the failed children of a job, by index."""
        ...

    def child(self, job_id: str, index: int) -> ChildState:
        """Return the state of a child of a job."""
        ...

    def cancel(self, job_ids: Sequence[str], reason: str) -> None:
        """Cancel jobs: waiting children never start, running ones are asked to stop (SIGTERM)."""
        ...

    def read_log(self, child: ChildState, lines: int) -> list[str]:
        """Return the last lines of a child's log."""
        ...
