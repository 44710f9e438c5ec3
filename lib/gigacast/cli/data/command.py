"""``gigacast data``: import, publish, list, describe and compare versions of datasets."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from gigacast.cli.commands import DATA_COMMANDS
from gigacast.cli.flags import flags_of, place_options, read_settings, settings_flags
from gigacast.cli.help import Command
from gigacast.cli.lake import lake_address
from gigacast.cli.lazy import LazyGroup
from gigacast.cli.suggestion import proposed
from gigacast.core.contract.definition import Contract
from gigacast.core.dataset.ref import DatasetRef
from gigacast.datasets.csv_file import CsvReading
from gigacast.datasets.describe import describe_parquet
from gigacast.datasets.document import (
    changes_document,
    description_document,
    extent_text,
    file_document,
    lineage_document,
    published_json,
    versions_document,
)
from gigacast.datasets.files import FileRules
from gigacast.datasets.importing import import_files, publish_source
from gigacast.datasets.publish import PublishedDataset, PublishOptions
from gigacast.datasets.resolve import find_contract, known_contract
from gigacast.datasets.versions import (
    LakeAddress,
    compare_versions,
    describe_version,
    list_versions,
    trace_lineage,
)
from gigacast.feature_sets.document import recipe_text
from gigacast.job.audit import this_author
from gigacast.report.terminal import say, show, show_json
from gigacast.settings.assembly import csv_of
from gigacast.settings.command.data import ImportOptions, PublishDataOptions
from gigacast.settings.flag import take
from gigacast.settings.options import names_of


@click.group(cls=LazyGroup, homes=DATA_COMMANDS, invoke_without_command=True)
@click.pass_context
def data(context: click.Context) -> None:
    """Datasets: import, publish, describe, validate; versions, lineage, retention.

    The lake is raw/, cleaned/ and features/ under --bucket and --prefix; without a bucket, in the
    working folder. A DATASET is raw/NAME/2024-01-15, cleaned/v3/NAME or features/v2/NAME; without
    a version, or with `latest` in its place, it is the latest.

    \b
    Examples:
      gigacast data import bars.csv raw/EURUSD --bucket my-bucket
      gigacast data publish raw/EURUSD cleaned/EURUSD --schema ohlcv --partition_by month
      gigacast data versions cleaned/EURUSD --bucket my-bucket
      gigacast data validate cleaned/EURUSD --schema bars.yaml --bucket my-bucket
      gigacast forecast --bucket my-bucket --input_prefix cleaned/latest/EURUSD
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def read_address(flags: dict[str, Any]) -> LakeAddress:
    """Return the address of the lake that the flags of a command name.

    Parameters
    ----------
    flags : dict
        Values by name; those of the address, and ``config``, are taken out of it.

    Raises
    ------
    ConfigError
    """
    return lake_address(read_settings(flags))


verify_option = settings_flags("verify_datasets")
"""The flag for the checks of published files that a command reads."""


def print_json(content: object) -> None:
    """Print plain values; times as text."""
    show_json(content, default=str)


csv_column_options = settings_flags("item_column", "item_columns", *names_of("csv"), command="csv")
"""Flags for the columns and the dialect of CSV files."""


def read_csv_columns(flags: dict[str, Any]) -> CsvReading:
    """Return how flags and settings say that CSV is read. Flags stay in it.

    Raises
    ------
    ConfigError
    """
    # Columns in a settings file are those of the jobs; other tables may lack them.
    typed = {name for name in ("item_column", "item_columns") if flags.get(name)}
    settings = read_settings(dict(flags))
    columns = settings.parquet_loader.columns
    ids = {"item_column": (columns.item_id_column or "",), "item_columns": columns.item_columns}
    required = tuple(column for name in sorted(typed) for column in ids[name])
    return CsvReading(csv_of(settings), ids=sum(ids.values(), ()), required=required)


dataset_argument = click.argument("dataset")


