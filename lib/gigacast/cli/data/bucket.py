"""``gigacast data bucket``: the rows of each object, divided by their items."""

import sys
from typing import Any

import click

from gigacast.bucketing.run import BucketJob, files_of, run_bucketing
from gigacast.cli.flags import (
    array_options,
    config_option,
    flags_of,
    json_option,
    quiet_option,
    read_settings,
    settings_flags,
)
from gigacast.cli.help import Command
from gigacast.core.exit import EXIT_FAILED
from gigacast.job.file_job import check_outputs
from gigacast.report.run_progress import RunProgress
from gigacast.report.terminal import show, show_json
from gigacast.settings.assembly import array_options_of, job_of
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
@array_options
@config_option
@json_option
@quiet_option
def bucket(as_json: bool, quiet: bool, **flags: Any) -> int:
    """Divide the rows of each object by a hash of their items, into folders bucket=BB/ of a month.

    Objects that are done and unchanged are skipped; the input is not changed.

    \b
    Examples:
      gigacast data bucket --bucket my-bucket --prefix sales --buckets 64 --n_jobs 4
      gigacast data bucket --bucket my-bucket --prefix sales --executor batch
      gigacast --bucket my-bucket --prefix sales --input_prefix bucketed --partition_by bucket
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    options = take(BucketOptions, flags)
    settings = read_settings(flags)
    job = job_of(settings)
    check_outputs(job)
    if job.resources.executor == "batch":
        from gigacast.batch.division import BucketWork, divide_bucketing  # noqa: PLC0415
        from gigacast.cli.batch import job_on_batch  # noqa: PLC0415 - AWS' clients

        divided = divide_bucketing(BucketWork(job, options.buckets, options.into))
        return job_on_batch(divided, array_options_of(settings), as_json=as_json, quiet=quiet)
    files = files_of(job)
    with RunProgress(quiet=quiet or as_json, verb="divide") as progress:
        result = run_bucketing(BucketJob(files, options.buckets, options.into), events=progress)
    if as_json:
        show_json(result.to_json(), is_ascii=True)
    elif not quiet:
        show(result.to_document())
    else:
        show(result.failed_document(), sys.stderr)
    return EXIT_FAILED if result.failures else 0
