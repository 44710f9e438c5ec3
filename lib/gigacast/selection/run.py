"""The selection: every candidate is judged on the past, and the choice published as a portfolio.

Each candidate is a job of its own, proved by receipts, as in a backtest: a killed selection
continues, a rerun computes nothing, and one more candidate costs only its own forecasts.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace

from gigacast.backtesting.leaderboard.breakdown import Segmenter
from gigacast.backtesting.partition import HISTORY
from gigacast.backtesting.run import SideRun, SideWork, Ways, refuse_if_all_failed, run_side
from gigacast.core.digest import digest_value
from gigacast.core.partition.task import Task
from gigacast.errors import ConfigError
from gigacast.forecasters.portfolio.recipe import is_portfolio, label_of
from gigacast.forecasting.prepare import Prepared, describe_job, pin_months, prepare
from gigacast.forecasting.worker import ModelSetup
from gigacast.job.audit import RunDescription, this_author
from gigacast.job.covariates import refuse_pooled
from gigacast.job.run import RunEvents, Silent, utc_now
from gigacast.lake.layout import LEADERBOARDS, leaderboard_key
from gigacast.lake.model.registry import Registry
from gigacast.lake.model.resolve import NAIVE_MODEL
from gigacast.lake.plan.audit import Clock
from gigacast.lake.plan.planner import Plan
from gigacast.lake.plan.receipt import Receipt
from gigacast.lake.publication import Author
from gigacast.report.markdown import render_markdown
from gigacast.runtime.executor import Executor, Setup
from gigacast.selection.decision import Decision, Rules, check_ahead, decide
from gigacast.selection.document import selection_document
from gigacast.selection.evidence import EvidenceSetup
from gigacast.selection.gathering import Gathered, Reading, gather
from gigacast.selection.job import ALL, SERIES, Candidate, SelectionJob, check_together
from gigacast.selection.publication import (
    describe,
    make_portfolio,
    member_of,
    portfolio_files,
    publish_portfolio,
)
from gigacast.selection.result import (
    SelectionResult,
    candidate_figures,
    mixture_text,
    unit_figures,
)
from gigacast.storage.parquet.writer import table_bytes

FORMAT_REVISION = 1
"""Part of the spec of evidence. Raise it when the same settings give other losses or columns."""


def run_selection(
    job: SelectionJob,
    *,
    events: RunEvents | None = None,
    executor: Executor | None = None,
    clock: Clock = utc_now,
    author: Author | None = None,
) -> SelectionResult:
    """Judge every candidate on every partition, choose, and publish the choice.

    Parameters
    ----------
    job : SelectionJob
    events : RunEvents, optional
        Receives the progress of each candidate's run; ignored by default.
    executor : Executor, optional
        Runs the tasks; made from the job's resources by default.
    clock : callable
    author : Author, optional
        Author of the version; the user of this machine by default.

    Raises
    ------
    DataNotFoundError
        When no partition matches, or none has a series that is long enough.
    ConfigError, StorageError, ModelError
    """
    job = replace(job, forecast=pin_months(job.forecast))
    sides = prepare_candidates(job)
    names = [_name(side) for side in sides]
    for side in sides:
        member_of(side)  # refuses a folder before anything is computed
    ways = Ways(events or Silent(), executor, clock)
    runs = [run_side(_work(side, job), ways) for side in sides]
    refuse_if_all_failed(runs)
    gathered = gather(_reading(job, sides), [run.outputs for run in runs])
    options = job.options
    rules = Rules(options.method, options.margin, options.least_windows, options.evidence)
    decision = decide(gathered.evidence, rules)
    result = _publish(job, sides, runs, gathered, decision, author or this_author())
    ahead = check_ahead(gathered.evidence, rules)
    if ahead is not None:
        losses, own = ahead
        result = replace(result, ahead=(own, float(losses[decision.single])))
    return _reported(result, job, names, sides)


def prepare_candidates(job: SelectionJob) -> list[Prepared]:
    """Resolve every candidate; one that is named twice is resolved once.

    Raises
    ------
    ConfigError, ModelError, StorageError
    """
    prepared = [_prepare(job, entry) for entry in job.candidates]
    horizon = job.forecast.method.horizon or prepared[0].info.prediction_length
    sides: dict[str, Prepared] = {}
    for side in prepared:
        if is_portfolio(side.model.folder):
            raise ConfigError(
                f"model: {side.model.name} is a portfolio itself", hint="name its models instead"
            )
        spec = replace(side.spec, fields={**side.spec.fields, **_fields(job)})
        sides.setdefault(_name(side), replace(side, spec=spec, model_horizon=horizon))
    check_together(list(sides))
    return list(sides.values())


def _prepare(job: SelectionJob, candidate: Candidate) -> Prepared:
    base = job.forecast
    # New origins of a refresh differ from series to series.
    refuse_pooled(base.method, "models select")
    choice = replace(base.model, reference=candidate.reference, version=None, otherwise=None)
    method = replace(base.method, enhance=candidate.enhance)
    return prepare(replace(base, model=choice, method=method), compares=True, settles=False)


def _name(side: Prepared) -> str:
    return label_of(side.info.name, side.info.version, side.job.method.enhance)


def _fields(job: SelectionJob) -> dict[str, object]:
    """Return the settings of a selection that are part of the spec of its evidence."""
    return {
        "job": "select",
        "revision": FORMAT_REVISION,
        "windows": job.windows.count,
        "step": job.windows.step,
        "history": HISTORY,
        "series": job.options.sample_series,
    }


def _work(side: Prepared, job: SelectionJob) -> SideWork:
    def setup(work: ModelSetup) -> Setup[Task, Receipt]:
        options = job.options
        return EvidenceSetup(work, job.windows, options.sample_series, refresh=options.refresh)

    def description(plan: Plan) -> RunDescription:
        return RunDescription(
            job="select",
            settings={**describe_job(side.job), "selection": asdict(job.options)},
            plan={
                "tasks": len(plan.tasks),
                "specs": {task.spec: side.spec.describe(task.horizon) for task in plan.tasks},
                "model_source": side.model.source,
            },
            engine=side.info.engine,
        )

    return SideWork(side, _name(side), job.options.sample_partitions, setup, description)


def _reading(job: SelectionJob, sides: Sequence[Prepared]) -> Reading:
    first, options = sides[0], job.options
    method = first.job.method
    segmenter = (
        None
        if options.segment in {SERIES, ALL}
        else Segmenter(options.segment, first.inputs, method.columns, method.csv)
    )
    limit = first.job.resources.memory_limit_bytes
    return Reading(
        store=first.outputs,
        levels=method.levels,
        segment=options.segment,
        segmenter=segmenter,
        metric=options.metric,
        # Float32, and as much again several times while weights are found.
        most_values=limit // 32 if options.method == "ensemble" else 0,
    )


def _publish(
    job: SelectionJob,
    sides: Sequence[Prepared],
    runs: Sequence[SideRun],
    gathered: Gathered,
    decision: Decision,
    author: Author,
) -> SelectionResult:
    names = [_name(side) for side in sides]
    evidence, options = gathered.evidence, job.options
    horizon = max(task.horizon for task, _ in runs[0].outputs.values())
    portfolio, choices = make_portfolio(horizon, sides, decision, gathered, options.segment)
    baseline = names.index(NAIVE_MODEL)
    candidates = candidate_figures(names, evidence, decision, baseline)
    facts = {
        "metric": options.metric,
        "horizon": horizon,
        "series": len(gathered.items),
        "forecasts": len(evidence.unit),
        "loss": {row.model: row.loss for row in candidates},
        "own": int(decision.is_own.sum()),
    }
    published, switched = publish_portfolio(
        Registry(sides[0].outputs),
        job,
        portfolio_files(portfolio, choices),
        describe(job, portfolio, sides),
        facts,
        author,
    )
    return SelectionResult(
        published=published,
        switched=switched,
        candidates=candidates,
        units=unit_figures(names, gathered, decision),
        fallback=mixture_text(names, decision.whole),
        metric=options.metric,
        segment=options.segment,
        series=len(gathered.items),
        own=int(decision.is_own.sum()),
        ahead=None,
        left_out=gathered.left_out,
        run_ids=tuple(run.run_id for run in runs),
        computed=sum(run.computed for run in runs),
        skipped=sum(run.skipped for run in runs),
        failures=[(run.name, task, failure) for run in runs for task, failure in run.failures],
    )


def _reported(
    result: SelectionResult, job: SelectionJob, names: Sequence[str], sides: Sequence[Prepared]
) -> SelectionResult:
    """Write the report of a selection beside the leaderboards, and return it with its address."""
    digest = digest_value(
        [names, [side.spec.id(1) for side in sides], asdict(job.options), job.forecast.inputs.url],
        length=8,
    )
    name = f"select-{job.name}-{digest}"
    outputs = sides[0].outputs
    result = replace(result, location=f"{job.forecast.outputs.url}/{LEADERBOARDS}{name}")
    # A page in place of the one of the selection before: the versions have their own figures.
    contents = {
        "md": render_markdown(selection_document(result)).encode(),
        "json": json.dumps(result.to_json(), indent=1).encode(),
        "parquet": table_bytes(result.to_table()),
    }
    for ending, content in contents.items():
        outputs.put(leaderboard_key(name, ending), content)
    return result
