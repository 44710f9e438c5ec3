"""The main job: plan what is left, run it anywhere, prove what was done. Imports all below.

`run_forecast` is the whole use case; people watch it through `RunEvents`.
"""

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version

from gigacast.core.month import IntRange
from gigacast.core.spec import Spec
from gigacast.core.task import Task
from gigacast.errors import DataNotFoundError
from gigacast.forecast.division import count_processes
from gigacast.forecast.forecaster import ForecasterInfo
from gigacast.forecast.level import plan_levels
from gigacast.lake.audit import Audit, AuditLog, Clock, new_run_id
from gigacast.lake.layout import version_prefix
from gigacast.lake.model import ResolvedModel
from gigacast.lake.planner import DoneEntry, Plan, PlanRequest, make_plan
from gigacast.pipeline.choice import resolve_choice, usable_devices
from gigacast.pipeline.companion import check_context, describe_companions, fit_method
from gigacast.pipeline.estimate import ReceiptSample, Workload
from gigacast.pipeline.generation import generate_missing
from gigacast.pipeline.job import ForecastJob
from gigacast.pipeline.location import open_inputs, pin_inputs
from gigacast.pipeline.manifest import ManifestDraft
from gigacast.pipeline.partition import ForecastSetup
from gigacast.pipeline.quote import quote_here
from gigacast.pipeline.run import Run, RunEvents, Silent, Totals, utc_now
from gigacast.pipeline.spec import make_spec
from gigacast.runtime.choice import make_executor
from gigacast.runtime.cores import resolve_jobs
from gigacast.runtime.executor import Executor, Failure
from gigacast.runtime.instance import this_machine
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress


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


@dataclass(frozen=True)
class Prepared:
    """A job with everything resolved: its stores open, its model pinned, its spec made.

    ``model_horizon`` stands in for the model's own where several models are to agree; ``ignored``
    is what was asked for and the model has no use for.
    """

    job: ForecastJob
    inputs: Store
    outputs: Store
    model: ResolvedModel
    info: ForecasterInfo
    spec: Spec
    model_horizon: int | None = None
    ignored: tuple[str, ...] = ()

    def request(self) -> PlanRequest:
        """Return what the planner is asked."""
        return PlanRequest(
            spec=self.spec,
            horizon=self.job.method.horizon,
            model_horizon=self.model_horizon or self.info.prediction_length,
            pattern=self.job.pattern,
            selection=self.job.selection,
            overwrite=self.job.overwrite,
        )

    def request_to_read(self) -> PlanRequest:
        """Return what the planner is asked to find all that is done, whoever did it."""
        return replace(self.request(), overwrite=False)


def prepare(job: ForecastJob, *, compares: bool = False) -> Prepared:
    """Open the stores and resolve, once, what is ``auto`` or ``ACTIVE``.

    Parameters
    ----------
    job : ForecastJob
    compares : bool
        Whether it is one of several: each then looks back as far as it can, of what is asked.

    Raises
    ------
    BucketNotFoundError, AccessDeniedError, ModelError, ConfigError
    """
    job = replace(job, inputs=pin_inputs(job.inputs))
    inputs = open_inputs(job.inputs)
    outputs = inputs if job.outputs == job.inputs else open_store(job.outputs)
    for address in {checked_address(job, job.inputs), checked_address(job, job.outputs)}:
        open_store(address).check()
    model, info = resolve_choice(job.model, outputs)
    if not compares:
        check_context(job.method, info)
    method, ignored = fit_method(job.method, info)
    job = replace(job, method=method)
    # Levels the model cannot give fail here, once, and not in every partition.
    plan_levels(job.method.levels, info.levels, extrapolate=job.method.extrapolate_levels)
    spec = make_spec(info, job.method, job.selection)
    return Prepared(job, inputs, outputs, model, info, spec, ignored=ignored)


def checked_address(job: ForecastJob, address: StoreAddress) -> StoreAddress:
    """Return what must exist: a folder's prefix is made when it is needed, the folder is not.

    On S3 the prefix is asked for, not the bucket: permissions may end there.
    """
    is_folder = address.url.startswith("file://")
    return job.bucket if is_folder and address.is_below(job.bucket) else address


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
    audit = new_audit(run_id, prepared, plan, len(tasks), clock)
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


def processes_for(prepared: Prepared) -> int:
    """Return how many processes a job gets on this machine."""
    devices = usable_devices(prepared.job.model, prepared.info)
    return resolve_jobs(count_processes(prepared.job.resources.n_jobs, devices))


def make_executor_for(prepared: Prepared, tasks: int) -> Executor:
    """Return the executor a job asks for, with a process per GPU where it leaves that open."""
    job = prepared.job
    devices = usable_devices(job.model, prepared.info)
    processes = count_processes(job.resources.n_jobs, devices)
    return make_executor(job.resources.executor, processes, n_tasks=tasks)


def check_discovered(plan: Plan, job: ForecastJob) -> None:
    """Refuse a plan that found nothing at all.

    Raises
    ------
    DataNotFoundError
        Naming what lay there instead.
    """
    if plan.discovered:
        return
    seen = [*plan.unmatched[:3], *plan.foreign_folders[:3]]
    found = f"; found instead: {', '.join(seen)}" if seen else ""
    raise DataNotFoundError(
        f"no partition under {job.inputs.url} matches what was asked for{found}",
        hint="expected {YYYY}/{MM}/NAME.parquet; see --prefix, --years, --symbol, "
        "and parquet_loader.file_patterns in the settings",
    )


def new_audit(run_id: str, prepared: Prepared, plan: Plan, tasks: int, clock: Clock) -> Audit:
    """Return the record of a run that is about to start."""
    selection = prepared.job.selection
    totals = plan.totals
    specs = {(task.spec, task.horizon) for task in plan.tasks}
    return Audit(
        session_id=run_id,
        start_time=clock().isoformat(),
        symbol=",".join(sorted(selection.symbols)) or None,
        year_range=_range(selection.months.years),
        month_range=_range(selection.months.months),
        files_discovered=plan.discovered,
        files_skipped=totals.done,
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
        software={name: version(name) for name in ("gigacast", "numpy", "pyarrow", "obstore")}
        | {"python": platform.python_version(), "engine": prepared.info.engine},
        host={"name": platform.node(), "pid": os.getpid(), "cpus": os.cpu_count() or 0},
    )


def _range(values: IntRange | None) -> list[int] | None:
    return [values.first, values.last] if values is not None else None


def describe_job(job: ForecastJob) -> dict[str, object]:
    """Return a job's settings as the audit records them; nothing in a job is secret."""
    method = asdict(job.method)
    method["frequency"] = job.method.frequency.alias if job.method.frequency else None
    return {
        "inputs": job.inputs.url,
        "outputs": job.outputs.url,
        "model": asdict(job.model),
        "method": method,
        "resources": asdict(job.resources),
        "overwrite": job.overwrite,
        "limit": job.limit,
    }
