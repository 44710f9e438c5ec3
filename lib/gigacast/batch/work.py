"""What the children of an array run do: the interface of forecasts and backfills."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from gigacast.core.cost.price import PriceTable
from gigacast.core.partition.task import Task
from gigacast.errors import GigacastError, PlanError
from gigacast.job.outage import Patience
from gigacast.lake.plan.plan_file import PlanFile
from gigacast.lake.plan.receipt import Receipt, find_receipt
from gigacast.runtime.executor import Executor, Setup
from gigacast.storage.store import Store

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
    """

    outputs: Store
    run_id: str
    is_whole: bool
    failures: list[dict[str, object]] = field(default_factory=list)
    notes: dict[str, object] = field(default_factory=dict)


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
