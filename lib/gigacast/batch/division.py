"""The division of objects into buckets as the children of an array run do it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from gigacast.batch.work import Closing, dump_record, find_done, load_record
from gigacast.bucketing.partition import BucketSetup
from gigacast.bucketing.run import files_of
from gigacast.core.cost.price import PriceTable
from gigacast.core.partition.task import Task
from gigacast.job.file_worker import FilePlaces
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.outage import Patience
from gigacast.lake.plan.plan_file import PlanFile
from gigacast.lake.plan.receipt import Receipt
from gigacast.runtime.choice import make_executor
from gigacast.runtime.executor import Executor, Setup
from gigacast.runtime.instance import this_machine
from gigacast.storage.store import Store

KIND = "bucket"


@dataclass(frozen=True)
class _Stored:
    """A division as a plan holds it."""

    kind: str
    job: ForecastJob
    buckets: int
    into: str


def dump_bucketing(work: "BucketWork") -> Mapping[str, Any]:
    """Return a division as its plan holds it: children take the executor of their machine."""
    job = replace(work.job, resources=replace(work.job.resources, executor="auto"))
    return dump_record(_Stored(KIND, job, work.buckets, work.into))


def load_bucketing(plan: PlanFile) -> "BucketWork":
    """Return the division in a plan.

    Raises
    ------
    PlanError
        When another version of the package wrote it.
    """
    stored = load_record(_Stored, plan)
    return BucketWork(stored.job, stored.buckets, stored.into)


@dataclass(frozen=True)
class BucketWork:
    """Objects whose rows go into buckets.

    Parameters
    ----------
    job : ForecastJob
        Addresses, selection and columns.
    buckets : int
    into : str
        See `BucketJob`.
    """

    job: ForecastJob
    buckets: int
    into: str

    @property
    def engine(self) -> str | None:
        """Nothing: no model is run."""
        return None

    @property
    def overwrite(self) -> bool:
        """False: an object that another run divided counts."""
        return False

    @property
    def prices(self) -> PriceTable | None:
        """Prices of machine time."""
        return self.job.prices

    @property
    def patience(self) -> Patience:
        """How long an outage of the store is waited out."""
        return self.job.resources.patience

    def find(self, outputs: Store, task: Task, run_id: str) -> Receipt | None:
        """Return the receipt of an object that is divided already, else ``None``."""
        return find_done(outputs, task, run_id, self.overwrite)

    def worker(self, outputs: Store, run_id: str, pending: Sequence[Task]) -> Setup[Task, Receipt]:
        """Return the recipe for the worker."""
        del outputs, pending
        places = FilePlaces.of(files_of(self.job), run_id)
        return BucketSetup(places, self.buckets, self.into)

    def executor(self, tasks: int) -> Executor:
        """Return one process per core, or the number that the settings name."""
        resources, vcpus = self.job.resources, this_machine().vcpus
        n_jobs = resources.n_jobs or (max(1, min(vcpus, tasks)) if vcpus is not None else None)
        return make_executor(resources.executor, n_jobs, n_tasks=tasks)

    def close(self, closing: Closing, tables: Iterable[pa.Table]) -> None:
        """Note where the buckets are: each object is complete by itself."""
        del tables
        closing.notes["into"] = self.into
