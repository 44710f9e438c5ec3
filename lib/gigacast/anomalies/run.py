"""The search for anomalies in a bucket: against stored forecasts, else against rolling ones."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.anomalies.kernel import Compared, History, Limits, describe_history
from gigacast.anomalies.result import MAX_PANELS, AnomalyReport, summarise, weight_of
from gigacast.anomalies.rolling import AnomalySetup
from gigacast.anomalies.table import detect
from gigacast.backtesting.evaluation.actuals import Actuals
from gigacast.backtesting.evaluation.join import (
    Forecasts,
    match,
    read_forecasts,
    whole_series,
)
from gigacast.backtesting.partition import Windows
from gigacast.core.column import to_arrow, to_numpy
from gigacast.core.digest import digest_value
from gigacast.core.partition.name import is_whole_month, lineage_of, month_of_folder
from gigacast.core.partition.spec import horizon_of_spec
from gigacast.core.series.item_key import item_names, items_of, key_columns
from gigacast.core.time.month import Month
from gigacast.errors import DataNotFoundError, GigacastError
from gigacast.forecasting.prediction import long_table
from gigacast.forecasting.prepare import Prepared, check_discovered, describe_job, prepare
from gigacast.forecasting.preview import wall_times
from gigacast.forecasting.read import Generation, find_generations
from gigacast.forecasting.run import make_executor_for
from gigacast.forecasting.worker import ModelSetup
from gigacast.job.audit import PlannedJob, RunDescription
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.location import open_inputs
from gigacast.job.run import FinishedTask, RunEvents, start_run, utc_now
from gigacast.job.spec import AGGREGATION, with_aggregation
from gigacast.lake.layout import ANOMALIES, FORECASTS, anomaly_report_key
from gigacast.lake.plan.audit import Clock
from gigacast.lake.plan.manifest import read_manifest
from gigacast.lake.plan.planner import make_plan
from gigacast.lake.plan.receipt import Receipt, read_receipt
from gigacast.report.plot.panel import ForecastPanel
from gigacast.runtime.executor import Executor
from gigacast.storage.opening import open_store
from gigacast.storage.parquet.read import read_batches, read_table
from gigacast.storage.parquet.writer import table_bytes
from gigacast.storage.store import Store

FORMAT_REVISION = 1
"""Part of the spec of rolling searches. Raise it when the same settings start to give others."""
_STEP_BYTES = 768
"""Memory for a forecast step, as in evaluations."""


@dataclass(frozen=True)
class AnomalyJob:
    """The values to compare, and the limits of what is expected.

    Parameters
    ----------
    forecast : ForecastJob
        Addresses, selection, columns; model and method of rolling forecasts.
    limits : Limits
    windows : int
        Horizons at the end of each series that rolling forecasts are made of.
    rolling : bool
        Whether to make forecasts although some are stored.
    model, version : str, optional
        Model and version whose stored forecasts are compared; the latest by default.
    """

    forecast: ForecastJob
    limits: Limits = field(default_factory=Limits)
    windows: int = 1
    rolling: bool = False
    model: str | None = None
    version: str | None = None


def find_anomalies_in(
    job: AnomalyJob,
    *,
    events: RunEvents | None = None,
    executor: Executor | None = None,
    clock: Clock = utc_now,
) -> AnomalyReport:
    """Search a bucket, write the anomalies as a dataset, and return the report.

    Without stored forecasts, or with `AnomalyJob.rolling`, forecasts of the last steps are made as
    a job: partitions that were searched before, and did not change, are not forecast again.

    Raises
    ------
    DataNotFoundError
        When there is nothing to compare.
    ConfigError, StorageError, ModelError
    """
    outputs = open_store(job.forecast.outputs)
    outputs.check()
    generation = None if job.rolling else _latest(outputs, job)
    if generation is None:
        report = _roll(job, events, executor, clock)
    else:
        report = _compare_stored(job, outputs, generation)
    name = _name(job, generation)
    report.location = f"{job.forecast.outputs.url}/{anomaly_report_key(name, '')}".rstrip(".")
    for ending, content in report.files().items():
        outputs.put(anomaly_report_key(name, ending), content)
    return report


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
    return digest_value([of, selected, limits], length=8)


def _compare_stored(job: AnomalyJob, outputs: Store, generation: Generation) -> AnomalyReport:
    """Compare the forecasts of a generation with the values that have come since."""
    report = AnomalyReport("stored", job.limits)
    folder = generation.key.rpartition("/")[0].replace(FORECASTS, ANOMALIES, 1)
    report.dataset = f"{job.forecast.outputs.url}/{folder}"
    comparison = _Comparison(job, open_inputs(job.forecast.inputs), outputs)
    manifest, _ = read_manifest(outputs, generation.key)
    horizon = horizon_of_spec(generation.spec) or 1
    for row in manifest.to_pylist():
        if not comparison.wants(row["partition"]):
            continue
        try:
            rows = comparison.compare(row, horizon, report)
        except (GigacastError, pa.ArrowException) as error:
            message = error.message if isinstance(error, GigacastError) else str(error)
            report.failures.append((row["key"], message))
            continue
        outputs.put(row["key"].replace(FORECASTS, ANOMALIES, 1), table_bytes(rows))
        report.add(row["partition"], rows)
    if not report.series and not report.failures:
        raise DataNotFoundError(
            f"{generation.key}: no forecast of the requested months and series",
            hint="see --years, --months, --symbol, or make forecasts by --rolling",
        )
    return report


class _Comparison:
    """Compares files of forecasts with the values that have come since."""

    def __init__(self, job: AnomalyJob, inputs: Store, outputs: Store) -> None:
        self._job, self._limits = job.forecast, job.limits
        self._inputs, self._outputs = inputs, outputs

    def wants(self, partition: str) -> bool:
        """Return whether a partition is of the selected months and series."""
        folder = partition.rpartition("/")[0]
        month = month_of_folder(folder)
        name = self._job.pattern.parse(f"{partition}.parquet")
        if name is not None:
            return self._job.selection.wants(name)
        return month is not None and month in self._job.selection.months

    def compare(self, row: dict[str, str], horizon: int, report: AnomalyReport) -> pa.Table:
        """Return the anomalies of a file, and count its series and values in the report."""
        max_steps = self._job.resources.memory_limit_bytes // _STEP_BYTES
        batches = read_batches(self._outputs, row["key"], if_match=row["etag"])
        tables, counts, panels = [], [], []
        for table in whole_series(batches, horizon, max_steps):
            rows, count, part_panels = self._part(table, row["partition"], horizon)
            tables.append(rows)
            counts.append(count)
            panels += part_panels
        # Only now, when all parts were read: a file counts completely or not at all.
        for series, values, compared in counts:
            report.series += series
            report.values += values
            report.compared += compared
        report.add_panels(panels)
        if not tables:
            raise DataNotFoundError(f"{row['key']}: it has no forecast")
        return pa.concat_tables(tables)

    def _part(
        self, table: pa.Table, partition: str, horizon: int
    ) -> tuple[pa.Table, tuple[int, int, int], list[tuple[float, ForecastPanel]]]:
        forecasts = read_forecasts(table, horizon)
        actuals = self._actuals(table, partition)
        month, lineage = month_of_folder(partition.rpartition("/")[0]), lineage_of(partition)
        if month is None:
            raise DataNotFoundError(f"{partition}: its name has no month")
        items = key_columns(table.schema)
        arrived, _ = actuals.find(forecasts, month, lineage, items)
        actual = match(forecasts, arrived)
        history = _history(actuals, forecasts, (month, lineage, items))
        rows = long_table(table)
        keys = rows.select([*item_names(rows.schema), "timestamp", "target_name"])
        compared = Compared(actual, forecasts.median, forecasts.quantiles, forecasts.levels)
        anomalies = detect(keys.replace_schema_metadata(), compared, history, self._limits)
        counts = (len(actual), actual.size, int(np.isfinite(actual).sum()))
        return anomalies, counts, _panels(partition, anomalies, rows, compared)

    def _actuals(self, table: pa.Table, partition: str) -> Actuals:
        """Return the actuals of a file: read in its bins, and as a whole month if it is one."""
        job = self._job
        if is_whole_month(lineage_of(partition)):
            job = replace(job, selection=replace(job.selection, by_month=True))
        if (text := (table.schema.metadata or {}).get(AGGREGATION.encode())) is not None:
            job = replace(job, method=with_aggregation(job.method, text, "a forecast"))
        return Actuals(job, self._inputs)


def _panels(
    partition: str, anomalies: pa.Table, rows: pa.Table, compared: Compared
) -> list[tuple[float, ForecastPanel]]:
    """Return pictures of the worst series of a part, with their weights."""
    items, targets = items_of(rows).cast(pa.string()), rows["target_name"].cast(pa.string())
    horizon = compared.median.shape[1]
    panels = []
    for entry in summarise(partition, anomalies)[:MAX_PANELS]:
        own = pc.and_(pc.equal(items, entry.item), pc.equal(targets, entry.target))
        series = int(np.flatnonzero(to_numpy(pc.fill_null(own, False)))[0]) // horizon
        times = wall_times(rows["timestamp"].slice(series * horizon, horizon))
        if times is None:
            continue
        panel = ForecastPanel(
            f"{entry.item} · {entry.target}: {entry.kind.replace('_', ' ')}",
            times[:0],
            np.empty(0, np.float32),
            times,
            compared.median[series],
            tuple(compared.levels),
            compared.quantiles[series],
            compared.actual[series],
        )
        panels.append((weight_of(entry), panel))
    return panels


def _history(
    actuals: Actuals, forecasts: Forecasts, place: tuple[Month, str, tuple[str, ...]]
) -> History:
    """Return what is usual for the series of forecasts; nothing is unusual for unknown ones."""
    tables = []
    for batch in actuals.batches(*place):
        own = describe_history(batch.values, batch.offsets)
        names = {"item": batch.item_ids, "target": batch.target_names.cast(pa.string())}
        numbers = (own.repeats, own.change, own.zeros)
        columns = zip(("repeats", "change", "zeros"), map(to_arrow, numbers), strict=True)
        tables.append(pa.table({**names, **dict(columns)}))
    series = forecasts.items
    unknown = History.unknown(series.num_rows)
    if not tables:
        return unknown
    table = pa.concat_tables(tables)
    # The input may have been rewritten since the forecast, with ids of another type.
    table = table.set_column(0, "item", table["item"].cast(series.schema.field("item").type))
    targets = series["target"].cast(pa.string())
    numbered = pa.table(
        {
            "item": series["item"],
            "target": targets,
            "row": to_arrow(np.arange(series.num_rows)),
        }
    )
    joined = numbered.join(table, keys=["item", "target"], join_type="inner")
    rows = to_numpy(joined["row"])
    for name in ("repeats", "change", "zeros"):
        getattr(unknown, name)[rows] = to_numpy(pc.fill_null(joined[name], 0))
    return unknown


def _roll(
    job: AnomalyJob, events: RunEvents | None, executor: Executor | None, clock: Clock
) -> AnomalyReport:
    """Forecast the last steps of every partition from before them, as a job, and compare."""
    prepared = prepare(job.forecast)
    own = {
        "job": "anomalies",
        "revision": FORMAT_REVISION,
        "windows": job.windows,
        "limits": str(job.limits),
    }
    spec = replace(prepared.spec, fields={**prepared.spec.fields, **own})
    prepared = replace(prepared, spec=spec)
    finished: list[FinishedTask] = []
    planned = _plan(prepared, finished)
    run = start_run(planned, events=events, clock=clock, prices=prepared.job.prices)
    if planned.tasks:
        work = ModelSetup.of(prepared, run.run_id)
        run.execute(
            planned.tasks,
            AnomalySetup(work, Windows(job.windows), job.limits),
            executor or make_executor_for(prepared, len(planned.tasks)),
            on_done=lambda task, receipt: finished.append(FinishedTask.now(task, receipt)),
        )
    report = AnomalyReport("rolling", job.limits, run_id=run.run_id if planned.tasks else "")
    report.dataset = f"{job.forecast.outputs.url}/{ANOMALIES}{spec.model}/{spec.version}"
    report.failures += [(task.partition, failure.message) for task, failure in run.failures]
    for entry, rows, series in _outputs_of(prepared.outputs, finished):
        report.series += series
        steps = series * job.windows * entry.task.horizon
        report.values, report.compared = report.values + steps, report.compared + steps
        report.add(entry.task.partition, rows)
    return report


def _plan(prepared: Prepared, finished: list[FinishedTask]) -> PlannedJob:
    """Plan a rolling search: the plan function of the job."""
    plan = make_plan(
        prepared.inputs,
        prepared.outputs,
        replace(prepared.request(), root=ANOMALIES),
        on_done=lambda entry: finished.append(FinishedTask.before(entry)),
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
) -> Iterator[tuple[FinishedTask, pa.Table, int]]:
    """Yield the anomalies of each finished partition, and its number of series."""
    for entry in finished:
        receipt = entry.receipt
        if not isinstance(receipt, Receipt):
            receipt = read_receipt(outputs, receipt)
        series = receipt.series - sum(receipt.reasons.values())
        yield entry, read_table(outputs, entry.output_key), series
