"""Commands on finished forecasts and runs: status, show, plot, verify and prune."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from gigacast.backtesting.evaluation.figures import worst_items
from gigacast.batch.document import status_document, status_json
from gigacast.batch.status import report_status
from gigacast.batch.watch import service_for
from gigacast.cli.flags import flags_of, json_option, read_settings, settings_options
from gigacast.cli.help import Command
from gigacast.core.exit import EXIT_FAILED
from gigacast.core.plural import counted
from gigacast.forecasting.document import figure_of, litter_document, verification_document
from gigacast.forecasting.preview import Look, find_finished, look_at
from gigacast.forecasting.prune import find_litter, remove
from gigacast.forecasting.verify import verify as verify_sample
from gigacast.job.forecast_job import ForecastJob
from gigacast.report.document import Document, Paragraph
from gigacast.report.plot.picture import save_figures
from gigacast.report.terminal import say, show_json
from gigacast.report.terminal import show as render
from gigacast.settings.assembly import job_of
from gigacast.settings.command.forecast import (
    PlotOptions,
    PruneOptions,
    SeriesOptions,
    VerifyOptions,
)
from gigacast.settings.flag import take


def _job(flags: dict[str, Any]) -> ForecastJob:
    return job_of(read_settings(flags))


@click.command(cls=Command)
@settings_options
@json_option
def status(as_json: bool, **flags: Any) -> None:
    """Count partitions done, pending, failed, superseded and orphaned, by year and month."""
    job = _job(flags)
    # Few attempts: without AWS Batch the bucket alone still gives a status, and nobody should wait.
    report = report_status(job, lambda: service_for(job.outputs, attempts=2))
    if as_json:
        show_json(status_json(report), is_ascii=True)
        return
    render(status_document(report))


@click.command(cls=Command)
@click.argument("partition")
@settings_options
@flags_of(SeriesOptions)
def show(partition: str, **flags: Any) -> None:
    """Draw the forecast of a few series of PARTITION (as 2024/01/part-00000) in the terminal."""
    options = take(SeriesOptions, flags)
    for look in _look(partition, options, flags):
        render(Document((figure_of(look),)))


@click.command(cls=Command)
@click.argument("partition")
@settings_options
@flags_of(PlotOptions)
def plot(partition: str, **flags: Any) -> None:
    """Draw the forecast of a few series of PARTITION as a PNG: context, median, bands, actuals."""
    options = take(PlotOptions, flags)
    looks = _look(partition, options, flags)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    save_figures(options.output, [figure_of(look) for look in looks])
    say(str(options.output))


def _look(partition: str, options: SeriesOptions, flags: dict[str, Any]) -> list[Look]:
    finished = find_finished(_job(flags), partition)
    items: Sequence[str] | None = options.items or None
    if options.worst is not None:
        outputs = finished.prepared.outputs
        items = worst_items(outputs, finished.entry.task.output_key, options.worst)
    return look_at(finished, items=items, count=options.count, steps=options.steps)


@click.command(cls=Command)
@settings_options
@flags_of(VerifyOptions)
@json_option
def verify(as_json: bool, **flags: Any) -> int:
    """Recompute a sample of finished series by the stock Chronos pipeline and compare.

    Differences are in units of each context's standard deviation. Exit code 1 if one is beyond the
    tolerance: 1e-4 for float32, 1e-1 for bfloat16, 2 for int8.
    """
    sample = take(VerifyOptions, flags)
    report = verify_sample(
        _job(flags),
        partitions=sample.partitions,
        series=sample.series,
        seed=sample.sample_seed,
    )
    if as_json:
        show_json(asdict(report), is_ascii=True)
    else:
        render(verification_document(report))
    return EXIT_FAILED if report.differences else 0


@click.command(cls=Command)
@settings_options
@flags_of(PruneOptions)
@json_option
def prune(as_json: bool, **flags: Any) -> None:
    """Delete objects that nothing uses any more; without --yes only show them.

    Forecasts whose input is deleted or superseded, receipts that are no longer valid and, with
    --old_specs, the forecasts of this model version under other settings.
    """
    options = take(PruneOptions, flags)
    litter = find_litter(_job(flags))
    deleted = remove(litter, old_specs=options.old_specs) if options.yes else 0
    if as_json:
        content = {
            "orphans": litter.orphans,
            "receipts": litter.receipts,
            # Left out without any, as before there were origins.
            **({"origins": litter.origins} if litter.origins else {}),
            "old_specs": litter.old_specs,
            "deleted": deleted,
        }
        show_json(content, is_ascii=True)
        return
    amount = counted(deleted, "object")
    result = f"deleted {amount}" if options.yes else "nothing deleted; add --yes to delete"
    render(litter_document(litter, options.old_specs).followed_by(Paragraph(result)))
