"""Backtests: models side by side on the past of every partition.

Each model is a job of its own over the same partitions: planned by listings, run by any executor,
proved by receipts under ``backtests/``. So a second run computes nothing, a killed one goes on, and
one more model costs only itself. The leaderboard is made of what they leave.
"""

import heapq
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

from gigacast.backtesting.leaderboard.breakdown import Segmenter, check_segment
from gigacast.backtesting.leaderboard.build import Side, make_leaderboard
from gigacast.backtesting.leaderboard.result import Leaderboard
from gigacast.backtesting.partition import HISTORY, BacktestSetup, Windows
from gigacast.core.digest import digest_text, digest_value
from gigacast.core.partition.task import Task
from gigacast.errors import ConfigError
from gigacast.forecasting.partition import ForecastSetup
from gigacast.forecasting.prepare import Prepared, check_discovered, describe_job, prepare
from gigacast.forecasting.run import make_executor_for
from gigacast.job.audit import RunDescription, new_audit
from gigacast.job.forecast_job import ForecastJob, ModelChoice
from gigacast.job.run import Run, RunEvents, Silent, utc_now
from gigacast.lake.layout import BACKTESTS, LEADERBOARDS, leaderboard_key
from gigacast.lake.model.resolve import NAIVE_MODEL
from gigacast.lake.plan.audit import AuditLog, Clock, new_run_id
from gigacast.lake.plan.planner import DoneEntry, Plan, make_plan
from gigacast.lake.plan.receipt import Receipt
from gigacast.runtime.executor import Executor, Failure

FORMAT_REVISION = 1
"""Raised when the same settings start to give other losses or columns."""


@dataclass(frozen=True)
class BacktestJob:
    """What to backtest.

    Parameters
    ----------
    forecast : ForecastJob
        Which partitions and how; its model is not used.
    models : tuple of ModelChoice
        Side by side; seasonal naive always comes along.
    windows : Windows
    segment : str
        What figures are shown by; see `leaderboard_segment`.
    partitions : int, optional
        A sample of so many partitions: always the same ones of the same bucket.
    series : int, optional
        Only the first so many series of each partition.
    season : int, optional
        Steps of a season, for scales and for models that need one; by frequency when absent.
    """

    forecast: ForecastJob
    models: tuple[ModelChoice, ...]
    windows: Windows = field(default_factory=Windows)
    segment: str = "partition"
    partitions: int | None = None
    series: int | None = None
    season: int | None = None


@dataclass(frozen=True)
class BacktestResult:
    """How a backtest ended.

    Parameters
    ----------
    run_ids : tuple of str
        One for each model.
    status : str
        ``completed``, or ``failed`` when some partition failed.
    leaderboard : Leaderboard
        Over the partitions that every model has done.
    failures : list of (str, Task, Failure)
        With the model they happened to.
    computed, skipped : int
        Partitions times models, computed by this run and done before.
    location : str
        URL of the leaderboard, but for its ending: ``.md``, ``.json``, ``.parquet``.
    """

    run_ids: tuple[str, ...]
    status: str
    leaderboard: Leaderboard
    failures: list[tuple[str, Task, Failure]]
    computed: int
    skipped: int
    location: str


def run_backtest(
    job: BacktestJob,
    *,
    events: RunEvents | None = None,
    executor: Executor | None = None,
    clock: Clock = utc_now,
) -> BacktestResult:
    """Backtest every model on every partition, and compare them.

    Parameters
    ----------
    job : BacktestJob
    events : RunEvents, optional
        Told how each model's run goes on.
    executor : Executor, optional
        Where tasks run; made from the job's resources when absent.
    clock : callable

    Raises
    ------
    DataNotFoundError
        When no partition is asked for, or none has a series long enough.
    ConfigError, StorageError, ModelError
        When a run can't start. What goes wrong later is in the result.
    """
    sides = prepare_sides(job)
    runs = [_run_side(one, job, events or Silent(), executor, clock) for one in sides]
    found = [Side(run.name, run.outputs) for run in runs]
    outputs, method = sides[0].outputs, job.forecast.method
    segmenter = Segmenter(job.segment, sides[0].inputs, method.columns)
    board = make_leaderboard(outputs, found, method.levels, segmenter, baseline=NAIVE_MODEL)
    name = leaderboard_name(job, sides)
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
    )


