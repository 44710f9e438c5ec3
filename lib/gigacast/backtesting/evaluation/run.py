"""The evaluation of stored forecasts whose actuals have arrived: a job over their partitions.

Each partition is a task: all its forecasts, the current one and those that are kept, are joined
with the rows that are in the bucket now, by item, target and time; steps without an actual are
counted as waiting. What is done stays done until a forecast or an object with actuals changes. The
figures are sums over the scores of all partitions.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.backtesting.evaluation.join import Forecasts
from gigacast.backtesting.evaluation.partition import ScoreSetup
from gigacast.backtesting.evaluation.plan import ScorePlan, ScorePlanner
from gigacast.backtesting.evaluation.result import (
    BY,
    ORIGIN,
    SEGMENT,
    Evaluation,
    FigureKey,
    Uncompared,
    WorstSeries,
    passed_over_text,
)
from gigacast.backtesting.evaluation.score import group_sums, levels_of, read_sums
from gigacast.backtesting.leaderboard.breakdown import Segmenter
from gigacast.core.array import DoubleArray
from gigacast.core.column import to_numpy
from gigacast.core.digest import digest_value
from gigacast.core.partition.name import month_of_folder
from gigacast.core.partition.task import Task
from gigacast.core.series.item_key import items_of
from gigacast.errors import (
    ConfigError,
    CorruptedFileError,
    DataError,
    DataNotFoundError,
    ObjectNotFoundError,
)
from gigacast.forecasters.metric import Sums, add_up, figures_of, measure
from gigacast.forecasting.read import Generation, find_generations
from gigacast.job.audit import PlannedJob, RunDescription
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.location import open_inputs
from gigacast.job.run import Run, RunEvents, start_run, utc_now
from gigacast.lake.layout import EVALUATIONS, evaluation_key
from gigacast.lake.plan.audit import Clock
from gigacast.lake.plan.discovery import Selection
from gigacast.lake.plan.origin import UNKNOWN
from gigacast.lake.plan.receipt import Receipt
from gigacast.runtime.choice import make_executor
from gigacast.runtime.executor import Executor
from gigacast.settings.command.backtest import STORED_SEGMENTS
from gigacast.storage.opening import open_store
from gigacast.storage.parquet.read import read_table
from gigacast.storage.store import Store


@dataclass(frozen=True)
class EvaluationJob:
    """The forecasts to evaluate.

    Parameters
    ----------
    forecast : ForecastJob
        Addresses, selection and columns; its model is not used.
    model, version : str, optional
        Model and version whose forecasts are evaluated; all by default.
    by_partition : bool
        Whether to return figures by partition as well.
    worst : int
        Number of series with the largest errors to return; none by default.
    segment : str, optional
        Property by which figures are grouped as well; none by default.
    """

    forecast: ForecastJob
    model: str | None = None
    version: str | None = None
    by_partition: bool = False
    worst: int = 0
    segment: str | None = None


def evaluate_forecasts(
    job: EvaluationJob,
    *,
    events: RunEvents | None = None,
    executor: Executor | None = None,
    clock: Clock = utc_now,
) -> Evaluation:
    """Compare finished forecasts with their actuals, and write the figures into the bucket.

    Parameters
    ----------
    job : EvaluationJob
    events : RunEvents, optional
        Receives the progress; ignored by default.
    executor : Executor, optional
        Runs the tasks; made from the job's resources by default.
    clock : callable
        Gives the current time, with its zone.

    Raises
    ------
    DataNotFoundError
        When there are no finished forecasts of the model, version, months and series.
    StorageError
    """
    forecast = job.forecast
    _check_segment(job.segment)
    inputs, outputs = open_inputs(forecast.inputs), open_store(forecast.outputs)
    for store in (inputs, outputs):
        store.check()
    generations = [g for g in find_generations(outputs) if _is_selected(g, job)]
    if not generations:
        raise DataNotFoundError(
            f"{forecast.outputs.url}: no finished forecasts of the requested model and version",
            hint="run `gigacast forecast` first; see `gigacast status`",
        )
    by_month = forecast.selection.by_month or not job.by_partition
    planner = ScorePlanner(forecast, inputs, outputs, with_whole_months=by_month)
    for generation in generations:
        planner.add(generation)
    planned = planner.result
    if not planned.count:
        passed_over = passed_over_text(planned.passed_over)
        raise DataNotFoundError(
            f"{forecast.outputs.url}: no forecast of the requested months and series"
            + (f"; {passed_over}" if passed_over else ""),
            hint="see --years, --months, --symbol, --timeframe, and `gigacast status`",
        )
    collector = _Collector(outputs, _names(generations), job, planner)
    result = collector.evaluation
    result.passed_over = planned.passed_over
    if planned.plan.tasks:
        _execute(job, planned, (inputs, outputs), collector, events, executor, clock)
    for task, key in planned.done:
        collector.add(task, key)
    collector.finish()
    name = _result_name(forecast.selection, generations)
    result.location = f"{forecast.outputs.url}/{EVALUATIONS}{name}"
    for ending, content in result.files().items():
        outputs.put(evaluation_key(name, ending), content)
    return result


def _execute(  # noqa: PLR0913, PLR0917 - what a run needs, from the one place that has it
    job: EvaluationJob,
    planned: ScorePlan,
    stores: tuple[Store, Store],
    collector: "_Collector",
    events: RunEvents | None,
    executor: Executor | None,
    clock: Clock,
) -> None:
    """Score the partitions that are left, and add them to the partitions that are done."""
    forecast, tasks = job.forecast, planned.plan.tasks
    description = RunDescription(
        job="evaluate",
        settings={
            "inputs": forecast.inputs.url,
            "outputs": forecast.outputs.url,
            "model": job.model,
            "version": job.version,
            "resources": asdict(forecast.resources),
        },
        plan={"tasks": len(tasks), "pending": len(tasks), "done": len(planned.done)},
    )
    shell = PlannedJob(
        stores[1],
        planned.plan,
        tasks,
        forecast.selection,
        description,
        inputs=stores[0],
        patience=forecast.resources.patience,
    )
    run: Run = start_run(shell, events=events, clock=clock)
    resources = forecast.resources
    # Names of tasks are those of forecasts; the worker puts the key of the scores in their place.
    run.execute(
        tasks,
        ScoreSetup(forecast, run.run_id),
        executor or make_executor(resources.executor, resources.n_jobs, n_tasks=len(tasks)),
        on_done=collector.add_new,
    )
    collector.evaluation.failures = [
        Uncompared(task.output_key, failure.message) for task, failure in run.failures
    ]


def _result_name(selection: Selection, generations: list[Generation]) -> str:
    """Return the name of the result: the same for the same forecasts."""
    selected = [str(selection.months), sorted(selection.symbols), sorted(selection.timeframes)]
    return digest_value([selected, *([g.model, g.version, g.spec] for g in generations)], length=8)


def _is_selected(generation: Generation, job: EvaluationJob) -> bool:
    return job.model in {None, generation.model, f"{generation.model}/{generation.version}"} and (
        job.version in {None, generation.version}
    )


def _names(generations: list[Generation]) -> dict[Generation, str]:
    """Return a name for each generation; it contains the spec only where a version has several."""
    labels = [f"{g.model}/{g.version}" for g in generations]
    return {
        g: label if labels.count(label) == 1 else f"{label}/{g.spec}"
        for g, label in zip(generations, labels, strict=True)
    }


class _Collector:
    """Adds up the scores of partitions."""

    def __init__(
        self,
        outputs: Store,
        names: dict[Generation, str],
        job: EvaluationJob,
        planner: ScorePlanner,
    ) -> None:
        self.evaluation = Evaluation()
        self._planner = planner
        method = job.forecast.method
        self._segmenter = (
            Segmenter(job.segment, planner.inputs, method.columns, method.csv)
            if job.segment is not None
            else None
        )
        self._outputs = outputs
        self._names = names
        self._job = job
        self._sums: dict[str, dict[FigureKey, Sums]] = {by: {} for by in (*BY, ORIGIN, SEGMENT)}
        self._of_partitions: dict[FigureKey, Sums] = {}
        self._worst: list[WorstSeries] = []

    def add_new(self, task: Task, receipt: Receipt) -> None:
        """Remember a partition that this run has done."""
        self._planner.result.done.append((task, str(receipt.output["key"])))
        self.evaluation.conflicts += receipt.repairs.get("conflicts", 0)

    def add(self, task: Task, key: str) -> None:
        """Add the scores of a partition."""
        try:
            table = read_table(self._outputs, key)
        # Derived and damaged or gone: the next evaluation makes them anew.
        except (CorruptedFileError, ObjectNotFoundError) as error:
            self.evaluation.failures.append(Uncompared(key, error.message))
            return
        if not table.num_rows:
            return
        name, levels = self._name_of(task), levels_of(table)
        partition = task.partition
        self.evaluation.levels[name] = levels
        month = partition_month(partition)
        for origin, _, sums, expected in _groups(table, "origin", levels):
            self.evaluation.steps += expected
            self.evaluation.matched += int(sums.steps[0] + sums.missed[0])
            _add_to(self._sums["version"], FigureKey(name, "all"), sums)
            _add_to(self._sums["month"], FigureKey(name, month), sums)
            _add_to(self._sums[ORIGIN], FigureKey(name, origin), sums)
            if self._job.by_partition:
                _add_to(self._of_partitions, FigureKey(name, partition), sums)
        for _, step, sums, _ in _groups(table, "step", levels):
            _add_to(self._sums["step"], FigureKey(name, str(step)), sums)
        if self._job.worst:
            self._add_worst(name, partition, table, levels)
        if self._segmenter is not None:
            self._add_segments(self._segmenter, task, table, levels)

    def _name_of(self, task: Task) -> str:
        return self._names[self._planner.result.generations[task.output_key]]

    def _add_segments(
        self, segmenter: Segmenter, task: Task, table: pa.Table, levels: tuple[float, ...]
    ) -> None:
        rows = table.filter(pc.equal(table["kind"], "series"))
        if not rows.num_rows:
            return
        try:
            labels, codes = segmenter.label(rows, self._planner.own(task))
        except DataError as error:
            self.evaluation.failures.append(Uncompared(task.output_key, error.message))
            return
        sums = group_sums(read_sums(rows, levels), codes, len(labels))
        for place, label in enumerate(labels):
            own = sums.take(np.array([place]))
            _add_to(self._sums[SEGMENT], FigureKey(self._name_of(task), label), own)

    def _add_worst(
        self, name: str, partition: str, table: pa.Table, levels: tuple[float, ...]
    ) -> None:
        rows = table.filter(pc.equal(table["kind"], "series"))
        if not rows.num_rows:
            return
        items = items_of(rows).cast(pa.string())
        names = pc.binary_join_element_wise(items, rows["target_name"], pa.scalar("\0"))
        encoded = names.combine_chunks().dictionary_encode()
        codes = to_numpy(encoded.indices).astype(np.int64)
        sums = group_sums(read_sums(rows, levels), codes, len(encoded.dictionary))
        scaled = sums.forecasts - sums.undefined
        # Without a scale, as of a constant series, nobody can say how large an error is.
        known = np.flatnonzero(scaled > 0)
        order = np.argsort(-sums.mase[known] / scaled[known], kind="stable")
        chosen = known[order][: self._job.worst]
        for row, figures in zip(chosen, figures_of(sums.take(chosen)), strict=True):
            item, _, target = str(encoded.dictionary[int(row)]).partition("\0")
            self._worst.append(WorstSeries(name, partition, item, target, figures))
        self._worst = sorted(self._worst, key=_by_error)[: self._job.worst]

    def finish(self) -> None:
        """Compute the figures of the sums."""
        result = self.evaluation
        for by, sums in self._sums.items():
            result.figures[by] = {
                key: figures_of(total)[0] for key, total in sorted(sums.items(), key=_order)
            }
        # Of forecasts of earlier releases alone nobody can say from when they are.
        if all(origin == UNKNOWN for _, origin in result.figures[ORIGIN]):
            del result.figures[ORIGIN]
        else:
            result.figures[ORIGIN] = {
                FigureKey(model, origin_name(origin)): figures
                for (model, origin), figures in result.figures[ORIGIN].items()
            }
        if self._segmenter is None:
            del result.figures[SEGMENT]
        result.partitions = {
            key: figures_of(sums)[0] for key, sums in sorted(self._of_partitions.items())
        }
        result.worst = self._worst


def _check_segment(segment: str | None) -> None:
    """Refuse a segment that stored forecasts do not have.

    Raises
    ------
    ConfigError
    """
    is_column = segment is not None and segment.startswith("column:") and segment != "column:"
    if segment is not None and segment not in STORED_SEGMENTS and not is_column:
        raise ConfigError(
            f"--segment: stored forecasts have no {segment!r}",
            hint=f"use one of {', '.join(STORED_SEGMENTS)}, or column:NAME for a column of the "
            "input",
        )


def _by_error(series: WorstSeries) -> tuple[float, str, str, str]:
    return -series.figures.mase, series.model, series.partition, series.item


def _groups(
    table: pa.Table, kind: str, levels: tuple[float, ...]
) -> Iterator[tuple[str, int, Sums, int]]:
    """Yield origin, step, sums and expected steps of the rows of a kind."""
    rows = table.filter(pc.equal(table["kind"], kind))
    sums = read_sums(rows, levels)
    origins, steps = rows["origin"].to_pylist(), rows["step"].to_pylist()
    expected = rows["expected"].to_pylist()
    for n, origin in enumerate(origins):
        yield origin, steps[n], sums.take(np.array([n])), int(expected[n])


def origin_name(cutoff: str) -> str:
    """Return a cutoff in a key as people write it: ``2024-01-31``, ``2024-01-31 09:30``, ``17``."""
    day, mark, clock = cutoff.partition("T")
    if not mark:
        return str(int(cutoff)) if cutoff.isdecimal() else "unknown"
    hours = f"{clock[:2]}:{clock[2:4]}" + (f":{clock[4:6]}" if clock[4:] != "00" else "")
    return day if clock == "000000" else f"{day} {hours}"


def partition_month(partition: str) -> str:
    """Return the month of a partition as figures name it."""
    return str(month_of_folder(partition.rpartition("/")[0]))


def _add_to(totals: dict[FigureKey, Sums], key: FigureKey, sums: Sums) -> None:
    totals[key] = totals[key] + sums if key in totals else sums


@dataclass(frozen=True)
class PartSums:
    """Sums over some series of a file."""

    levels: tuple[float, ...]
    steps: int
    matched: int
    all_steps: Sums
    by_step: list[Sums]

    @classmethod
    def of(
        cls,
        forecasts: Forecasts,
        actual: np.ndarray[Any, Any],
        scales: DoubleArray,
    ) -> "PartSums":
        """Compare forecasts with their actuals, [N, H], over all steps and step by step."""

        def compare(at: slice) -> Sums:
            median, quantiles = forecasts.median[:, at], forecasts.quantiles[:, at]
            return add_up(measure(actual[:, at], median, quantiles, forecasts.levels, scales))

        return cls(
            levels=forecasts.levels,
            steps=actual.size,
            matched=int(np.isfinite(actual).sum()),
            all_steps=compare(slice(None)),
            by_step=[compare(slice(step, step + 1)) for step in range(actual.shape[1])],
        )


def _order(entry: tuple[FigureKey, Sums]) -> tuple[str, int, str]:
    # Steps in the order of numbers: as texts, 10 would come before 2.
    (model, label), _ = entry
    return model, int(label) if label.isdigit() else 0, label
