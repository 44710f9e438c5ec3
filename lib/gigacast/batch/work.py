"""What the children of an array run do: the interface of all jobs that have arrays."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from gigacast.core.cost.array_plan import QueueKind
from gigacast.core.cost.price import PriceTable
from gigacast.core.partition.task import Task
from gigacast.errors import GigacastError, PlanError
from gigacast.job.audit import PlannedJob
from gigacast.job.file_job import FileJob
from gigacast.job.forecast_job import ForecastJob, Resources
from gigacast.job.location import check_reach, reachable_inputs
from gigacast.job.outage import Patience
from gigacast.job.settled import Settled
from gigacast.lake.plan.plan_file import PlanFile
from gigacast.lake.plan.receipt import Receipt, find_receipt
from gigacast.runtime.choice import make_executor
from gigacast.runtime.executor import Executor, Failure, Setup
from gigacast.runtime.instance import this_machine
from gigacast.storage.store import Store, StoreAddress

K = TypeVar("K")


@dataclass
class Closing:
    """What is done when all children have ended.

    Parameters
    ----------
    outputs : Store
        Rooted at the output root.
    run_id : str
    is_whole : bool
        Whether every task is done.
    failures : list of dict
        Failures of the closing itself, to be listed in the audit.
    notes : dict
        Entries for the plan of the audit.
    totals : dict
        Entries for the totals of the audit.
    left : mapping of str to Failure
        Partitions that no child could do, and why.
    """

    outputs: Store
    run_id: str
    is_whole: bool
    failures: list[dict[str, object]] = field(default_factory=list)
    notes: dict[str, object] = field(default_factory=dict)
    totals: dict[str, object] = field(default_factory=dict)
    left: Mapping[str, Failure] = field(default_factory=dict)


class ArrayWork(Protocol):
    """The work of an array run."""

    @property
    def engine(self) -> str | None:
        """Name and revision of the code that runs the model, for the audit."""

    @property
    def overwrite(self) -> bool:
        """Whether only receipts of this run count."""

    @property
    def prices(self) -> PriceTable | None:
        """Prices of machine time, for the bill."""

    @property
    def patience(self) -> Patience:
        """How long an outage of the store is waited out."""

    def find(self, outputs: Store, task: Task, run_id: str) -> Receipt | None:
        """Return the receipt of a task that is done already, else ``None``."""

    def worker(self, outputs: Store, run_id: str, pending: Sequence[Task]) -> Setup[Task, Receipt]:
        """Return the recipe for the worker of a child, and prepare what its tasks share."""

    def executor(self, tasks: int) -> Executor:
        """Return what runs the tasks of a child on its machine."""

    def close(self, closing: Closing, tables: Iterable[pa.Table]) -> None:
        """Publish what the children did.

        Parameters
        ----------
        closing : Closing
        tables : iterable of Table
            Rows of the manifest that each child wrote.
        """


class PlainWork(ABC):
    """The work of an array run without a model: what such jobs have in common."""

    @property
    def engine(self) -> str | None:
        """Nothing: no model is run."""
        return None

    @property
    def overwrite(self) -> bool:
        """False: a task that another run did counts."""
        return False

    @property
    def prices(self) -> PriceTable | None:
        """Nothing: machine time is counted, and not priced."""
        return None

    @property
    @abstractmethod
    def resources(self) -> Resources:
        """Processes and memory of a child."""

    @property
    def patience(self) -> Patience:
        """How long an outage of the store is waited out."""
        return self.resources.patience

    def find(self, outputs: Store, task: Task, run_id: str) -> Receipt | None:
        """Return the receipt of a task that is done already, else ``None``."""
        return find_done(outputs, task, run_id, self.overwrite)

    def executor(self, tasks: int) -> Executor:
        """Return one process per core, or the number that the settings name."""
        resources, vcpus = self.resources, this_machine().vcpus
        n_jobs = resources.n_jobs or (max(1, min(vcpus, tasks)) if vcpus is not None else None)
        return make_executor(resources.executor, n_jobs, n_tasks=tasks)

    @abstractmethod
    def worker(self, outputs: Store, run_id: str, pending: Sequence[Task]) -> Setup[Task, Receipt]:
        """Return the recipe for the worker of a child."""

    @abstractmethod
    def close(self, closing: Closing, tables: Iterable[pa.Table]) -> None:
        """Publish what the children did."""


@dataclass(frozen=True)
class ArrayJob:
    """A planned job whose tasks the children of an array can do.

    Parameters
    ----------
    planned : PlannedJob
    outputs : StoreAddress
        Output root.
    setup : callable
        Returns what the children do, as JSON values, for the id of the run.
    in_order : bool
        Whether a child gets tasks that follow one another.
    queue : str
        Kind of the queue.
    """

    planned: PlannedJob
    outputs: StoreAddress
    setup: Callable[[str], Mapping[str, Any]]
    in_order: bool = False
    queue: QueueKind = "cpu"


def for_children(resources: Resources) -> Resources:
    """Return the resources of a job as its plan holds them: children choose their executor."""
    return replace(resources, executor="auto")


def reachable_files(files: FileJob) -> FileJob:
    """Return the files of a job as the children open them.

    Raises
    ------
    ConfigError
        If inputs or outputs are out of their reach.
    """
    check_reach(files.outputs)
    address = reachable_inputs(files.sources.address)
    return replace(files, sources=replace(files.sources, address=address))


def reachable_job(job: ForecastJob) -> ForecastJob:
    """Return a job as the children open it.

    Raises
    ------
    ConfigError
        If inputs or outputs are out of their reach.
    """
    check_reach(job.outputs)
    return replace(job, inputs=reachable_inputs(job.inputs))


@contextmanager
def closing_job(closing: Closing, unknown: Failure | None = None) -> Iterator[Settled]:
    """Yield the run of the children to the code of the job that ends it.

    Its errors are listed in the audit: the tasks are done, and the run must end nevertheless, as
    `watch` waits for its end.

    Parameters
    ----------
    closing : Closing
    unknown : Failure, optional
        See `Settled`.
    """
    try:
        yield Settled(closing.run_id, closing.left, unknown)
    except GigacastError as error:
        closing.failures.append(failure_of(error))


def failure_of(error: GigacastError) -> dict[str, object]:
    """Return an error as audits list it."""
    return {"error": type(error).__name__, "message": error.message, "hint": error.hint}


def dump_record(record: Any) -> dict[str, Any]:
    """Return a setup as JSON values."""
    values: dict[str, Any] = TypeAdapter(type(record)).dump_python(record, mode="json")
    return values


def load_record(kind: type[K], plan: PlanFile) -> K:
    """Return the setup of a plan: it is read from the bucket, where others can write.

    Raises
    ------
    PlanError
        When another version of the package wrote it.
    """
    try:
        return TypeAdapter(kind).validate_python(dict(plan.setup))
    except ValidationError as error:
        problem = error.errors()[0]
        path = ".".join(str(part) for part in problem["loc"])
        raise PlanError(
            f"the plan of {plan.run_id} can't be read: {path}: {problem['msg']}",
            hint="use the same version of gigacast on every machine",
        ) from error


def find_done(store: Store, task: Task, run_id: str, overwrite: bool) -> Receipt | None:
    """Return the receipt of a task that is done already, else ``None``.

    Parameters
    ----------
    store : Store
        Rooted at the output root.
    task : Task
    run_id : str
    overwrite : bool
        Whether only receipts of this run count: the outputs of others are to be replaced.
    """
    receipt = find_receipt(store, task)
    if receipt is None or (overwrite and receipt.run_id != run_id):
        return None
    return receipt
