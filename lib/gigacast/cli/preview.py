"""The commands that look: status, show, plot, verify, and prune (which looks first)."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from gigacast.batch.status import StatusReport, report_status
from gigacast.cli.batch import service_for
from gigacast.cli.flags import json_option, read_settings, settings_options
from gigacast.core.exit import EXIT_FAILED
from gigacast.forecasting.preview import Look, find_finished, look_at
from gigacast.forecasting.prune import Litter, find_litter, remove
from gigacast.forecasting.verify import VerifyReport
from gigacast.forecasting.verify import verify as verify_sample
from gigacast.job.forecast_job import ForecastJob
from gigacast.lake.plan.audit import Audit
from gigacast.report import quantity
from gigacast.report.plot.figure import save_forecast_figure
from gigacast.report.plot.panel import ForecastPanel
from gigacast.report.plot.terminal import ASCII, UNICODE, terminal_plot
from gigacast.report.table import is_rich, print_table
from gigacast.settings.assembly import job_of

FIRST = 5


def _job(given: dict[str, Any]) -> ForecastJob:
    return job_of(read_settings(given))


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
    return quantity.dollars(dollars)


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
    return EXIT_FAILED if report.differences else 0


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
