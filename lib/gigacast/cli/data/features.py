"""``gigacast data features``: compute a feature set from a dataset or files."""

from pathlib import Path
from typing import Any

import click

from gigacast.cli.data.command import open_lake, placed, print_json
from gigacast.cli.data.view import describe_json
from gigacast.core.dataset.ref import DatasetRef
from gigacast.datasets.files import FileRules
from gigacast.datasets.publish import PublishOptions
from gigacast.datasets.read import DatasetRows, rows_of_folder
from gigacast.datasets.resolve import origins_in, rows_in
from gigacast.errors import ConfigError, DataNotFoundError
from gigacast.feature_sets.build import (
    VALUELESS_HINT,
    BuiltFeatures,
    FeatureOptions,
    build_features,
    feature_set_of,
    parse_recipe,
)
from gigacast.feature_sets.kernel.predefined import RECIPES, get_recipe
from gigacast.feature_sets.kernel.recipe import Recipe
from gigacast.feature_sets.stage import Learned
from gigacast.job.audit import this_author
from gigacast.lake.dataset.catalog import Lake
from gigacast.lake.dataset.manifest import DatasetManifest, Dependency
from gigacast.report.document import Cell, Column, Document, Items, Kind, Paragraph, Table
from gigacast.report.terminal import say, show
from gigacast.settings.loader import parse_size
from gigacast.storage.folder.store import FolderStore
from gigacast.storage.parquet.writer import CODECS


