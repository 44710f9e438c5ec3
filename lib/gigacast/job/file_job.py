"""Jobs over files: the common plan of quality and cleaning.

Each partition of a bucket, or each file of versions of a dataset, is a task with an output and a
receipt.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import TypeVar

from gigacast.core.dataset.ref import DatasetRef
from gigacast.core.digest import digest_value
from gigacast.core.partition.name import NamingPattern
from gigacast.core.partition.task import Task
from gigacast.core.time.frequency import Frequency
from gigacast.core.time.month import IntRange, MonthFilter
from gigacast.core.time.trading_calendar import Calendar
from gigacast.errors import CorruptedFileError, DataNotFoundError, ObjectNotFoundError
from gigacast.job.audit import PlannedJob, RunDescription
from gigacast.job.forecast_job import ForecastJob, Resources
from gigacast.job.location import open_inputs
from gigacast.job.run import FinishedTask, Run
from gigacast.lake.dataset.catalog import Lake
from gigacast.lake.dataset.source import open_sources, resolve_sources
from gigacast.lake.plan.discovery import Selection
from gigacast.lake.plan.file_plan import (
    FoundFile,
    OutputPlace,
    find_files,
    find_partitions,
    plan_files,
    with_neighbours,
)
from gigacast.lake.plan.months import with_latest_month
from gigacast.lake.plan.planner import NO_MONTH, Plan
from gigacast.lake.plan.receipt import Receipt
from gigacast.runtime.choice import make_executor
from gigacast.runtime.executor import Executor, Setup
from gigacast.series.csv.dialect import CsvOptions
from gigacast.series.source import ColumnNames, TimestampUnit
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress

PARTITIONS = "partitions"
READERS = 8
"""Objects read in parallel. They are small: most of the time goes into waiting for the store."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Sources:
    """The place of the partitions: an input root, or versions of a dataset of a lake.

    Parameters
    ----------
    address : StoreAddress
        The input root, or the lake's root.
    refs : tuple of DatasetRef
        Versions of the dataset; empty for partitions of the input root.
    """

    address: StoreAddress
    refs: tuple[DatasetRef, ...] = ()

    def open(self) -> Store:
        """Open the input root or the versions.

        Raises
        ------
        DataNotFoundError, DatasetIntegrityError, StorageError
        """
        if not self.refs:
            return open_inputs(self.address)
        return open_sources(Lake(open_store(self.address)), self.refs, self.address.verify)


@dataclass(frozen=True)
class Reading:
    """How partitions are read.

    Parameters
    ----------
    columns : ColumnNames
    timestamp_unit : str, optional
        Unit of integer timestamps; inferred from their magnitude by default.
    zone : str, optional
        Time zone of timestamps that name none; UTC by default.
    calendar : Calendar
        Times at which rows are expected.
    frequency : Frequency, optional
        Time between rows; taken from the partition's name by default, else inferred per series.
    csv : CsvOptions
        Parts of the dialect of CSV files that are named.
    memory_limit_bytes : int
    """

    columns: ColumnNames = field(default_factory=ColumnNames)
    timestamp_unit: TimestampUnit | None = None
    zone: str | None = None
    calendar: Calendar = field(default_factory=Calendar)
    frequency: Frequency | None = None
    csv: CsvOptions = field(default_factory=CsvOptions)
    memory_limit_bytes: int = 1 << 30


