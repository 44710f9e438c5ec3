"""The backtest: forecasts the past of every partition with several models and compares them.

Each model is a job of its own over the same partitions, proved by receipts for the outputs under
``backtests/``. So a second run computes nothing, a killed one continues, and one more model costs
only its own forecasts. The leaderboard is made from the outputs of all models.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Protocol

from gigacast import errors
from gigacast.backtesting.calibration import Measured, measure_calibrations
from gigacast.backtesting.job import BacktestJob, check_job
from gigacast.backtesting.leaderboard.breakdown import Segmenter
from gigacast.backtesting.leaderboard.build import Side, make_leaderboard
from gigacast.backtesting.partition import HISTORY, BacktestSetup
from gigacast.backtesting.result import BacktestResult
from gigacast.core.digest import digest_text, digest_value
from gigacast.core.partition.task import Task
from gigacast.errors import DataError, GigacastError
from gigacast.forecasting.look import look_for_spans
from gigacast.forecasting.prepare import (
    Prepared,
    check_discovered,
    describe_job,
    pin_months,
    prepare,
)
from gigacast.forecasting.run import make_executor_for
from gigacast.forecasting.worker import ModelSetup
from gigacast.job.audit import PlannedJob, RunDescription
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.run import FinishedTask, RunEvents, Silent, start_run, utc_now
from gigacast.job.settled import StartRun
from gigacast.lake.layout import BACKTESTS, LEADERBOARDS, leaderboard_key
from gigacast.lake.model.resolve import NAIVE_MODEL
from gigacast.lake.plan.audit import Clock
from gigacast.lake.plan.planner import Plan, make_plan
from gigacast.lake.plan.receipt import Receipt
from gigacast.runtime.executor import Executor, Failure, Setup
from gigacast.storage.store import StoreAddress

FORMAT_REVISION = 1
"""Part of the spec. Raise it when the same settings start to give other losses or columns."""


def run_backtest(
    job: BacktestJob,
    *,
    events: RunEvents | None = None,
    executor: Executor | None = None,
    clock: Clock = utc_now,
    start: StartRun = start_run,
    sides: Sequence[Prepared] = (),
) -> BacktestResult:
    """Backtest every model on every partition, and compare them.

    Parameters
    ----------
    job : BacktestJob
    events : RunEvents, optional
        Receives the progress of each model's run; ignored by default.
    executor : Executor, optional
        Runs the tasks; made from the job's resources by default.
    clock : callable
        Gives the current time, with its zone.
    start : callable
        Makes the run of each model; see `gigacast.job.settled`.
    sides : sequence of Prepared
        Models that are resolved already, as `prepare_sides` does; those of the job by default.

    Raises
    ------
    DataNotFoundError
        When no partition matches, or none has a series that is long enough.
    ConfigError, StorageError, ModelError
        When a run can't start. Later failures are in the result.
    """
    job = replace(job, forecast=pin_months(job.forecast))
    sides = sides or prepare_sides(job)
    name = leaderboard_name(job, sides)
    ways = Ways(events or Silent(), executor, clock, start)
    runs = [run_side(side_work(side, job, name), ways) for side in sides]
    refuse_if_all_failed(runs)
    compared = [Side(run.name, run.outputs) for run in runs]
    outputs, method = sides[0].outputs, job.forecast.method
    segmenter = Segmenter(job.segment, sides[0].inputs, method.columns, method.csv)
    # Over the partitions that every model has done: figures over different data can't be compared.
    board = make_leaderboard(outputs, compared, method.levels, segmenter, baseline=NAIVE_MODEL)
    for ending, content in board.files().items():
        outputs.put(leaderboard_key(name, ending), content)
    failures = [(run.name, task, failure) for run in runs for task, failure in run.failures]
    return BacktestResult(
        run_ids=tuple(run.run_id for run in runs),
        status="failed" if failures else "completed",
        leaderboard=board,
        failures=failures,
        computed=sum(run.computed for run in runs),
        skipped=sum(run.skipped for run in runs),
        location=f"{job.forecast.outputs.url}/{LEADERBOARDS}{name}",
        # Every model reads the same rows.
        conflicts=max(run.conflicts for run in runs),
        problems=runs[0].problems,
        dropped=max(run.dropped for run in runs),
        horizon=max((task.horizon for task, _ in runs[0].outputs.values()), default=0),
        inputs=frozenset(
            entry.key for task, _ in runs[0].outputs.values() for entry in task.inputs
        ),
        calibrations=_calibrate(job, sides, runs),
    )


def _calibrate(
    job: BacktestJob, sides: Sequence[Prepared], runs: Sequence["SideRun"]
) -> tuple[Measured, ...]:
    """Measure the calibrations of all models but the baseline, if the job asks for them."""
    return tuple(
        measured
        for side, run in zip(sides, runs, strict=True)
        if job.calibrate and run.name != NAIVE_MODEL
        for measured in measure_calibrations(side, run.name, run.outputs)
    )


class Prepare(Protocol):
    """Resolves the model of a job, as `gigacast.forecasting.prepare.prepare` does."""

    def __call__(
        self,
        job: ForecastJob,
        *,
        compares: bool = False,
        models: StoreAddress | None = None,
        settles: bool = True,
    ) -> Prepared:
        """Return the prepared job."""


def prepare_sides(job: BacktestJob, prepare: Prepare = prepare) -> list[Prepared]:
    """Resolve every model, seasonal naive last; a model named twice is resolved once.

    Parameters
    ----------
    job : BacktestJob
    prepare : callable
        Resolves a model; for the machines of an array another one does.

    Raises
    ------
    ConfigError
        When no model is named, a segment or model does not exist, or a count is below 1.
    """
    check_job(job)
    base = replace(job.forecast, synthetic=None)
    resolve = partial(prepare, compares=True, models=job.registry, settles=False)
    # The baseline is the same beside every model: enhanced, it would be another one.
    method = replace(
        base.method, enhance=None, covariate_regressor=None, calendar=False, holidays=()
    )
    plain = replace(base, method=method)
    prepared = [
        resolve(replace(plain if choice.reference == NAIVE_MODEL else base, model=choice))
        for choice in job.models
    ]
    naive = replace(job.models[0], reference=NAIVE_MODEL, version=None)
    # The baseline forecasts from the targets alone: covariates must not make it fail.
    method = replace(plain.method, unsupported_covariates="ignore")
    prepared.append(resolve(replace(base, model=naive, method=method)))
    # Without a horizon in the settings, all models forecast as far as the first one would.
    horizon = prepared[0].info.prediction_length
    sides: dict[str, Prepared] = {}
    for side in prepared:
        # Seasonal naive may also be one of the models that the user names.
        sides.setdefault(_name(side), as_side(job, side, horizon))
    return list(sides.values())


def as_side(job: BacktestJob, prepared: Prepared, horizon: int) -> Prepared:
    """Return a prepared job as one side of a backtest, with the horizon of its first model."""
    spec = replace(prepared.spec, fields={**prepared.spec.fields, **_fields(job)})
    return replace(prepared, spec=spec, model_horizon=horizon)


def _fields(job: BacktestJob) -> dict[str, object]:
    """Return the settings of a backtest that are part of the spec, beside those of forecasts."""
    windows = job.windows
    return {
        "job": "backtest",
        "revision": FORMAT_REVISION,
        "windows": windows.count,
        "step": windows.step,
        "history": HISTORY,
        "series": job.series,
        "season": job.season,
        **({"calibrate": True} if job.calibrate else {}),
    }


def _name(side: Prepared) -> str:
    if side.info.name == NAIVE_MODEL:
        return NAIVE_MODEL
    return f"{side.info.name}/{side.info.version}"


@dataclass(frozen=True)
class SideWork:
    """What is done with one of several models.

    Parameters
    ----------
    side : Prepared
    name : str
        Name of the model, for people.
    partitions : int, optional
        Size of a sample of the partitions; all by default.
    setup : callable
        Makes the recipe of the workers from that of the model.
    describe : callable
        Makes the description of the run from its plan.
    """

    side: Prepared
    name: str
    partitions: int | None
    setup: Callable[[ModelSetup], Setup[Task, Receipt]]
    describe: Callable[[Plan], RunDescription]


def side_work(side: Prepared, job: BacktestJob, board: str) -> SideWork:
    """Return what a backtest does with one of its models, for a leaderboard."""
    return SideWork(
        side,
        _name(side),
        job.partitions,
        partial(setup_of, job),
        lambda plan: _describe_run(side, job, board, plan),
    )


@dataclass
class SideRun:
    """The run of one model: the outputs by partition, and the failures."""

    name: str
    run_id: str
    outputs: dict[str, tuple[Task, str]]
    failures: Sequence[tuple[Task, Failure]]
    computed: int
    skipped: int
    conflicts: int
    problems: tuple[str, ...]
    dropped: int


@dataclass(frozen=True)
class Ways:
    """How the runs of the models are made."""

    events: RunEvents
    executor: Executor | None
    clock: Clock
    start: StartRun = start_run


def run_side(work: SideWork, ways: Ways) -> SideRun:
    """Plan and run the backtest of one model."""
    side = work.side
    planned, finished = plan_side(work)
    ways.events.of_model(work.name)
    run = ways.start(planned, events=ways.events, clock=ways.clock, prices=side.job.prices)
    skipped = len(finished)
    if planned.tasks:  # without a task, no model is loaded and no audit written
        run.execute(
            planned.tasks,
            work.setup(ModelSetup.of(side, run.run_id)),
            ways.executor or make_executor_for(side, planned.tasks),
            on_done=lambda task, receipt: finished.append(FinishedTask.now(task, receipt)),
        )
    return SideRun(
        name=work.name,
        run_id=run.run_id,
        outputs={entry.task.partition: (entry.task, entry.output_key) for entry in finished},
        failures=run.failures,
        computed=run.totals.partitions,
        skipped=skipped,
        conflicts=run.totals.repairs.get("conflicts", 0),
        problems=_look_back(side, planned.plan, finished),
        dropped=sum(run.totals.repairs.get(name, 0) for name in ("null_items", "null_timestamps")),
    )


def setup_of(job: BacktestJob, work: ModelSetup) -> BacktestSetup:
    """Return the recipe for the workers of one model."""
    return BacktestSetup(work, job.windows, job.series, job.season, job.calibrate)


def _look_back(side: Prepared, plan: Plan, finished: Sequence[FinishedTask]) -> tuple[str, ...]:
    """Return which parts of a month share items, of the partitions with figures."""
    # Not of those that failed: a file that kills the process that reads it would kill this one.
    return look_for_spans(side, replace(plan, tasks=[entry.task for entry in finished]))


def refuse_if_all_failed(runs: Sequence[SideRun]) -> None:
    """Raise the first failure if no partition is left to compare: it says why."""
    failures = [failure for run in runs for _, failure in run.failures]
    if failures and not any(run.outputs for run in runs):
        kind = getattr(errors, failures[0].error, DataError)
        is_own = isinstance(kind, type) and issubclass(kind, GigacastError)
        more = f" (and {len(failures) - 1:,} more)" if failures[1:] else ""
        raise (kind if is_own else DataError)(failures[0].message + more, hint=failures[0].hint)


def plan_side(work: SideWork) -> tuple[PlannedJob, list[FinishedTask]]:
    """Plan the backtest of one model: the plan function of the job.

    Returns
    -------
    PlannedJob
    list of FinishedTask
        Partitions of the sample that are done already.
    """
    side = work.side
    finished: list[FinishedTask] = []
    plan = make_plan(
        side.inputs,
        side.outputs,
        replace(side.request(), root=BACKTESTS),
        on_done=lambda entries: finished.extend(map(FinishedTask.before, entries)),
    )
    check_discovered(plan, side.job)
    partitions = [
        *(entry.task.partition for entry in finished),
        *(t.partition for t in plan.tasks),
    ]
    # Sampled from finished and pending partitions together, so that a rerun takes the same ones.
    sample = _sample(partitions, work.partitions)
    finished = [entry for entry in finished if entry.task.partition in sample]
    tasks = [task for task in plan.tasks if task.partition in sample][: side.job.limit]
    description = work.describe(plan)
    planned = PlannedJob(
        side.outputs,
        plan,
        tasks,
        side.job.selection,
        description,
        inputs=side.inputs,
        patience=side.job.resources.patience,
    )
    return planned, finished


def _sample(names: Sequence[str], count: int | None) -> set[str]:
    """Return a number of names, drawn evenly."""
    if count is None:
        return set(names)
    # By digest instead of at random: a rerun must find its own partitions done.
    return set(heapq.nsmallest(count, names, key=digest_text))


def _describe_run(side: Prepared, job: BacktestJob, board: str, plan: Plan) -> RunDescription:
    return RunDescription(
        job="backtest",
        settings={**describe_job(side.job), "windows": asdict(job.windows)},
        plan={
            "tasks": len(plan.tasks),
            "specs": {task.spec: side.spec.describe(task.horizon) for task in plan.tasks},
            "model_source": side.model.source,
            "result": leaderboard_key(board, "").rstrip("."),
        },
        engine=side.info.engine,
    )


def leaderboard_name(job: BacktestJob, sides: Sequence[Prepared]) -> str:
    """Return the name of a leaderboard, the same for the same models, data and settings."""
    selection = job.forecast.selection
    horizon = job.forecast.method.horizon or sides[0].model_horizon
    long = [side.spec.long_fields for side in sides if side.spec.trained_steps < (horizon or 1)]
    digest = digest_value(
        {
            # The id for any horizon will do here, as the horizon is an entry of its own.
            "specs": [[_name(side), side.spec.id(1)] for side in sides],
            "horizon": job.forecast.method.horizon,
            "segment": job.segment,
            "months": str(selection.months),
            "symbols": sorted(selection.symbols),
            "timeframes": sorted(selection.timeframes),
            "limit": job.forecast.limit,
            "partitions": job.partitions,
            "inputs": job.forecast.inputs.url,
            # Only where it changes figures, so that other leaderboards keep their names.
            **({"long": long} if any(long) else {}),
        },
        length=8,
    )
    return f"h{horizon}-w{job.windows.count}-{job.segment.partition(':')[0]}-{digest}"