@click.command()
@click.argument("source")
@click.argument("dataset")
@click.option("--recipe", help="A YAML file, or one that comes along: " + ", ".join(RECIPES) + ".")
@click.option("--like", help="A feature set: its recipe, selection and scaler, as they are.")
@click.option("--time_column", help="When a row was; recognised when absent.")
@click.option("--item_column", help="Whose row it is; recognised when absent.")
@click.option("--bars_per_day", type=click.IntRange(1), help="Rows of a day, for windows as 30d.")
@click.option("--memory_limit", default="4GB", help="What the rows worked on at once may take.")
@click.option("--partition_by", default="", help="date, month, year, columns (commas).")
@click.option("--compression", type=click.Choice(CODECS), default="zstd", help="Of the files.")
@click.option("--what", default="", help="Goes into the changelog.")
@placed
def features(source: str, dataset: str, as_json: bool, **given: Any) -> None:
    """Compute features of SOURCE, a dataset or local Parquet, and publish them as DATASET.

    \b
    Examples:
      gigacast data features cleaned/EURUSD features/momentum --recipe momentum_indicators
      gigacast data features cleaned/v2/EURUSD features/mine --recipe mine.yaml
      gigacast data features cleaned/v3/EURUSD features/mine --like features/v1/mine
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    own = {name: given.pop(name) for name in _OWN}
    lake, ref = open_lake(given), DatasetRef.parse(dataset)
    recipe, learned, bars = _how(lake, own["recipe"], own["like"])
    rows, origins = _open_source(lake, source)
    limit = parse_size(own["memory_limit"])
    if not isinstance(limit, int) or limit < 1:
        raise ConfigError(f"--memory_limit: {own['memory_limit']!r} is no size", hint="as 2GB")
    by = tuple(part.strip() for part in own["partition_by"].split(",") if part.strip())
    options = FeatureOptions(
        recipe=recipe,
        time_column=own["time_column"],
        item_column=own["item_column"],
        bars_per_day=own["bars_per_day"] or bars,
        learned=learned,
        memory_limit_bytes=limit,
        publish=PublishOptions(
            what=own["what"],
            dependencies=origins,
            files=FileRules(partition_by=by, codec=own["compression"]),
        ),
    )
    _show_built(build_features(lake, ref, rows, options, this_author()), as_json)


_OWN = (
    *("recipe", "like", "time_column", "item_column", "bars_per_day", "memory_limit"),
    *("partition_by", "compression", "what"),
)


def _how(
    lake: Lake, recipe: str | None, like: str | None
) -> tuple[Recipe, Learned | None, int | None]:
    """Return the recipe, and the selection, scaler and bars per day of an earlier version."""
    if (recipe is None) == (like is None):
        raise ConfigError("give --recipe, or --like and a feature set that was made by one")
    if like is not None:
        earlier = feature_set_of(lake.read(DatasetRef.parse(like)))
        return earlier.recipe, earlier.learned, earlier.bars_per_day
    assert recipe is not None  # noqa: S101 - one of the two is
    path = Path(recipe)
    if path.is_file():
        return parse_recipe(path.read_bytes(), recipe), None, None
    if path.suffix:
        raise ConfigError(f"--recipe: there is no file {recipe}")
    return get_recipe(recipe), None, None


def _open_source(lake: Lake, source: str) -> tuple[DatasetRows, tuple[Dependency, ...]]:
    """Return the rows of a dataset or of local Parquet files, and the exact objects they are of."""
    path = Path(source)
    try:
        ref = DatasetRef.parse(source)
    except ConfigError as error:
        if not path.exists():
            message = f"{source!r} is neither a local file nor a dataset"
            raise DataNotFoundError(message, hint=error.hint) from error
    else:
        rows = rows_in(lake, ref)
        return rows, tuple(origins_in(lake, ref, rows))
    whole = path.resolve()
    store = FolderStore(whole if whole.is_dir() else whole.parent)
    rows = rows_of_folder(store, "" if whole.is_dir() else whole.name)
    keys = [f"{store.address.url.rstrip('/')}/{file.meta.key}" for file in rows.files]
    pairs = zip(keys, rows.files, strict=True)
    return rows, tuple(Dependency(key, file.meta.etag) for key, file in pairs)


def _show_built(built: BuiltFeatures, as_json: bool) -> None:
    manifest = built.published.manifest
    for name in built.valueless:
        say(f"warning: {name} has no value in any row; {VALUELESS_HINT}", err=True)
    if as_json:
        without = {"without_values": list(built.valueless)}
        print_json({"new": built.published.new, **without, **describe_json(manifest)})
        return
    show(_features_document(built))


def _features_document(built: BuiltFeatures) -> Document:
    """Return where the feature set was published, its features, scaler and warnings."""
    manifest, scaler = built.published.manifest, built.learned.scaler
    state = "published" if built.published.new else "there already, unchanged:"
    size = f"{manifest.rows:,} rows in {len(manifest.files)} files"
    scaled = scaler and f"scaled: {scaler.method}, of {scaler.rows:,} rows up to {scaler.until}"
    report = built.published.report
    return Document(
        (
            Paragraph(f"{state} {manifest.ref}: {size}"),
            _features_table(built, manifest),
            *([Paragraph(scaled)] if scaled else []),
            Items.of(f"warning: {warning}" for warning in (report.warnings if report else ())),
        )
    )


_COLUMNS = (
    Column("feature", Kind.KEY),
    Column("score", Kind.NUMBER),
    Column("missing", Kind.COUNT),
    Column("centre", Kind.NUMBER, 1),
    Column("scale", Kind.NUMBER, 1),
)


def _features_table(built: BuiltFeatures, manifest: DatasetManifest) -> Table:
    """Return a row per feature, the best first if they were ranked; without empty columns."""
    learned, scaler = built.learned, built.learned.scaler
    scores = {rank.name: rank.score for rank in learned.ranks}
    names = [rank.name for rank in learned.ranks] or list(learned.chosen)
    rows: list[tuple[Cell, ...]] = []
    for name in names:
        is_chosen = name in learned.chosen
        is_scaled = scaler is not None and name in scaler.centre
        rows.append(
            (
                name,
                scores.get(name),
                manifest.null_counts.get(name) if is_chosen else "left out",
                scaler.centre[name] if is_scaled and scaler else None,
                scaler.scale[name] if is_scaled and scaler else None,
            )
        )
    used = [i for i, _ in enumerate(_COLUMNS) if any(row[i] is not None for row in rows)]
    return Table(
        tuple(_COLUMNS[i] for i in used), tuple(tuple(row[i] for i in used) for row in rows)
    )