def prepare_sides(job: BacktestJob) -> list[Prepared]:
    """Resolve every model, seasonal naive last; the same model named twice is one side.

    Raises
    ------
    ConfigError
        When there is no model or segment of that name, or a count is below 1.
    """
    if not job.models:
        raise ConfigError("no model to backtest", hint="name one or more with --model")
    counts = {"windows": job.windows.count, "step": job.windows.step}
    counts |= {
        "season": job.season,
        "sample_partitions": job.partitions,
        "sample_series": job.series,
    }
    for name, value in counts.items():
        if value is not None and value < 1:
            raise ConfigError(f"{name}: {value} is less than 1")
    check_segment(job.segment)
    base = replace(job.forecast, synthetic=None)
    found = [prepare(replace(base, model=choice), compares=True) for choice in job.models]
    naive = replace(job.models[0], reference=NAIVE_MODEL, version=None)
    # What all are measured by sees the targets alone.
    method = replace(base.method, unsupported_covariates="ignore")
    found.append(prepare(replace(base, model=naive, method=method), compares=True))
    horizon = found[0].info.prediction_length
    sides: dict[str, Prepared] = {}
    for one in found:
        spec = replace(one.spec, fields={**one.spec.fields, **_fields(job)})
        sides.setdefault(_name(one), replace(one, spec=spec, model_horizon=horizon))
    return list(sides.values())


def _fields(job: BacktestJob) -> dict[str, object]:
    windows = job.windows
    return {
        "job": "backtest",
        "revision": FORMAT_REVISION,
        "windows": windows.count,
        "step": windows.step,
        "history": HISTORY,
        "series": job.series,
        "season": job.season,
    }


def _name(side: Prepared) -> str:
    if side.info.name == NAIVE_MODEL:
        return NAIVE_MODEL
    return f"{side.info.name}/{side.info.version}"


@dataclass
class _SideRun:
    """What became of one model: where its losses are, and what failed."""

    name: str
    run_id: str
    outputs: dict[str, tuple[Task, str]] = field(default_factory=dict)
    failures: Sequence[tuple[Task, Failure]] = ()
    computed: int = 0
    skipped: int = 0


def _run_side(
    side: Prepared,
    job: BacktestJob,
    events: RunEvents,
    executor: Executor | None,
    clock: Clock,
) -> _SideRun:
    """Plan and run one model's backtest; the audit says how it went."""
    run_id = new_run_id(clock(), lambda n: os.urandom(n).hex(), "backtest")
    state = _SideRun(_name(side), run_id)

    def take_done(entry: DoneEntry) -> None:
        state.outputs[entry.task.partition] = (entry.task, entry.output.key)

    request = replace(side.request(), root=BACKTESTS)
    plan = make_plan(side.inputs, side.outputs, request, on_done=take_done)
    check_discovered(plan, side.job)
    chosen = _sample([*state.outputs, *(task.partition for task in plan.tasks)], job.partitions)
    state.outputs = {name: state.outputs[name] for name in state.outputs if name in chosen}
    state.skipped = len(state.outputs)
    tasks = [task for task in plan.tasks if task.partition in chosen][: side.job.limit]
    by_partition = {task.partition: task for task in tasks}

    def take(receipt: Receipt) -> None:
        task = by_partition[receipt.partition]
        state.outputs[receipt.partition] = (task, str(receipt.output["key"]))

    described = _describe_run(side, job, plan)
    audit = new_audit(run_id, described, plan, side.job.selection, clock)
    run = Run(AuditLog(side.outputs, audit, clock), events, take, side.job.prices)
    events.planned(run_id, plan, len(tasks))
    if tasks:
        work = ForecastSetup(side.job, side.model, side.info, run_id, ignored=side.ignored)
        place = executor or make_executor_for(side, len(tasks))
        run.execute(tasks, BacktestSetup(work, job.windows, job.series, job.season), place)
    state.failures, state.computed = run.failures, run.totals.partitions
    return state


def _sample(names: Sequence[str], count: int | None) -> set[str]:
    """Return so many names, drawn evenly; the same ones however many are done already."""
    if count is None:
        return set(names)
    return set(heapq.nsmallest(count, names, key=digest_text))


def _describe_run(side: Prepared, job: BacktestJob, plan: Plan) -> RunDescription:
    return RunDescription(
        job="backtest",
        settings={**describe_job(side.job), "windows": asdict(job.windows)},
        plan={
            "tasks": len(plan.tasks),
            "specs": {task.spec: side.spec.describe(task.horizon) for task in plan.tasks},
            "model_source": side.model.source,
        },
        engine=side.info.engine,
    )


def leaderboard_name(job: BacktestJob, sides: Sequence[Prepared]) -> str:
    """Return the name of a leaderboard: the same for the same models, data and settings."""
    selection = job.forecast.selection
    digest = digest_value(
        {
            "specs": [[_name(side), side.spec.id(1)] for side in sides],
            "horizon": job.forecast.method.horizon,
            "segment": job.segment,
            "months": str(selection.months),
            "symbols": sorted(selection.symbols),
            "timeframes": sorted(selection.timeframes),
            "limit": job.forecast.limit,
            "partitions": job.partitions,
            "inputs": job.forecast.inputs.url,
        },
        length=8,
    )
    horizon = job.forecast.method.horizon or sides[0].model_horizon
    return f"h{horizon}-w{job.windows.count}-{job.segment.partition(':')[0]}-{digest}"
