"""The division of objects into buckets as the children of an array run do it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from gigacast.batch.work import (
    ArrayJob,
    Closing,
    PlainWork,
    dump_record,
    for_children,
    load_record,
    reachable_job,
)
from gigacast.bucketing.partition import BucketSetup
from gigacast.bucketing.run import BucketJob, files_of, plan_bucketing
from gigacast.core.cost.price import PriceTable
from gigacast.core.partition.task import Task
from gigacast.job.file_worker import FilePlaces
from gigacast.job.forecast_job import ForecastJob, Resources
from gigacast.lake.plan.plan_file import PlanFile
from gigacast.lake.plan.receipt import Receipt
from gigacast.runtime.executor import Setup
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
    job = replace(work.job, resources=for_children(work.job.resources))
    return dump_record(_Stored(KIND, job, work.buckets, work.into))


def load_work(plan: PlanFile) -> "BucketWork":
    """Return the division in a plan.

    Raises
    ------
    PlanError
        When another version of the package wrote it.
    """
    stored = load_record(_Stored, plan)
    return BucketWork(stored.job, stored.buckets, stored.into)


def divide_bucketing(work: "BucketWork") -> ArrayJob:
    """Plan a division into buckets for an array.

    Raises
    ------
    ConfigError
        If the folder was divided by other settings, or the bucket is out of reach of other
        machines.
    DataNotFoundError
        If no partition matches.
    StorageError
    """
    job = reachable_job(work.job)
    work = replace(work, job=job)
    planned = plan_bucketing(BucketJob(files_of(job), work.buckets, work.into))
    return ArrayJob(planned.shell, job.outputs, lambda run_id: dump_bucketing(work))


@dataclass(frozen=True)
class BucketWork(PlainWork):
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
    def prices(self) -> PriceTable | None:
        """Prices of machine time."""
        return self.job.prices

    @property
    def resources(self) -> Resources:
        """Processes and memory of a child."""
        return self.job.resources

    def worker(self, outputs: Store, run_id: str, pending: Sequence[Task]) -> Setup[Task, Receipt]:
        """Return the recipe for the worker."""
        del outputs, pending
        places = FilePlaces.of(files_of(self.job), run_id)
        return BucketSetup(places, self.buckets, self.into)

    def close(self, closing: Closing, tables: Iterable[pa.Table]) -> None:
        """Note where the buckets are: each object is complete by itself."""
        del tables
        closing.notes["into"] = self.into