def split_names(text: str) -> tuple[str, ...]:
    """Return the names in a text, which are separated by commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _publication(options: ImportOptions, *, append: bool = False) -> PublishOptions:
    return PublishOptions(
        contract=find_contract(options.schema) if options.schema else None,
        mode=options.mode,
        append=append,
        what=options.what,
        time_column=options.time_column,
        files=FileRules(partition_by=split_names(options.partition_by), codec=options.compression),
    )


@data.command("import", cls=Command)
@click.argument("source", type=click.Path(path_type=Path))
@dataset_argument
@flags_of(ImportOptions)
@csv_column_options
@place_options
def import_(source: Path, dataset: str, as_json: bool, **flags: Any) -> None:
    """Import SOURCE (CSV, Parquet, or a folder of them) as a snapshot of DATASET.

    Without a day the snapshot is today's.
    """
    options, reading = _publication(take(ImportOptions, flags)), read_csv_columns(flags)
    lake, ref = read_address(flags).open(), DatasetRef.parse(dataset)
    _show_published(import_files(lake, ref, source, options, this_author(), reading), as_json)


@data.command(cls=Command)
@click.argument("source")
@dataset_argument
@flags_of(PublishDataOptions)
@csv_column_options
@verify_option
@place_options
def publish(source: str, dataset: str, as_json: bool, **flags: Any) -> None:
    """Publish SOURCE, a dataset or a local file, as a version of DATASET that never changes.

    The version is the next one by default. Rows of a dataset keep its contract.
    """
    own = take(PublishDataOptions, flags)
    options, reading = _publication(own, append=own.append), read_csv_columns(flags)
    lake, ref = read_address(flags).open(), DatasetRef.parse(dataset)
    before = known_contract(lake, replace(ref, version=None))
    published = publish_source(lake, ref, source, options, this_author(), reading)
    _show_published(published, as_json, before)


def _show_published(
    published: PublishedDataset, as_json: bool, before: Contract | None = None
) -> None:
    manifest = published.manifest
    if before is not None and manifest.contract is None:
        say(
            f"warning: the version before was held to the contract {before.name!r}, "
            f"{manifest.ref} is not: give --schema",
            err=True,
        )
    for note in published.notes:
        say(f"warning: {note}", err=True)
    if as_json:
        print_json(published_json(published))
        return
    state = "published" if published.new else "there already, unchanged:"
    say(f"{state} {manifest.ref}: {extent_text(manifest)}")
    for warning in published.report.warnings if published.report else ():
        say(f"warning: {warning}")


@data.command(cls=Command)
@click.argument("dataset", required=False)
@place_options
def versions(dataset: str | None, as_json: bool, **flags: Any) -> None:
    """List the versions of DATASET, or of all datasets."""
    lake = read_address(flags).open()
    rows = list_versions(lake, DatasetRef.parse(dataset) if dataset else None)
    if as_json:
        print_json(rows)
        return
    show(versions_document(rows, lake.store.address.url, proposed))


@data.command(cls=Command)
@dataset_argument
@place_options
def describe(dataset: str, as_json: bool, **flags: Any) -> None:
    """Show the metadata of DATASET, or of a Parquet file by its key."""
    lake = read_address(flags).open()
    if dataset.endswith(".parquet"):
        footer = describe_parquet(lake.store, dataset)
        print_json(footer) if as_json else show(file_document(footer))
        return
    description = describe_version(lake, DatasetRef.parse(dataset))
    if as_json:
        print_json(description.to_json())
        return
    show(description_document(description, recipe_text(description.manifest)))


@data.command(cls=Command)
@click.argument("key")
@place_options
def lineage(key: str, as_json: bool, **flags: Any) -> None:
    """Show the sources and the products of KEY, a dataset or an object."""
    links = trace_lineage(read_address(flags).open(), key)
    if as_json:
        print_json(asdict(links))
        return
    show(lineage_document(links))


@data.command(cls=Command)
@click.argument("old")
@click.argument("new")
@place_options
def diff(old: str, new: str, as_json: bool, **flags: Any) -> None:
    """Show the changes from OLD to NEW, field by field."""
    lake = read_address(flags).open()
    changes = compare_versions(lake, DatasetRef.parse(old), DatasetRef.parse(new))
    if as_json:
        print_json(changes.to_json())
        return
    show(changes_document(changes))
