"""``gigacast feature-store stats`` and ``compare``: statistics, drift, and two tables."""

from typing import Any

import click

from gigacast.cli.feature_store.command import open_tables, print_json
from gigacast.cli.feature_store.inspect import name_argument
from gigacast.cli.flags import flags_of, place_options, quiet_option, read_settings, settings_flags
from gigacast.cli.help import Command
from gigacast.core.exit import EXIT_FAILED
from gigacast.errors import ConfigError
from gigacast.feature_store.api import open_backfill, read_days
from gigacast.feature_store.offline.source import Catalog
from gigacast.feature_store.offline.stage import make_engine
from gigacast.feature_store.trust.compare import compare_tables
from gigacast.feature_store.trust.stats import DayRange, DriftLimits, DriftQuestion
from gigacast.feature_store.trust.stats_run import (
    run_stats,
    stats_document,
    stats_json,
    tables_document,
    tables_json,
)
from gigacast.job.forecast_job import Resources
from gigacast.report.run_progress import RunProgress
from gigacast.report.terminal import show
from gigacast.settings.command.feature_store import CompareOptions, DayOptions, StatsOptions
from gigacast.settings.flag import take


@click.command(cls=Command)
@name_argument
@flags_of(StatsOptions, DayOptions)
@settings_flags("executor", "n_jobs", "memory_limit", "outage_minutes")
@place_options
@quiet_option
def stats(name: str, as_json: bool, quiet: bool, **flags: Any) -> int:
    """Describe each day of the table of NAME: nulls, totals, percentiles; and find drift.

    Days that are described are not read again. With --drift the exit code is 1 if a feature has
    drifted.

    \b
    Examples:
      gigacast feature-store stats quickstart.training_set.v1 --drift 2023-11-01:2023-12-01
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    options, days = take(StatsOptions, flags), take(DayOptions, flags)
    limits = DriftLimits(options.max_psi, options.max_l_infinity, options.max_nulls)
    drift = DriftQuestion(*DayRange.parse(options.drift), limits) if options.drift else None
    job = open_backfill(name, read_settings(flags))
    with RunProgress(quiet=quiet or as_json, verb="describe") as progress:
        result = run_stats(
            job,
            read_days(days.start_ds, days.ds),
            logged=options.logged,
            drift=drift,
            events=progress,
        )
    has_problem = bool(result.drifted or result.failures)
    if as_json:
        print_json(stats_json(result))
    elif not quiet or has_problem:
        show(stats_document(result))
    return EXIT_FAILED if has_problem else 0


@click.command(cls=Command)
@click.argument("first")
@click.argument("second")
@flags_of(CompareOptions, DayOptions)
@place_options
def compare(first: str, second: str, as_json: bool, **flags: Any) -> int:
    """Compare the tables FIRST and SECOND by keys; exit code 1 if a row or value differs.

    Each is a compiled definition or a table. Numbers must be equal to the last bit.
    """
    options, days = take(CompareOptions, flags), take(DayOptions, flags)
    tables = open_tables(flags)
    result = compare_tables(
        Catalog(tables),
        make_engine(Resources(), tables.store),
        (first, second),
        [key.strip() for key in options.keys.split(",")],
        columns=_read_columns(options.columns) if options.columns else None,
        within=read_days(days.start_ds, days.ds).span,
    )
    if as_json:
        print_json(tables_json(result))
    else:
        show(tables_document(result))
    return 0 if result.is_equal else EXIT_FAILED


def _read_columns(text: str) -> dict[str, str]:
    pairs = [part.strip().partition("=") for part in text.split(",")]
    if not all(name for name, _, _ in pairs):
        raise ConfigError(f"--columns {text[:80]!r}: expected NAME or NAME=OTHER, with commas")
    return {name: other or name for name, _, other in pairs}
