"""Cleaning as the children of an array do it: files of partitions, and then a version of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from gigacast.batch.work import (
    ArrayJob,
    Closing,
    PlainWork,
    closing_job,
    dump_record,
    for_children,
    load_record,
    reachable_files,
)
from gigacast.cleaning.run import CleanJob, clean_dataset, clean_setup, plan_cleaning
from gigacast.core.partition.task import Task
from gigacast.job.forecast_job import Resources
from gigacast.job.run import utc_now
from gigacast.job.settled import LEFT
from gigacast.lake.plan.plan_file import PlanFile
from gigacast.lake.plan.receipt import Receipt
from gigacast.lake.publication import Author
from gigacast.runtime.executor import Setup
from gigacast.storage.store import Store

KIND = "clean"


@dataclass(frozen=True)
class _Stored:
    """A cleaning job as a plan holds it, and who asked for it."""

    kind: str
    job: CleanJob
    author: str


def divide_cleaning(job: CleanJob, author: Author) -> ArrayJob:
    """Plan a cleaning job for an array.

    Raises
    ------
    As `clean_dataset`; and
    ConfigError
        If inputs or outputs are out of reach of other machines.
    """
    job = replace(job, files=reachable_files(job.files))
    _, planned = plan_cleaning(job, author)
    files = replace(job.files, resources=for_children(job.files.resources))
    # A table is written by the command, which waits for the end of the array.
    setup = dump_record(_Stored(KIND, replace(job, files=files, table=None), author.who))
    return ArrayJob(planned, job.files.outputs, lambda run_id: setup)


def load_work(plan: PlanFile) -> "CleanWork":
    """Return the cleaning job in a plan.

    Raises
    ------
    PlanError
        When another version of the package wrote it.
    """
    stored = load_record(_Stored, plan)
    return CleanWork(stored.job, stored.author)


@dataclass(frozen=True)
class CleanWork(PlainWork):
    """Cleaned files of partitions.

    Parameters
    ----------
    job : CleanJob
    author : str
        Name of the author of the version.
    """

    job: CleanJob
    author: str

    @property
    def resources(self) -> Resources:
        """Processes and memory of a child."""
        return self.job.files.resources

    def worker(self, outputs: Store, run_id: str, pending: Sequence[Task]) -> Setup[Task, Receipt]:
        """Return the recipe for the worker."""
        del outputs
        return clean_setup(self.job, run_id, pending)

    def close(self, closing: Closing, tables: Iterable[pa.Table]) -> None:
        """Publish the version, unless a rerun may still clean some of the partitions."""
        del tables
        # A partition that changed since is neither done nor failed: without it there is no version.
        with closing_job(closing, LEFT) as settled:
            author = Author(self.author, utc_now)
            result = clean_dataset(self.job, author, executor=settled, start=settled.start)
            closing.totals["cleaning"] = result.totals
