"""The plan of a forecasting job with an estimate of its series and seconds."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa

from gigacast.core.lazy import shown_by
from gigacast.forecasting.estimate import Estimate, Passes, ReceiptSample, Workload, estimate
from gigacast.forecasting.look import Look, look_into
from gigacast.forecasting.prepare import Prepared, check_spellings, prepare_for, processes_for
from gigacast.forecasting.quote import Quote, quote_here, quote_queues
from gigacast.job.batch_options import ArrayOptions
from gigacast.job.forecast_job import ForecastJob
from gigacast.lake.plan.planner import Plan, make_plan
from gigacast.lake.plan.receipt import Receipt
from gigacast.runtime.instance import this_machine
from gigacast.runtime.processes import Processes
from gigacast.series.frame import to_pandas

_TABLE = pa.schema(
    [
        *((name, pa.string()) for name in ("partition", "month", "spec")),
        *((name, pa.int64()) for name in ("horizon", "size_bytes")),
        ("output_key", pa.string()),
    ]
)
"""Columns of a plan as a table; one without tasks has them, too."""


@dataclass(frozen=True)
class PlanReport:
    """A plan with its estimate.

    Parameters
    ----------
    prepared : Prepared
    plan : Plan
    estimate : Estimate
    receipts : list of Receipt
        Receipts that the estimate is made from: a sample of the partitions done before.
    look : Look
        What a few inputs say against the plan.
    """

    prepared: Prepared
    plan: Plan
    estimate: Estimate
    receipts: list[Receipt] = field(default_factory=list)
    look: Look = field(default_factory=Look)

    @cached_property
    def workload(self) -> Workload:
        """The tasks that a run would do, up to the limit of the job."""
        return Workload.of(self.plan.tasks[: self.prepared.job.limit], self.receipts)

    @property
    def processes(self) -> Processes:
        """The processes that a run would use on this machine."""
        return processes_for(self.prepared, self.plan.tasks[: self.prepared.job.limit])

    def to_table(self) -> pa.Table:
        """Return a row per pending partition."""
        columns = {name: [getattr(t, name) for t in self.plan.tasks] for name in _TABLE.names}
        return pa.table(columns, _TABLE)

    @property
    def passes(self) -> int:
        """Passes over the model that a series takes at most, at the longest horizon of the plan."""
        return Passes.of(self.prepared, (task.horizon for task in self.plan.tasks)).coming

    def to_pandas(self) -> Any:
        """Return the pending partitions as a pandas DataFrame.

        Raises
        ------
        MissingExtraError
            If pandas is not installed.
        """
        return to_pandas(self.to_table())

    _repr_html_ = shown_by("gigacast.forecasting.document", "plan_html")


def report_plan(job: ForecastJob) -> PlanReport:
    """Plan a job, and estimate its series and seconds from earlier receipts.

    Raises
    ------
    ConfigError, StorageError, ModelError
    """
    return plan_prepared(prepare_for(job))


def plan_prepared(prepared: Prepared) -> PlanReport:
    """Plan a prepared job, and estimate its series and seconds from earlier receipts.

    Raises
    ------
    StorageError
    """
    sample = ReceiptSample()
    plan = make_plan(prepared.inputs, prepared.outputs, prepared.request(), on_done=sample.add_all)
    check_spellings(plan, prepared.job)
    look = look_into(prepared, plan)
    passes = Passes.of(prepared, (task.horizon for task in plan.tasks))
    partitioning = prepared.job.selection.partitioning
    receipts = sample.read(prepared.outputs, prepared.spec, partitioning, passes)
    return PlanReport(prepared, plan, estimate(plan.pending_bytes, receipts), receipts, look)


def quote_plan(report: PlanReport, options: ArrayOptions) -> list[Quote]:
    """Return the cost of a plan on this machine, if its price is known, and on each queue.

    Without tasks this machine is left out: it would cost nothing.

    Parameters
    ----------
    report : PlanReport
    options : ArrayOptions
        Machines of the queues, and their prices.
    """
    work, prepared = report.workload, report.prepared
    count = report.processes.count
    local_quote = quote_here(work, count, this_machine(), prepared.job.prices)
    local = [local_quote] if local_quote is not None and work.tasks else []
    return [*local, *quote_queues(work, options)]
