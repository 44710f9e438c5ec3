"""Array runs on AWS Batch: submit, watch, cancel, logs, and ``forecast --executor batch``."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from gigacast.batch.document import (
    array_document,
    array_json,
    submission_document,
    submission_json,
    summarise_array,
    watch_command,
)
from gigacast.batch.result import totals_of
from gigacast.batch.service import FAILED as CHILD_FAILED
from gigacast.batch.submit import Submission, submit_job, submit_run
from gigacast.batch.watch import ArrayProgress, ArrayRun, exit_code, service_for
from gigacast.batch.work import ArrayJob
from gigacast.cli.flags import (
    array_options,
    flags_of,
    json_option,
    quiet_option,
    read_settings,
    settings_flags,
    settings_options,
    where_options,
)
from gigacast.cli.help import Command
from gigacast.core.exit import EXIT_INTERRUPTED
from gigacast.core.plural import counted
from gigacast.job.batch_options import ArrayOptions
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.run import RunEvents, Silent, utc_now
from gigacast.job.settled import Settled
from gigacast.job.telemetry import Telemetry
from gigacast.report.progress import Progress, items_of
from gigacast.report.summary import failures_document, table_text
from gigacast.report.terminal import say, show, show_json
from gigacast.settings.assembly import addresses, array_options_of, job_of
from gigacast.settings.command.forecast import LogsOptions
from gigacast.settings.flag import take
from gigacast.settings.options import names_of

if TYPE_CHECKING:
    from gigacast.feature_store.offline.result import Days
    from gigacast.feature_store.offline.stage import Backfill


def _emit(content: dict[str, Any]) -> None:
    show_json(content, is_ascii=True)


def _open_run(run_id: str, flags: dict[str, Any]) -> ArrayRun:
    """Return the array run of an id below the output root that flags and settings name."""
    settings = read_settings(flags)
    _, outputs = addresses(settings.run, settings.parquet_loader.data_paths.root_dir)
    return ArrayRun.open(run_id, outputs)


@click.command(cls=Command)
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
        show_json(submission_json(submission), is_ascii=True)
    elif not quiet:
        show(submission_document(submission, job.outputs))


@click.command(cls=Command)
@click.argument("run")
@where_options
@json_option
@quiet_option
def watch(run: str, as_json: bool, quiet: bool, **flags: Any) -> int:
    """Show the progress of the array run RUN, and close it when it has ended."""
    return follow(_open_run(run, flags), as_json=as_json, quiet=quiet)


@click.command(cls=Command)
@click.argument("run")
@where_options
@json_option
def cancel(run: str, as_json: bool, **flags: Any) -> None:
    """End the array run RUN: finished partitions stay, the next run does the others."""
    array_run = _open_run(run, flags)
    audit = array_run.cancel()
    if as_json:
        show_json(asdict(audit), is_ascii=True)
        return
    ended = f"ended at {audit.end_time}, {audit.status}" if audit.end_time else "asked to stop"
    say(f"{run}: {ended}")
    if audit.end_time is None:
        say(f"  {watch_command(run, array_run.outputs.address)}")


@click.command(cls=Command)
@click.argument("run")
@click.argument("index", type=click.IntRange(0), required=False)
@where_options
@flags_of(LogsOptions)
@json_option
def logs(run: str, index: int | None, as_json: bool, **flags: Any) -> None:
    """Show the log of child INDEX of the array run RUN, or of every child that failed."""
    lines = take(LogsOptions, flags).lines
    child_logs = _open_run(run, flags).read_logs(index, lines)
    if as_json:
        show_json({"run_id": run, "children": [asdict(log) for log in child_logs]}, is_ascii=True)
        return
    for log in child_logs:
        state = log.state
        reason = state.reason if state.status == CHILD_FAILED else None
        facts = [state.status, reason, counted(state.attempts, "attempt"), state.log_stream]
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
    contents = list[dict[str, Any]]()
    plain = replace(job, table=None)
    submission = submit_run(plain, options, service_for(job.outputs), events=events)
    # JSON lines on stderr would be torn by a bar.
    is_silent, code = quiet or log == "json", 0
    report_submission(submission, job.outputs, as_json=as_json, quiet=quiet, emit=contents.append)
    if submission.tasks:
        run = ArrayRun.open(submission.run_id, job.outputs)
        code = follow(run, events=events, as_json=as_json, quiet=is_silent, emit=contents.append)
    written: dict[str, object] = {}
    if job.table is not None and code != EXIT_INTERRUPTED:
        from gigacast.batch.table import write_results  # noqa: PLC0415 - few runs write tables

        written = write_results(job, submission).describe()
        if not (as_json or is_silent):
            say(f"table  {table_text(written)}")
    for content in contents:
        _emit({**content, **({"table": written} if written else {})})
    return code


def backfill_on_batch(
    stages: Iterable[tuple["Backfill", "Days"]],
    options: ArrayOptions,
    *,
    as_json: bool = False,
    quiet: bool = False,
) -> int:
    """Submit backfills of features after each other, watch them, and return the exit code."""
    # The feature store is imported by its own commands alone.
    from gigacast.batch.backfill import divide_backfill  # noqa: PLC0415

    code, contents = 0, list[dict[str, Any]]()
    for backfill, days in stages:
        job = divide_backfill(backfill, days)
        code = job_on_batch(job, options, as_json=as_json, quiet=quiet, emit=contents.append)
        if code:
            break
    if contents:
        show_json(contents[0] if len(contents) == 1 else contents, is_ascii=True)
    return code


def job_on_batch(
    job: ArrayJob,
    options: ArrayOptions,
    *,
    as_json: bool = False,
    quiet: bool = False,
    emit: Callable[[dict[str, Any]], None] = _emit,
) -> int:
    """Submit a planned job, watch it, and return the exit code; JSON goes to ``emit``."""
    submission = submit_job(job, options, service_for(job.outputs))
    return watch_submission(submission, job.outputs, as_json=as_json, quiet=quiet, emit=emit)


def settle_on_batch(
    *jobs: ArrayJob, options: ArrayOptions, as_json: bool = False, quiet: bool = False
) -> tuple[int, Settled]:
    """Submit planned jobs and watch them, to show their own result; no JSON is printed.

    Returns
    -------
    int
        Exit code.
    Settled
        The runs as they ended, for the code that makes the result.
    """
    # All first: they run side by side.
    submissions = [submit_job(job, options, service_for(job.outputs)) for job in jobs]
    silent = {"as_json": as_json, "quiet": quiet}
    codes, settled = [0], Settled(submissions[-1].run_id)
    for job, submission in zip(jobs, submissions, strict=True):
        code = watch_submission(submission, job.outputs, **silent, emit=lambda content: None)
        if code == EXIT_INTERRUPTED:
            return code, settled
        codes.append(code)
        if submission.tasks:
            run = ArrayRun.open(submission.run_id, job.outputs)
            ended = Settled.of(run.audit)
            left = {**settled.left, **ended.left}
            settled = replace(ended, left=left, done=settled.done + ended.done)
    return max(codes), settled


def watch_submission(
    submission: Submission,
    outputs: Any,
    *,
    as_json: bool,
    quiet: bool,
    emit: Callable[[dict[str, Any]], None] = _emit,
) -> int:
    """Show what was submitted, watch it, and return the exit code.

    JSON goes to ``emit``.
    """
    report_submission(submission, outputs, as_json=as_json, quiet=quiet, emit=emit)
    if not submission.tasks:
        return 0
    run = ArrayRun.open(submission.run_id, outputs)
    return follow(run, as_json=as_json, quiet=quiet, emit=emit)


def report_submission(
    submission: Submission,
    outputs: Any,
    *,
    as_json: bool,
    quiet: bool,
    emit: Callable[[dict[str, Any]], None] = _emit,
) -> None:
    """Show what was submitted; as JSON only if nothing was, since the run's own JSON follows."""
    if not (as_json or quiet):
        show(submission_document(submission, outputs))
    elif as_json and not submission.tasks:
        emit(submission_json(submission))


