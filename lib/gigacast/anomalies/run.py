"""The search for anomalies in a bucket: against stored forecasts, else against rolling ones."""

from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa

from gigacast.anomalies.job import AnomalyJob
from gigacast.anomalies.panel import PANELS, load_panels
from gigacast.anomalies.result import AnomalyReport
from gigacast.anomalies.rolling import AnomalySetup
from gigacast.anomalies.stored import compare_stored, plan_stored
from gigacast.backtesting.partition import Windows
from gigacast.core.digest import digest_value
from gigacast.errors import ConfigError
from gigacast.forecasting.prepare import Prepared, check_discovered, describe_job, prepare
from gigacast.forecasting.read import Generation, find_generations
from gigacast.forecasting.rows import LATEST, checked_origin
from gigacast.forecasting.run import make_executor_for
from gigacast.forecasting.worker import ModelSetup
from gigacast.job.audit import PlannedJob, RunDescription
from gigacast.job.covariates import refuse_pooled
from gigacast.job.location import exact_inputs
from gigacast.job.run import FinishedTask, RunEvents, start_run, utc_now
from gigacast.job.settled import StartRun
from gigacast.lake.layout import ANOMALIES, anomaly_report_key
from gigacast.lake.plan.audit import Clock
from gigacast.lake.plan.planner import make_plan
from gigacast.lake.plan.receipt import Receipt, read_receipt
from gigacast.report.plot.panel import ForecastPanel
from gigacast.runtime.executor import Executor
from gigacast.storage.opening import open_store
from gigacast.storage.parquet.read import open_parquet, translated_parquet
from gigacast.storage.store import Store

__all__ = ["AnomalyJob", "find_anomalies_in"]

FORMAT_REVISION = 2
"""Part of the spec of rolling searches. Raise it when the same settings start to give others."""


def find_anomalies_in(
    job: AnomalyJob,
    *,
    events: RunEvents | None = None,
    executor: Executor | None = None,
    clock: Clock = utc_now,
    start: StartRun = start_run,
) -> AnomalyReport:
    """Search a bucket, write the anomalies as a dataset, and return the report.

    The search is a job: partitions that were searched before, and did not change, are not searched
    again. Without stored forecasts, or with `AnomalyJob.rolling`, it makes forecasts of the last
    steps. What ``start`` is: see `gigacast.job.settled`.

    Raises
    ------
    DataNotFoundError
        When there is nothing to compare.
    ConfigError, StorageError, ModelError
    """
    inputs = exact_inputs(job.forecast.inputs)
    forecast = replace(job.forecast, inputs=inputs)
    job = replace(job, forecast=forecast, origin=checked_origin(job.origin))
    outputs = open_store(job.forecast.outputs)
    outputs.check()
    generation = None if job.rolling else _latest(outputs, job)
    if generation is None and job.origin != LATEST:
        raise ConfigError(
            f"--origin {job.origin}: forecasts are made for this search, and none is kept",
            hint="leave it out, or --rolling",
        )
    name = _name(job, generation)
    if generation is None:
        report = _roll(job, name, events, executor, clock)
    else:
        report = compare_stored(job, outputs, generation, name, events, executor, clock, start)
    report.location = f"{job.forecast.outputs.url}/{anomaly_report_key(name, '')}".rstrip(".")
    for ending, content in report.files().items():
        outputs.put(anomaly_report_key(name, ending), content)
    return report


def plan_search(job: AnomalyJob) -> PlannedJob:
    """Plan a search in stored forecasts.

    Raises
    ------
    DataNotFoundError
        When there is nothing to compare.
    ConfigError
        If no forecasts are stored, or others are asked for.
    StorageError
    """
    job = replace(job, origin=checked_origin(job.origin))
    outputs = open_store(job.forecast.outputs)
    outputs.check()
    generation = None if job.rolling else _latest(outputs, job)
    if generation is None:
        raise ConfigError(
            "--executor batch: an array compares stored forecasts, and makes none for the search",
            hint="run `gigacast forecast` before, or leave out --executor batch",
        )
    return plan_stored(job, outputs, generation, _name(job, generation), lambda part: None)


def _latest(outputs: Store, job: AnomalyJob) -> Generation | None:
    for generation in find_generations(outputs):
        names = {None, generation.model, f"{generation.model}/{generation.version}"}
        if job.model in names and job.version in {None, generation.version}:
            return generation
    return None


