"""The main command, ``gigacast forecast``."""

import sys
from typing import Any

import click

from gigacast.cli.features import with_features
from gigacast.cli.flags import (
    array_options,
    flags_of,
    json_option,
    quiet_option,
    read_settings,
    settings_flags,
    settings_options,
)
from gigacast.cli.help import Command
from gigacast.core.exit import EXIT_FAILED
from gigacast.errors import ConfigError
from gigacast.forecasting.document import summarise_run
from gigacast.forecasting.run import run_forecast
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.run import RunEvents, utc_now
from gigacast.job.telemetry import Telemetry
from gigacast.report.run_progress import RunProgress
from gigacast.report.summary import failures_document, summary_document
from gigacast.report.terminal import show, show_json
from gigacast.settings.assembly import array_options_of, job_of
from gigacast.settings.command.common import ReportOption
from gigacast.settings.command.feature_store import FeaturesOption
from gigacast.settings.command.forecast import ForecastFlags
from gigacast.settings.flag import take
from gigacast.settings.options import names_of


@click.command(cls=Command)
@click.argument("file", required=False)
@settings_options
@settings_flags(*names_of("synthetic"))
@array_options
@settings_flags(*names_of("amount", "table"))
@flags_of(ForecastFlags, FeaturesOption, ReportOption)
@json_option
@quiet_option
def forecast(*, file: str | None, as_json: bool, quiet: bool, **flags: Any) -> int:
    """Forecast every partition whose forecast is missing or out of date.

    With FILE (Parquet, CSV, JSON, or - for standard input) its series are forecast instead.

    \b
    Examples:
      gigacast forecast --bucket my-bucket --prefix sales --n_jobs 4
      gigacast forecast --bucket file:///data/lake --symbol EURUSD --years 2014:2016
      gigacast forecast meters.csv --horizon 24 --output forecasts.parquet
      gigacast forecast --bucket my-bucket --n_jobs 5 --n_partitions 1000 \\
        --series_per_partition 1000000
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    own = take(ForecastFlags, flags)
    features = take(FeaturesOption, flags).features
    has_page = take(ReportOption, flags).report
    if file is not None:
        from gigacast.cli.file import forecast_one_file  # noqa: PLC0415 - not needed by a job

        refused = {"features": features, "dry_run": own.dry_run or None, "report": has_page or None}
        return forecast_one_file(
            file, own.output, {**flags, **refused}, as_json=as_json, quiet=quiet
        )
    if own.output is not None:
        raise ConfigError("--output is for a file", hint="name the file: gigacast forecast FILE -o")
    settings = read_settings(flags)
    job = with_features(job_of(settings), features, settings, quiet=quiet or as_json)
    # A dry run only plans: there is nothing to submit.
    if settings.run.executor == "batch" and not own.dry_run:
        from gigacast.cli.batch import run_on_batch  # noqa: PLC0415 - AWS' clients

        options, run_id = array_options_of(settings), None
        code = run_on_batch(job, options, log=own.log, as_json=as_json, quiet=quiet)
    else:
        code, run_id = run_and_report(
            job, log=own.log, as_json=as_json, quiet=quiet, dry_run=own.dry_run
        )
    if (has_page or settings.report.write) and not own.dry_run:
        from gigacast.cli.report import announce  # noqa: PLC0415 - not needed by other runs
        from gigacast.reporting.write import write_run_report  # noqa: PLC0415

        # By its id: another run may have ended within the same second.
        announce(write_run_report(job, run_id), quiet=quiet or as_json)
    return code


def run_and_report(
    job: ForecastJob,
    *,
    log: str = "bar",
    as_json: bool = False,
    quiet: bool = False,
    dry_run: bool = False,
) -> tuple[int, str | None]:
    """Run a job with progress and summary, and return the exit code and the id of the run."""
    # With --json stdout is for the summary alone, and who parses it needs no bar on stderr.
    with RunProgress(quiet=quiet or as_json) as progress:
        events: RunEvents = Telemetry(sys.stderr, utc_now) if log == "json" else progress
        result = run_forecast(job, events=events, dry_run=dry_run)
    summary = summarise_run(result, job)
    if as_json:
        show_json(summary.to_json(), is_ascii=True)
    elif not quiet:
        show(summary_document(summary))
    elif log != "json":  # whose lines have them
        show(failures_document(summary), sys.stderr)
    return EXIT_FAILED if result.failures or result.look.impossible else 0, result.run_id or None
