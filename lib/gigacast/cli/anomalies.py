"""``gigacast anomalies``: values that the forecasts did not expect."""

import sys
from typing import Any

import click

from gigacast.anomalies.api import limits_of
from gigacast.anomalies.event import log_anomalies
from gigacast.anomalies.result import AnomalyReport
from gigacast.anomalies.run import AnomalyJob, find_anomalies_in
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
from gigacast.cli.report import announce
from gigacast.core.exit import EXIT_FAILED, EXIT_INTERRUPTED
from gigacast.job.run import RunEvents, utc_now
from gigacast.job.telemetry import Telemetry
from gigacast.report.run_progress import RunProgress
from gigacast.report.terminal import say, show, show_json
from gigacast.reporting.write import write_anomaly_report
from gigacast.settings.assembly import array_options_of, job_of
from gigacast.settings.command.anomalies import AnomalyFlags
from gigacast.settings.command.common import LogOption, ReportOption
from gigacast.settings.flag import take
from gigacast.settings.model import Settings


@click.command(cls=Command)
@settings_options
@settings_flags("limit")
@array_options
@flags_of(AnomalyFlags, LogOption, ReportOption)
@json_option
@quiet_option
def anomalies(*, as_json: bool, quiet: bool, **flags: Any) -> int:
    """Find values that the forecasts did not expect, and sensors that stopped measuring.

    The latest stored forecasts are compared with the values that have come since. Where none are
    stored, the last steps of each series are forecast from before them.

    \b
    Examples:
      gigacast anomalies --bucket my-bucket --prefix meters
      gigacast anomalies --bucket my-bucket --prefix meters --origin all
      gigacast anomalies --bucket my-bucket --rolling --windows 2 --horizon 24
      gigacast anomalies --bucket my-bucket --band 99.9 --fail_above 0 --log json --quiet
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    own, log = take(AnomalyFlags, flags), take(LogOption, flags).log
    has_page = take(ReportOption, flags).report
    model, version = flags.get("model"), flags.get("model_version")
    settings = read_settings(flags)
    job = AnomalyJob(
        *(job_of(settings), limits_of(own), own.windows, own.rolling, model, version),
        origin=own.origin,
    )
    result = _search(job, settings, log, as_json=as_json, quiet=quiet)
    if result is None:
        return EXIT_INTERRUPTED
    too_many = own.fail_above is not None and result.count > own.fail_above
    if log == "json":
        log_anomalies(result, sys.stderr, utc_now)
    if as_json:
        show_json(result.to_json(), is_ascii=True)
    elif not quiet:
        show(result.to_document())
    elif log != "json":
        show(result.failed_document(), sys.stderr)
        if too_many:
            say(f"{result.count:,} anomalies are more than --fail_above", err=True)
    if has_page or settings.report.write:
        root = job.forecast.outputs
        announce(write_anomaly_report(result, root, utc_now()), quiet=quiet or as_json)
    return EXIT_FAILED if result.failures or too_many else 0


def _search(
    job: AnomalyJob, settings: Settings, log: str, *, as_json: bool, quiet: bool
) -> AnomalyReport | None:
    """Search here or by an array; ``None`` if the watch of an array was interrupted."""
    if job.forecast.resources.executor != "batch":
        with RunProgress(quiet=quiet or as_json, verb="search") as progress:
            events: RunEvents = Telemetry(sys.stderr, utc_now) if log == "json" else progress
            return find_anomalies_in(job, events=events)
    from gigacast.batch.search import divide_search  # noqa: PLC0415 - AWS' clients
    from gigacast.cli.batch import settle_on_batch  # noqa: PLC0415

    is_silent = quiet or log == "json"  # among whose lines no other text may be
    divided, array = divide_search(job), array_options_of(settings)
    code, settled = settle_on_batch(divided, options=array, as_json=as_json, quiet=is_silent)
    if code == EXIT_INTERRUPTED:
        return None
    report = find_anomalies_in(job, executor=settled, start=settled.start)
    report.run_id = settled.run_id
    return report
