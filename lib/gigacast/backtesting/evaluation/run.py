"""The evaluation of stored forecasts whose actuals have arrived: a job over their partitions.

Each partition is a task: all its forecasts, the current one and those that are kept, are joined
with the rows that are in the bucket now, by item, target and time; steps without an actual are
counted as waiting. What is done stays done until a forecast or an object with actuals changes. The
figures are sums over the scores of all partitions.
"""

from dataclasses import asdict, dataclass, replace
from functools import partial

from gigacast.backtesting.evaluation.calibration import calibrate_stored
from gigacast.backtesting.evaluation.figures import Collector, FigureRequest
from gigacast.backtesting.evaluation.partition import ScoreSetup
from gigacast.backtesting.evaluation.plan import ScorePlan, ScorePlanner
from gigacast.backtesting.evaluation.result import (
    Evaluation,
    Uncompared,
    passed_over_text,
)
from gigacast.core.digest import digest_value
from gigacast.errors import (
    ConfigError,
    DataNotFoundError,
)
from gigacast.forecasting.prepare import pin_months
from gigacast.forecasting.read import Generation, find_generations, is_spec
from gigacast.job.audit import PlannedJob, RunDescription
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.location import open_inputs
from gigacast.job.outage import Outage
from gigacast.job.run import Run, RunEvents, Silent, start_run, utc_now
from gigacast.lake.layout import EVALUATIONS, evaluation_key
from gigacast.lake.plan.audit import Clock
from gigacast.lake.plan.discovery import Selection
from gigacast.runtime.choice import make_executor
from gigacast.runtime.executor import Executor
from gigacast.settings.command.backtest import STORED_SEGMENTS
from gigacast.storage.opening import open_store
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
    spec : str, optional
        Spec, by the start of its id or digest; all by default.
    """

    forecast: ForecastJob
    model: str | None = None
    version: str | None = None
    by_partition: bool = False
    worst: int = 0
    segment: str | None = None
    spec: str | None = None


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
    planned = plan_evaluation(job, events)
    collector = planned.collector()
    if planned.result.plan.tasks:
        _execute(planned, collector, events, executor, clock)
    return _collect(planned, collector)


@dataclass(frozen=True)
class PlannedEvaluation:
    """A planned evaluation.

    Parameters
    ----------
    job : EvaluationJob
        With the months that it stands for at this moment.
    generations : list of Generation
    planner : ScorePlanner
    inputs, outputs : Store
    outage : Outage
        Waits for stores that do not answer.
    """

    job: EvaluationJob
    generations: list[Generation]
    planner: ScorePlanner
    inputs: Store
    outputs: Store
    outage: Outage

    @property
    def result(self) -> ScorePlan:
        """The partitions, done and left."""
        return self.planner.result

    @property
    def name(self) -> str:
        """Name of the result: the same for the same forecasts."""
        return _result_name(self.job.forecast.selection, self.generations)

    def collector(self) -> Collector:
        """Return what adds up the scores."""
        job = self.job
        request = FigureRequest(job.forecast, job.by_partition, job.worst, job.segment)
        return Collector(self.outputs, _names(self.generations), request, self.planner)


def plan_evaluation(job: EvaluationJob, events: RunEvents | None = None) -> PlannedEvaluation:
    """Plan an evaluation; events are told of waits for stores that do not answer.

    Raises
    ------
    DataNotFoundError
        When there are no finished forecasts of the model, version, months and series.
    ConfigError, StorageError
    """
    job = replace(job, forecast=pin_months(job.forecast))
    forecast = job.forecast
    _check_segment(job.segment)
    inputs, outputs = open_inputs(forecast.inputs), open_store(forecast.outputs)
    waiting = (events or Silent()).waiting
    outage = Outage((inputs, outputs), forecast.resources.patience, waiting)
    for store in (inputs, outputs):
        outage.call(store.check)
    generations = [
        g for g in outage.call(lambda: find_generations(outputs)) if _is_selected(g, job)
    ]
    if not generations:
        raise DataNotFoundError(
            f"{forecast.outputs.url}: no finished forecasts of the requested model, version and "
            "spec",
            hint="run `gigacast forecast` first; see `gigacast ls`",
        )
    planner = outage.call(lambda: _plan(job, (inputs, outputs), generations))
    return PlannedEvaluation(job, generations, planner, inputs, outputs, outage)


def collect_evaluation(job: EvaluationJob) -> Evaluation:
    """Add up the scores of all partitions that are done, and write the figures into the bucket.

    What is left to do stays so: the children of an array did what they could.

    Raises
    ------
    DataNotFoundError, StorageError
    """
    planned = plan_evaluation(job)
    return _collect(planned, planned.collector())


def _collect(planned: PlannedEvaluation, collector: Collector) -> Evaluation:
    result = collector.evaluation
    result.passed_over = planned.result.passed_over
    # In the order of the plan, whichever task ended first: equal figures are equal files.
    order = {key: place for place, key in enumerate(planned.result.generations)}
    for task, key in sorted(planned.result.done, key=lambda entry: order[entry[0].output_key]):
        collector.add(task, key)
    collector.finish()
    result.location = f"{planned.job.forecast.outputs.url}/{EVALUATIONS}{planned.name}"
    for ending, content in result.files().items():
        key = evaluation_key(planned.name, ending)
        planned.outage.call(partial(planned.outputs.put, key, content))
    # Not for measures of quality, which look at the same scores by partition.
    if planned.job.forecast.method.calibrate and not planned.job.by_partition:
        # Behind the stored figures, which do not depend on it.
        names, forecast = _names(planned.generations), planned.job.forecast
        result.calibrations = calibrate_stored(planned.result, forecast, planned.outputs, names)
    return result


def _plan(
    job: EvaluationJob, stores: tuple[Store, Store], generations: list[Generation]
) -> ScorePlanner:
    """Return the plan of the selected partitions; ``stores`` are inputs and outputs.

    Raises
    ------
    DataNotFoundError
        When no partition is selected.
    """
    forecast = job.forecast
    by_month = forecast.selection.by_month or not job.by_partition
    planner = ScorePlanner(forecast, *stores, with_whole_months=by_month)
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
    return planner


def describe_evaluation(planned: PlannedEvaluation) -> PlannedJob:
    """Return the plan of an evaluation for the shell of all jobs."""
    job, plan = planned.job, planned.result.plan
    forecast, tasks = job.forecast, plan.tasks
    description = RunDescription(
        job="evaluate",
        settings={
            "inputs": forecast.inputs.url,
            "outputs": forecast.outputs.url,
            "model": job.model,
            "version": job.version,
            "resources": asdict(forecast.resources),
        },
        plan={
            "tasks": len(tasks),
            "pending": len(tasks),
            "done": len(planned.result.done),
            "result": evaluation_key(planned.name, "").rstrip("."),
        },
    )
    return PlannedJob(
        planned.outputs,
        plan,
        tasks,
        forecast.selection,
        description,
        inputs=planned.inputs,
        patience=forecast.resources.patience,
    )


def _execute(
    planned: PlannedEvaluation,
    collector: Collector,
    events: RunEvents | None,
    executor: Executor | None,
    clock: Clock,
) -> None:
    """Score the partitions that are left, and add them to the partitions that are done."""
    forecast, tasks = planned.job.forecast, planned.result.plan.tasks
    run: Run = start_run(describe_evaluation(planned), events=events, clock=clock)
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
        and (job.spec is None or is_spec(generation, job.spec))
    )


def _names(generations: list[Generation]) -> dict[Generation, str]:
    """Return a name for each generation; it contains the spec only where a version has several."""
    labels = [f"{g.model}/{g.version}" for g in generations]
    return {
        g: label if labels.count(label) == 1 else f"{label}/{g.spec}"
        for g, label in zip(generations, labels, strict=True)
    }


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
