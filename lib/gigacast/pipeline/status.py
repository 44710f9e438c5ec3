"""Where a bucket stands, and what is left to do will take.

Imports ``errors``, ``core``, ``storage`` and ``lake``.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from gigacast.errors import ComputeError, ConfigError, DataError, PlanError, StorageError
from gigacast.lake.audit import Audit, read_audit, recent_runs
from gigacast.lake.layout import receipt_prefix, version_prefix
from gigacast.lake.planner import DoneEntry, MonthCounts, Plan, make_plan
from gigacast.lake.receipt import Receipt, read_receipt
from gigacast.pipeline.array_close import close_run
from gigacast.pipeline.array_result import is_array_run
from gigacast.pipeline.array_setup import prepare_for
from gigacast.pipeline.forecast import Prepared
from gigacast.pipeline.job import ForecastJob
from gigacast.runtime.array import ArrayService
from gigacast.storage.store import Store

SAMPLED_RECEIPTS = 20
RECENT_RUNS = 20


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the pending partitions will take, from earlier receipts.

    ``series`` and ``seconds`` are ``None`` when no receipt tells; ``seconds`` are of one process.
    """

    receipts: int
    series: int | None
    seconds: float | None


@dataclass(frozen=True)
class PlanReport:
    """A plan with its estimate and what it was made from.

    ``receipts`` are a sample of what was done before.
    """

    prepared: Prepared
    plan: Plan
    estimate: Estimate
    receipts: list[Receipt] = field(default_factory=list)


@dataclass(frozen=True)
class MonthStatus:
    """Partitions of one month by state."""

    month: str
    counts: MonthCounts
    failed: int


@dataclass(frozen=True)
class StatusReport:
    """Where a bucket stands, month by month, and its latest runs, newest first."""

    prepared: Prepared
    plan: Plan
    months: list[MonthStatus]
    runs: list[Audit] = field(default_factory=list)


def report_plan(job: ForecastJob) -> PlanReport:
    """Plan, and estimate from earlier receipts what the plan will take.

    Raises
    ------
    ConfigError, StorageError, ModelError
    """
    return plan_prepared(prepare_for(job))


def plan_prepared(prepared: Prepared) -> PlanReport:
    """Plan what was prepared, and estimate what the plan will take.

    Raises
    ------
    StorageError
    """
    sample = _Sample()
    plan = make_plan(prepared.inputs, prepared.outputs, prepared.request(), on_done=sample.add)
    keys = sample.keys or _any_receipts(prepared)
    receipts = _read_all(prepared.outputs, keys)
    return PlanReport(prepared, plan, estimate(plan.pending_bytes, receipts), receipts)


MakeService = Callable[[], ArrayService]


def report_status(job: ForecastJob, make_service: MakeService | None = None) -> StatusReport:
    """Count partitions by state and month; what failed last is read from the latest audits.

    Array runs that have ended are closed on the way, where that is allowed.

    Parameters
    ----------
    job : ForecastJob
    make_service : callable, optional
        Makes the service that array runs are at, when there is one under way.

    Raises
    ------
    ConfigError, StorageError, ModelError
    """
    prepared = prepare_for(job)
    plan = make_plan(prepared.inputs, prepared.outputs, prepared.request())
    runs = close_ended(prepared.outputs, read_runs(prepared.outputs, RECENT_RUNS), make_service)
    pending = {task.partition for task in plan.tasks}
    failed = {
        str(failure["partition"]): str(failure.get("month", ""))
        for run in runs
        for failure in run.failures
        if failure.get("partition") in pending
    }
    by_month = Counter(failed.values())
    months = [
        MonthStatus(str(month), counts, by_month[str(month)])
        for month, counts in sorted(plan.months.items())
    ]
    return StatusReport(prepared, plan, months, runs)


def estimate(pending_bytes: int, receipts: list[Receipt]) -> Estimate:
    """Scale what receipts say by the bytes left to read."""
    size = sum(receipt.size_bytes for receipt in receipts)
    if size == 0:
        return Estimate(0, None, None)
    share = pending_bytes / size
    series = sum(receipt.series for receipt in receipts)
    seconds = sum(receipt.seconds.get("total", 0.0) for receipt in receipts)
    return Estimate(len(receipts), round(series * share), seconds * share)


def read_runs(outputs: Store, count: int) -> list[Audit]:
    """Return the latest audits that can be read, newest first."""
    runs = []
    for run_id in recent_runs(outputs, count):
        try:
            runs.append(read_audit(outputs, run_id))
        except (StorageError, DataError):
            continue
    return runs


def close_ended(outputs: Store, runs: list[Audit], make_service: MakeService | None) -> list[Audit]:
    """Close the array runs that have ended; those that can't be are returned as they are.

    Whoever may only read the bucket, or has no access to the service, still sees every run.
    """

    def close(run: Audit) -> Audit:
        if run.end_time is not None or not is_array_run(run):
            return run
        try:
            service = make_service() if make_service is not None else None
            return close_run(outputs, run.session_id, service)
        except (ComputeError, ConfigError):
            return _closed_alone(outputs, run)
        except (StorageError, DataError, PlanError):
            return run

    return [close(run) for run in runs]


def _closed_alone(outputs: Store, run: Audit) -> Audit:
    try:
        return close_run(outputs, run.session_id)
    except (StorageError, DataError, PlanError):
        return run


class _Sample:
    """The receipts of some of the partitions done, spread over all of them."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self._every = 1
        self._seen = 0

    def add(self, entry: DoneEntry) -> None:
        """Keep every n-th; when there are too many, keep every second of those and double n."""
        if self._seen % self._every == 0:
            self.keys.append(entry.receipt_key)
            if len(self.keys) > SAMPLED_RECEIPTS:
                self.keys = self.keys[::2]
                self._every *= 2
        self._seen += 1


def _any_receipts(prepared: Prepared) -> list[str]:
    """Return receipts of other specs of the same model version: better than no estimate."""
    prefix = receipt_prefix(version_prefix(prepared.spec.model, prepared.spec.version))
    page = next(prepared.outputs.list(prefix), [])
    return [entry.key for entry in page[:SAMPLED_RECEIPTS]]


def _read_all(outputs: Store, keys: list[str]) -> list[Receipt]:
    receipts = []
    for key in keys:
        try:
            receipts.append(read_receipt(outputs, key))
        except (StorageError, DataError):
            continue
    return receipts
