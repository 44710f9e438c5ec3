"""``gigacast data clean``: clean raw partitions into a version of a dataset."""

from dataclasses import asdict, replace
from typing import Any

import click

from gigacast.cleaning.document import clean_document, clean_json
from gigacast.cleaning.rules import CleanRules
from gigacast.cleaning.run import CleanJob, CleanResult, clean_dataset
from gigacast.cli.data.files import TABLE_FLAGS, file_options, print_set_aside, read_files
from gigacast.cli.flags import flags_of, settings_flags
from gigacast.cli.help import Command
from gigacast.core.dataset.ref import DatasetRef
from gigacast.core.exit import EXIT_FAILED, EXIT_INTERRUPTED
from gigacast.datasets.resolve import find_contract
from gigacast.job.audit import this_author
from gigacast.job.file_job import PARTITIONS
from gigacast.job.settled import LEFT
from gigacast.report.run_progress import RunProgress
from gigacast.report.terminal import show, show_json
from gigacast.settings.assembly import array_options_of
from gigacast.settings.command.data import CodecOptions, SchemaOption
from gigacast.settings.command.quality import CleanFlags
from gigacast.settings.flag import take
from gigacast.settings.model import Settings


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
    place = None if source == PARTITIONS else source
    files, job_of_files, thresholds, settings = read_files(place, flags)
    rules = CleanRules(
        limit=policies.pop("outlier_limit"),
        **policies,
        frequency=files.reading.frequency,
        zone=files.reading.zone,
        contract=find_contract(schema) if schema else None,
    )
    codec, what = version.compression, version.what
    job = CleanJob(files, target, rules, thresholds, codec, what, job_of_files.table)
    result = _clean(job, settings, as_json=as_json, quiet=quiet)
    if result is None:
        return EXIT_INTERRUPTED
    if as_json:
        show_json(clean_json(result), default=str)
    elif not quiet:
        show(clean_document(result, files.title))
    else:
        print_set_aside(result.set_aside)
    # A limit leaves partitions for later, so that no version can be published yet.
    is_on_course = result.manifest is not None or result.pending > 0
    return 0 if is_on_course and not result.set_aside and not result.failures else EXIT_FAILED


def _clean(job: CleanJob, settings: Settings, *, as_json: bool, quiet: bool) -> CleanResult | None:
    """Clean here or by an array; ``None`` if the watch of an array was interrupted."""
    author = this_author()
    if job.files.resources.executor != "batch":
        with RunProgress(quiet=quiet or as_json, verb="clean") as progress:
            return clean_dataset(job, author, events=progress)
    from gigacast.batch.cleaning import divide_cleaning  # noqa: PLC0415 - AWS' clients
    from gigacast.cli.batch import settle_on_batch  # noqa: PLC0415

    divided, array = divide_cleaning(job, author), array_options_of(settings)
    code, settled = settle_on_batch(divided, options=array, as_json=as_json, quiet=quiet)
    if code == EXIT_INTERRUPTED:
        return None
    # The children's closing has published the version: this finds it, and says what is in it.
    settled = replace(settled, unknown=LEFT)
    result = clean_dataset(job, author, executor=settled, start=settled.start)
    # As of a local run: what the children did in this run was not there before it.
    is_new = bool(settled.totals.get("cleaning", {}).get("new"))
    skipped = result.skipped - settled.done
    return replace(result, new=result.new or is_new, computed=settled.done, skipped=skipped)