def follow(
    run: ArrayRun,
    *,
    events: RunEvents | None = None,
    as_json: bool = False,
    quiet: bool = False,
    emit: Callable[[dict[str, Any]], None] = _emit,
) -> int:
    """Watch a run to its end, or until Ctrl-C; return the exit code."""
    try:
        with Progress(run.tasks, quiet=quiet or as_json) as progress:
            progress.items = items_of(run.job)
            audit = run.watch(lambda state: _move(progress, state))
    except KeyboardInterrupt:
        return _leave_or_cancel(run)
    # The children send their own events; only the end of the whole run is seen from here.
    (events or Silent()).closed(audit.status, totals_of(audit))
    address = run.outputs.address
    if as_json:
        emit(array_json(audit, address))
    elif not quiet:
        show(array_document(audit, address))
    elif not isinstance(events, Telemetry):  # among whose lines no other text may be
        show(failures_document(summarise_array(audit, address)), sys.stderr)
    return exit_code(audit)


def _move(progress: Progress, state: ArrayProgress) -> None:
    """Move the bar to the state of an array run."""
    states = [f"{count} {status.lower()}" for status, count in sorted(state.children.items())]
    note = f"children: {', '.join(states)}" if states else ""
    if state.reason and state.waiting:
        note += f" ({state.reason})"
    progress.move(state.done + state.failed, failed=state.failed, series=state.series, note=note)


def _leave_or_cancel(run: ArrayRun) -> int:
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
        run.cancel()
        say(f"{run.run_id} is cancelled; what is finished is kept", err=True)
    else:
        command = watch_command(run.run_id, run.outputs.address)
        say(f"{run.run_id} goes on; {command}", err=True)
    return EXIT_INTERRUPTED
