"""The commands that show what is in the bucket: status, show, plot, verify and prune."""

import json
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
from gigacast.report.document import (
    Block,
    Column,
    Document,
    Heading,
    Item,
    Items,
    KeyValues,
    Kind,
    Paragraph,
    Table,
    Tone,
)
from gigacast.report.plot.figure import save_forecast_figure
from gigacast.report.plot.panel import ForecastPanel
from gigacast.report.terminal import say
from gigacast.report.terminal import show as render
from gigacast.settings.assembly import job_of

FIRST = 5
_STATUS_COLUMNS = (
    Column("month"),
    Column("done", Kind.COUNT),
    Column("pending", Kind.COUNT),
    Column("failed", Kind.COUNT),
    Column("superseded", Kind.COUNT, 1),
    Column("orphaned", Kind.COUNT, 2),
)
_RUN_COLUMNS = (
    Column("run", Kind.KEY),
    Column("status"),
    Column("forecast", Kind.COUNT),
    Column("skipped", Kind.COUNT, 2),
    Column("failed", Kind.COUNT),
    Column("dollars", Kind.DOLLARS, 1),
)


def _job(given: dict[str, Any]) -> ForecastJob:
    return job_of(read_settings(given))


@click.command()
@settings_options
@json_option
def status(as_json: bool, **given: Any) -> None:
    """Count partitions done, pending, failed, superseded and orphaned, by year and month."""
    job = _job(given)
    # Few attempts: without AWS Batch the bucket alone still gives a status, and nobody should wait.
    report = report_status(job, lambda: service_for(job.outputs, attempts=2))
    if as_json:
        click.echo(json.dumps(_status_json(report), indent=1))
        return
    render(_status_document(report))


def _status_document(report: StatusReport) -> Document:
    """Return the counts of each month, the latest runs, and the failures still pending."""
    totals = report.plan.totals
    months = [(month.month, month.counts, month.failed) for month in report.months]
    months.append(("all", totals, sum(month.failed for month in report.months)))
    counts = [
        (name, c.done, c.pending, failed, c.superseded, c.orphaned) for name, c, failed in months
    ]
    runs = [
        (r.session_id, r.status, r.files_processed, r.files_skipped, r.files_failed, _dollars_of(r))
        for r in report.runs[:FIRST]
    ]
    blocks: list[Block] = [Heading("Partitions"), Table(_STATUS_COLUMNS, tuple(counts))]
    if runs:
        blocks += [Heading("Latest runs"), Table(_RUN_COLUMNS, tuple(runs))]
    return Document((*blocks, _failure_items(_current_failures(report))))


def _failure_items(failures: list[dict[str, object]]) -> Items:
    items: list[Item] = []
    for failure in failures[:FIRST]:
        text = f"failed: {failure['partition']}: {failure['error']}: {failure['message']}"
        items.append(Item(text, tone=Tone.BAD))
        if failure.get("hint"):
            items.append(Item(f"hint: {failure['hint']}", depth=1))
    if len(failures) > FIRST:
        rest = f"... and {len(failures) - FIRST} more: see --json and the audits"
        items.append(Item(rest, tone=Tone.QUIET))
    return Items(tuple(items))


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
    """Add the argument and flags of the commands that show single series."""
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
        render(Document((panel_of(look).to_figure(),)))


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
    say(str(output))


def panel_of(look: Look) -> ForecastPanel:
    """Return a series and its forecast as a picture shows them."""
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
        render(_verification_document(report))
    return EXIT_FAILED if report.differences else 0


def _verification_document(report: VerifyReport) -> Document:
    """Return the size of the sample, the largest difference, and each beyond the tolerance."""
    skipped = f"{report.skipped} series that the model did not forecast" if report.skipped else ""
    scale = f"{report.worst:.2e} of the context's scale, tolerance {report.tolerance}"
    facts = KeyValues.of(
        [
            ("reference", report.reference),
            ("compared", f"{report.series} series of {report.partitions} partitions"),
            ("skipped", skipped),
            ("worst", scale),
            *(
                ("different", f"{d.partition} {d.item_id} {d.target_name}: {d.error:.2e}")
                for d in report.differences
            ),
        ]
    )
    if report.differences:
        return Document((facts, Paragraph("different", Tone.BAD)))
    return Document((facts, Paragraph("the same", Tone.GOOD)))


@click.command()
@settings_options
@click.option("--old_specs", is_flag=True, help="Delete the forecasts of other specs, too.")
@click.option("--yes", is_flag=True, help="Delete; without it, only tell what would be deleted.")
@json_option
def prune(old_specs: bool, yes: bool, as_json: bool, **given: Any) -> None:
    """Delete objects that nothing uses any more; without --yes only show them.

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
    result = f"deleted {deleted} objects" if yes else "nothing deleted; add --yes to delete"
    render(_litter_document(litter, old_specs).followed_by(Paragraph(result)))


def _litter_document(litter: Litter, old_specs: bool) -> Document:
    """Return the number and the first keys of what can be deleted."""
    blocks: list[Block] = []
    for title, keys in (("orphaned", litter.orphans), ("stale receipts", litter.receipts)):
        blocks += [Paragraph(f"{title}: {len(keys)}"), Items.of(keys, depth=1, limit=FIRST)]
    stays = "" if old_specs or not litter.old_specs else " (kept; add --old_specs)"
    folders = (f"{folder}: {count} objects" for folder, count in litter.old_specs.items())
    blocks += [Paragraph(f"old specs: {len(litter.old_specs)}{stays}"), Items.of(folders, depth=1)]
    return Document(tuple(blocks))
