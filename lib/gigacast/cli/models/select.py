"""``gigacast models select``: the best model for each series, as a portfolio."""

import sys
from typing import Any

import click

from gigacast.cli.flags import (
    JOB_FLAGS,
    config_option,
    flags_of,
    json_option,
    quiet_option,
    read_settings,
    settings_flags,
)
from gigacast.cli.help import Command
from gigacast.cli.report import announce
from gigacast.core.exit import EXIT_FAILED
from gigacast.job.run import utc_now
from gigacast.report.run_progress import RunProgress
from gigacast.report.terminal import show, show_json
from gigacast.reporting.write import write_selection_report
from gigacast.selection.document import failed_candidates, selection_document
from gigacast.selection.job import selection_job
from gigacast.selection.publication import refreshed
from gigacast.selection.run import run_selection
from gigacast.settings.assembly import job_of
from gigacast.settings.command.common import ReportOption
from gigacast.settings.command.selection import SelectOptions
from gigacast.settings.flag import take

_NOT_HERE = {"model", "model_version", "layout", "enhance", "calibrate"}
_JOB_FLAGS = [name for name in JOB_FLAGS if name not in _NOT_HERE]


@click.command(cls=Command)
@click.argument("name")
@flags_of(SelectOptions, ReportOption)
@settings_flags(*_JOB_FLAGS, "limit", "overwrite", command="select")
@config_option
@json_option
@quiet_option
def select(*, name: str, as_json: bool, quiet: bool, **flags: Any) -> int:
    """Choose the best model for each series by a backtest, and publish the choice as NAME.

    A series keeps the best model overall where the evidence for another is thin. The choice is a
    version of a model of its own: use it by --model NAME, as any other.

    \b
    Examples:
      gigacast models select mix --bucket my-bucket --horizon 24 --model gigacast-bolt-nano \\
        --model gigacast-bolt-nano+auto --model auto-ets
      gigacast models select mix --bucket my-bucket --horizon 24 --segment frequency \\
        --method ensemble
      gigacast models select mix --bucket my-bucket --refresh --switch
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    options, has_page = take(SelectOptions, flags), take(ReportOption, flags).report
    settings = read_settings(flags)
    forecast = job_of(settings)
    if options.refresh:
        options, forecast = refreshed(name, options, forecast)
    job = selection_job(name, forecast, options)
    with RunProgress(quiet=quiet or as_json, verb="judge") as progress:
        result = run_selection(job, events=progress)
    if as_json:
        show_json(result.to_json(), is_ascii=True)
    elif not quiet:
        show(selection_document(result))
    if not as_json:
        show(failed_candidates(result), sys.stderr)
    if has_page or settings.report.write:
        url = write_selection_report(result, job.forecast.outputs, utc_now())
        announce(url, quiet=quiet or as_json)
    return EXIT_FAILED if result.failures else 0
