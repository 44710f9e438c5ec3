"""Commands on finished forecasts and runs: status, ls, show, plot, verify and prune."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from gigacast.backtesting.evaluation.figures import worst_items
from gigacast.batch.document import status_document, status_json
from gigacast.batch.status import report_status
from gigacast.batch.watch import service_for
from gigacast.cli.drawing import is_file, look_at_file
from gigacast.cli.flags import (
    config_option,
    flags_of,
    json_option,
    read_settings,
    settings_flags,
    settings_options,
)
from gigacast.cli.help import Command
from gigacast.core.exit import EXIT_FAILED
from gigacast.core.partition.name import month_of_folder
from gigacast.core.plural import counted
from gigacast.errors import ConfigError
from gigacast.forecasting.document import figure_of, litter_document, verification_document
from gigacast.forecasting.preview import Look, look_at
from gigacast.forecasting.prune import find_litter, remove
from gigacast.forecasting.stored.choice import (
    Chosen,
    choose_forecasts,
    generation_of,
    siblings,
    with_model,
)
from gigacast.forecasting.stored.listing import (
    KINDS,
    choice_blocks,
    list_forecasts,
    listing_document,
)
from gigacast.forecasting.stored.partition import find_partition
from gigacast.forecasting.stored.search import partition_of_item
from gigacast.forecasting.verify import verify as verify_sample
from gigacast.job.forecast_job import ForecastJob
from gigacast.report.document import Document, Paragraph
from gigacast.report.plot.picture import save_figures
from gigacast.report.terminal import say, show_json
from gigacast.report.terminal import show as render
from gigacast.settings.assembly import job_of
from gigacast.settings.command.forecast import (
    ListOptions,
    PlotOptions,
    PruneOptions,
    SeriesOptions,
    SpecOption,
    VerifyOptions,
)
from gigacast.settings.flag import take
from gigacast.settings.options import names_of

_READING = ("partition_by", "context_partitions", "precision")
_DESCRIBING = (*names_of("how", "columns", "csv", "covariates"), *_READING)
"""Flags that describe forecasts: they choose those of today's settings."""


def _job(flags: dict[str, Any]) -> ForecastJob:
    return job_of(read_settings(flags))


def _choose(flags: dict[str, Any]) -> Chosen:
    """Return the forecasts that a command means, with the command's flags taken out.

    Raises
    ------
    ConfigError
        If a spec and flags that describe another one are given.
    """
    spec = flags.pop("spec", None)
    named = [name for name in _DESCRIBING if flags.get(name) is not None]
    # The model's files may have to be named, as for `verify` of a folder.
    if spec is not None and (surplus := [name for name in named if name != "model"]):
        raise ConfigError(
            f"--spec names finished forecasts, and --{surplus[0]} describes some",
            hint="leave one of them out",
        )
    return choose_forecasts(_job(flags), spec=spec, is_explicit=bool(named))


def _say_choice(chosen: Chosen) -> None:
    """Print to stderr which forecasts were chosen among others."""
    if chosen.other_count:
        render(Document(choice_blocks(chosen)), sys.stderr)


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
@click.argument("kind", type=click.Choice(KINDS), default="specs")
@click.argument("partition", required=False)
@settings_flags(*names_of("where"), "years", "months")
@flags_of(ListOptions)
@config_option
@json_option
def ls(kind: str, partition: str | None, as_json: bool, **flags: Any) -> None:
    """List finished forecasts: specs (by default), versions of models, partitions, items, and more.

    Items and origins, the nights whose forecasts are kept, are those of PARTITION, or of the newest
    partition; runs are those that `read --run` reads.

    \b
    Examples:
      gigacast ls --bucket my-bucket --prefix sales
      gigacast ls partitions --bucket my-bucket --prefix sales --months latest
      gigacast ls origins 2024/01/part-00000 --bucket my-bucket --prefix sales
      gigacast ls runs --bucket my-bucket --prefix sales
      gigacast ls items 2024/01/part-00000 --bucket my-bucket --prefix sales --like site
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    options = take(ListOptions, flags)
    job = _job(flags)
    listing = list_forecasts(
        job.outputs,
        kind,
        months=job.selection.months,
        partition=partition,
        **asdict(options),
    )
    if as_json:
        show_json(listing.to_json(), is_ascii=True)
    else:
        render(listing_document(listing))


@click.command(cls=Command)
@click.argument("partition", metavar="PARTITION|ITEM")
@settings_options
@flags_of(SpecOption, SeriesOptions)
@json_option
def show(partition: str, as_json: bool, **flags: Any) -> None:
    """Draw the forecast of a few series of PARTITION (as 2024/01/part-00000) in the terminal.

    In place of a partition an item's id: it is looked for in the newest months.
    """
    options = take(SeriesOptions, flags)
    chosen = _choose(flags)
    looks = _look(partition, options, chosen)
    if as_json:
        show_json({**chosen.to_json(), "series": [look.to_json() for look in looks]})
        return
    _say_choice(chosen)
    for look in looks:
        render(Document((figure_of(look),)))


@click.command(cls=Command)
@click.argument("partition", metavar="PARTITION|ITEM|FILE")
@click.argument("predictions", required=False)
@settings_options
@flags_of(SpecOption, PlotOptions)
@json_option
def plot(partition: str, predictions: str | None, as_json: bool, **flags: Any) -> None:
    """Draw the forecast of a few series of PARTITION as a PNG: context, median, bands, actuals.

    In place of a partition an item's id; or FILE, whose series are forecast and drawn, or drawn
    with the forecasts in PREDICTIONS.

    \b
    Examples:
      gigacast plot 2024/01/part-00000 --bucket my-bucket --count 4
      gigacast plot meters.csv --horizon 24 --output meters.png
      gigacast plot meters.csv out.parquet
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    options = take(PlotOptions, flags)
    content: dict[str, Any] = {}
    if predictions is not None or is_file(partition, flags):
        looks = look_at_file(partition, predictions, options, flags)
    else:
        chosen = _choose(flags)
        looks = _look(partition, options, chosen)
        content = chosen.to_json()
        if not as_json:
            _say_choice(chosen)
    save_figures(options.output, [figure_of(look) for look in looks])
    if as_json:
        series = [[look.item_id, look.target_name] for look in looks]
        show_json({**content, "output": str(options.output), "series": series})
    else:
        say(str(options.output))


