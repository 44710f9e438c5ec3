"""Array runs on AWS Batch: submit, watch, cancel, logs, and ``forecast --executor batch``."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import click

from gigacast.batch.result import array_of
from gigacast.batch.service import FAILED as CHILD_FAILED
from gigacast.batch.service import ArrayService
from gigacast.batch.submit import Submission, submit_run
from gigacast.batch.watch import (
    ArrayProgress,
    cancel_run,
    find_array_run,
    read_logs,
    watch_run,
)
from gigacast.cli.flags import (
    array_options,
    json_option,
    quiet_option,
    read_settings,
    settings_flags,
    settings_options,
    where_options,
)
from gigacast.core.exit import EXIT_FAILED, EXIT_INTERRUPTED
from gigacast.job.batch_options import ArrayOptions
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.run import RunEvents, Silent, Totals, utc_now
from gigacast.job.telemetry import Telemetry
from gigacast.lake.layout import audit_key, version_prefix
from gigacast.lake.plan.audit import FAILED, INTERRUPTED, Audit
from gigacast.report.document import Item, Items, Tone
from gigacast.report.progress import Progress
from gigacast.report.summary import FailedPartition, RunSummary, summary_document
from gigacast.report.terminal import say, show
from gigacast.settings.assembly import addresses, array_options_of, job_of
from gigacast.settings.model import Settings
from gigacast.settings.options import names_of
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress


def service_for(address: StoreAddress, attempts: int = 8) -> ArrayService:
    """Return the service in the region of a bucket, at `AWS_ENDPOINT_URL` if that is set."""
    from gigacast.batch.aws import BatchService  # noqa: PLC0415 - AWS' clients

    return BatchService(address.region, attempts=attempts)


@click.command()
@settings_options
@settings_flags(*names_of("synthetic"))
@array_options
@settings_flags(*names_of("amount"))
@json_option
@quiet_option
def submit(as_json: bool, quiet: bool, **flags: Any) -> None:
    """Submit a run to AWS Batch and return; `watch RUN` shows its progress.

    Nothing is submitted when nothing is pending.
    """
    settings = read_settings(flags)
    job = job_of(settings)
    submission = submit_run(job, array_options_of(settings), service_for(job.outputs))
    if as_json:
        click.echo(json.dumps(_submission_json(submission), indent=1))
    elif not quiet:
        _show_submission(submission, job.outputs)


@click.command()
@click.argument("run")
@where_options
@json_option
@quiet_option
def watch(run: str, as_json: bool, quiet: bool, **flags: Any) -> int:
    """Show the progress of the array run RUN, and close it when it has ended."""
    address = _outputs(read_settings(flags))
    return follow(address, run, as_json=as_json, quiet=quiet)


@click.command()
@click.argument("run")
@where_options
@json_option
def cancel(run: str, as_json: bool, **flags: Any) -> None:
    """End the array run RUN: finished partitions stay, the next run does the others."""
    address = _outputs(read_settings(flags))
    audit = cancel_run(open_store(address), run, service_for(address))
    if as_json:
        click.echo(json.dumps(asdict(audit), indent=1))
        return
    ended = f"ended at {audit.end_time}, {audit.status}" if audit.end_time else "asked to stop"
    say(f"{run}: {ended}")
    if audit.end_time is None:
        say(f"  {_watch_line(run, address)}")


@click.command()
@click.argument("run")
@click.argument("index", type=click.IntRange(0), required=False)
@where_options
@click.option("--lines", type=click.IntRange(1, 10_000), default=50, help="Last lines to show.")
def logs(run: str, index: int | None, lines: int, **flags: Any) -> None:
    """Show the log of child INDEX of the array run RUN, or of every child that failed."""
    address = _outputs(read_settings(flags))
    child_logs = read_logs(open_store(address), run, service_for(address), index, lines)
    for log in child_logs:
        state = log.state
        reason = state.reason if state.status == CHILD_FAILED else None
        facts = [state.status, reason, f"{state.attempts} attempts", state.log_stream]
        say(f"child {log.child}: {', '.join(filter(None, facts))}", bold=True)
        for line in log.lines:
            say(line)
        if log.missing:
            say(f"no log: {log.missing}", err=True)
    if not child_logs:
        say(f"no child of {run} failed; name one by its index to see its log", err=True)


def run_on_batch(
    job: ForecastJob,
    options: ArrayOptions,
    *,
    log: str = "bar",
    as_json: bool = False,
    quiet: bool = False,
) -> int:
    """Submit a run, watch it, and return the exit code."""
    events: RunEvents = Telemetry(sys.stderr, utc_now) if log == "json" else Silent()
    submission = submit_run(job, options, service_for(job.outputs), events=events)
    if not (as_json or quiet):
        _show_submission(submission, job.outputs)
    if not submission.tasks:
        if as_json:
            click.echo(json.dumps(_submission_json(submission), indent=1))
        return 0
    # JSON lines on stderr would be torn by a bar.
    is_silent = quiet or log == "json"
    return follow(job.outputs, submission.run_id, events=events, as_json=as_json, quiet=is_silent)


def follow(
    address: StoreAddress,
    run_id: str,
    *,
    events: RunEvents | None = None,
    as_json: bool = False,
    quiet: bool = False,
) -> int:
    """Watch a run to its end, or until Ctrl-C; return the exit code."""
    outputs, service = open_store(address), service_for(address)
    tasks = int(str(find_array_run(outputs, run_id).plan["tasks"]))
    try:
        with Progress(tasks, quiet=quiet or as_json) as progress:
            audit = watch_run(outputs, run_id, service, on_progress=lambda p: _move(progress, p))
    except KeyboardInterrupt:
        return _leave_or_cancel(outputs, run_id, service)
    totals: dict[str, Any] = audit.totals
    # The children send their own events; only the end of the whole run is seen from here.
    (events or Silent()).closed(audit.status, Totals(**totals))
    summary = summarise(audit, address)
    if as_json:
        click.echo(json.dumps(summary.to_json(), indent=1))
    elif not quiet:
        show(summary_document(summary).followed_by(_children(audit)))
    return {FAILED: EXIT_FAILED, INTERRUPTED: EXIT_INTERRUPTED}.get(audit.status, 0)


def summarise(audit: Audit, address: StoreAddress) -> RunSummary:
    """Return the summary of an array run from its audit."""
    totals: dict[str, Any] = audit.totals
    specs = audit.plan.get("specs", {})
    # Specs of a run differ in the horizon alone; all have the run's model.
    model: dict[str, Any] = next(iter(specs.values()), {}) if isinstance(specs, dict) else {}
    return RunSummary(
        run_id=audit.session_id,
        status=audit.status,
        elapsed_s=audit.elapsed_s,
        partitions=_partitions(audit),
        model=str(model.get("model", "")),
        version=str(model.get("version", "")),
        specs=tuple(sorted(specs)) if isinstance(specs, dict) else (),
        series=totals.get("series", 0),
        quarantined=totals.get("reasons", {}),
        repairs=totals.get("repairs", {}),
        rows=totals.get("rows_written", 0),
        read_bytes=totals.get("bytes_read", 0),
        written_bytes=totals.get("bytes_written", 0),
        seconds_by_stage=totals.get("seconds", {}),
        ignored=_ignored(audit),
        cost=audit.cost,
        output_url=f"{address.url}/{version_prefix(str(model['model']), str(model['version']))}"
        if model
        else "",
        audit_url=f"{address.url}/{audit_key(audit.session_id)}",
        failures=tuple(map(_failed_partition, audit.failures)),
    )


def _partitions(audit: Audit) -> dict[str, int]:
    """Return the partitions by state; pending are those that no child has reported."""
    reported = audit.files_processed + audit.files_skipped + audit.files_failed
    return {
        "done": audit.files_processed,
        "skipped": audit.files_skipped,
        "failed": audit.files_failed,
        "pending": audit.files_discovered - reported,
    }


def _failed_partition(failure: Mapping[str, object]) -> FailedPartition:
    return FailedPartition(
        str(failure.get("partition", "-")),
        str(failure["error"]),
        str(failure["message"]),
        str(failure["hint"]) if failure.get("hint") else None,
    )


def _ignored(audit: Audit) -> tuple[str, ...]:
    covariates = audit.plan.get("covariates")
    return tuple(covariates.get("ignored", ())) if isinstance(covariates, dict) else ()


def _move(progress: Progress, state: ArrayProgress) -> None:
    """Move the bar to the state of an array run."""
    states = [f"{count} {status.lower()}" for status, count in sorted(state.children.items())]
    note = f"children: {', '.join(states)}" if states else ""
    if state.reason and state.waiting:
        note += f" ({state.reason})"
    progress.move(state.done + state.failed, failed=state.failed, series=state.series, note=note)


def _leave_or_cancel(outputs: Store, run_id: str, service: ArrayService) -> int:
    """Ask whether Ctrl-C ends the run or only the watching; without a terminal the run goes on."""
    # The array does not need this process, so Ctrl-C alone ends nothing but the watching.
    answer = "leave"
    if sys.stdin.isatty():
        say("", err=True)
        answer = click.prompt(
            "The run goes on in AWS Batch. Leave it, or cancel it?",
            type=click.Choice(["leave", "cancel"]),
            default="leave",
            err=True,
        )
    if answer == "cancel":
        cancel_run(outputs, run_id, service)
        say(f"{run_id} is cancelled; what is finished is kept", err=True)
    else:
        say(f"{run_id} goes on; {_watch_line(run_id, outputs.address)}", err=True)
    return EXIT_INTERRUPTED


def _show_submission(submission: Submission, address: StoreAddress) -> None:
    if not submission.tasks:
        say(f"nothing to do: {submission.plan.totals.done} partitions are done")
        return
    say(
        f"{submission.run_id}: {submission.tasks} partitions over {submission.children} "
        f"children in {submission.queue}"
    )
    say(f"  {_watch_line(submission.run_id, address)}")


def _children(audit: Audit) -> Items:
    """Return the number of children, the time lost, and each child that failed."""
    array = array_of(audit)
    lost = f", {array['lost_s']:.0f} s lost" if array["lost_s"] else ""
    items = [Item(f"children          {array['children']}, {array['attempts']} attempts{lost}", 1)]
    items += [
        Item(f"child {c['child']} failed: {c['reason']}; log {c['log_stream']}", 1, Tone.BAD)
        for c in array["failed_children"]
    ]
    return Items(tuple(items))


def _watch_line(run_id: str, address: StoreAddress) -> str:
    place = f"--bucket {address.url}"
    more = [
        f" --{name} {value}"
        for name, value in (("endpoint_url", address.endpoint_url), ("region", address.region))
        if value
    ]
    return f"gigacast watch {run_id} {place}{''.join(more)}"


def _submission_json(submission: Submission) -> dict[str, Any]:
    return {
        "run_id": submission.run_id if submission.tasks else None,
        "tasks": submission.tasks,
        "queue": submission.queue,
        "children": submission.children,
        "job_ids": list(submission.job_ids),
        **asdict(submission.plan.totals),
    }


def _outputs(settings: Settings) -> StoreAddress:
    return addresses(settings.run, settings.parquet_loader.data_paths.root_dir)[1]