@dataclass(frozen=True)
class FileJob:
    """The files of a job, and how they are read.

    Parameters
    ----------
    sources : Sources
        With exact versions, as `sources_of_dataset` gives them.
    outputs : StoreAddress
        The lake's root.
    pattern : NamingPattern
    selection : Selection
        Selects partitions; all files of a dataset are taken.
    reading : Reading
    resources : Resources
    limit : int, optional
        Maximum number of files that this run does; no limit by default.
    """

    sources: Sources
    outputs: StoreAddress
    pattern: NamingPattern = field(default_factory=NamingPattern)
    selection: Selection = field(default_factory=Selection)
    reading: Reading = field(default_factory=Reading)
    resources: Resources = field(default_factory=Resources)
    limit: int | None = None

    @property
    def source(self) -> str:
        """Name of the source in keys: ``raw/EURUSD``, or ``partitions``."""
        refs = self.sources.refs
        return f"{refs[0].layer}/{refs[0].name}" if refs else PARTITIONS

    @property
    def title(self) -> str:
        """Name of the source for people: versions, or the URL of the input root."""
        refs = self.sources.refs
        return ", ".join(map(str, refs)) if refs else self.sources.address.url

    def spec(self, more: dict[str, object]) -> tuple[str, dict[str, object]]:
        """Return the id of the spec and its fields.

        Parameters
        ----------
        more : dict
            Settings of the job that change its outputs.
        """
        reading = self.reading
        fields: dict[str, object] = {
            "columns": reading.columns.spec_fields,
            "timestamp_unit": reading.timestamp_unit,
            "zone": reading.zone,
            "calendar": str(reading.calendar),
            "holidays": [day.isoformat() for day in reading.calendar.holidays],
            "frequency": reading.frequency.alias if reading.frequency else None,
            # Left out without them, so that older spec digests stay valid.
            **({"csv": reading.csv.named} if reading.csv.named else {}),
            **more,
        }
        # The memory limit and the resources are left out: they change no output.
        return digest_value(plain_spec(fields), 8), fields


