"""The state of a bucket: partitions by month, and the latest runs."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from gigacast.batch.close import close_run
from gigacast.batch.result import is_array_run
from gigacast.batch.service import ArrayService
from gigacast.errors import ComputeError, ConfigError, DataError, PlanError, StorageError
from gigacast.forecasting.prepare import Prepared, prepare_for
from gigacast.job.forecast_job import ForecastJob
from gigacast.lake.plan.audit import Audit, list_runs, read_audit
from gigacast.lake.plan.planner import MonthCounts, Plan, make_plan
from gigacast.storage.store import Store

RECENT_RUNS = 20


@dataclass(frozen=True)
class MonthStatus:
    """Partitions of a month by state.

    Parameters
    ----------
    month : str
        As ``2024-01``.
    counts : MonthCounts
    failed : int
        Pending partitions that failed in one of the latest runs.
    """

    month: str
    counts: MonthCounts
    failed: int


@dataclass(frozen=True)
class StatusReport:
    """The state of a bucket month by month, and its latest runs, newest first."""

    prepared: Prepared
    plan: Plan
    months: list[MonthStatus]
    runs: list[Audit] = field(default_factory=list)


MakeService = Callable[[], ArrayService]


def report_status(job: ForecastJob, make_service: MakeService | None = None) -> StatusReport:
    """Count partitions by month and state; failures are taken from the latest audits.

    Array runs that have ended are closed first, where the caller may write.

    Parameters
    ----------
    job : ForecastJob
    make_service : callable, optional
        Makes the service of array jobs; called only when an array run has not ended.

    Raises
    ------
    ConfigError, StorageError, ModelError
    """
    prepared = prepare_for(job)
    plan = make_plan(prepared.inputs, prepared.outputs, prepared.request())
    runs = close_ended(prepared.outputs, read_runs(prepared.outputs, RECENT_RUNS), make_service)
    pending = {task.partition for task in plan.tasks}
    # A partition that failed and was forecast since then is no longer pending: it does not count.
    failed = {
        str(failure["partition"]): str(failure.get("month", ""))
        for run in runs
        for failure in run.failures
        if failure.get("partition") in pending and is_about(run, plan)
    }
    by_month = Counter(failed.values())
    months = [
        MonthStatus(str(month), counts, by_month[str(month)])
        for month, counts in sorted(plan.months.items())
    ]
    return StatusReport(prepared, plan, months, runs)


def specs_of(run: Audit) -> set[str]:
    """Return the specs of the forecasts of a run; none for other jobs, and without a task."""
    specs = run.plan.get("specs") if run.job == "forecast" else None
    return set(specs) if isinstance(specs, dict) else set()


def is_about(run: Audit, plan: Plan) -> bool:
    """Check whether a run was to make forecasts of a plan; audits may not say which they were."""
    specs = specs_of(run)
    return run.job == "forecast" and (not specs or not plan.specs or bool(specs & plan.specs))


def read_runs(outputs: Store, count: int) -> list[Audit]:
    """Return the latest audits that can be read, newest first."""
    runs = []
    for run_id, _ in list_runs(outputs)[:count]:
        try:
            runs.append(read_audit(outputs, run_id))
        except (StorageError, DataError):
            continue
    return runs


def close_ended(outputs: Store, runs: list[Audit], make_service: MakeService | None) -> list[Audit]:
    """Return runs, the array runs that have ended being closed where that is possible."""
    # Errors are ignored: who may only read the bucket, or can't reach the service, sees all runs.

    def close(run: Audit) -> Audit:
        if run.end_time is not None or not is_array_run(run):
            return run
        try:
            service = make_service() if make_service is not None else None
            return close_run(outputs, run.session_id, service)
        except (ComputeError, ConfigError):
            return _close_by_summaries(outputs, run)
        except (StorageError, DataError, PlanError):
            return run

    return [close(run) for run in runs]


def _close_by_summaries(outputs: Store, run: Audit) -> Audit:
    try:
        return close_run(outputs, run.session_id)
    except (StorageError, DataError, PlanError):
        return run
