"""The bucketing job: divides every object of an input root once.

A second run divides only objects that are new or changed. Months, folders and names stay, so that
the parts of a month's bucket are a partition (``--partition_by bucket``), with the earlier months
of the same bucket as its context.
"""

import json
from dataclasses import dataclass, replace
from typing import Any

from gigacast.bucketing.partition import BucketSetup
from gigacast.core.partition.name import month_of_folder
from gigacast.core.partition.task import Task
from gigacast.core.plural import counted
from gigacast.core.problem import Source
from gigacast.core.record import decode_json
from gigacast.core.text import printable
from gigacast.errors import ConfigError, CorruptedFileError, PreconditionFailedError
from gigacast.job.audit import PlannedJob
from gigacast.job.file_job import FileJob, FileRun, Reading, Sources, plan_job
from gigacast.job.file_worker import FilePlaces
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.location import exact_inputs
from gigacast.job.run import RunEvents, start_run, utc_now
from gigacast.lake.layout import RESERVED, bucketing_mark, bucketing_prefix
from gigacast.lake.plan.audit import Clock
from gigacast.lake.plan.file_plan import OutputPlace
from gigacast.report.document import Document, Items, KeyValues, Paragraph, Tone
from gigacast.report.summary import FailedPartition, and_more, equal_failures
from gigacast.runtime.executor import Executor, Failure
from gigacast.series.source import ColumnNames
from gigacast.storage.store import Store

FORMAT_REVISION = 1
"""Part of the spec. Raise it when the same settings start to put items elsewhere."""
_FIRST = 10


@dataclass(frozen=True)
class BucketJob:
    """The objects to divide.

    Parameters
    ----------
    files : FileJob
    buckets : int
        Number of buckets.
    into : str
        Folder of the buckets below the output root.
    """

    files: FileJob
    buckets: int
    into: str


@dataclass(frozen=True)
class BucketResult:
    """The result of a bucketing run.

    Parameters
    ----------
    run_id : str
    computed, skipped : int
        Objects divided by this run, and by earlier ones.
    rows : int
        Rows that this run has divided.
    failures : list of (Task, Failure)
    orphans : list of str
        Partitions that were divided, and whose object is gone: their parts are still there.
    into : str
        Folder of the buckets.
    location : str
        Its URL.
    """

    run_id: str
    computed: int
    skipped: int
    rows: int
    failures: list[tuple[Task, Failure]]
    orphans: list[str]
    into: str
    location: str

    def to_json(self) -> dict[str, Any]:
        """Return the values of ``--json``."""
        return {
            "run_id": self.run_id,
            "computed": self.computed,
            "skipped": self.skipped,
            "rows": self.rows,
            "failures": [
                {"partition": task.partition, "error": f.error, "message": f.message}
                for task, f in self.failures
            ],
            "orphans": self.orphans,
            "into": self.into,
            "location": self.location,
        }

    def to_document(self) -> Document:
        """Return the counts, what failed, and the flags by which the buckets are read."""
        facts = KeyValues.of(
            [
                ("divided", counted(self.computed, "object")),
                ("done before", counted(self.skipped, "object") if self.skipped else ""),
                ("buckets", self.location),
                ("read them by", f"--input_prefix {self.into} --partition_by bucket"),
            ]
        )
        gone = [
            Paragraph(
                f"{printable(name)} is gone; its rows are still in the buckets: delete them in "
                f"{self.into}/",
                Tone.WARNING,
            )
            for name in self.orphans[:_FIRST]
        ]
        return Document((facts, *self.failed_document().blocks, *gone))

    def failed_document(self) -> Document:
        """Return the objects that could not be divided; equal failures once, with their count."""
        groups = equal_failures(
            FailedPartition(task.partition, f.error, f.message) for task, f in self.failures
        )
        texts = (f"failed: {and_more(g[0].partition, len(g))}: {g[0].message}" for g in groups)
        return Document((Items.of(texts, limit=_FIRST),))


@dataclass(frozen=True)
class PlannedBuckets:
    """A planned division.

    Parameters
    ----------
    files : FileRun
    shell : PlannedJob
        For the shell of all jobs.
    orphans : list of str
        See `BucketResult`.
    """

    files: FileRun
    shell: PlannedJob
    orphans: list[str]