def _look(partition: str, options: SeriesOptions, chosen: Chosen) -> list[Look]:
    items: Sequence[str] | None = options.items or None
    is_item = month_of_folder(partition.strip("/").rpartition("/")[0]) is None
    _check_worst(partition, options, is_item=is_item)
    if is_item:
        item = partition
        outputs = chosen.prepared.outputs
        partition = partition_of_item(outputs, generation_of(chosen), item)
        items = [item, *options.items]
    finished = find_partition(chosen.prepared, partition)
    if options.worst is not None:
        outputs = finished.prepared.outputs
        items = worst_items(outputs, finished.entry.task.output_key, options.worst)
    return look_at(finished, items=items, count=options.count, steps=options.steps)


def _check_worst(partition: str, options: SeriesOptions, *, is_item: bool) -> None:
    """Refuse `--worst` beside items that are named: either chooses the series.

    Raises
    ------
    ConfigError
    """
    if options.worst is None or not (is_item or options.items):
        return
    named = partition if is_item else options.items[0]
    raise ConfigError(
        f"--worst chooses series of a partition, and {named!r} names an item",
        hint="name the partition alone (`gigacast ls partitions` lists them), or leave --worst out",
    )


@click.command(cls=Command)
@settings_options
@flags_of(SpecOption, VerifyOptions)
@json_option
def verify(as_json: bool, **flags: Any) -> int:
    """Recompute a sample of finished series by the stock Chronos pipeline and compare.

    Differences are in units of each context's standard deviation. Exit code 1 if one is beyond the
    tolerance: 1e-4 for float32, 1e-1 for bfloat16, 2 for int8.
    """
    sample = take(VerifyOptions, flags)
    chosen = _choose(flags)
    report = verify_sample(
        with_model(chosen),
        partitions=sample.partitions,
        series=sample.series,
        seed=sample.sample_seed,
    )
    if as_json:
        show_json({**asdict(report), **chosen.to_json()}, is_ascii=True)
    else:
        _say_choice(chosen)
        render(verification_document(report))
    return EXIT_FAILED if report.differences else 0


@click.command(cls=Command)
@settings_options
@flags_of(SpecOption, PruneOptions)
@json_option
def prune(as_json: bool, **flags: Any) -> None:
    """Delete objects that nothing uses any more; without --yes only show them.

    Forecasts whose input is deleted or superseded, receipts that are no longer valid and, with
    --old_specs, the forecasts of this model version under other settings.
    """
    options = take(PruneOptions, flags)
    chosen = _choose(flags)
    # Specs that differ in the horizon alone may be of one run, whose file names hold horizons.
    litter = find_litter(chosen.prepared, spared=siblings(chosen))
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
        show_json({**content, **chosen.to_json()}, is_ascii=True)
        return
    _say_choice(chosen)
    amount = counted(deleted, "object")
    result = f"deleted {amount}" if options.yes else "nothing deleted; add --yes to delete"
    render(litter_document(litter, options.old_specs).followed_by(Paragraph(result)))
