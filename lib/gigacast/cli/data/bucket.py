"""``gigacast data bucket``: the rows of each object, divided by their items."""

from typing import Any

import click

from gigacast.bucketing.run import BucketJob, run_bucketing
from gigacast.cli.flags import (
    config_option,
    flags_of,
    json_option,
    quiet_option,
    read_settings,
    settings_flags,
)
from gigacast.cli.help import Command
from gigacast.core.exit import EXIT_FAILED
from gigacast.job.file_job import FileJob, Reading, Sources, check_outputs
from gigacast.report.run_progress import RunProgress
from gigacast.report.terminal import show, show_json
from gigacast.settings.assembly import job_of
from gigacast.settings.command.data import BucketOptions
from gigacast.settings.flag import take
from gigacast.settings.options import names_of

_SETTINGS = (
    *names_of("where"),
    *("years", "months", "item_column", "item_columns", "timestamp_column", "targets"),
    *("executor", "n_jobs", "memory_limit", "outage_minutes", "limit"),
)


@click.command(cls=Command)
@flags_of(BucketOptions)
@settings_flags(*_SETTINGS, command="files")
@config_option
@json_option
@quiet_option
def bucket(as_json: bool, quiet: bool, **flags: Any) -> int:
    """Divide the rows of each object by a hash of their items, into folders bucket=BB/ of a month.

    Objects that are done and unchanged are skipped; the input is not changed.

    \b
    Examples:
      gigacast data bucket --bucket my-bucket --prefix sales --buckets 64 --n_jobs 4
      gigacast --bucket my-bucket --prefix sales --input_prefix bucketed --partition_by bucket
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    options = take(BucketOptions, flags)
    job = job_of(read_settings(flags))
    check_outputs(job)
    limit = job.resources.memory_limit_bytes
    reading = Reading(columns=job.method.columns, memory_limit_bytes=limit)
    files = FileJob(
        Sources(job.inputs),
        job.outputs,
        job.pattern,
        job.selection,
        reading,
        job.resources,
        job.limit,
    )
    with RunProgress(quiet=quiet or as_json, verb="divide") as progress:
        result = run_bucketing(BucketJob(files, options.buckets, options.into), events=progress)
    if as_json:
        show_json(result.to_json(), is_ascii=True)
    elif not quiet:
        show(result.to_document())
    return EXIT_FAILED if result.failures else 0
