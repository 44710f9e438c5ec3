"""Commands on finished forecasts and runs: status, show, plot, verify and prune."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from gigacast.batch.document import status_document, status_json
from gigacast.batch.status import report_status
from gigacast.batch.watch import service_for
from gigacast.cli.flags import json_option, read_settings, settings_options
from gigacast.core.exit import EXIT_FAILED
from gigacast.forecasting.document import litter_document, panel_of, verification_document
from gigacast.forecasting.preview import find_finished, look_at
from gigacast.forecasting.prune import find_litter, remove
from gigacast.forecasting.verify import verify as verify_sample
from gigacast.job.forecast_job import ForecastJob
from gigacast.report.document import Document, Paragraph
from gigacast.report.plot.figure import save_forecast_figure
from gigacast.report.terminal import say
from gigacast.report.terminal import show as render
from gigacast.settings.assembly import job_of


def _job(flags: dict[str, Any]) -> ForecastJob:
    return job_of(read_settings(flags))


@click.command()
@settings_options
@json_option
def status(as_json: bool, **flags: Any) -> None:
    """Count partitions done, pending, failed, superseded and orphaned, by year and month."""
    job = _job(flags)
    # Few attempts: without AWS Batch the bucket alone still gives a status, and nobody should wait.
    report = report_status(job, lambda: service_for(job.outputs, attempts=2))
    if as_json:
        click.echo(json.dumps(status_json(report), indent=1))
        return
    render(status_document(report))


def _series_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument and flags of commands that show single series."""
    command = click.option(
        "--steps",
        type=click.IntRange(1),
        default=96,
        show_default=True,
        help="Steps of context to show.",
    )(command)
    command = click.option(
        "--count",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Number of series to show without --item.",
    )(command)
    command = click.option(
        "--item", "items", multiple=True, help="Item id to show; may be repeated."
    )(command)
    command = settings_options(command)
    return click.argument("partition")(command)


@click.command()
@_series_options
def show(partition: str, items: tuple[str, ...], count: int, steps: int, **flags: Any) -> None:
    """Draw the forecast of a few series of PARTITION (as 2024/01/part-00000) in the terminal."""
    finished = find_finished(_job(flags), partition)
    for look in look_at(finished, items=items or None, count=count, steps=steps):
        render(Document((panel_of(look).to_figure(),)))


@click.command()
@_series_options
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("forecast.png"),
    show_default=True,
    help="Picture to write.",
)
def plot(
    partition: str,
    items: tuple[str, ...],
    count: int,
    steps: int,
    output: Path,
    **flags: Any,
) -> None:
    """Draw the forecast of a few series of PARTITION as a PNG: context, median, bands, actuals."""
    finished = find_finished(_job(flags), partition)
    looks = look_at(finished, items=items or None, count=count, steps=steps)
    output.parent.mkdir(parents=True, exist_ok=True)
    save_forecast_figure(output, [panel_of(look) for look in looks])
    say(str(output))


@click.command()
@settings_options
@click.option(
    "--partitions",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Number of finished partitions to sample.",
)
@click.option(
    "--series",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Number of series to sample per partition.",
)
@click.option("--sample_seed", default=0, show_default=True, help="Seed of the sample.")
@json_option
def verify(partitions: int, series: int, sample_seed: int, as_json: bool, **flags: Any) -> int:
    """Recompute a sample of finished series by the stock Chronos pipeline and compare.

    Differences are in units of each context's standard deviation. Exit code 1 if one is beyond the
    tolerance: 1e-4 for float32, 1e-1 for bfloat16.
    """
    report = verify_sample(_job(flags), partitions=partitions, series=series, seed=sample_seed)
    if as_json:
        click.echo(json.dumps(asdict(report), indent=1))
    else:
        render(verification_document(report))
    return EXIT_FAILED if report.differences else 0


@click.command()
@settings_options
@click.option("--old_specs", is_flag=True, help="Also delete the forecasts of other specs.")
@click.option("--yes", is_flag=True, help="Delete; without it nothing is deleted.")
@json_option
def prune(old_specs: bool, yes: bool, as_json: bool, **flags: Any) -> None:
    """Delete objects that nothing uses any more; without --yes only show them.

    Forecasts whose input is deleted or superseded, receipts that are no longer valid and, with
    --old_specs, the forecasts of this model version under other settings.
    """
    litter = find_litter(_job(flags))
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
    render(litter_document(litter, old_specs).followed_by(Paragraph(result)))
