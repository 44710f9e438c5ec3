"""``gigacast data clean``: clean raw partitions into a version of a dataset."""

import json
from dataclasses import asdict
from typing import Any

import click

from gigacast.cleaning.rules import (
    ALIGNMENTS,
    DUPLICATE_POLICIES,
    NULL_POLICIES,
    OUTLIER_METHODS,
    OUTLIER_POLICIES,
    CleanRules,
)
from gigacast.cleaning.run import CleanJob, CleanResult, clean_dataset
from gigacast.cli.data.command import find_contract, schema_option
from gigacast.cli.data.files import FileWatcher, complain_of, file_options, read_files
from gigacast.core.dataset.ref import DatasetRef
from gigacast.core.exit import EXIT_FAILED
from gigacast.job.audit import this_author
from gigacast.job.file_job import PARTITIONS
from gigacast.lake.dataset.metadata import describe_manifest
from gigacast.report import quantity
from gigacast.report.document import (
    Block,
    Column,
    Document,
    Items,
    Kind,
    Paragraph,
    Table,
    titled,
)
from gigacast.report.terminal import show
from gigacast.storage.parquet.writer import CODECS

_MOST_SHOWN = 40
_HINTS_SHOWN = 5
_CHANGES = ("null_keys", "sorted", "duplicates", "filled", "outliers", "moved", "broken_rows")
_COLUMNS = (
    Column("partition", Kind.KEY),
    Column("verdict"),
    Column("rows", Kind.COUNT, 1),
    *(
        Column(name, Kind.COUNT, rank)
        for name, rank in zip(_CHANGES, (5, 6, 3, 2, 4, 6, 5), strict=True)
    ),
    Column("why"),
)


