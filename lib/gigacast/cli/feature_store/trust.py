"""``gigacast feature-store consistency``, ``logs`` and ``status``: what is and was served."""

import json
import time
from typing import Any

import click

from gigacast.cli.feature_store.backfill import report_backfills
from gigacast.cli.feature_store.command import open_online, print_json
from gigacast.cli.feature_store.inspect import name_argument
from gigacast.cli.flags import flags_of, place_options, quiet_option, read_settings, settings_flags
from gigacast.cli.help import Command
from gigacast.core.exit import EXIT_FAILED
from gigacast.feature_store.api import open_backfill, read_days
from gigacast.feature_store.stored import all_stored, find_stored
from gigacast.feature_store.trust.consistency import compare_logged, flatten_log
from gigacast.feature_store.trust.document import consistency_document, consistency_json
from gigacast.feature_store.trust.status import (
    TOO_OLD,
    find_status,
    status_document,
    status_json,
    status_records,
)
from gigacast.report.run_progress import RunProgress
from gigacast.report.terminal import say, show
from gigacast.settings.command.feature_store import DayOptions, OnlineOptions, StatusOptions
from gigacast.settings.flag import take

_RESOURCES = ("executor", "n_jobs", "memory_limit", "outage_minutes")


@click.command(cls=Command)
@name_argument
@flags_of(DayOptions)
@settings_flags(*_RESOURCES)
@place_options
@quiet_option
def consistency(name: str, as_json: bool, quiet: bool, **flags: Any) -> int:
    """Backfill the logged requests of NAME, a join or group-by, and compare the answers; exit code
    1 if any differs.

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
    """Write the logged answers of NAME as its table `_logged`, a column per feature."""
    options = take(DayOptions, flags)
    job = open_backfill(name, read_settings(flags))
    with RunProgress(quiet=quiet or as_json, verb="write") as progress:
        result = flatten_log(job, read_days(options.start_ds, options.ds), events=progress)
    return report_backfills((result,), as_json=as_json, quiet=quiet)


@click.command(cls=Command)
@click.argument("name", required=False)
@flags_of(StatusOptions, OnlineOptions)
@place_options
def status(name: str | None, as_json: bool, **flags: Any) -> int:
    """Show what is served: batches and their age, streams and their lag; exit code 1 if a batch is
    too old.

    All compiled group-bys that are online by default, or those of NAME.
    """  # noqa: D205 - the first sentence
    options = take(StatusOptions, flags)
    online = open_online(take(OnlineOptions, flags), flags)
    lake = online.tables.store
    chosen = all_stored(lake) if name is None else [find_stored(lake, name).definition]
    with online.opened() as store:
        states = find_status(store, chosen, int(time.time() * 1000))
    for record in status_records(states) if options.metrics else ():
        say(json.dumps(record), err=True)
    if as_json:
        print_json(status_json(states))
    else:
        show(status_document(states))
    return EXIT_FAILED if any(state.state == TOO_OLD for state in states) else 0
