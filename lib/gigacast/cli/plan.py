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
from gigacast.report.table import print_table
from gigacast.runtime.instance import this_machine
from gigacast.settings.assembly import array_options_of, job_of

_FIRST = 5
_QUOTE_COLUMNS = (
    "queue",
    "machine",
    "bought",
    "machines",
    "ends after",
    "machine time",
    "dollars",
    "per million series",
    "by",
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
    for name, value in _plan_facts(report, job):
        click.echo(f"{name:<12} {value}")
    _print_quotes(quotes)


def _quotes(report: PlanReport, options: ArrayOptions) -> list[Quote]:
    work, prepared = report.workload, report.prepared
    here = quote_here(work, processes_for(prepared), this_machine(), prepared.job.prices)
    return [*([here] if here is not None and work.tasks else []), *quote_queues(work, options)]


def _print_quotes(quotes: list[Quote]) -> None:
    """Print what the plan would cost, a line for each way to do it."""
    if not quotes:
        return
    rows = [
        (
            quote.queue,
            quote.instance,
            quote.purchase.replace("_", " "),
            quote.machines,
            quantity.duration(quote.elapsed_s),
            quantity.duration(quote.hours * 3600),
            quantity.dollars(quote.dollars),
            quantity.dollars(quote.dollars_per_million),
            quote.basis,
        )
        for quote in quotes
    ]
    dated = f", prices of {quotes[0].prices_as_of}" if quotes[0].prices_as_of else ""
    click.echo()
    print_table(f"Cost{dated}", _QUOTE_COLUMNS, rows)


def _plan_facts(report: PlanReport, job: ForecastJob) -> list[tuple[str, str]]:
    found, guess = report.plan, report.estimate
    totals, info = found.totals, report.prepared.info
    facts = [
        ("input", job.inputs.url),
        ("model", f"{info.name} {info.version} ({report.prepared.model.source})"),
        ("runs on", f"{info.device}, {info.precision}"),
        ("spec", ", ".join(sorted(found.specs)[:_FIRST]) or "-"),
        ("done", f"{totals.done} partitions, {quantity.size(found.done_bytes)}"),
        ("pending", f"{totals.pending} partitions, {quantity.size(found.pending_bytes)}"),
        ("estimate", _estimate_text(report, job)),
        ("superseded", f"{totals.superseded} older generations"),
        ("orphaned", f"{totals.orphaned} forecasts without an input"),
        ("not taken", f"{found.unmatched_count} objects ({', '.join(found.unmatched[:_FIRST])})"),
        ("folders", f"not taken for input: {', '.join(found.foreign_folders[:_FIRST])}"),
    ]
    empty = {
        "superseded": not totals.superseded,
        "orphaned": not totals.orphaned,
        "not taken": not found.unmatched_count,
        "folders": not found.foreign_folders,
        "estimate": guess.series is None and not found.tasks,
    }
    return [(name, value) for name, value in facts if not empty.get(name)]


def _estimate_text(report: PlanReport, job: ForecastJob) -> str:
    guess = report.estimate
    if guess.series is None or guess.seconds is None:
        return "none: no receipts of earlier runs yet"
    jobs = max(1, job.resources.n_jobs or 1)
    return (
        f"about {quantity.count(guess.series)} series, "
        f"{quantity.duration(guess.seconds / jobs)} with --n_jobs {jobs} "
        f"(from {guess.receipts} receipts)"
    )


def _plan_json(report: PlanReport, job: ForecastJob) -> dict[str, Any]:
    found = report.plan
    return {
        "input": job.inputs.url,
        "output": job.outputs.url,
        "model": asdict(report.prepared.info),
        **asdict(found.totals),
        "pending_bytes": found.pending_bytes,
        "done_bytes": found.done_bytes,
        "unmatched": found.unmatched_count,
        "twins": found.twins,
        "foreign_folders": found.foreign_folders,
        "estimate": asdict(report.estimate),
        "tasks": [
            {
                "partition": task.partition,
                "spec": task.spec,
                "horizon": task.horizon,
                "size_bytes": task.size_bytes,
                "output_key": task.output_key,
            }
            for task in found.tasks
        ],
    }
