"""The commands that look: plan, status, show, plot, verify, and prune (which looks first).

Imports ``settings``, ``pipeline``, ``report``.
"""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from gigacast.assembly import array_options_of, job_of
from gigacast.cli.array import service_for
from gigacast.cli.option import json_option, read_settings, settings_options
from gigacast.lake.audit import Audit
from gigacast.pipeline.array_option import ArrayOptions
from gigacast.pipeline.forecast import processes_for
from gigacast.pipeline.job import ForecastJob
from gigacast.pipeline.look import Look, find_finished, look_at
from gigacast.pipeline.prune import Litter, find_litter, remove
from gigacast.pipeline.quote import Quote, quote_here, quote_queues
from gigacast.pipeline.status import PlanReport, StatusReport, report_plan, report_status
from gigacast.pipeline.verify import VerifyReport
from gigacast.pipeline.verify import verify as verify_sample
from gigacast.report import quantity
from gigacast.report.figure import save_forecast_figure
from gigacast.report.panel import ForecastPanel
from gigacast.report.table import is_rich, print_table
from gigacast.report.terminal_plot import ASCII, UNICODE, terminal_plot
from gigacast.runtime.instance import this_machine

EXIT_DIFFERENT = 1
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
FIRST = 5


def _job(given: dict[str, Any]) -> ForecastJob:
    return job_of(read_settings(given))


@click.command()
@settings_options
@click.option(
    "--overwrite/--no_overwrite", default=None, help="Plan to forecast again what is done."
)
@json_option
def plan(as_json: bool, **given: Any) -> None:
    """Tell what is left to forecast, and what it will take.

    Partitions and bytes are exact, from listings alone; series and time are estimated from the
    receipts of earlier runs, and with them what the plan costs on each queue of a deployment.
    """
    settings = read_settings(given)
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
            _told_dollars(quote.dollars),
            _told_dollars(quote.dollars_per_million),
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
        ("spec", ", ".join(sorted(found.specs)[:FIRST]) or "-"),
        ("done", f"{totals.done} partitions, {quantity.size(found.done_bytes)}"),
        ("pending", f"{totals.pending} partitions, {quantity.size(found.pending_bytes)}"),
        ("estimate", _estimate_text(report, job)),
        ("superseded", f"{totals.superseded} older generations"),
        ("orphaned", f"{totals.orphaned} forecasts without an input"),
        ("not taken", f"{found.unmatched_count} objects ({', '.join(found.unmatched[:FIRST])})"),
        ("folders", f"not taken for input: {', '.join(found.foreign_folders[:FIRST])}"),
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


@click.command()
@settings_options
@json_option
def status(as_json: bool, **given: Any) -> None:
    """Count partitions done, pending, failed, superseded and orphaned, by year and month."""
    job = _job(given)
    report = report_status(job, lambda: service_for(job.outputs, attempts=2))
    if as_json:
        click.echo(json.dumps(_status_json(report), indent=1))
        return
    rows = [
        (m.month, m.counts.done, m.counts.pending, m.failed, m.counts.superseded, m.counts.orphaned)
        for m in report.months
    ]
    totals = report.plan.totals
    failed = sum(month.failed for month in report.months)
    rows.append(("all", totals.done, totals.pending, failed, totals.superseded, totals.orphaned))
    columns = ("month", "done", "pending", "failed", "superseded", "orphaned")
    print_table("Partitions", columns, rows)
    click.echo()
    runs = [
        (
            run.session_id,
            run.status,
            run.files_processed,
            run.files_skipped,
            run.files_failed,
            _dollars_of(run),
        )
        for run in report.runs[:FIRST]
    ]
    if runs:
        print_table(
            "Latest runs", ("run", "status", "forecast", "skipped", "failed", "dollars"), runs
        )
    failures = _current_failures(report)
    for failure in failures[:FIRST]:
        click.echo(f"failed: {failure['partition']}: {failure['error']}: {failure['message']}")
        if failure.get("hint"):
            click.echo(f"  hint: {failure['hint']}")
    if len(failures) > FIRST:
        click.echo(f"... and {len(failures) - FIRST} more: see --json and the audits")


def _dollars_of(run: Audit) -> str:
    bill = run.cost.get("actual")
    dollars = bill.get("dollars") if isinstance(bill, dict) else None
    return _told_dollars(dollars)


def _told_dollars(amount: float | None) -> str:
    return "-" if amount is None else quantity.dollars(amount)


def _current_failures(report: StatusReport) -> list[dict[str, object]]:
    pending = {task.partition for task in report.plan.tasks}
    latest: dict[object, dict[str, object]] = {}
    for run in report.runs:
        for failure in run.failures:
            if failure.get("partition") in pending:
                latest.setdefault(failure["partition"], failure)
    return list(latest.values())


def _status_json(report: StatusReport) -> dict[str, Any]:
    return {
        "totals": asdict(report.plan.totals),
        "months": [
            {"month": m.month, "failed": m.failed, **asdict(m.counts)} for m in report.months
        ],
        "runs": [
            {
                "run_id": run.session_id,
                "status": run.status,
                "start_time": run.start_time,
                "end_time": run.end_time,
                "files_processed": run.files_processed,
                "files_skipped": run.files_skipped,
                "files_failed": run.files_failed,
                "array": run.plan.get("array"),
                "cost": run.cost,
            }
            for run in report.runs
        ],
        "failures": _current_failures(report),
    }


