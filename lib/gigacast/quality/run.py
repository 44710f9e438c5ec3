"""The quality job: measures every partition once and judges the figures in each run.

A second run reads only partitions that changed. A partition that can't be read does not fail the
others: the report lists it as failed, with the reason.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa

from gigacast.core.contract.definition import Contract
from gigacast.core.digest import digest_value
from gigacast.core.partition.task import Task
from gigacast.datasets.resolve import known_contract
from gigacast.job.audit import PlannedJob
from gigacast.job.file_job import FileJob, FileRun, in_threads, plan_job
from gigacast.job.file_worker import FilePlaces
from gigacast.job.run import FinishedTask, Run, RunEvents, start_run, utc_now
from gigacast.job.settled import StartRun
from gigacast.lake.dataset.catalog import Lake
from gigacast.lake.layout import (
    QUALITY_REPORTS,
    quality_key,
    quality_prefix,
    quality_report_key,
)
from gigacast.lake.plan.audit import Clock
from gigacast.lake.plan.file_plan import OutputPlace
from gigacast.quality.measures import Judgement, PartitionQuality, Thresholds, Verdict
from gigacast.quality.partition import Measures, QualitySetup
from gigacast.quality.result import Judged, QualityReport
from gigacast.report.document import Document, Paragraph
from gigacast.runtime.executor import Executor, Failure
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store

FORMAT_REVISION = 1
"""Part of the spec. Raise it when the same settings start to give other figures."""


@dataclass(frozen=True)
class QualityJob:
    """The partitions to measure, the measures, and their limits.

    Parameters
    ----------
    files : FileJob
    measures : Measures
    thresholds : Thresholds
        Limits of the measures. They are not part of the spec: with other thresholds the same
        figures are judged, and no partition is read.
    """

    files: FileJob
    measures: Measures = field(default_factory=Measures)
    thresholds: Thresholds = field(default_factory=Thresholds)


@dataclass(frozen=True)
class QualityResult:
    """The result of a quality run.

    Parameters
    ----------
    run_id : str
    report : QualityReport
    failures : list of (Task, Failure)
        Partitions that could not be measured; the report lists them too.
    computed, skipped : int
        Partitions measured by this run, and by earlier ones.
    """

    run_id: str
    report: QualityReport
    failures: list[tuple[Task, Failure]]
    computed: int
    skipped: int

    def to_table(self) -> pa.Table:
        """Return a row per partition, with a column per measure."""
        return self.report.to_table()

    def to_pandas(self) -> Any:
        """Return the table as a pandas DataFrame.

        Raises
        ------
        MissingExtraError
            If pandas is not installed.
        """
        return self.report.to_pandas()

    def to_json(self) -> dict[str, Any]:
        """Return the report with the shares of each column and the counts for ``--json``."""
        return {
            "run_id": self.run_id,
            **self.report.to_json(),
            "computed": self.computed,
            "skipped": self.skipped,
            "column_shares": self.report.column_shares(),
        }

    def to_document(self) -> Document:
        """Return the report with the longest gaps, the counts and the location of the files."""
        report = self.report
        newest = report.summary()["newest"]
        return report.to_document().followed_by(
            report.longest_gaps(),
            Paragraph(f"newest row {newest or 'unknown'}"),
            Paragraph(f"measured {self.computed}, known before {self.skipped}"),
            Paragraph(f"report: {report.location}.md, .json, .parquet"),
        )


def published_contract(files: FileJob) -> Contract | None:
    """Return the contract that the dataset of a job was published with, if there is one.

    Raises
    ------
    StorageError, DatasetIntegrityError
    """
    if not files.sources.refs:
        return None
    # Of several versions the last is the latest, whose contract new rows have to keep.
    return known_contract(Lake(open_store(files.outputs)), files.sources.refs[-1])


@dataclass(frozen=True)
class PlannedQuality:
    """The plan of a quality job.

    Parameters
    ----------
    job : QualityJob
    spec : str
        Id of the measures.
    shell : PlannedJob
        For the shell of all jobs.
    files : FileRun
    known : dict
        Figures of earlier runs, by key.
    """

    job: QualityJob
    spec: str
    shell: PlannedJob
    files: FileRun
    known: dict[str, PartitionQuality]

    def setup(self, run_id: str) -> QualitySetup:
        """Return the recipe for the workers of a run."""
        return quality_setup(self.job, run_id)


def quality_setup(job: QualityJob, run_id: str) -> QualitySetup:
    """Return the recipe for the workers of a run."""
    return QualitySetup(FilePlaces.of(job.files, run_id), job.measures)


def plan_quality(job: QualityJob) -> PlannedQuality:
    """Plan the partitions that are new or changed.

    Raises
    ------
    DataNotFoundError
        When no partition matches.
    ConfigError, StorageError
    """
    files = job.files
    spec, fields = files.spec(
        {"job": "quality", "revision": FORMAT_REVISION, "measures": job.measures.to_dict()}
    )
    place = OutputPlace(
        quality_prefix(files.source, spec),
        spec,
        # Without the id of the input: the figures of a changed partition replace the former ones.
        lambda file, _: quality_key(files.source, spec, file.partition),
    )
    binning = job.measures.binning
    planned = plan_job(files, place, around=binning.months_around if binning else 0)
    figures: dict[str, PartitionQuality] = {}

    def read(finished: FinishedTask) -> FinishedTask:
        figures[finished.output_key] = _read(planned.outputs, finished.output_key)
        return finished

    # Before the run: figures that are damaged are measured again, and do not fail all the others.
    planned.require_proofs(read)
    shell = planned.planned("quality", {**fields, "thresholds": asdict(job.thresholds)})
    return PlannedQuality(job, spec, shell, planned, figures)


def measure_quality(
    job: QualityJob,
    *,
    events: RunEvents | None = None,
    executor: Executor | None = None,
    clock: Clock = utc_now,
    start: StartRun = start_run,
) -> QualityResult:
    """Measure the partitions that are new or changed, and judge all of them.

    Parameters
    ----------
    job : QualityJob
    events : RunEvents, optional
        Receives the progress; ignored by default.
    executor : Executor, optional
        Runs the tasks; made from the job's resources by default.
    clock : callable
        Gives the current time, with its zone.
    start : callable
        Makes the run of the plan; see `gigacast.job.settled`.

    Raises
    ------
    DataNotFoundError
        When no partition matches.
    ConfigError, StorageError
        When the run can't start. Later failures are in the result.
    """
    files = job.files
    plan = plan_quality(job)
    planned = plan.files
    run = start(plan.shell, events=events, clock=clock)
    report = QualityReport(files.title, clock().isoformat(), asdict(job.thresholds))

    def write_report(run: Run) -> None:
        report.partitions = _judge_all(planned, run, job.thresholds, clock(), plan.known)
        _write(planned.outputs, _report_name(files, plan.spec), report, files.outputs.url)
        run.audit.totals = {**run.audit.totals, "quality": report.summary()}

    planned.execute(run, plan.setup(run.run_id), executor, write_report)
    return QualityResult(
        run_id=run.run_id,
        report=report,
        failures=run.failures,
        computed=run.totals.partitions,
        skipped=planned.plan.totals.done,
    )


def _judge_all(
    planned: FileRun,
    run: Run,
    thresholds: Thresholds,
    now: datetime,
    known: Mapping[str, PartitionQuality],
) -> list[Judged]:
    """Return the verdict on every partition, sorted by name; partitions with an error fail."""
    # Figures of earlier runs are judged again: thresholds are no part of the spec.
    measured = in_threads(
        lambda file: known.get(file.output_key) or _read(planned.outputs, file.output_key),
        planned.done,
    )
    judged = [_judge(quality, thresholds, now) for quality in measured]
    judged += [_failed(task, failure) for task, failure in run.failures]
    return sorted(judged, key=lambda partition: partition.partition)


def _read(outputs: Store, key: str) -> PartitionQuality:
    return PartitionQuality.from_json(outputs.get(key), key)


def _judge(quality: PartitionQuality, allowed: Thresholds, now: datetime) -> Judged:
    return Judged(quality.partition, quality.judge(allowed, now), quality, quality.shares(now))


def _failed(task: Task, failure: Failure) -> Judged:
    reason = f"{failure.error}: {failure.message}"
    return Judged(task.partition, Judgement(Verdict.FAIL, (reason,)))


def _report_name(files: FileJob, spec: str) -> str:
    """Return the name of a report, the same for the same source, selection and measures."""
    selection = files.selection
    selected = [str(selection.months), sorted(selection.symbols), sorted(selection.timeframes)]
    digest = digest_value([files.title, selected, files.limit, spec], length=8)
    return f"{files.source.replace('/', '-')}-{digest}"


def _write(outputs: Store, name: str, report: QualityReport, root: str) -> None:
    report.location = f"{root.rstrip('/')}/{QUALITY_REPORTS}{name}"
    for ending, content in report.files().items():
        outputs.put(quality_report_key(name, ending), content)
