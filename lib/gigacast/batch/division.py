"""The division of objects into buckets as the children of an array run do it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from gigacast.batch.service import ArrayService
from gigacast.batch.submit import PlannedArray, Submission, share_work, submit_array
from gigacast.batch.submit_backfill import check_reach, children_for
from gigacast.batch.work import Closing, find_done, unreadable
from gigacast.bucketing.partition import BucketSetup
from gigacast.bucketing.run import BucketJob, files_of, plan_bucketing
from gigacast.core.cost.price import PriceTable
from gigacast.core.partition.task import Task
from gigacast.job.audit import make_run_id
from gigacast.job.batch_options import ArrayOptions
from gigacast.job.file_worker import FilePlaces
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.outage import Patience
from gigacast.job.run import RunEvents, utc_now
from gigacast.lake.plan.audit import Clock
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


_ADAPTER = TypeAdapter(_Stored)


def submit_bucketing(
    work: "BucketWork",
    options: ArrayOptions,
    service: ArrayService,
    *,
    events: RunEvents | None = None,
    clock: Clock = utc_now,
) -> Submission:
    """Plan a division into buckets, divide its objects over children and submit them.

    Without a pending object nothing is submitted.

    Parameters
    ----------
    work : BucketWork
    options : ArrayOptions
    service : ArrayService
    events : RunEvents, optional
        Receives the plan after the submission; ignored by default.
    clock : callable
        Gives the current time, with its zone.

    Raises
    ------
    ConfigError
        If the folder was divided by other settings, or the bucket is out of reach of other
        machines.
    DataNotFoundError
        If no partition matches.
    StorageError, ComputeError
        No job is running then.
    """
    job = work.job
    for address in (job.outputs, job.inputs):
        check_reach(address)
    planned = plan_bucketing(BucketJob(files_of(job), work.buckets, work.into))
    tasks = planned.files.tasks
    run_id = make_run_id(KIND, clock)
    if not tasks:
        return Submission(run_id, planned.files.plan, 0)
    job = replace(job, resources=replace(job.resources, executor="auto"))
    setup = _ADAPTER.dump_python(_Stored(KIND, job, work.buckets, work.into), mode="json")
    shares = share_work(tasks, children_for(tasks, options))
    array = PlannedArray(run_id, planned.shell, job.outputs, setup, shares)
    return submit_array(array, options, service, events=events, clock=clock)


def load_bucketing(plan: PlanFile) -> "BucketWork":
    """Return the division in a plan.

    Raises
    ------
    PlanError
        When another version of the package wrote it.
    """
    try:
        stored = _ADAPTER.validate_python(dict(plan.setup))
    except ValidationError as error:
        raise unreadable(plan, error) from error
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
