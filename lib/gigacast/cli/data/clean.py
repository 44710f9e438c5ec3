"""``gigacast data clean``: clean raw partitions into a version of a dataset."""

from dataclasses import asdict
from typing import Any

import click

from gigacast.cleaning.document import clean_document, clean_json
from gigacast.cleaning.rules import CleanRules
from gigacast.cleaning.run import CleanJob, clean_dataset
from gigacast.cli.data.files import TABLE_FLAGS, file_options, print_set_aside, read_files
from gigacast.cli.flags import flags_of, settings_flags
from gigacast.cli.help import Command
from gigacast.core.dataset.ref import DatasetRef
from gigacast.core.exit import EXIT_FAILED
from gigacast.datasets.resolve import find_contract
from gigacast.job.audit import this_author
from gigacast.job.file_job import PARTITIONS
from gigacast.report.run_progress import RunProgress
from gigacast.report.terminal import show, show_json
from gigacast.settings.command.data import CodecOptions, SchemaOption
from gigacast.settings.command.quality import CleanFlags
from gigacast.settings.flag import take


@click.command(cls=Command)
@click.argument("source")
@click.argument("dataset")
@flags_of(CleanFlags, CodecOptions, SchemaOption)
@settings_flags(*TABLE_FLAGS)
@file_options
def clean(source: str, dataset: str, as_json: bool, quiet: bool, **flags: Any) -> int:
    """Clean SOURCE, a dataset or `partitions` (of the input root), into DATASET.

    DATASET is cleaned/NAME, for the next version, or cleaned/v3/NAME. A rerun continues where a run
    was killed. Exit code 1 if partitions are set aside.

    \b
    Examples:
      gigacast data clean raw/EURUSD cleaned/EURUSD --schema ohlcv --bucket my-bucket
      gigacast data clean partitions cleaned/FX --nulls interpolate --outliers clip --n_jobs 4
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    target = DatasetRef.parse(dataset)
    policies = asdict(take(CleanFlags, flags))
    version, schema = take(CodecOptions, flags), take(SchemaOption, flags).schema
    files, job_of_files, thresholds = read_files(None if source == PARTITIONS else source, flags)
    rules = CleanRules(
        limit=policies.pop("outlier_limit"),
        **policies,
        frequency=files.reading.frequency,
        zone=files.reading.zone,
        contract=find_contract(schema) if schema else None,
    )
    codec, what = version.compression, version.what
    job = CleanJob(files, target, rules, thresholds, codec, what, job_of_files.table)
    with RunProgress(quiet=quiet or as_json, verb="clean") as progress:
        result = clean_dataset(job, this_author(), events=progress)
    if as_json:
        show_json(clean_json(result), default=str)
    elif not quiet:
        show(clean_document(result, files.title))
    else:
        print_set_aside(result.set_aside)
    # A limit leaves partitions for later, so that no version can be published yet.
    is_on_course = result.manifest is not None or result.pending > 0
    return 0 if is_on_course and not result.set_aside and not result.failures else EXIT_FAILED
