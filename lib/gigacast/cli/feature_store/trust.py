"""``gigacast feature-store consistency`` and ``logs``: what was served, against backfills."""

from typing import Any

import click

from gigacast.cli.feature_store.backfill import report_backfills
from gigacast.cli.feature_store.command import print_json
from gigacast.cli.feature_store.inspect import name_argument
from gigacast.cli.flags import flags_of, place_options, quiet_option, read_settings, settings_flags
from gigacast.cli.help import Command
from gigacast.core.exit import EXIT_FAILED
from gigacast.feature_store.api import open_backfill, read_days
from gigacast.feature_store.trust.consistency import compare_logged, flatten_log
from gigacast.feature_store.trust.document import consistency_document, consistency_json
from gigacast.report.run_progress import RunProgress
from gigacast.report.terminal import show
from gigacast.settings.command.feature_store import DayOptions
from gigacast.settings.flag import take

_RESOURCES = ("executor", "n_jobs", "memory_limit")


@click.command(cls=Command)
@name_argument
@flags_of(DayOptions)
@settings_flags(*_RESOURCES)
@place_options
@quiet_option
def consistency(name: str, as_json: bool, quiet: bool, **flags: Any) -> int:
    """Backfill the logged requests of the join NAME, and compare the answers; exit code 1 if any
    differs.

    Numbers must be equal to the last bit, sketches within their published bounds. Days whose events
    have not landed in the tables wait for a later run.

    \b
    Examples:
      gigacast feature-store consistency quickstart.training_set.v2 --ds 2023-12-02 --bucket b
    """  # noqa: D205, D301 - the first sentence, and the mark of click
    options = take(DayOptions, flags)
    job = open_backfill(name, read_settings(flags))
    with RunProgress(quiet=quiet or as_json, verb="compare") as progress:
        result = compare_logged(job, read_days(options.start_ds, options.ds), events=progress)
    if as_json:
        print_json(consistency_json(result))
    elif not quiet or not result.is_consistent:
        show(consistency_document(result))
    return 0 if result.is_consistent else EXIT_FAILED


@click.command(cls=Command)
@name_argument
@flags_of(DayOptions)
@settings_flags(*_RESOURCES)
@place_options
@quiet_option
def logs(name: str, as_json: bool, quiet: bool, **flags: Any) -> int:
    """Write the logged answers of the join NAME as its table `_logged`, a column per feature."""
    options = take(DayOptions, flags)
    job = open_backfill(name, read_settings(flags))
    with RunProgress(quiet=quiet or as_json, verb="write") as progress:
        result = flatten_log(job, read_days(options.start_ds, options.ds), events=progress)
    return report_backfills((result,), as_json=as_json, quiet=quiet)