def _name(job: AnomalyJob, generation: Generation | None) -> str:
    """Return the name of the report: the same for the same forecasts, selection and limits."""
    selection = job.forecast.selection
    of = generation.key if generation is not None else ["rolling", job.windows]
    selected = [str(selection.months), sorted(selection.symbols), sorted(selection.timeframes)]
    limits = [str(job.limits), job.forecast.model.reference, job.forecast.method.horizon]
    # Left out by default: names of reports stay as they are.
    origin = [job.origin] if job.origin != LATEST else []
    return digest_value([of, selected, limits, *origin], length=8)


def _roll(
    job: AnomalyJob, name: str, events: RunEvents | None, executor: Executor | None, clock: Clock
) -> AnomalyReport:
    """Forecast the last steps of every partition from before them, as a job, and compare."""
    refuse_pooled(job.forecast.method, "a search for anomalies")
    prepared = prepare(job.forecast, settles=False)
    own = {
        "job": "anomalies",
        "revision": FORMAT_REVISION,
        "windows": job.windows,
        "limits": str(job.limits),
    }
    spec = replace(prepared.spec, fields={**prepared.spec.fields, **own})
    prepared = replace(prepared, spec=spec)
    finished: list[FinishedTask] = []
    planned = _plan(prepared, finished, name)
    run = start_run(planned, events=events, clock=clock, prices=prepared.job.prices)
    if planned.tasks:
        work = ModelSetup.of(prepared, run.run_id)
        run.execute(
            planned.tasks,
            AnomalySetup(work, Windows(job.windows), job.limits),
            executor or make_executor_for(prepared, planned.tasks),
            on_done=lambda task, receipt: finished.append(FinishedTask.now(task, receipt)),
        )
    report = AnomalyReport("rolling", job.limits, run_id=run.run_id if planned.tasks else "")
    report.dataset = f"{job.forecast.outputs.url}/{ANOMALIES}{spec.model}/{spec.version}"
    report.failures += [(task.partition, failure.message) for task, failure in run.failures]
    for entry, rows, series, panels in _outputs_of(prepared.outputs, finished):
        report.add_panels(panels)
        report.series += series
        steps = series * job.windows * entry.task.horizon
        report.values, report.compared = report.values + steps, report.compared + steps
        report.add(entry.task.partition, rows)
    return report


def _plan(prepared: Prepared, finished: list[FinishedTask], name: str) -> PlannedJob:
    """Plan a rolling search: the plan function of the job."""
    plan = make_plan(
        prepared.inputs,
        prepared.outputs,
        replace(prepared.request(), root=ANOMALIES),
        on_done=lambda entries: finished.extend(map(FinishedTask.before, entries)),
    )
    check_discovered(plan, prepared.job)
    tasks = plan.tasks[: prepared.job.limit]
    description = RunDescription(
        job="anomalies",
        settings=describe_job(prepared.job),
        plan={
            "tasks": len(tasks),
            "specs": {t.spec: prepared.spec.describe(t.horizon) for t in tasks},
            "model_source": prepared.model.source,
            "result": anomaly_report_key(name, "").rstrip("."),
        },
        engine=prepared.info.engine,
    )
    return PlannedJob(
        prepared.outputs,
        plan,
        tasks,
        prepared.job.selection,
        description,
        inputs=prepared.inputs,
        patience=prepared.job.resources.patience,
    )


def _outputs_of(
    outputs: Store, finished: list[FinishedTask]
) -> Iterator[tuple[FinishedTask, pa.Table, int, list[tuple[float, ForecastPanel]]]]:
    """Yield the anomalies of each finished partition, its number of series, and pictures."""
    for entry in finished:
        receipt = entry.receipt
        if not isinstance(receipt, Receipt):
            receipt = read_receipt(outputs, receipt)
        series = receipt.series - sum(receipt.reasons.values())
        with open_parquet(outputs, entry.output_key) as file:
            with translated_parquet(outputs, entry.output_key):
                rows = file.read(use_threads=False)
            metadata = file.metadata.metadata or {}
        yield entry, rows, series, load_panels(metadata.get(PANELS.encode()), entry.output_key)
