"""``gigacast feature-store backfill`` and ``label``: compute the tables of past days."""

import sys
from typing import Any

import click

from gigacast.cli.feature_store.command import print_json
from gigacast.cli.feature_store.inspect import name_argument
from gigacast.cli.flags import (
    array_options,
    flags_of,
    place_options,
    quiet_option,
    read_settings,
    settings_flags,
)
from gigacast.cli.help import Command
from gigacast.core.exit import EXIT_FAILED
from gigacast.feature_store.api import open_backfill, read_days
from gigacast.feature_store.offline.day import read_day
from gigacast.feature_store.offline.document import (
    backfill_document,
    backfill_json,
    failures_document,
)
from gigacast.feature_store.offline.label_run import label_days, label_stages
from gigacast.feature_store.offline.result import BackfillResult
from gigacast.feature_store.offline.run import backfill_days
from gigacast.report.run_progress import RunProgress
from gigacast.report.terminal import show
from gigacast.settings.assembly import array_options_of
from gigacast.settings.command.feature_store import BackfillOptions, LabelOptions
from gigacast.settings.flag import take

_RESOURCES = ("executor", "n_jobs", "memory_limit", "outage_minutes", "verify_datasets")


@click.command(cls=Command)
@name_argument
@flags_of(BackfillOptions)
@settings_flags(*_RESOURCES)
@array_options
@place_options
@quiet_option
def backfill(name: str, as_json: bool, quiet: bool, **flags: Any) -> int:
    """Compute the days of NAME that are new, or of which a source's partition changed.

    NAME is a compiled join, group-by or staging query. Days that are done are not computed again;
    a run that was killed goes on where it stopped. Exit code 1 if days fail.

    \b
    Examples:
      gigacast feature-store backfill quickstart.training_set.v1 --bucket my-bucket
      gigacast feature-store backfill quickstart.returns.v1 --start_ds 2023-11-01 --n_jobs 4
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    options = take(BackfillOptions, flags)
    days = read_days(options.start_ds, options.ds)
    settings = read_settings(flags)
    job = open_backfill(name, settings, only=options.only, engine=options.engine)
    # A dry run only plans: there is nothing to submit.
    if job.resources.executor == "batch" and not options.dry_run:
        from gigacast.cli.batch import backfill_on_batch  # noqa: PLC0415 - AWS' clients

        array = array_options_of(settings)
        return backfill_on_batch([(job, days)], array, as_json=as_json, quiet=quiet)
    with RunProgress(quiet=quiet or as_json, verb="compute") as progress:
        result = backfill_days(job, days, is_dry=options.dry_run, events=progress)
    return report_backfills((result,), as_json=as_json, quiet=quiet)


@click.command(cls=Command)
@name_argument
@flags_of(LabelOptions)
@settings_flags(*_RESOURCES)
@array_options
@place_options
@quiet_option
def label(name: str, as_json: bool, quiet: bool, **flags: Any) -> int:
    """Compute the labels of the join NAME that are known on a day.

    Where the join is backfilled, its features are also written beside their labels: all versions,
    and the newest.
    """
    day = read_day(take(LabelOptions, flags).label_day, "--ds")
    settings = read_settings(flags)
    job = open_backfill(name, settings)
    if job.resources.executor == "batch":
        from gigacast.cli.batch import backfill_on_batch  # noqa: PLC0415 - AWS' clients

        stages = label_stages(job, day)
        array = array_options_of(settings)
        return backfill_on_batch(stages, array, as_json=as_json, quiet=quiet)
    with RunProgress(quiet=quiet or as_json, verb="label") as progress:
        results = label_days(job, day, events=progress)
    return report_backfills(results, as_json=as_json, quiet=quiet)


def report_backfills(results: tuple[BackfillResult, ...], *, as_json: bool, quiet: bool) -> int:
    """Show the results of backfills, and return the exit code."""
    for result in results:
        if result.all_failures:
            show(failures_document(result), sys.stderr)
        if not quiet and not as_json:
            show(backfill_document(result))
    if as_json:
        contents = [backfill_json(result) for result in results]
        print_json(contents[0] if len(contents) == 1 else contents)
    return EXIT_FAILED if any(result.all_failures for result in results) else 0