@click.command()
@click.argument("source")
@click.argument("dataset")
@click.option(
    "--nulls",
    type=click.Choice(NULL_POLICIES),
    default="forward_fill",
    show_default=True,
    help="What becomes of missing values; interpolate looks ahead.",
)
@click.option("--max_fill", type=click.IntRange(1), metavar="N", help="Fill at most N in a row.")
@click.option(
    "--outliers",
    type=click.Choice(OUTLIER_POLICIES),
    default="flag",
    show_default=True,
    help="What becomes of values that lie far out.",
)
@click.option(
    "--method",
    type=click.Choice(OUTLIER_METHODS),
    default="iqr",
    show_default=True,
    help="How they are found, in each series.",
)
@click.option(
    "--outlier_limit",
    type=float,
    metavar="X",
    help="How far out: 3 ranges (iqr), 5 deviations (zscore), 0.7 (isolation_forest).",
)
@click.option(
    "--duplicates",
    type=click.Choice(DUPLICATE_POLICIES),
    default="last",
    show_default=True,
    help="Which row of a series and time stays.",
)
@click.option(
    "--align",
    type=click.Choice(ALIGNMENTS),
    default="none",
    show_default=True,
    help="Move times to the grid of --freq.",
)
@click.option("--optimise/--no_optimise", default=True, help="Narrow types that hold all values.")
@click.option(
    "--float_tolerance",
    type=float,
    default=0.0,
    metavar="SHARE",
    help="Narrow floats that move by no more than this share; 0 is without loss.",
)
@click.option(
    "--compression", type=click.Choice(CODECS), default="zstd", help="Codec of the files."
)
@click.option("--what", default="", help="Goes into the changelog.")
@schema_option
@file_options
def clean(source: str, dataset: str, as_json: bool, quiet: bool, **given: Any) -> int:
    """Clean SOURCE, a dataset or `partitions` (of the input root), into DATASET.

    DATASET is as cleaned/EURUSD; without a version the next one is taken. Every partition is a
    task: a rerun goes on where one was killed. Exit code 1 when partitions are set aside.

    \b
    Examples:
      gigacast data clean raw/EURUSD cleaned/EURUSD --schema ohlcv --bucket my-bucket
      gigacast data clean partitions cleaned/FX --nulls interpolate --outliers clip --n_jobs 4
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    target = DatasetRef.parse(dataset)
    codec, what, schema = (given.pop(name) for name in ("compression", "what", "schema"))
    policies = {name: given.pop(name) for name in _RULES}
    limit = given.pop("outlier_limit")
    files, _, thresholds = read_files(None if source == PARTITIONS else source, given)
    rules = CleanRules(
        **policies,
        limit=limit,
        frequency=files.reading.frequency,
        zone=files.reading.zone,
        contract=find_contract(schema) if schema else None,
    )
    job = CleanJob(files, target, rules, thresholds, codec, what)
    with FileWatcher("clean", quiet=quiet or as_json) as watcher:
        result = clean_dataset(job, this_author(), events=watcher)
    if as_json:
        click.echo(json.dumps(_plain(result), indent=1, ensure_ascii=False, default=str))
    elif not quiet:
        show(_cleaned_document(result, files.title))
    else:
        complain_of(result.set_aside)
    done = result.manifest is not None or result.pending > 0
    return 0 if done and not result.set_aside and not result.failures else EXIT_FAILED


_RULES = (
    *("nulls", "max_fill", "outliers", "method", "duplicates"),
    *("align", "optimise", "float_tolerance"),
)


def _plain(result: CleanResult) -> dict[str, Any]:
    return {
        "run_id": result.run_id,
        "new": result.new,
        "computed": result.computed,
        "skipped": result.skipped,
        "pending": result.pending,
        "changes": dict(result.changes),
        "set_aside": [
            {
                "partition": one.partition,
                "reasons": list(one.judgement.reasons),
                "changes": dict(result.told.get(one.partition, {})),
            }
            for one in result.set_aside
        ],
        "failures": [
            {"partition": task.partition, **asdict(failure)} for task, failure in result.failures
        ],
        "dataset": describe_manifest(result.manifest) if result.manifest else None,
    }


def _cleaned_document(result: CleanResult, title: str) -> Document:
    """Return the changes of each partition, the totals, and the version published."""
    rows = [
        (
            judged.partition,
            str(judged.verdict),
            judged.quality.keys.rows if judged.quality else None,
            *(result.told.get(judged.partition, {}).get(name, 0) for name in _CHANGES),
            "; ".join(judged.judgement.reasons),
        )
        for judged in result.partitions
    ]
    hints = dict.fromkeys(failure.hint for _, failure in result.failures if failure.hint)
    changes = ", ".join(f"{quantity.count(n)} {name}" for name, n in result.changes.items())
    totals = f": {changes or 'no changes'}" if result.manifest is not None or changes else ""
    blocks: tuple[Block, ...] = (
        *titled(f"Cleaned {title}", Table(_COLUMNS, tuple(rows), limit=_MOST_SHOWN)),
        Items.of(f"what to do: {hint}" for hint in list(hints)[:_HINTS_SHOWN]),
        Paragraph(f"cleaned {result.computed}, known before {result.skipped}{totals}"),
        Paragraph(_version_text(result)),
    )
    return Document(blocks)


def _version_text(result: CleanResult) -> str:
    """Return which version was published, or why none was."""
    manifest = result.manifest
    if manifest is not None:
        state = "published" if result.new else "there already, unchanged:"
        size = quantity.size(manifest.size_bytes)
        files = f"{manifest.rows:,} rows in {len(manifest.files)} files, {size}"
        return f"{state} {manifest.ref}: {files}"
    if result.pending:
        return f"nothing published: {result.pending} partitions are left for later"
    if result.failures and len(result.set_aside) < len(result.partitions):
        return "nothing published: some partitions could not be read or written; run it again"
    if len(result.set_aside) == len(result.partitions):
        return "nothing published: no partition is good enough"
    return "nothing published: no partition that is good enough has a row"
