"""``gigacast plan``: pending partitions, and their estimated time and costs."""

import json
from dataclasses import asdict
from typing import Any

import click

from gigacast.cli.flags import json_option, read_settings, setting, settings_options
from gigacast.forecasting.plan import PlanReport, report_plan
from gigacast.forecasting.prepare import processes_for
from gigacast.forecasting.quote import Quote, quote_here, quote_queues
from gigacast.job.batch_options import ArrayOptions
from gigacast.job.forecast_job import ForecastJob
from gigacast.report import quantity
from gigacast.report.document import Block, Column, Document, Heading, KeyValues, Kind, Table
from gigacast.report.terminal import show
from gigacast.runtime.instance import this_machine
from gigacast.settings.assembly import array_options_of, job_of

_FIRST = 5
_QUOTE_COLUMNS = (
    Column("queue"),
    Column("machine"),
    Column("bought", label="purchase"),
    Column("machines", Kind.COUNT, 1),
    Column("ends after", Kind.DURATION),
    Column("machine time", Kind.DURATION, 2),
    Column("dollars", Kind.DOLLARS),
    Column("per million series", Kind.DOLLARS, 1, "dollars per million series"),
    Column("by", priority=4, label="basis of the estimate"),
)


@click.command()
@settings_options
@setting("overwrite", "Plan to forecast again what is done.")
@json_option
def plan(as_json: bool, **flags: Any) -> None:
    """Count pending partitions, and estimate their time and costs.

    Partitions and bytes are exact, from listings alone; series and time are estimated from the
    receipts of earlier runs, and with them what the plan costs on each queue of a deployment.
    """
    settings = read_settings(flags)
    job = job_of(settings)
    report = report_plan(job)
    quotes = _quotes(report, array_options_of(settings))
    if as_json:
        cost = [quote.describe() for quote in quotes]
        click.echo(json.dumps({**_plan_json(report, job), "cost": cost}, indent=1))
        return
    show(Document((KeyValues.of(_plan_facts(report, job)), *_quote_blocks(quotes))))


def _quotes(report: PlanReport, options: ArrayOptions) -> list[Quote]:
    work, prepared = report.workload, report.prepared
    here = quote_here(work, processes_for(prepared), this_machine(), prepared.job.prices)
    return [*([here] if here is not None and work.tasks else []), *quote_queues(work, options)]


def _quote_blocks(quotes: list[Quote]) -> tuple[Block, ...]:
    """Return the cost of the plan, a row per queue; nothing without quotes."""
    if not quotes:
        return ()
    rows = [
        (
            quote.queue,
            quote.instance,
            quote.purchase.replace("_", " "),
            quote.machines,
            quote.elapsed_s,
            quote.hours * 3600,
            quantity.dollars(quote.dollars),
            quantity.dollars(quote.dollars_per_million),
            quote.basis,
        )
        for quote in quotes
    ]
    dated = f", prices of {quotes[0].prices_as_of}" if quotes[0].prices_as_of else ""
    return Heading(f"Cost{dated}"), Table(_QUOTE_COLUMNS, tuple(rows))


def _plan_facts(report: PlanReport, job: ForecastJob) -> list[tuple[str, str]]:
    plan, info = report.plan, report.prepared.info
    totals = plan.totals
    has_estimate = report.estimate.series is not None or plan.tasks
    unmatched = f"{plan.unmatched_count} objects ({', '.join(plan.unmatched[:_FIRST])})"
    foreign = f"not taken for input: {', '.join(plan.foreign_folders[:_FIRST])}"
    return [
        ("input", job.inputs.url),
        ("model", f"{info.name} {info.version} ({report.prepared.model.source})"),
        ("runs on", f"{info.device}, {info.precision}"),
        ("spec", ", ".join(sorted(plan.specs)[:_FIRST]) or "-"),
        ("done", f"{totals.done} partitions, {quantity.size(plan.done_bytes)}"),
        ("pending", f"{totals.pending} partitions, {quantity.size(plan.pending_bytes)}"),
        ("estimate", _estimate_text(report, job) if has_estimate else ""),
        ("superseded", f"{totals.superseded} older generations" if totals.superseded else ""),
        ("orphaned", f"{totals.orphaned} forecasts without an input" if totals.orphaned else ""),
        ("not taken", unmatched if plan.unmatched_count else ""),
        ("folders", foreign if plan.foreign_folders else ""),
    ]


def _estimate_text(report: PlanReport, job: ForecastJob) -> str:
    estimate = report.estimate
    if estimate.series is None or estimate.seconds is None:
        return "none: no receipts of earlier runs yet"
    jobs = max(1, job.resources.n_jobs or 1)
    return (
        f"about {quantity.count(estimate.series)} series, "
        f"{quantity.duration(estimate.seconds / jobs)} with --n_jobs {jobs} "
        f"(from {estimate.receipts} receipts)"
    )


def _plan_json(report: PlanReport, job: ForecastJob) -> dict[str, Any]:
    plan = report.plan
    return {
        "input": job.inputs.url,
        "output": job.outputs.url,
        "model": asdict(report.prepared.info),
        **asdict(plan.totals),
        "pending_bytes": plan.pending_bytes,
        "done_bytes": plan.done_bytes,
        "unmatched": plan.unmatched_count,
        "twins": plan.twins,
        "foreign_folders": plan.foreign_folders,
        "estimate": asdict(report.estimate),
        "tasks": [
            {
                "partition": task.partition,
                "spec": task.spec,
                "horizon": task.horizon,
                "size_bytes": task.size_bytes,
                "output_key": task.output_key,
            }
            for task in plan.tasks
        ],
    }
