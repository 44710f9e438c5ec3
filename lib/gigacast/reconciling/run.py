"""The reconciliation of a bucket: a job over its months, proved by receipts as all jobs are."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from gigacast.backtesting.partition import Windows
from gigacast.core.lazy import shown_by
from gigacast.core.partition.task import Task
from gigacast.errors import ConfigError
from gigacast.forecasting.prepare import Prepared, check_discovered, describe_job, prepare
from gigacast.forecasting.rows import concatenated
from gigacast.forecasting.run import make_executor_for
from gigacast.forecasting.worker import ModelSetup
from gigacast.job.audit import PlannedJob, RunDescription
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.run import FinishedTask, RunEvents, start_run, utc_now
from gigacast.lake.layout import RECONCILED, spec_prefix
from gigacast.lake.plan.audit import Clock
from gigacast.lake.plan.planner import make_plan
from gigacast.reconciling.panel import check_sums
from gigacast.reconciling.partition import ReconcileSetup
from gigacast.runtime.executor import Executor, Failure
from gigacast.series.frame import to_pandas
from gigacast.settings.command.reconciliation import ReconcileOptions
from gigacast.storage.opening import open_store
from gigacast.storage.parquet.read import read_table
from gigacast.storage.store import StoreAddress

FORMAT_REVISION = 1
"""Part of the spec. Raise it when the same settings start to give other numbers or columns."""


@dataclass(frozen=True)
class ReconcileResult:
    """The result of a reconciliation.

    Parameters
    ----------
    run_id : str
        Empty if nothing was left to do.
    location : str
        URL of the folder of the forecasts.
    keys : tuple of str
        Keys of the forecasts, one for each month, also those of earlier runs.
    computed, skipped : int
        Months reconciled by this run, and done before.
    series, unsummed : int
        Series of this run, and those of them that are in no sum.
    failures : list of (Task, Failure)
    outputs : StoreAddress
    """

    run_id: str
    location: str
    keys: tuple[str, ...]
    computed: int
    skipped: int
    series: int
    unsummed: int
    failures: list[tuple[Task, Failure]]
    outputs: StoreAddress

    _repr_html_ = shown_by("gigacast.reconciling.document", "reconcile_html")

    @property
    def status(self) -> str:
        """``completed``, or ``failed`` when some month failed."""
        return "failed" if self.failures else "completed"

    def to_table(self) -> pa.Table:
        """Read the forecasts of all months: series and sums, told apart by ``sum_by``."""
        store = open_store(self.outputs)
        return concatenated([read_table(store, key) for key in self.keys])

    def to_pandas(self) -> Any:
        """Return the forecasts as a pandas DataFrame."""
        return to_pandas(self.to_table())

    def to_json(self) -> dict[str, Any]:
        """Return the values of ``--json``."""
        return {
            "status": self.status,
            "run": self.run_id or None,
            "location": self.location,
            "keys": list(self.keys),
            "computed": self.computed,
            "skipped": self.skipped,
            "series": self.series,
            "not_summed": self.unsummed,
            "failures": [
                {"partition": t.partition, "error": f.error, "message": f.message}
                for t, f in self.failures
            ],
        }


def run_reconciliation(
    job: ForecastJob,
    options: ReconcileOptions,
    *,
    events: RunEvents | None = None,
    executor: Executor | None = None,
    clock: Clock = utc_now,
) -> ReconcileResult:
    """Forecast the series of each month and their sums, and make the forecasts add up.

    Parameters
    ----------
    job : ForecastJob
    options : ReconcileOptions
    events : RunEvents, optional
    executor : Executor, optional
    clock : callable

    Raises
    ------
    DataNotFoundError
        When no partition matches.
    ConfigError, StorageError, ModelError
        When a run cannot start. Later failures are in the result.
    """
    prepared, levels = prepare_sums(job, options)
    finished: list[FinishedTask] = []
    planned = _plan(prepared, finished)
    run = start_run(planned, events=events, clock=clock, prices=prepared.job.prices)
    skipped = len(finished)
    if planned.tasks:
        work = ModelSetup.of(prepared, run.run_id)
        setup = ReconcileSetup(
            work.job,
            work.model,
            work.info,
            work.run_id,
            ignored=work.ignored,
            levels=levels,
            method=options.method,
            windows=Windows(options.windows),
        )
        run.execute(
            planned.tasks,
            setup,
            executor or make_executor_for(prepared, planned.tasks),
            on_done=lambda task, receipt: finished.append(FinishedTask.now(task, receipt)),
        )
    horizon = job.method.horizon or prepared.request().model_horizon
    spec = prepared.spec
    folder = spec_prefix(spec.model, spec.version, spec.id(horizon), RECONCILED)
    return ReconcileResult(
        run_id=run.run_id if planned.tasks else "",
        location=f"{job.outputs.url}/{folder}",
        keys=tuple(sorted(entry.output_key for entry in finished)),
        computed=run.totals.partitions,
        skipped=skipped,
        series=run.totals.series,
        unsummed=run.totals.repairs.get("not_summed", 0),
        failures=list(run.failures),
        outputs=job.outputs,
    )


def prepare_sums(
    job: ForecastJob, options: ReconcileOptions
) -> tuple[Prepared, tuple[tuple[str, ...], ...]]:
    """Resolve a job, and the columns of each level of its sums.

    Raises
    ------
    ConfigError
        If a sum is of unknown columns, or the method has what sums cannot keep.
    ModelError, StorageError
    """
    method = job.method
    columns = method.columns.items or tuple(filter(None, (method.columns.item_id,)))
    levels = tuple(check_sums(options.sums, columns))
    problems = {
        "covariates": bool(method.columns.covariates),
        "joint_targets": method.joint_targets,
        "integer": method.integer,
        "calibrate": method.calibrate,
        "fallback": method.fallback == "drop",
        "layout": method.layout != "long",
    }
    named = next((name for name, is_set in problems.items() if is_set), None)
    if named is not None:
        raise ConfigError(f"{named}: not for sums of series", hint="leave it out")
    job = replace(
        job,
        method=replace(method, mean=True),
        # Series of any part of a month may be in one sum.
        selection=replace(job.selection, by_month=True),
        synthetic=None,
    )
    prepared = prepare(job, settles=False)
    fields = {
        "job": "reconcile",
        "revision": FORMAT_REVISION,
        "sums": [list(level) for level in levels],
        "method": options.method,
        "windows": options.windows,
    }
    spec = replace(prepared.spec, fields={**prepared.spec.fields, **fields})
    return replace(prepared, spec=spec), levels


def _plan(prepared: Prepared, finished: list[FinishedTask]) -> PlannedJob:
    """Plan a reconciliation: the plan function of the job."""
    plan = make_plan(
        prepared.inputs,
        prepared.outputs,
        replace(prepared.request(), root=RECONCILED),
        on_done=lambda entries: finished.extend(map(FinishedTask.before, entries)),
    )
    check_discovered(plan, prepared.job)
    tasks: Sequence[Task] = plan.tasks[: prepared.job.limit]
    description = RunDescription(
        job="reconcile",
        settings=describe_job(prepared.job),
        plan={
            "tasks": len(tasks),
            "specs": {t.spec: prepared.spec.describe(t.horizon) for t in tasks},
            "model_source": prepared.model.source,
        },
        engine=prepared.info.engine,
    )
    return PlannedJob(
        prepared.outputs,
        plan,
        list(tasks),
        prepared.job.selection,
        description,
        inputs=prepared.inputs,
        patience=prepared.job.resources.patience,
    )
