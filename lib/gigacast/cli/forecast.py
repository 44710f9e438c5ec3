"""The main command, ``gigacast forecast``."""

import json
import sys
from contextlib import ExitStack
from typing import Any

import click

from gigacast.cli.flags import (
    array_options,
    json_option,
    quiet_option,
    read_settings,
    settings_flags,
    settings_options,
)
from gigacast.core.exit import EXIT_FAILED
from gigacast.core.partition.task import Task
from gigacast.forecasting.run import RunResult, run_forecast
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.run import RunEvents, Totals, utc_now
from gigacast.job.telemetry import Telemetry
from gigacast.lake.layout import audit_key
from gigacast.lake.plan.planner import Plan
from gigacast.lake.plan.receipt import Receipt
from gigacast.report.progress import Progress
from gigacast.report.summary import FailedPartition, RunSummary, summary_document
from gigacast.report.terminal import say, show
from gigacast.runtime.executor import Failure
from gigacast.settings.assembly import array_options_of, job_of
from gigacast.settings.options import names_of


class Watcher(ExitStack):
    """Progress of a run on stderr; a context around the run."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__()
        self._quiet = quiet
        self._progress: Progress | None = None

    def generated(self, partitions: int) -> None:
        """Print the number of synthetic partitions that were generated."""
        if partitions and not self._quiet:
            say(f"generated {partitions} synthetic partitions", err=True)

    def planned(self, run_id: str, plan: Plan, tasks: int) -> None:
        """Print the plan in a line, and start the bar."""
        self.close()  # the bar of a run before: a backtest is a run for each model
        if not self._quiet:
            say(_plan_line(plan, tasks), err=True)
        if tasks:
            self._progress = self.enter_context(Progress(tasks, quiet=self._quiet))

    def finished(self, receipt: Receipt) -> None:
        """Advance the bar by a forecast partition."""
        if self._progress is not None:
            self._progress.advance(receipt.series, name=receipt.partition)

    def failed(self, task: Task, failure: Failure) -> None:
        """Advance the bar by a failed partition, and print its error."""
        if self._progress is not None:
            message = f"{failure.error}: {failure.message}"
            self._progress.advance(failed=True, name=task.partition, message=message)

    def closed(self, status: str, totals: Totals) -> None:
        """Print nothing: the summary follows."""


def _plan_line(plan: Plan, tasks: int) -> str:
    totals = plan.totals
    line = f"{plan.discovered} partitions: {totals.done} done, {tasks} to forecast"
    rest = totals.pending - tasks
    notes = [
        f"{rest} left for later" if rest else "",
        f"{totals.superseded} superseded" if totals.superseded else "",
        f"{totals.orphaned} orphaned" if totals.orphaned else "",
        f"{plan.unmatched_count} objects not recognised ({plan.unmatched[0]}, ...)"
        if plan.unmatched
        else "",
        f"folders not taken for input: {', '.join(plan.foreign_folders[:3])}"
        if plan.foreign_folders
        else "",
    ]
    return "; ".join([line, *filter(None, notes)])


@click.command()
@settings_options
@settings_flags(*names_of("synthetic"))
@array_options
@click.option("--dry_run", is_flag=True, help="Plan, and write nothing.")
@settings_flags(*names_of("amount"))
@click.option(
    "--log",
    type=click.Choice(["bar", "json"]),
    default="bar",
    help="On stderr: a progress bar, or JSON lines with embedded CloudWatch metrics.",
)
@json_option
@quiet_option
def forecast(**flags: Any) -> int:
    """Forecast every partition whose forecast is missing or out of date.

    \b
    Examples:
      python main.py --bucket my-bucket --prefix sales --n_jobs 4
      python main.py --bucket file:///data/lake --symbol EURUSD --years 2014:2016
      python main.py --bucket my-bucket --n_jobs 5 --n_partitions 1000 \\
        --series_per_partition 1000000
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    as_json, quiet, dry_run = (flags.pop(name) for name in ("as_json", "quiet", "dry_run"))
    log = flags.pop("log")
    settings = read_settings(flags)
    job = job_of(settings)
    # A dry run only plans: there is nothing to submit.
    if settings.run.executor == "batch" and not dry_run:
        from gigacast.cli.batch import run_on_batch  # noqa: PLC0415 - AWS' clients

        return run_on_batch(job, array_options_of(settings), log=log, as_json=as_json, quiet=quiet)
    return run_and_report(job, log=log, as_json=as_json, quiet=quiet, dry_run=dry_run)


def run_and_report(
    job: ForecastJob,
    *,
    log: str = "bar",
    as_json: bool = False,
    quiet: bool = False,
    dry_run: bool = False,
) -> int:
    """Run a job with progress and summary, and return the exit code."""
    # With --json stdout is for the summary alone, and who parses it needs no bar on stderr.
    with Watcher(quiet=quiet or as_json) as watcher:
        events: RunEvents = Telemetry(sys.stderr, utc_now) if log == "json" else watcher
        result = run_forecast(job, events=events, dry_run=dry_run)
    summary = summarise(result, job)
    if as_json:
        click.echo(json.dumps(summary.to_json(), indent=1))
    elif not quiet:
        show(summary_document(summary))
    return EXIT_FAILED if result.failures else 0


def summarise(result: RunResult, job: ForecastJob) -> RunSummary:
    """Return the summary of a run."""
    totals, plan = result.totals, result.plan.totals
    return RunSummary(
        run_id=result.run_id,
        status=result.status,
        elapsed_s=result.elapsed_s,
        partitions={
            "done": totals.partitions,
            "skipped": plan.done,
            "failed": len(result.failures),
            "pending": plan.pending - totals.partitions - len(result.failures),
            "superseded": plan.superseded,
            "orphaned": plan.orphaned,
        },
        model=result.info.name,
        version=result.info.version,
        specs=tuple(sorted(result.plan.specs)),
        series=totals.series,
        quarantined=totals.reasons,
        repairs=totals.repairs,
        rows=totals.rows_written,
        read_bytes=totals.bytes_read,
        written_bytes=totals.bytes_written,
        seconds_by_stage=totals.seconds,
        ignored=result.ignored,
        cost=result.cost,
        output_url=result.outputs,
        # A dry run writes no audit.
        audit_url=""
        if result.status == "planned"
        else f"{job.outputs.url}/{audit_key(result.run_id)}",
        failures=tuple(
            FailedPartition(task.partition, failure.error, failure.message, failure.hint)
            for task, failure in result.failures
        ),
    )
