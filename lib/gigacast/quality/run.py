"""Quality: every partition measured once, judged whenever it is asked for.

Measuring is a job like any other, so a second run reads nothing that has not changed. A partition
that cannot be read fails the others as little as a bad one does: both are in the report, set aside
with their reason.
"""

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime

from gigacast.core.digest import digest_value
from gigacast.core.partition.task import Task
from gigacast.job.file_job import FileJob, audit_of, execute, in_threads, plan_job
from gigacast.job.run import Run, RunEvents, Silent, utc_now
from gigacast.lake.layout import (
    QUALITY_REPORTS,
    quality_key,
    quality_prefix,
    quality_report_key,
)
from gigacast.lake.plan.audit import Audit, Clock
from gigacast.lake.plan.file_plan import FoundFile
from gigacast.quality.measures import Judgement, PartitionQuality, Thresholds, Verdict
from gigacast.quality.partition import Measures, QualitySetup
from gigacast.quality.result import Judged, QualityReport
from gigacast.runtime.executor import Executor, Failure
from gigacast.storage.store import Store

FORMAT_REVISION = 1
"""Raised when the same settings start to give other figures."""


@dataclass(frozen=True)
class QualityJob:
    """What to measure, and what is allowed.

    Parameters
    ----------
    files : FileJob
    measures : Measures
    thresholds : Thresholds
        No part of the spec: they judge what was measured before.
    """

    files: FileJob
    measures: Measures = field(default_factory=Measures)
    thresholds: Thresholds = field(default_factory=Thresholds)


@dataclass(frozen=True)
class QualityResult:
    """How a quality run ended.

    Parameters
    ----------
    run_id : str
    report : QualityReport
    failures : list of (Task, Failure)
        Partitions that could not be measured; they are in the report too.
    computed, skipped : int
        Partitions measured by this run, and before.
    """

    run_id: str
    report: QualityReport
    failures: list[tuple[Task, Failure]]
    computed: int
    skipped: int


def measure_quality(
    job: QualityJob,
    *,
    events: RunEvents | None = None,
    executor: Executor | None = None,
    clock: Clock = utc_now,
) -> QualityResult:
    """Measure what has not been, and judge all of it.

    Parameters
    ----------
    job : QualityJob
    events : RunEvents, optional
        Told how the run goes on.
    executor : Executor, optional
        Where tasks run; made from the job's resources when absent.
    clock : callable

    Raises
    ------
    DataNotFoundError
        When there is nothing of what is asked for.
    ConfigError, StorageError
        When a run can't start. What goes wrong later is in the result.
    """
    files = job.files
    spec, fields = files.spec(
        {"job": "quality", "revision": FORMAT_REVISION, "measures": job.measures.to_dict()}
    )

    def output_key(file: FoundFile, input_id: str) -> str:
        del input_id
        return quality_key(files.source, spec, file.partition)

    run = plan_job(files, quality_prefix(files.source, spec), spec, output_key)
    audit = audit_of(run, "quality", {**fields, "thresholds": asdict(job.thresholds)}, clock)
    report = QualityReport(files.title, clock().isoformat(), asdict(job.thresholds))

    def finish(state: Run, audit: Audit) -> None:
        now = clock()
        found = in_threads(lambda one: _read(run.outputs, one[1]), run.done)
        judged = [_judge(quality, job.thresholds, now) for quality in found]
        judged += [_failed(task, failure) for task, failure in state.failures]
        report.partitions = sorted(judged, key=lambda one: one.partition)
        _write(run.outputs, _report_name(files, spec), report, files.outputs.url)
        audit.totals = {**audit.totals, "quality": report.summary()}

    setup = QualitySetup(
        files.sources, files.outputs, files.reading, job.measures, audit.session_id
    )
    state = execute(run, audit, setup, events or Silent(), (executor, clock, finish))
    return QualityResult(
        run_id=audit.session_id,
        report=report,
        failures=state.failures,
        computed=state.totals.partitions,
        skipped=run.plan.totals.done,
    )


def _read(outputs: Store, key: str) -> PartitionQuality:
    return PartitionQuality.from_dict(json.loads(outputs.get(key)))


def _judge(quality: PartitionQuality, allowed: Thresholds, now: datetime) -> Judged:
    return Judged(quality.partition, quality.judge(allowed, now), quality, quality.shares(now))


def _failed(task: Task, failure: Failure) -> Judged:
    reason = f"{failure.error}: {failure.message}"
    return Judged(task.partition, Judgement(Verdict.FAIL, (reason,)))


def _report_name(files: FileJob, spec: str) -> str:
    """Return the name of a report: the same for the same source and measures."""
    selection = files.selection
    which = [str(selection.months), sorted(selection.symbols), sorted(selection.timeframes)]
    digest = digest_value([files.title, which, files.limit, spec], length=8)
    return f"{files.source.replace('/', '-')}-{digest}"


def _write(outputs: Store, name: str, report: QualityReport, root: str) -> None:
    report.location = f"{root.rstrip('/')}/{QUALITY_REPORTS}{name}"
    for ending, content in report.files().items():
        outputs.put(quality_report_key(name, ending), content)