def plain_spec(value: object) -> object:
    """Return the fields of a spec as JSON values: dates and times as text."""
    if isinstance(value, dict):
        return {name: plain_spec(field) for name, field in value.items()}
    if isinstance(value, list | tuple):
        return [plain_spec(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


def check_outputs(job: ForecastJob) -> None:
    """Check that the bucket or folder of a job's outputs can be reached.

    Raises
    ------
    StorageError
    """
    # On a disk the output root may not exist yet: it is a folder that the run creates. In a bucket
    # any prefix can be listed, and a role that ends at it may list nothing else.
    is_folder = job.outputs.url.startswith("file://") and job.outputs.is_below(job.bucket)
    open_store(job.bucket if is_folder else job.outputs).check()


def sources_of_dataset(address: StoreAddress, ref: DatasetRef, *, every: bool = False) -> Sources:
    """Return the exact versions that the name of a dataset stands for at this moment.

    Parameters
    ----------
    address : StoreAddress
        The lake's root.
    ref : DatasetRef
    every : bool
        Whether to take all versions instead of the latest.

    Raises
    ------
    DataNotFoundError
    """
    return Sources(address, resolve_sources(Lake(open_store(address)), ref, every=every))


@dataclass
class FileRun:
    """A planned job over files, with its stores and the files that are done.

    Parameters
    ----------
    job : FileJob
    inputs, outputs : Store
    plan : Plan
    paths : mapping of str to str
        Path of each partition's file within the dataset that the files make up.
    done : list of FinishedTask
        Files that were done before; grows while the run goes on.
    """

    job: FileJob
    inputs: Store
    outputs: Store
    plan: Plan
    paths: dict[str, str]
    done: list[FinishedTask] = field(default_factory=list)

    @property
    def tasks(self) -> list[Task]:
        """Tasks of this run: those of the plan, up to the job's limit."""
        return self.plan.tasks[: self.job.limit]

    def require_proofs(self, read: Callable[[FinishedTask], FinishedTask]) -> None:
        """Read what earlier runs left of each file that is done; the damaged become tasks again.

        Parameters
        ----------
        read : callable
            Returns a done task with what was read; raises `CorruptedFileError` or
            `ObjectNotFoundError` if its receipt or its output is no proof.
        """

        def attempt(finished: FinishedTask) -> FinishedTask | None:
            try:
                return read(finished)
            except (CorruptedFileError, ObjectNotFoundError):
                return None

        checked = in_threads(attempt, self.done)
        for finished, proof in zip(self.done, checked, strict=True):
            if proof is None:
                _reopen(self.plan, finished.task, str(finished.receipt))
        self.done = [proof for proof in checked if proof is not None]

    def add_receipt(self, task: Task, receipt: Receipt) -> None:
        """Add a file that this run has done."""
        self.done.append(FinishedTask.now(task, receipt))

    def planned(self, job: str, settings: Mapping[str, object]) -> PlannedJob:
        """Return the plan for the shell of all jobs.

        Parameters
        ----------
        job : str
            ``quality`` or ``clean``.
        settings : mapping
            Settings of this job for the audit; those of every job over files are added.
        """
        totals = self.plan.totals
        description = RunDescription(
            job=job,
            settings={
                "inputs": self.job.title,
                "outputs": self.job.outputs.url,
                "resources": asdict(self.job.resources),
                **settings,
            },
            plan={
                "tasks": len(self.tasks),
                "pending": totals.pending,
                "done": totals.done,
                "superseded": totals.superseded,
                "unmatched": self.plan.unmatched_count,
            },
        )
        return PlannedJob(
            self.outputs,
            self.plan,
            self.tasks,
            self.job.selection,
            description,
            inputs=self.inputs,
            patience=self.job.resources.patience,
        )

    def execute(
        self,
        run: Run,
        setup: Setup[Task, Receipt],
        executor: Executor | None,
        on_results: Callable[[Run], None],
    ) -> None:
        """Do the tasks as `Run.execute` does, and add the files that are done to `done`.

        Without an executor the job's resources name one.
        """
        executor = executor or self.make_executor()
        run.execute(self.tasks, setup, executor, on_done=self.add_receipt, on_results=on_results)

    def make_executor(self) -> Executor:
        """Return the executor that the job's resources name."""
        resources = self.job.resources
        return make_executor(resources.executor, resources.n_jobs, n_tasks=len(self.tasks))


def _reopen(plan: Plan, task: Task, receipt_key: str) -> None:
    """Make a done task pending again, because its receipt or output turned out damaged."""
    named = {"" if month == NO_MONTH else str(month): month for month in plan.months}
    counts = plan.months[named[task.month]]
    counts.done -= 1
    counts.pending += 1
    plan.done_bytes -= task.size_bytes
    plan.tasks.append(replace(task, stale_receipts=(receipt_key,)))


def plan_job(job: FileJob, place: OutputPlace, *, around: int = 0) -> FileRun:
    """List the files of a job and plan those that are left to do.

    Parameters
    ----------
    job : FileJob
    place : OutputPlace
    around : int
        Number of months before and after a file whose files of the same series are inputs too,
        before the file itself.

    Raises
    ------
    DataNotFoundError
        When no file matches.
    StorageError
    """
    outputs = open_store(job.outputs)
    inputs = job.sources.open()
    # A dataset has no months to select.
    if not job.sources.refs:
        job = replace(job, selection=with_latest_month(inputs, job.selection))
    plan = Plan()
    files = list(_find_sources(job, inputs, plan))
    if around:
        files = list(with_neighbours(files, _candidates(job, inputs, files, around), around))
    if not files:
        ignored = ", ".join([*plan.unmatched[:3], *plan.foreign_folders[:3]])
        raise DataNotFoundError(
            f"no file of {job.title} matches the selection"
            + (f"; found instead: {ignored}" if ignored else ""),
            hint="name a dataset, as raw/EURUSD; or see --prefix, --years, --symbol",
        )
    run = FileRun(job, inputs, outputs, plan, {file.partition: file.path for file in files})
    plan_files(
        plan, files, outputs, place, lambda entry: run.done.append(FinishedTask.before(entry))
    )
    return run


def _find_sources(job: FileJob, inputs: Store, plan: Plan) -> Iterator[FoundFile]:
    if job.sources.refs:
        return find_files(inputs, plan)
    # Each file is a task, without the months before it as context; for neighbours see `plan_job`.
    alone = replace(job.selection, context_partitions=0, by_month=False)
    return find_partitions(inputs, job.pattern, alone, plan)


def _candidates(
    job: FileJob, inputs: Store, files: list[FoundFile], around: int
) -> list[FoundFile]:
    """Return the files among which neighbours are, selected or not."""
    selected = job.selection.months
    if job.sources.refs or selected == MonthFilter():
        return files
    spare = -(-around // 12)
    years = selected.years
    wide = None if years is None else IntRange(years.first - spare, years.last + spare)
    selection = replace(job.selection, months=MonthFilter(wide))
    # Another plan: what is found here is no part of the job.
    return list(_find_sources(replace(job, selection=selection), inputs, Plan()))


def in_threads(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Return the results of a function that waits for the store, a few calls at a time."""
    with ThreadPoolExecutor(READERS, thread_name_prefix="gigacast-read") as pool:
        return list(pool.map(function, items))
