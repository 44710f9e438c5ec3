"""The quality of partitions as the children of an array measure it."""

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
from gigacast.core.partition.task import Task
from gigacast.job.forecast_job import Resources
from gigacast.lake.plan.plan_file import PlanFile
from gigacast.lake.plan.receipt import Receipt
from gigacast.quality.run import QualityJob, measure_quality, plan_quality, quality_setup
from gigacast.runtime.executor import Setup
from gigacast.storage.store import Store

KIND = "quality"


@dataclass(frozen=True)
class _Stored:
    """A quality job as a plan holds it."""

    kind: str
    job: QualityJob


def divide_quality(job: QualityJob) -> ArrayJob:
    """Plan a quality job for an array.

    Raises
    ------
    DataNotFoundError
        If no partition matches.
    ConfigError
        If inputs or outputs are out of reach of other machines.
    StorageError
    """
    job = replace(job, files=reachable_files(job.files))
    files = replace(job.files, resources=for_children(job.files.resources))
    setup = dump_record(_Stored(KIND, replace(job, files=files)))
    return ArrayJob(plan_quality(job).shell, job.files.outputs, lambda run_id: setup)


def load_work(plan: PlanFile) -> "QualityWork":
    """Return the quality job in a plan.

    Raises
    ------
    PlanError
        When another version of the package wrote it.
    """
    return QualityWork(load_record(_Stored, plan).job)


@dataclass(frozen=True)
class QualityWork(PlainWork):
    """Figures of partitions.

    Parameters
    ----------
    job : QualityJob
    """

    job: QualityJob

    @property
    def resources(self) -> Resources:
        """Processes and memory of a child."""
        return self.job.files.resources

    def worker(self, outputs: Store, run_id: str, pending: Sequence[Task]) -> Setup[Task, Receipt]:
        """Return the recipe for the worker."""
        del outputs, pending
        return quality_setup(self.job, run_id)

    def close(self, closing: Closing, tables: Iterable[pa.Table]) -> None:
        """Judge all partitions, and write the report."""
        del tables
        with closing_job(closing) as settled:
            result = measure_quality(self.job, executor=settled, start=settled.start)
            closing.totals["quality"] = result.report.summary()
