"""``gigacast report`` and ``gigacast serve-report``: pages of runs."""

from pathlib import Path
from typing import Any

import click

from gigacast.cli.flags import flags_of, json_option, read_settings, settings_flags, where_options
from gigacast.cli.help import Command
from gigacast.errors import ConfigError
from gigacast.job.forecast_job import ForecastJob
from gigacast.report.html.page import render_page
from gigacast.report.terminal import say, show, show_json
from gigacast.reporting.document import run_document, run_frame
from gigacast.reporting.run import report_run
from gigacast.reporting.scale import measure_scale, scale_document
from gigacast.reporting.server import serve
from gigacast.reporting.write import write_report
from gigacast.settings.assembly import job_of
from gigacast.settings.command.common import ReportRunOptions, ServeReportOptions
from gigacast.settings.flag import take
from gigacast.settings.options import names_of


def announce(url: str, *, quiet: bool = False) -> None:
    """Print the address of a page that was written."""
    if not quiet:
        say(f"report: {url}")


@click.command(cls=Command)
@click.argument("run", required=False)
@where_options
@settings_flags(*names_of("columns", "csv"))
@flags_of(ReportRunOptions)
@json_option
def report(run: str | None, as_json: bool, **flags: Any) -> None:
    """Write the page of RUN, the latest forecast by default: one HTML file in reports/.

    In place of a run, `scale` shows what the run with most series took by its receipts (series,
    processes, CPU hours, wall hours, dollars), and what a billion series would take.

    A page can be made again at any time: it is gathered from the audit of the run, from a sample of
    its forecasts, and from the actuals that have come since.

    \b
    Examples:
      gigacast report --bucket my-bucket --prefix sales
      gigacast report scale --bucket my-bucket --prefix sales
      gigacast report forecast_20261130_030945_f03f --bucket my-bucket --output run.html
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    options = take(ReportRunOptions, flags)
    job = _job(flags)
    if run == "scale":
        scale = measure_scale(job)
        show_json(scale.to_json(), is_ascii=True) if as_json else show(scale_document(scale))
        return
    gathered = report_run(job, run)
    if options.output is None:
        url = write_report(gathered, job.outputs)
    else:
        page = render_page(run_document(gathered), run_frame(gathered, has_siblings=False))
        url = _write(options.output, page)
    if as_json:
        show_json({**gathered.to_json(), "location": url}, is_ascii=True, default=str)
        return
    say(f"report of {gathered.audit.session_id}: {url}")
    if gathered.newer:
        newest = gathered.newer[0]
        listed = f"{newest} and {len(gathered.newer) - 1} more" if gathered.newer[1:] else newest
        say(f"  later runs of other jobs: {listed}; `gigacast report {newest}` writes its page")


def _write(path: Path, page: str) -> str:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"--output: {path} can't be written: {error.strerror or error}",
            hint="name another file",
        ) from error
    return str(path)


def _job(flags: dict[str, Any]) -> ForecastJob:
    return job_of(read_settings(flags))


@click.command(name="serve-report", cls=Command)
@where_options
@flags_of(ServeReportOptions)
@json_option
def serve_report(as_json: bool, **flags: Any) -> None:
    """Show the pages in a bucket's reports/ to a browser of this machine.

    The server answers to this machine only, reads reports and the objects that they link, and
    changes nothing. Ctrl-C ends it.

    \b
    Examples:
      gigacast serve-report --bucket my-bucket --prefix sales
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    port = take(ServeReportOptions, flags).port
    outputs = _job(flags).outputs

    def tell(url: str) -> None:
        content = {"url": url, "reports": f"{outputs.url}/reports"}
        show_json(content) if as_json else say(f"{outputs.url}/reports: {url}")

    serve(outputs, port, tell)
