"""``gigacast data``: import, publish, describe, compare and retire versions of datasets."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from gigacast.cli.commands import DATA_COMMANDS
from gigacast.cli.data.view import (
    describe_json,
    description_document,
    file_document,
    lineage_document,
    lineage_json,
    retirement_document,
    retirement_json,
    version_rows,
    versions_document,
)
from gigacast.cli.flags import (
    DEFAULT_CONFIG,
    config_option,
    json_option,
    settings_flags,
)
from gigacast.cli.lazy import LazyGroup
from gigacast.core.contract.definition import Contract, Mode, parse_contract
from gigacast.core.contract.predefined import PREDEFINED
from gigacast.core.dataset.ref import DatasetRef
from gigacast.datasets.describe import describe_parquet, drift_of_versions
from gigacast.datasets.files import FileRules
from gigacast.datasets.importing import import_files
from gigacast.datasets.publish import PublishedDataset, PublishOptions, publish_rows
from gigacast.datasets.resolve import contract_in, origins_in, rows_in
from gigacast.errors import ConfigError, DataNotFoundError
from gigacast.job.audit import this_author
from gigacast.lake.dataset.catalog import Lake
from gigacast.lake.dataset.lineage import trace
from gigacast.lake.dataset.manifest import DatasetManifest
from gigacast.lake.dataset.retire import (
    Retention,
    deprecate_version,
    plan_retirement,
    restore_version,
    retire,
)
from gigacast.report.document import Document, Fact, Items, KeyValues, Paragraph
from gigacast.report.terminal import say, show
from gigacast.settings.assembly import addresses
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.storage.opening import open_store
from gigacast.storage.parquet.writer import CODECS

_PLACE = ("bucket", "prefix", "endpoint_url", "region")


@click.group(cls=LazyGroup, homes=DATA_COMMANDS, invoke_without_command=True)
@click.pass_context
def data(context: click.Context) -> None:
    """Datasets: import, publish, describe, validate; versions, lineage, retention.

    The lake is raw/, cleaned/ and features/ under --bucket and --prefix; without a bucket, in the
    working folder. A DATASET is raw/NAME/2024-01-15, cleaned/v3/NAME or features/v2/NAME; without
    a version, or with `latest` in its place, the latest.

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


