"""The forecasting job: plans the pending partitions, forecasts them, writes the manifest."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from gigacast.core.lazy import shown_by
from gigacast.core.partition.task import Task
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.forecasting.estimate import Passes, ReceiptSample, Workload
from gigacast.forecasting.generation import Generation, generate_missing
from gigacast.forecasting.look import Look, look_for_spans, look_into
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
from gigacast.job.audit import PlannedJob, RunDescription
from gigacast.job.covariates import describe_companions
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.run import Run, RunEvents, Silent, start_run, utc_now
from gigacast.job.totals import Totals
from gigacast.lake.layout import version_prefix
from gigacast.lake.plan.audit import Clock
from gigacast.lake.plan.planner import OnDone, Plan, make_plan
from gigacast.lake.plan.rows import DoneEntry
from gigacast.lake.table.address import TableWritten
from gigacast.runtime.choice import make_executor
from gigacast.runtime.executor import Executor, Failure
from gigacast.runtime.instance import this_machine


@dataclass(frozen=True)
class RunResult:
    """The result of a forecasting run.

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
        Covariates that the model does not support and that the settings leave out.
    look : Look
        What a few inputs say against the way in which they are forecast.
    table : TableWritten, optional
        What the run has changed in the table of the results.
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
    look: Look = field(default_factory=Look)
    table: TableWritten | None = None

    _repr_html_ = shown_by("gigacast.forecasting.document", "run_html")


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
        Receives the progress; ignored by default.
    executor : Executor, optional
        Runs the tasks; made from ``job.resources`` by default.
    clock : callable
        Gives the current time, with its zone.
    dry_run : bool
        Whether to plan only; nothing is written then.

    Raises
    ------
    DataNotFoundError
        When no partition under the input root matches.
    ConfigError, StorageError, ModelError
        When the run can't start. Later failures are in the result.
    """
    started = time.monotonic()
    prepared = prepare(job)
    draft, sample = ManifestDraft(prepared.outputs, prepared.spec), ReceiptSample()
    generation = Generation()
    if job.synthetic is not None and not dry_run:
        generation = generate_missing(prepared, job.resources, executor)
        (events or Silent()).generated(len(generation))

    def take_done(entries: Sequence[DoneEntry]) -> None:
        draft.add_all(entries)
        sample.add_all(entries)

    planned = plan_forecast(prepared, take_done, may_be_empty=generation.skipped > 0)
    run = start_run(planned, events=events, clock=clock, prices=job.prices)
    if len(generation):
        run.audit.plan["generated"] = generation.describe()
    written: list[TableWritten] = []
    if not dry_run:
        if planned.tasks:
            run.audit.cost |= predict_cost(prepared, planned.tasks, sample)
        run.execute(
            planned.tasks,
            replace(ForecastSetup.of(prepared, run.run_id), generated=generation.seconds),
            executor or make_executor_for(prepared, planned.tasks),
            on_done=lambda _, receipt: draft.add_receipt(receipt),
            on_results=lambda run: written.extend(_publish(prepared, draft, run)),
        )
    status = "planned" if dry_run else run.status
    look = look_into(prepared, planned.plan) if dry_run else _look_back(prepared, planned, run)
    result = _result(prepared, planned, run, status, time.monotonic() - started)
    return replace(result, look=look, table=written[-1] if written else None)


def _publish(prepared: Prepared, draft: ManifestDraft, run: Run) -> list[TableWritten]:
    """Write the manifest, and then the table that the job names."""
    # Readers see the forecasts of this run only when all of them are there.
    draft.commit(run.run_id, prepared.job.keep_origins)
    if prepared.job.table is None:
        return []
    from gigacast.forecasting.stored.table import write_forecasts  # noqa: PLC0415 - few runs do

    written = write_forecasts(prepared, draft.specs, run.run_id)
    run.audit.totals = {**run.audit.totals, "table": written.describe()}
    return [written]


def _look_back(prepared: Prepared, planned: PlannedJob, run: Run) -> Look:
    """Look for items that span parts of a month, in the inputs that this run forecast.

    Missing columns need no look: they are failures of the run.
    """
    # After the tasks and without those that failed: a file that kills the process that reads it
    # would kill this one, before the audit exists by which the next run knows of it.
    failed = {task.output_key for task, _ in run.failures}
    tasks = [task for task in planned.plan.tasks if task.output_key not in failed]
    return Look(look_for_spans(prepared, replace(planned.plan, tasks=tasks)))


def _result(
    prepared: Prepared, planned: PlannedJob, run: Run, status: str, elapsed_s: float
) -> RunResult:
    spec = prepared.spec
    return RunResult(
        run_id=run.run_id,
        status=status,
        plan=planned.plan,
        info=prepared.info,
        totals=run.totals,
        failures=run.failures,
        elapsed_s=elapsed_s,
        outputs=f"{prepared.job.outputs.url}/{version_prefix(spec.model, spec.version)}",
        cost=run.audit.cost,
        ignored=prepared.ignored,
    )


def plan_forecast(
    prepared: Prepared, on_done: OnDone | None = None, *, may_be_empty: bool = False
) -> PlannedJob:
    """Plan a prepared forecasting job: the plan function of the job.

    Parameters
    ----------
    prepared : Prepared
    on_done : callable, optional
        Called with the partitions of each month that are done already; ignored by default.
    may_be_empty : bool
        Whether there may be no partition, because all are forecast and were deleted.

    Raises
    ------
    DataNotFoundError
        When no partition matches.
    StorageError
    """
    plan = make_plan(prepared.inputs, prepared.outputs, prepared.request(), on_done=on_done)
    return describe_plan(prepared, plan, may_be_empty=may_be_empty)


def describe_plan(prepared: Prepared, plan: Plan, *, may_be_empty: bool = False) -> PlannedJob:
    """Return a plan with the description of its job, for the shell of all jobs.

    Raises
    ------
    DataNotFoundError
        When the plan found no partition at all.
    """
    job = prepared.job
    if not may_be_empty:
        check_discovered(plan, job)
    tasks = plan.tasks[: job.limit]
    description = _describe_run(prepared, plan, tasks)
    return PlannedJob(
        prepared.outputs,
        plan,
        tasks,
        job.selection,
        description,
        inputs=prepared.inputs,
        patience=job.resources.patience,
    )


def predict_cost(
    prepared: Prepared, tasks: Sequence[Task], sample: ReceiptSample
) -> dict[str, object]:
    """Return the expected cost of a run on this machine, as audits list it.

    Empty where the price of the machine is unknown, or no receipt says how long such tasks take.
    """
    rental, prices = this_machine(), prepared.job.prices
    if rental.dollars_per_hour(prices) is None:
        return {}  # without a price, reading receipts would be requests for nothing
    passes = Passes.of(prepared, (task.horizon for task in tasks))
    partitioning = prepared.job.selection.partitioning
    receipts = sample.read(prepared.outputs, prepared.spec, partitioning, passes)
    work = Workload.of(tasks, receipts)
    quote = quote_here(work, processes_for(prepared, tasks).count, rental, prices)
    return {"predicted": [quote.describe()]} if quote is not None else {}


def make_executor_for(
    prepared: Prepared, tasks: Sequence[Task], n_tasks: int | None = None
) -> Executor:
    """Return the executor that a job names, by default with as many processes as pay.

    Parameters
    ----------
    prepared : Prepared
    tasks : sequence of Task
    n_tasks : int, optional
        Their number, where the tasks themselves are not at hand.
    """
    resources = prepared.job.resources
    # A cluster has its own workers, which this machine cannot count.
    is_here = resources.executor in ("auto", "joblib", "inline")
    count = len(tasks) if n_tasks is None else n_tasks
    processes = processes_for(prepared, tasks, count).count if is_here else resources.n_jobs
    return make_executor(resources.executor, processes, n_tasks=count)


def _describe_run(prepared: Prepared, plan: Plan, tasks: Sequence[Task]) -> RunDescription:
    """Return the job and the plan of a forecasting run for its audit.

    Parameters
    ----------
    prepared : Prepared
    plan : Plan
    tasks : sequence of Task
        The plan's tasks that the run does; a limit may leave some out.
    """
    totals = plan.totals
    specs = {(task.spec, task.horizon) for task in plan.tasks}
    return RunDescription(
        job="forecast",
        settings=describe_job(prepared.job),
        plan={
            "tasks": len(tasks),
            "processes": str(processes_for(prepared, tasks)),
            "pending": totals.pending,
            "pending_bytes": plan.pending_bytes,
            "done": totals.done,
            "superseded": totals.superseded,
            "orphaned": totals.orphaned,
            "unmatched": plan.unmatched_count,
            "specs": {spec: prepared.spec.describe(horizon) for spec, horizon in sorted(specs)},
            "model_source": prepared.model.source,
            "engine_reason": prepared.engine_reason,
            "covariates": describe_companions(prepared.job.method, prepared.ignored),
        },
        engine=prepared.info.engine,
    )