def files_of(job: ForecastJob) -> FileJob:
    """Return the objects that a job selects, with the columns that it names."""
    limit = job.resources.memory_limit_bytes
    reading = Reading(columns=job.method.columns, memory_limit_bytes=limit)
    return FileJob(
        Sources(exact_inputs(job.inputs)),
        job.outputs,
        job.pattern,
        job.selection,
        reading,
        job.resources,
        job.limit,
    )


def plan_bucketing(job: BucketJob) -> PlannedBuckets:
    """Plan a division, and write down by which settings its folder is divided.

    Raises
    ------
    ConfigError
        If the folder was divided by other settings, or cannot hold buckets.
    DataNotFoundError
        If no partition matches.
    StorageError
    """
    files = job.files
    _check_folder(job.into)
    columns = files.reading.columns
    settings: dict[str, object] = {
        "buckets": job.buckets,
        "items": list(columns.items or filter(None, [columns.item_id])),
    }
    # Only items decide where a row goes: other columns are named so that the layout is recognised.
    named = Reading(columns=ColumnNames(item_id=columns.item_id, items=columns.items))
    described = replace(files, reading=named)
    spec, fields = described.spec({"job": "bucket", "revision": FORMAT_REVISION, **settings})
    prefix = bucketing_prefix(job.into, spec)
    place = OutputPlace(prefix, spec, lambda file, _: f"{prefix}{file.partition}.json")
    planned = plan_job(files, place)
    _claim(planned.outputs, job.into, settings)
    return PlannedBuckets(planned, planned.planned("bucket", fields), _orphans(planned, prefix))


def run_bucketing(
    job: BucketJob,
    *,
    events: RunEvents | None = None,
    executor: Executor | None = None,
    clock: Clock = utc_now,
) -> BucketResult:
    """Divide the objects that are new or changed.

    Parameters
    ----------
    job : BucketJob
    events : RunEvents, optional
        Receives the progress; ignored by default.
    executor : Executor, optional
        Runs the tasks; made from the job's resources by default.
    clock : callable
        Gives the current time, with its zone.

    Raises
    ------
    ConfigError
        If the folder was divided by other settings, or cannot hold buckets.
    DataNotFoundError
        If no partition matches.
    StorageError
    """
    planned = plan_bucketing(job)
    files = planned.files
    run = start_run(planned.shell, events=events, clock=clock)
    setup = BucketSetup(FilePlaces.of(job.files, run.run_id), job.buckets, job.into)
    files.execute(run, setup, executor, lambda run: None)
    return BucketResult(
        run_id=run.run_id,
        computed=run.totals.partitions,
        skipped=files.plan.totals.done,
        rows=run.totals.rows,
        failures=run.failures,
        orphans=planned.orphans,
        into=job.into,
        location=f"{job.files.outputs.url.rstrip('/')}/{job.into}",
    )


def _check_folder(into: str) -> None:
    parts = into.split("/")
    if not all(parts) or {".", ".."} & {*parts} or f"{parts[0]}/" in RESERVED:
        raise ConfigError(
            f"--into {into!r}: not a folder that can hold buckets",
            hint="a folder below the prefix, as bucketed",
        )


def _claim(outputs: Store, into: str, settings: dict[str, object]) -> None:
    """Write down by which settings a folder is divided; with others its items would be apart.

    Raises
    ------
    ConfigError
    """
    key = bucketing_mark(into)
    try:
        outputs.put_if_absent(key, json.dumps(settings, sort_keys=True).encode())
    except PreconditionFailedError:
        stored = decode_json(outputs.get(key), Source(key, CorruptedFileError))
        if stored != settings:
            raise ConfigError(
                f"{into}/ was divided by other settings: {json.dumps(stored)}",
                hint="give the same --buckets and columns, or another --into",
            ) from None


def _orphans(planned: FileRun, prefix: str) -> list[str]:
    """Return the partitions of the selected months that were divided and whose object is gone."""
    if planned.job.limit is not None or planned.job.selection.symbols:
        return []
    existing = {task.partition for task in planned.plan.tasks}
    existing |= {finished.task.partition for finished in planned.done}
    listed = (entry.key for page in planned.outputs.list(prefix) for entry in page)
    names = (key.removeprefix(prefix).removesuffix(".json") for key in listed)
    return sorted(name for name in names if name not in existing and _is_selected(planned, name))


def _is_selected(planned: FileRun, partition: str) -> bool:
    month = month_of_folder(partition.rpartition("/")[0])
    return month is not None and month in planned.job.selection.months
