"""``gigacast data clean``: clean raw partitions into a version of a dataset."""

import json
from typing import Any

import click

from gigacast.cleaning.document import clean_document, clean_json
from gigacast.cleaning.rules import (
    ALIGNMENTS,
    DUPLICATE_POLICIES,
    NULL_POLICIES,
    OUTLIER_METHODS,
    OUTLIER_POLICIES,
    CleanRules,
)
from gigacast.cleaning.run import CleanJob, clean_dataset
from gigacast.cli.data.command import changelog_option, codec_option, schema_option
from gigacast.cli.data.files import file_options, print_set_aside, read_files
from gigacast.core.dataset.ref import DatasetRef
from gigacast.core.exit import EXIT_FAILED
from gigacast.datasets.contract import find_contract
from gigacast.job.audit import this_author
from gigacast.job.file_job import PARTITIONS
from gigacast.report.run_progress import RunProgress
from gigacast.report.terminal import show

_RULES = (
    *("nulls", "max_fill", "outliers", "method", "duplicates"),
    *("align", "optimise", "float_tolerance"),
)


@click.command()
@click.argument("source")
@click.argument("dataset")
@click.option(
    "--nulls",
    type=click.Choice(NULL_POLICIES),
    default="forward_fill",
    show_default=True,
    help="Treatment of missing values; interpolate looks ahead.",
)
@click.option(
    "--max_fill",
    type=click.IntRange(1),
    metavar="N",
    help="Maximum number of values to fill in a row.",
)
@click.option(
    "--outliers",
    type=click.Choice(OUTLIER_POLICIES),
    default="flag",
    show_default=True,
    help="Treatment of outliers.",
)
@click.option(
    "--method",
    type=click.Choice(OUTLIER_METHODS),
    default="iqr",
    show_default=True,
    help="Method that detects outliers, per series.",
)
@click.option(
    "--outlier_limit",
    type=float,
    metavar="X",
    help="Limit of the method: by default 3 ranges (iqr), 5 deviations (zscore), 0.7 "
    "(isolation_forest).",
)
@click.option(
    "--duplicates",
    type=click.Choice(DUPLICATE_POLICIES),
    default="last",
    show_default=True,
    help="Row to keep among those of the same series and time.",
)
@click.option(
    "--align",
    type=click.Choice(ALIGNMENTS),
    default="none",
    show_default=True,
    help="Move times to the grid of --freq.",
)
@click.option(
    "--optimise/--no_optimise", default=True, help="Use the narrowest type that holds all values."
)
@click.option(
    "--float_tolerance",
    type=float,
    default=0.0,
    metavar="SHARE",
    help="Share by which narrowing may change a float; 0 is lossless.",
)
@codec_option
@changelog_option
@schema_option
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
    codec, what, schema = (flags.pop(name) for name in ("compression", "what", "schema"))
    policies = {name: flags.pop(name) for name in _RULES}
    limit = flags.pop("outlier_limit")
    files, _, thresholds = read_files(None if source == PARTITIONS else source, flags)
    rules = CleanRules(
        **policies,
        limit=limit,
        frequency=files.reading.frequency,
        zone=files.reading.zone,
        contract=find_contract(schema) if schema else None,
    )
    job = CleanJob(files, target, rules, thresholds, codec, what)
    with RunProgress(quiet=quiet or as_json, verb="clean") as progress:
        result = clean_dataset(job, this_author(), events=progress)
    if as_json:
        click.echo(json.dumps(clean_json(result), indent=1, ensure_ascii=False, default=str))
    elif not quiet:
        show(clean_document(result, files.title))
    else:
        print_set_aside(result.set_aside)
    # A limit leaves partitions for later, so that no version can be published yet.
    is_on_course = result.manifest is not None or result.pending > 0
    return 0 if is_on_course and not result.set_aside and not result.failures else EXIT_FAILED