def _looks(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what the commands that show single series have in common."""
    command = click.option(
        "--steps", type=click.IntRange(1), default=96, help="Steps of context to show."
    )(command)
    command = click.option(
        "--count", type=click.IntRange(1), default=1, help="Series to show when none is named."
    )(command)
    command = click.option("--item", "items", multiple=True, help="Item id; may be repeated.")(
        command
    )
    command = settings_options(command)
    return click.argument("partition")(command)


@click.command()
@_looks
def show(partition: str, items: tuple[str, ...], count: int, steps: int, **given: Any) -> None:
    """Draw the forecast of a few series of PARTITION (as 2024/01/part-00000) in the terminal."""
    finished = find_finished(_job(given), partition)
    for look in look_at(finished, items=items or None, count=count, steps=steps):
        click.echo(draw(look))


@click.command()
@_looks
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("forecast.png"),
    show_default=True,
    help="Where the picture goes.",
)
def plot(
    partition: str,
    items: tuple[str, ...],
    count: int,
    steps: int,
    output: Path,
    **given: Any,
) -> None:
    """Draw the forecast of a few series of PARTITION as a PNG: context, median, bands, actuals."""
    finished = find_finished(_job(given), partition)
    looks = look_at(finished, items=items or None, count=count, steps=steps)
    output.parent.mkdir(parents=True, exist_ok=True)
    save_forecast_figure(output, [panel_of(look) for look in looks])
    click.echo(str(output))


def draw(look: Look) -> str:
    """Return a series as the terminal at hand can show it."""
    encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "")
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    return terminal_plot(
        panel_of(look),
        width=width,
        palette=UNICODE if encoding.startswith("utf") else ASCII,
        color=is_rich(sys.stdout),
    )


def panel_of(look: Look) -> ForecastPanel:
    """Return a series as the report draws it."""
    flag = f" (fallback: {look.fallback})" if look.fallback else ""
    return ForecastPanel(
        title=f"{look.item_id} · {look.target_name}{flag}",
        context_times=look.context_times,
        context=look.context,
        times=look.times,
        median=look.median,
        levels=look.levels,
        quantiles=look.quantiles,
        actuals=look.actuals,
    )


@click.command()
@settings_options
@click.option(
    "--partitions",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Finished partitions to sample.",
)
@click.option(
    "--series",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Series to sample of each.",
)
@click.option("--sample_seed", default=0, show_default=True, help="Of the sample.")
@json_option
def verify(partitions: int, series: int, sample_seed: int, as_json: bool, **given: Any) -> int:
    """Recompute a sample of finished series by the stock Chronos pipeline and compare.

    Differences are measured in units of each context's standard deviation. Exit code 1 when one
    is beyond the tolerance: 1e-4 for float32, 1e-1 for bfloat16.
    """
    report = verify_sample(_job(given), partitions=partitions, series=series, seed=sample_seed)
    if as_json:
        click.echo(json.dumps(asdict(report), indent=1))
    else:
        _print_verification(report)
    return EXIT_DIFFERENT if report.differences else 0


def _print_verification(report: VerifyReport) -> None:
    click.echo(f"reference    {report.reference}")
    click.echo(f"compared     {report.series} series of {report.partitions} partitions")
    if report.skipped:
        click.echo(f"skipped      {report.skipped} series that the model did not forecast")
    click.echo(
        f"worst        {report.worst:.2e} of the context's scale, tolerance {report.tolerance}"
    )
    for difference in report.differences:
        where = f"{difference.partition} {difference.item_id} {difference.target_name}"
        click.echo(f"different    {where}: {difference.error:.2e}")
    click.echo("different" if report.differences else "the same")


@click.command()
@settings_options
@click.option("--old_specs", is_flag=True, help="Delete the forecasts of other specs, too.")
@click.option("--yes", is_flag=True, help="Delete; without it, only tell what would be deleted.")
@json_option
def prune(old_specs: bool, yes: bool, as_json: bool, **given: Any) -> None:
    """Delete what lies in the bucket for nobody: says first what it would delete.

    Forecasts whose input is gone or superseded, receipts that prove nothing any more and, with
    --old_specs, the forecasts of this model version under other settings.
    """
    litter = find_litter(_job(given))
    deleted = remove(litter, old_specs=old_specs) if yes else 0
    if as_json:
        content = {
            "orphans": litter.orphans,
            "receipts": litter.receipts,
            "old_specs": litter.old_specs,
            "deleted": deleted,
        }
        click.echo(json.dumps(content, indent=1))
        return
    _print_litter(litter, old_specs)
    click.echo(f"deleted {deleted} objects" if yes else "nothing deleted; add --yes to delete")


def _print_litter(litter: Litter, old_specs: bool) -> None:
    for title, keys in (("orphaned", litter.orphans), ("stale receipts", litter.receipts)):
        click.echo(f"{title}: {len(keys)}")
        for key in keys[:FIRST]:
            click.echo(f"  {key}")
        if len(keys) > FIRST:
            click.echo(f"  ... and {len(keys) - FIRST} more")
    kept = "" if old_specs else " (kept; add --old_specs)"
    click.echo(f"old specs: {len(litter.old_specs)}{kept if litter.old_specs else ''}")
    for folder, count in litter.old_specs.items():
        click.echo(f"  {folder}: {count} objects")
