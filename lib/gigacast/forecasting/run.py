"""The main job: plan what is left, run it anywhere, prove what was done.

`run_forecast` is the whole use case; people watch it through `RunEvents`.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from gigacast.core.partition.task import Task
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.forecasters.hardware import count_processes
from gigacast.forecasting.estimate import ReceiptSample, Workload
from gigacast.forecasting.generation import generate_missing
from gigacast.forecasting.manifest import ManifestDraft
from gigacast.forecasting.partition import ForecastSetup
from gigacast.forecasting.prepare import (
    Prepared,
    check_discovered,
    describe_job,
    prepare,
    processes_for,
)
from gigacast.forecasting.quote import quote_here
from gigacast.job.audit import RunDescription, new_audit
from gigacast.job.covariates import describe_companions
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.model_choice import usable_devices
from gigacast.job.run import Run, RunEvents, Silent, Totals, utc_now
from gigacast.lake.layout import version_prefix
from gigacast.lake.plan.audit import AuditLog, Clock, new_run_id
from gigacast.lake.plan.planner import DoneEntry, Plan, make_plan
from gigacast.runtime.choice import make_executor
from gigacast.runtime.executor import Executor, Failure
from gigacast.runtime.instance import this_machine


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Parameters
    ----------
    run_id : str
    status : str
        ``completed``, ``failed`` (some partition failed) or ``planned`` (a dry run).
    plan : Plan
    info : ForecasterInfo
    totals : Totals
    failures : list of (Task, Failure)
    elapsed_s : float
    outputs : str
        URL of the folder of the model version's predictions.
    cost : mapping
        Hours and dollars, ``predicted`` and ``actual``, where the machine's price is known.
    ignored : tuple of str
        Covariates that were asked for and that the model has no use for.
    """

    run_id: str
    status: str
    plan: Plan
    info: ForecasterInfo
    totals: Totals
    failures: list[tuple[Task, Failure]]
    elapsed_s: float
    outputs: str
    cost: dict[str, object] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()


def run_forecast(
    job: ForecastJob,
    *,
    events: RunEvents | None = None,
    executor: Executor | None = None,
    clock: Clock = utc_now,
    dry_run: bool = False,
) -> RunResult:
    """Forecast every pending partition.

    Parameters
    ----------
    job : ForecastJob
    events : RunEvents, optional
        Told how the run goes on.
    executor : Executor, optional
        Where tasks run; made from ``job.resources`` when absent.
    clock : callable
    dry_run : bool
        Plan, and write nothing.

    Raises
    ------
    DataNotFoundError
        When no object under the input root is asked for.
    ConfigError, StorageError, ModelError
        When the run can't start. What goes wrong later is in the result.
    """
    started = time.monotonic()
    events = events or Silent()
    prepared = prepare(job)
    draft = ManifestDraft(prepared.outputs, prepared.spec)
    if job.synthetic is not None and not dry_run:
        made = generate_missing(job.synthetic, prepared.inputs, job.resources, executor)
        events.generated(made)
    sample = ReceiptSample()

    def take_done(entry: DoneEntry) -> None:
        draft.add_done(entry)
        sample.add(entry)

    plan = make_plan(prepared.inputs, prepared.outputs, prepared.request(), on_done=take_done)
    check_discovered(plan, job)
    tasks = plan.tasks[: job.limit]
    run_id = new_run_id(clock(), lambda n: os.urandom(n).hex())
    described = describe_run(prepared, plan, len(tasks))
    audit = new_audit(run_id, described, plan, job.selection, clock)
    if tasks and not dry_run:
        audit.cost |= predict_cost(prepared, tasks, sample)
    run = Run(AuditLog(prepared.outputs, audit, clock), events, draft.add_receipt, job.prices)
    events.planned(run_id, plan, len(tasks))
    if not dry_run:
        setup = ForecastSetup(
            prepared.job, prepared.model, prepared.info, run_id, ignored=prepared.ignored
        )
        place = executor or make_executor_for(prepared, len(tasks))
        run.execute(tasks, setup, place, finish=draft.commit)
    return RunResult(
        run_id=run_id,
        status="planned" if dry_run else audit.status,
        plan=plan,
        info=prepared.info,
        totals=run.totals,
        failures=run.failures,
        elapsed_s=time.monotonic() - started,
        outputs=f"{job.outputs.url}/{version_prefix(prepared.spec.model, prepared.spec.version)}",
        cost=audit.cost,
        ignored=prepared.ignored,
    )


def predict_cost(
    prepared: Prepared, tasks: Sequence[Task], sample: ReceiptSample
) -> dict[str, object]:
    """Return what a run on this machine will cost, where that can be known, as audits list it."""
    rental, prices = this_machine(), prepared.job.prices
    if rental.dollars_per_hour(prices) is None:
        return {}  # receipts are not read in vain
    work = Workload.of(tasks, sample.read(prepared.outputs, prepared.spec))
    quote = quote_here(work, processes_for(prepared), rental, prices)
    return {"predicted": [quote.describe()]} if quote is not None else {}


def make_executor_for(prepared: Prepared, tasks: int) -> Executor:
    """Return the executor a job asks for, with a process per GPU where it leaves that open."""
    job = prepared.job
    devices = usable_devices(job.model, prepared.info)
    processes = count_processes(job.resources.n_jobs, devices)
    return make_executor(job.resources.executor, processes, n_tasks=tasks)


def describe_run(prepared: Prepared, plan: Plan, tasks: int) -> RunDescription:
    """Return what the audit of a forecasting run says of its job and its plan.

    Parameters
    ----------
    prepared : Prepared
    plan : Plan
    tasks : int
        How many of the plan's tasks the run does: a limit may leave some out.
    """
    totals = plan.totals
    specs = {(task.spec, task.horizon) for task in plan.tasks}
    return RunDescription(
        job="forecast",
        settings=describe_job(prepared.job),
        plan={
            "tasks": tasks,
            "pending": totals.pending,
            "pending_bytes": plan.pending_bytes,
            "done": totals.done,
            "superseded": totals.superseded,
            "orphaned": totals.orphaned,
            "unmatched": plan.unmatched_count,
            "specs": {spec: prepared.spec.describe(horizon) for spec, horizon in sorted(specs)},
            "model_source": prepared.model.source,
            "covariates": describe_companions(prepared.job.method, prepared.ignored),
        },
        engine=prepared.info.engine,
    )
