"""The plan of a forecasting job, with an estimate of what it will take."""

from dataclasses import dataclass, field

from gigacast.forecasting.estimate import Estimate, ReceiptSample, Workload, estimate
from gigacast.forecasting.prepare import Prepared, prepare_for
from gigacast.job.forecast_job import ForecastJob
from gigacast.lake.plan.planner import Plan, make_plan
from gigacast.lake.plan.receipt import Receipt


@dataclass(frozen=True)
class PlanReport:
    """A plan with its estimate and what it was made from.

    ``receipts`` are a sample of what was done before.
    """

    prepared: Prepared
    plan: Plan
    estimate: Estimate
    receipts: list[Receipt] = field(default_factory=list)

    @property
    def workload(self) -> Workload:
        """What a run would have to do: the job may set a limit."""
        return Workload.of(self.plan.tasks[: self.prepared.job.limit], self.receipts)


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
    sample = ReceiptSample()
    plan = make_plan(prepared.inputs, prepared.outputs, prepared.request(), on_done=sample.add)
    receipts = sample.read(prepared.outputs, prepared.spec)
    return PlanReport(prepared, plan, estimate(plan.pending_bytes, receipts), receipts)
