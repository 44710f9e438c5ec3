"""The cleaning job: raw partitions become a version of a cleaned dataset.

Each partition is a task that writes its file under ``cleaning/``, where no reader looks. When all
tasks are done, a manifest names the files that pass, and the version exists as a whole. So a killed
run continues where it was, a second run computes nothing, and new partitions cost only themselves.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from gigacast.cleaning.judgement import judge_dropped, judge_failure, judge_loss
from gigacast.cleaning.partition import CleanSetup
from gigacast.cleaning.rules import CleanRules
from gigacast.cleaning.table import write_version
from gigacast.cleaning.version import (
    CleanVersion,
    Making,
    Part,
    changes_of,
    fit_together,
)
from gigacast.core.dataset.ref import DatasetRef
from gigacast.core.partition.task import Task
from gigacast.errors import ConfigError, DataError, DatasetIntegrityError
from gigacast.job.audit import PlannedJob
from gigacast.job.file_job import FileJob, FileRun, plan_job
from gigacast.job.file_worker import FilePlaces
from gigacast.job.run import MAX_AUDITED_FAILURES, FinishedTask, Run, RunEvents, start_run
from gigacast.job.settled import StartRun
from gigacast.lake.dataset.catalog import Lake
from gigacast.lake.dataset.manifest import (
    DatasetManifest,
    file_from_dict,
    schema_from_text,
)
from gigacast.lake.layout import cleaned_key, cleaning_prefix
from gigacast.lake.plan.audit import Clock
from gigacast.lake.plan.file_plan import (
    FoundFile,
    OutputPlace,
    path_in_version,
    path_of_partition,
)
from gigacast.lake.plan.receipt import Receipt, read_receipt
from gigacast.lake.publication import Author
from gigacast.lake.table.address import TableTarget, TableWritten
from gigacast.quality.aggregation import Binning
from gigacast.quality.measures import PartitionQuality, Thresholds, Verdict
from gigacast.quality.result import Judged
from gigacast.runtime.executor import Executor, Failure
from gigacast.storage.parquet.writer import check_codec

FORMAT_REVISION = 1
"""Part of the spec. Raise it when the same settings start to give other rows."""


@dataclass(frozen=True)
class CleanJob:
    """The partitions to clean, the rules, and the dataset to publish.

    Parameters
    ----------
    files : FileJob
    target : DatasetRef
        Dataset in ``cleaned/``; the next version by default.
    rules : CleanRules
    thresholds : Thresholds
        Limits for cleaned partitions: those beyond them are set aside.
    codec : str
        Compression of the files.
    what : str
        Text for the changelog; names the source by default.
    table : TableTarget, optional
        Table that the rows of the version are written to as well.
    """

    files: FileJob
    target: DatasetRef
    rules: CleanRules = field(default_factory=CleanRules)
    thresholds: Thresholds = field(default_factory=Thresholds)
    codec: str = "zstd"
    what: str = ""
    table: TableTarget | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "codec", check_codec(self.codec))
        if self.target.layer != "cleaned":
            raise ConfigError(f"{self.target} is not in cleaned/", hint="name it as cleaned/EURUSD")


@dataclass(frozen=True)
class CleanResult:
    """The result of a cleaning run.

    Parameters
    ----------
    run_id : str
    manifest : DatasetManifest, optional
        Manifest of the version; ``None`` if no partition passed, or some are still pending.
    new : bool
        Whether this run published the version.
    partitions : list of Judged
        Verdicts on all partitions, by name.
    failures : list of (Task, Failure)
    computed, skipped : int
        Partitions cleaned by this run, and by earlier ones.
    changes : mapping of str to int
        Number of changes over all partitions of the version, by kind.
    pending : int
        Partitions that the limit of the job leaves for later.
    changes_by_partition : mapping of str to mapping
        Changes in each partition, including those set aside.
    table : TableWritten, optional
        What the run has changed in the table of the results.
    """

    run_id: str
    manifest: DatasetManifest | None
    new: bool
    partitions: list[Judged]
    failures: list[tuple[Task, Failure]]
    computed: int
    skipped: int
    changes: Mapping[str, int]
    pending: int = 0
    changes_by_partition: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    table: TableWritten | None = None

    @property
    def set_aside(self) -> list[Judged]:
        """The partitions that are not in the version."""
        return [judged for judged in self.partitions if judged.verdict is Verdict.FAIL]

    @property
    def totals(self) -> dict[str, Any]:
        """What an audit says of the version."""
        return {
            "dataset": None if self.manifest is None else str(self.manifest.ref),
            "new": self.new,
            "changes": self.changes,
            "set_aside": _reasons(self.set_aside)[:MAX_AUDITED_FAILURES],
        }


def clean_dataset(
    job: CleanJob,
    author: Author,
    *,
    events: RunEvents | None = None,
    executor: Executor | None = None,
    start: StartRun = start_run,
) -> CleanResult:
    """Clean the partitions that are new or changed, and publish a version.

    Parameters
    ----------
    job : CleanJob
    author : Author
        Author of the version; the run uses the author's clock.
    events : RunEvents, optional
        Receives the progress; ignored by default.
    executor : Executor, optional
        Runs the tasks; made from the job's resources by default.
    start : callable
        Makes the run of the plan; see `gigacast.job.settled`.

    Raises
    ------
    DataNotFoundError
        When no partition matches.
    ConfigError
        When the number of the version is too low for the changes.
    DatasetConflictError
        When the version exists with other content.
    StorageError
    """
    return _Cleaning(job, author).run(events, executor, start)


def plan_cleaning(job: CleanJob, author: Author) -> tuple[FileRun, PlannedJob]:
    """Return the plan of a cleaning run, and what the shell of all jobs needs of it.

    Raises
    ------
    As `clean_dataset`.
    """
    cleaning = _Cleaning(job, author)
    planned = cleaning.plan()
    return planned, cleaning.describe(planned)


def clean_setup(job: CleanJob, run_id: str, tasks: Sequence[Task]) -> CleanSetup:
    """Return the recipe for the workers of a run that do some tasks."""
    sources = job.files.sources
    paths = {
        task.partition: path_in_version(task.inputs[-1].key)
        if sources.refs
        else path_of_partition(task.partition, task.inputs[-1])
        for task in tasks
    }
    return CleanSetup(
        FilePlaces.of(job.files, run_id),
        job.target.name,
        job.rules,
        job.codec,
        _distinct(paths, job.files),
    )


class _Cleaning:
    """A run: the partitions cleaned and failed, and the version."""

    def __init__(self, job: CleanJob, author: Author) -> None:
        self._job = job
        self._clock: Clock = author.clock
        self._parts: list[Part] = []
        self._published: tuple[DatasetManifest, bool] | None = None
        self._failed: list[Judged] = []
        self._table: TableWritten | None = None
        spec = {"job": "clean", "revision": FORMAT_REVISION, "rules": job.rules.to_dict()}
        self._spec, self._fields = job.files.spec({**spec, "codec": job.codec})
        making = Making(job.files, job.target, job.codec, job.what, self._spec, job.rules.to_dict())
        self._version = CleanVersion(making, author)

    def plan(self) -> FileRun:
        """Plan the partitions, and check that the version can be published."""
        binning = self._job.rules.binning
        _check_snapshots(self._job.files, binning)
        around = binning.months_around if binning else 0
        planned = plan_job(self._job.files, self._place(), around=around)
        planned.paths = _distinct(planned.paths, self._job.files)
        self._read_proofs(planned)
        # Before any partition is cleaned: a version that can't be published must not cost hours.
        self._version.check(Lake(planned.outputs))
        return planned

    def describe(self, planned: FileRun) -> PlannedJob:
        """Return the plan for the shell of all jobs."""
        settings = {**self._fields, "thresholds": asdict(self._job.thresholds)}
        return planned.planned("clean", settings)

    def run(
        self, events: RunEvents | None, executor: Executor | None, start: StartRun
    ) -> CleanResult:
        planned = self.plan()
        run = start(self.describe(planned), events=events, clock=self._clock)
        setup = clean_setup(self._job, run.run_id, planned.tasks)
        planned.execute(run, setup, executor, lambda run: self._publish(planned, run))
        return self._result(planned, run)

    def _place(self) -> OutputPlace:
        # The number of the version is known only when all files are there. So keys name the input
        # and the rules instead, and the manifest names the files in place (docs/decisions/0006).
        name, spec = self._job.target.name, self._spec
        return OutputPlace(
            cleaning_prefix(name, spec),
            spec,
            lambda file, input_id: cleaned_key(name, spec, input_id, _parquet_key(file)),
        )

    def _result(self, planned: FileRun, run: Run) -> CleanResult:
        manifest, new = self._published or (None, False)
        judged = [*(part.judged for part in self._parts), *self._failed]
        return CleanResult(
            run_id=run.run_id,
            manifest=manifest,
            new=new,
            partitions=sorted(judged, key=lambda partition: partition.partition),
            failures=run.failures,
            computed=run.totals.partitions,
            skipped=planned.plan.totals.done,
            changes=self._changes(),
            pending=len(planned.plan.tasks) - len(planned.tasks),
            changes_by_partition={part.partition: dict(part.changes) for part in self._parts},
            table=self._table,
        )

    # -- results -----------------------------------------------------------------------------------

    def _publish(self, planned: FileRun, run: Run) -> None:
        """Publish the partitions that pass, unless a rerun may still clean some of the others."""
        self._parts = self._read_parts(planned)
        self._failed = [judge_failure(task, failure) for task, failure in run.failures]
        passing = fit_together([p for p in self._parts if p.judged.verdict is not Verdict.FAIL])
        # A partition that a rerun may still clean would be missing now and make a second version
        # later: nothing is published yet.
        retryable = [failure for _, failure in run.failures if not _is_of_data(failure)]
        pending = len(planned.plan.tasks) - len(planned.tasks)
        rows = sum(part.file.rows for part in passing)
        # Without a row there is nothing to publish, even when all partitions pass.
        if rows and not retryable and not pending:
            self._published = self._version.publish(planned, passing, self._aside())
        manifest = self._published[0] if self._published else None
        if manifest is not None and self._job.table is not None:
            self._table = write_version(self._job.table, planned.outputs, manifest, run.run_id)
            run.audit.totals = {**run.audit.totals, "table": self._table.describe()}
        run.audit.totals = {**run.audit.totals, "cleaning": self._result(planned, run).totals}

    def _read_proofs(self, planned: FileRun) -> None:
        """Read the receipts of earlier runs; a partition whose receipt is damaged is pending."""

        def read(finished: FinishedTask) -> FinishedTask:
            receipt = read_receipt(planned.outputs, str(finished.receipt))
            receipt.check_output(finished.output_key, str(receipt.output.get("etag")))
            self._part(receipt, planned.paths[finished.task.partition])
            return FinishedTask.now(finished.task, receipt)

        # Before the run: at its end, a damaged receipt could only fail all of it.
        planned.require_proofs(read)

    def _read_parts(self, planned: FileRun) -> list[Part]:
        parts = [
            self._part(finished.receipt, planned.paths[finished.task.partition])
            for finished in planned.done
            if isinstance(finished.receipt, Receipt)
        ]
        return sorted(parts, key=lambda part: part.file.path)

    def _part(self, receipt: Receipt, path: str) -> Part:
        output: Mapping[str, Any] = receipt.output
        quality = PartitionQuality.from_dict(output.get("quality"), receipt.partition)
        now = self._clock()
        judged = Judged(
            receipt.partition,
            # Judged here and not by the worker, so that other thresholds read no partition again.
            judge_loss(receipt)
            or quality.judge(self._job.thresholds, now).joined(
                judge_dropped(receipt, self._job.thresholds)
            ),
            quality,
            quality.shares(now),
        )
        return Part(
            partition=receipt.partition,
            file=replace(file_from_dict(output.get("file"), receipt.partition), path=path),
            schema=schema_from_text(str(output.get("schema"))),
            judged=judged,
            changes=receipt.repairs,
            inputs=tuple(str(entry["key"]) for entry in receipt.inputs),
        )

    def _changes(self) -> dict[str, int]:
        return changes_of(p for p in self._parts if p.judged.verdict is not Verdict.FAIL)

    def _aside(self) -> list[dict[str, Any]]:
        judged = [*(part.judged for part in self._parts), *self._failed]
        return _reasons(partition for partition in judged if partition.verdict is Verdict.FAIL)


def _reasons(partitions: Iterable[Judged]) -> list[dict[str, Any]]:
    return [
        {"partition": partition.partition, "reasons": list(partition.judgement.reasons)}
        for partition in partitions
    ]


def _check_snapshots(files: FileJob, binning: Binning | None) -> None:
    """Refuse bins that several snapshots would each have a part of, as bins of their own."""
    if binning is not None and binning.partial == "keep" and len(files.sources.refs) > 1:
        raise ConfigError(
            "--partial_bins keep: a bin with rows in several snapshots would have several values",
            hint="leave out --every, or use --partial_bins drop",
        )


def _parquet_key(file: FoundFile) -> str:
    """Return the key of an input; of CSV, the key that Parquet would have."""
    return file.input.key if file.input.extension == "parquet" else file.path


def _distinct(paths: Mapping[str, str], files: FileJob) -> dict[str, str]:
    """Return the paths of files in the dataset; with several source versions, with the version."""
    if len(files.sources.refs) <= 1:
        return dict(paths)
    # Snapshots often have files of the same name, which would collide in one version.
    versions = {f"{ref}/": str(ref.version) for ref in files.sources.refs}

    def of(partition: str) -> str:
        return next(v for prefix, v in versions.items() if partition.startswith(prefix))

    return {
        partition: f"{path.removesuffix('.parquet')}-{of(partition)}.parquet"
        for partition, path in paths.items()
    }


def _is_of_data(failure: Failure) -> bool:
    """Whether the data is at fault, so that a rerun would fail in the same way."""
    # A file that differs from its manifest may be restored. So its partition counts as one that a
    # rerun can clean, and no version is published without it.
    kinds = [kind for kind in _kinds_below(DataError) if kind is not DatasetIntegrityError]
    return failure.error in {kind.__name__ for kind in kinds}


def _kinds_below(kind: type[Exception]) -> list[type[Exception]]:
    return [kind, *(sub for below in kind.__subclasses__() for sub in _kinds_below(below))]