def placed(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags that say where the lake is, and ``--json``."""
    return settings_flags(*_PLACE)(config_option(json_option(command)))


def open_lake(given: dict[str, Any]) -> Lake:
    """Open the lake that a command's flags name, and make sure that it can be reached.

    Raises
    ------
    ConfigError, StorageError
    """
    file = given.pop("config", None)
    if file is None and DEFAULT_CONFIG.is_file():
        file = DEFAULT_CONFIG
    settings = load_settings(nest_arguments({n: given.pop(n) for n in _PLACE}), file=file)
    root_dir = settings.parquet_loader.data_paths.root_dir
    if settings.run.bucket is None and root_dir is None:
        root_dir = str(Path.cwd())
    run = settings.run.model_copy(update={"input_prefix": None})
    _, outputs = addresses(run, root_dir)
    bare, _ = addresses(run.model_copy(update={"prefix": ""}), root_dir)
    open_store(bare if outputs.url.startswith("file://") else outputs).check()
    return Lake(open_store(outputs))


def print_json(content: object) -> None:
    """Print plain values; times as text."""
    click.echo(json.dumps(content, indent=1, ensure_ascii=False, default=str))


def find_contract(name: str) -> Contract:
    """Return a contract by the name of a predefined one, or from a YAML file.

    Raises
    ------
    ConfigError
    """
    for contract in PREDEFINED:
        if contract.name == name.lower():
            return contract
    path = Path(name)
    if not path.is_file():
        names = ", ".join(contract.name for contract in PREDEFINED)
        raise ConfigError(f"--schema: there is no file {name}", hint=f"a YAML file, or {names}")
    return parse_contract(path.read_bytes(), name)


dataset_argument = click.argument("dataset")
schema_option = click.option("--schema", help="Contract: a YAML file or a predefined one's name.")
mode_option = click.option(
    "--mode", type=click.Choice([str(m) for m in Mode]), default="strict", help="How hard it holds."
)


def _publishing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags that say how rows become a version."""
    options = (
        click.option("--partition_by", default="", help="date, month, year, columns (commas)."),
        click.option(
            "--compression", type=click.Choice(CODECS), default="zstd", help="Codec of the files."
        ),
        click.option("--time_column", help="When a row was; recognised when absent."),
        click.option("--what", default="", help="Goes into the changelog."),
        schema_option,
        mode_option,
    )
    for decorate in options[::-1]:
        command = decorate(command)
    return command


def _options(given: dict[str, Any], *, append: bool = False) -> PublishOptions:
    by = tuple(part.strip() for part in given.pop("partition_by").split(",") if part.strip())
    schema = given.pop("schema")
    return PublishOptions(
        contract=find_contract(schema) if schema else None,
        mode=Mode(given.pop("mode")),
        append=append,
        what=given.pop("what"),
        time_column=given.pop("time_column"),
        files=FileRules(partition_by=by, codec=given.pop("compression")),
    )


@data.command("import")
@click.argument("source", type=click.Path(path_type=Path))
@dataset_argument
@_publishing
@placed
def import_(source: Path, dataset: str, as_json: bool, **given: Any) -> None:
    """Import SOURCE (CSV, Parquet, or a folder of them) as DATASET, a snapshot of today's."""
    options = _options(given)
    lake, ref = open_lake(given), DatasetRef.parse(dataset)
    _show_published(import_files(lake, ref, source, options, this_author()), as_json)


@data.command()
@click.argument("source")
@dataset_argument
@click.option("--append", is_flag=True, help="Add to the version before, sharing its files.")
@_publishing
@placed
def publish(source: str, dataset: str, append: bool, as_json: bool, **given: Any) -> None:
    """Publish SOURCE, a dataset or a local file, as DATASET: whole, and for good.

    Without a version the next one is taken. What is published of a dataset keeps its contract.
    """
    options = _options(given, append=append)
    lake, ref = open_lake(given), DatasetRef.parse(dataset)
    before = _contract_before(lake, ref)
    if not is_dataset(source) and Path(source).exists():
        done = import_files(lake, ref, Path(source), options, this_author())
        _show_published(done, as_json, before)
        return
    origin = _parse_source(source)
    rows = rows_in(lake, origin)
    promised = options.contract or contract_in(lake, origin)
    sources = tuple(origins_in(lake, origin, rows))
    filled = replace(options, dependencies=sources, contract=promised)
    done = publish_rows(lake, ref, rows.read(), rows.schema, filled, this_author())
    _show_published(done, as_json, before)


def _parse_source(source: str) -> DatasetRef:
    try:
        return DatasetRef.parse(source)
    except ConfigError as error:
        raise DataNotFoundError(
            f"{source!r} is neither a local file nor a dataset", hint=error.hint
        ) from error


def _contract_before(lake: Lake, ref: DatasetRef) -> Contract | None:
    """Return the contract of the latest version, if there is one."""
    try:
        return contract_in(lake, replace(ref, version=None))
    except DataNotFoundError:
        return None


def _show_published(done: PublishedDataset, as_json: bool, before: Contract | None = None) -> None:
    manifest = done.manifest
    if before is not None and manifest.contract is None:
        say(
            f"warning: the version before was held to the contract {before.name!r}, "
            f"{manifest.ref} is not: give --schema",
            err=True,
        )
    if as_json:
        print_json({"new": done.new, **describe_json(manifest)})
        return
    state = "published" if done.new else "there already, unchanged:"
    say(f"{state} {manifest.ref}: {manifest.rows:,} rows in {len(manifest.files)} files")
    for warning in done.report.warnings if done.report else ():
        say(f"warning: {warning}")


@data.command()
@click.argument("dataset", required=False)
@placed
def versions(dataset: str | None, as_json: bool, **given: Any) -> None:
    """List the versions of DATASET, or all datasets with their latest."""
    lake = open_lake(given)
    refs = [DatasetRef.parse(dataset)] if dataset else lake.datasets()
    rows = [row for ref in refs for row in version_rows(lake, ref)]
    if dataset and not rows:
        lake.read(refs[0])  # says what there is
    if as_json:
        print_json(rows)
        return
    show(versions_document(rows, lake.store.address.url))


@data.command()
@dataset_argument
@placed
def describe(dataset: str, as_json: bool, **given: Any) -> None:
    """Show the metadata of DATASET, or of a Parquet file by its key."""
    lake = open_lake(given)
    if dataset.endswith(".parquet"):
        footer = describe_parquet(lake.store, dataset)
        print_json(footer) if as_json else show(file_document(footer))
        return
    manifest = lake.read(DatasetRef.parse(dataset))
    note = lake.deprecation(manifest.ref)
    if as_json:
        print_json({**describe_json(manifest), "deprecated": vars_of(note)})
        return
    show(description_document(manifest, note))


def vars_of(note: Any) -> dict[str, Any] | None:
    """Return a small value's fields."""
    return None if note is None else {name: getattr(note, name) for name in note.__slots__}


@data.command()
@click.argument("key")
@placed
def lineage(key: str, as_json: bool, **given: Any) -> None:
    """Show the sources and the products of KEY, a dataset or an object."""
    links = trace(open_lake(given), key)
    if as_json:
        print_json(lineage_json(links))
        return
    show(lineage_document(links))


@data.command()
@click.argument("old")
@click.argument("new")
@placed
def diff(old: str, new: str, as_json: bool, **given: Any) -> None:
    """Show the changes from OLD to NEW, field by field."""
    lake = open_lake(given)
    before, after = (lake.read(DatasetRef.parse(name)) for name in (old, new))
    drifts = drift_of_versions(before, after)
    if as_json:
        entries = [{n: getattr(drift, n) for n in drift.__slots__} for drift in drifts]
        changes = [{**entry, "change": entry["change"].name.lower()} for entry in entries]
        sizes = {"old": _size_of(before), "new": _size_of(after)}
        print_json({**sizes, "changes": changes})
        return
    sides = Items.of(
        f"{manifest.ref}: {manifest.rows:,} rows in {len(manifest.files):,} files"
        for manifest in (before, after)
    )
    facts = KeyValues(tuple(Fact(drift.change.name.lower(), str(drift)) for drift in drifts))
    same = Paragraph("no column, share of missing values or promise changed")
    show(Document((sides, facts if drifts else same)))


def _size_of(manifest: DatasetManifest) -> dict[str, Any]:
    return {
        "dataset": str(manifest.ref),
        "rows": manifest.rows,
        "files": len(manifest.files),
    }


@data.command()
@dataset_argument
@click.option("--why", default="", help="Goes on record.")
@click.option("--instead", help="What to use in its place.")
@click.option("--restore", is_flag=True, help="Take a deprecation back.")
@placed
def deprecate(
    dataset: str, why: str, instead: str | None, restore: bool, as_json: bool, **given: Any
) -> None:
    """Say that DATASET's version should no longer be used: `latest` passes it over."""
    lake, ref = open_lake(given), DatasetRef.parse(dataset)
    if ref.version is None:
        raise ConfigError(f"{dataset}: name the version", hint="as cleaned/v1/NAME")
    if restore:
        restore_version(lake, ref)
    else:
        deprecate_version(lake, ref, this_author(), why=why, instead=instead)
    state = {"dataset": str(ref), "deprecated": not restore}
    if as_json:
        print_json(state)
    else:
        say(f"{ref} is {'no longer ' if restore else ''}deprecated")


@data.command("retire")
@dataset_argument
@click.option("--keep_last", type=click.IntRange(1), help="Keep so many of the latest versions.")
@click.option("--older_than", type=click.FloatRange(0), metavar="DAYS", help="Only what is older.")
@click.option("--deprecated", is_flag=True, help="Only what is deprecated.")
@click.option("--unfinished", is_flag=True, help="What killed publications left.")
@click.option("--yes", is_flag=True, help="Delete; without it nothing is.")
@placed
def retire_(
    dataset: str,
    keep_last: int | None,
    older_than: float | None,
    deprecated: bool,
    unfinished: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Delete versions of DATASET; without --yes only show them.

    The latest version stays, and so do files that other versions share.
    """
    sure = given.pop("yes")
    lake, ref = open_lake(given), DatasetRef.parse(dataset)
    if ref.version is None and not (
        keep_last or older_than is not None or deprecated or unfinished
    ):
        raise ConfigError(
            "which versions?", hint="name one, or --keep_last, --older_than, --deprecated"
        )
    named = (ref.version,) if ref.version else ()
    retention = Retention(named, keep_last, older_than, deprecated, unfinished)
    planned = plan_retirement(lake, ref, retention, datetime.now(UTC))
    deleted = retire(lake, planned) if sure else 0
    if as_json:
        click.echo(json.dumps(retirement_json(planned, deleted), indent=1))
    else:
        show(retirement_document(planned, sure=sure))


def is_dataset(text: str) -> bool:
    """Whether a text names a dataset, and no file."""
    try:
        DatasetRef.parse(text)
    except ConfigError:
        return False
    return True
