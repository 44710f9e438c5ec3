"""Publication of a feature set: the features of a cleaned dataset, or of files, as a version.

Features are computed item by item. Ranks and scales are learned from the training part, if the
recipe has any. The result is published as a version of ``features/``.

The manifest and ``metadata.json`` of a version hold its recipe and what was learned (selection and
scaler), so that later rows become the same features: see `feature_set_of`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from gigacast.core.contract.definition import Contract
from gigacast.core.contract.predefined import PREDEFINED
from gigacast.core.dataset.ref import DatasetRef
from gigacast.core.problem import Source
from gigacast.core.record import decode_yaml
from gigacast.datasets.publish import PublishedDataset, PublishOptions, publish_rows
from gigacast.datasets.read import DatasetRows
from gigacast.errors import ConfigError, CorruptedFileError, DataNotFoundError
from gigacast.feature_sets.kernel.predefined import get_recipe
from gigacast.feature_sets.kernel.recipe import Recipe
from gigacast.feature_sets.kernel.scaling import Scaler
from gigacast.feature_sets.parallel import ComputeSetup, compute_in_processes
from gigacast.feature_sets.source import FeatureColumns, FeatureSource, settle_columns
from gigacast.feature_sets.stage import Learned, StagedFeatures, apply_learned, learn
from gigacast.feature_sets.table import FeatureProcessor
from gigacast.feature_sets.training import moment_text, training_end
from gigacast.lake.dataset.catalog import Lake
from gigacast.lake.dataset.manifest import DatasetManifest
from gigacast.lake.publication import Author
from gigacast.scratch import ScratchFolder

EXTRA = "feature_set_made_by"
"""Entry of metadata.json that holds the recipe of a set and what was learned."""
VALUELESS_HINT = (
    "every window lacks a value: fill missing values with `gigacast data clean`, or use min_count "
    "or shorter windows in a recipe of your own"
)
_BATCH_ROWS = 65_536


def parse_recipe(content: str | bytes, where: str) -> Recipe:
    """Read a recipe from YAML.

    Raises
    ------
    ConfigError
        If an entry is wrong; the error names it and ``where``.
    """
    return Recipe.from_dict(decode_yaml(content, Source(where, ConfigError)), where)


@dataclass(frozen=True)
class FeatureOptions:
    """Options of a feature set.

    Parameters
    ----------
    recipe : Recipe
    time_column : str, optional
        Column of times; recognised by default.
    items : tuple of str
        Columns that identify an item together; one column is recognised by default.
    bars_per_day : int, optional
        Rows of a trading day; the recipe's by default, or 1 for daily rows.
    learned : Learned, optional
        Selection and scaler of an earlier version, to use without learning; learned by default.
    memory_limit_bytes : int
        Maximum bytes of a group of items.
    n_jobs : int
        Number of processes that compute features; -1 for all cores.
    publish : PublishOptions
    """

    recipe: Recipe
    time_column: str | None = None
    items: tuple[str, ...] = ()
    bars_per_day: int | None = None
    learned: Learned | None = None
    memory_limit_bytes: int = 4 << 30
    n_jobs: int = 1
    publish: PublishOptions = field(default_factory=PublishOptions)


@dataclass(frozen=True)
class BuiltFeatures:
    """A published version, and the scales and selection learned from the training part.

    ``valueless`` are the features that are missing in every row.
    """

    published: PublishedDataset
    learned: Learned
    valueless: tuple[str, ...] = ()


def build_features(
    lake: Lake, ref: DatasetRef, rows: DatasetRows, options: FeatureOptions, author: Author
) -> BuiltFeatures:
    """Compute features of rows and publish them as a version.

    Parameters
    ----------
    lake : Lake
    ref : DatasetRef
        Version in the features layer.
    rows : DatasetRows
    options : FeatureOptions
        Options; ``publish.dependencies`` names the source of the rows.
    author : Author

    Raises
    ------
    ConfigError
        If the recipe cannot be computed with these options; nothing is written then.
    SchemaError, SchemaMismatchError, DatasetConflictError, StorageError
    """
    if ref.layer != "features":
        raise ConfigError(
            f"{ref} is not in features/", hint="name a feature set, such as features/v1/momentum"
        )
    recipe = options.recipe
    # Everything that can be checked is checked before the first row is read.
    contract = _contract_of(recipe)
    columns = settle_columns(rows, recipe, options.time_column, options.items)
    _check_items(contract, columns)
    source = FeatureSource(rows, recipe, columns, options.memory_limit_bytes)
    setting = source.setting(options.bars_per_day)
    learning = options.learned is None and recipe.learns
    until = training_end(rows, columns.time, recipe) if learning else None
    setup = ComputeSetup(recipe, setting, until)
    tables = compute_in_processes(source.tables(), setup, options.n_jobs)
    with ScratchFolder("features") as scratch:
        learned = options.learned or Learned(recipe.names)
        if until is not None:
            # Ranks and scales need all rows of a column, so features are staged on the disk first.
            staged = _staged(tables, scratch / "features.parquet")
            training = staged.trained_on(columns.time, until)
            text = moment_text(rows.schema.field(columns.time).type, until)
            learned = learn(staged, recipe, training, text)
            tables = (pa.Table.from_batches([batch]) for batch in staged.batches())
        final = (_named(apply_learned(table, recipe, learned), recipe, columns) for table in tables)
        schema, batches = _stream(final)
        made_by = {"bars_per_day": setting.bars_per_day, **learned.to_dict()}
        chosen = replace(
            options.publish,
            contract=contract,
            what=options.publish.what or f"{recipe.name}: {len(learned.chosen)} features",
            time_column=_time_column(schema, recipe, columns),
            extra={EXTRA: {"recipe": recipe.to_dict(), **made_by}},
        )
        values = _Values(learned.chosen)
        published = publish_rows(lake, ref, values.watch(batches), schema, chosen, author)
    return BuiltFeatures(published, learned, values.none_of)


class _Values:
    """Finds the features without any value in a stream of rows."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)
        self._without = list(self._names)
        self._rows = 0

    @property
    def none_of(self) -> tuple[str, ...]:
        """Features that are missing in every row; empty without rows."""
        return tuple(self._without) if self._rows else ()

    def watch(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the rows without change.

        Raises
        ------
        ConfigError
            At the end, if no feature has a value; the version is not published then.
        """
        for batch in batches:
            self._rows += batch.num_rows
            # A column that has a value leaves the list, so most batches check few columns.
            self._without = [
                name for name in self._without if batch.column(name).null_count == batch.num_rows
            ]
            yield batch
        if self._names and self.none_of == self._names:
            raise ConfigError(
                f"no feature has a value in any of {self._rows:,} rows", hint=VALUELESS_HINT
            )


def _staged(tables: Iterable[pa.Table], path: Path) -> StagedFeatures:
    staged = StagedFeatures(path)
    for table in tables:
        staged.write(table)
    staged.close()
    return staged


def _named(table: pa.Table, recipe: Recipe, columns: FeatureColumns) -> pa.Table:
    """Return features with the column names of the recipe's contract."""
    if recipe.contract is None:
        return table
    names = {columns.time: "timestamp", **dict.fromkeys(columns.items, "symbol")}
    return table.rename_columns([names.get(name, name) for name in table.column_names])


def _time_column(schema: pa.Schema, recipe: Recipe, columns: FeatureColumns) -> str | None:
    """Return the time column of a version; ``None`` if it counts steps."""
    name = columns.time if recipe.contract is None else "timestamp"
    kind = schema.field(name).type
    return name if pa.types.is_timestamp(kind) or pa.types.is_date(kind) else None


def _stream(tables: Iterator[pa.Table]) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Return the schema of the first table, and the rows of all tables in batches."""
    # The schema of a version is needed before its first row is written.
    first = next(tables)
    every = chain([first], tables)
    return first.schema, (b for t in every for b in t.to_batches(max_chunksize=_BATCH_ROWS))


def _contract_of(recipe: Recipe) -> Contract | None:
    contracts = {contract.name: contract for contract in PREDEFINED}
    if recipe.contract is None:
        return None
    if recipe.contract not in contracts:
        names = ", ".join(contracts)
        raise ConfigError(f"contract: there is no {recipe.contract!r}", hint=f"there are {names}")
    return contracts[recipe.contract]


def _check_items(contract: Contract | None, columns: FeatureColumns) -> None:
    if contract is not None and len(columns.items) > 1:
        raise ConfigError(
            f"--item_columns: the contract {contract.name} of the recipe has one column of items",
            hint="make one column of them, or take a recipe of your own without a contract",
        )


@dataclass(frozen=True)
class FeatureSet:
    """Recipe, scales and selection of a version: enough to compute features of other rows."""

    recipe: Recipe
    learned: Learned
    bars_per_day: int | None

    @property
    def scaler(self) -> Scaler | None:
        """The fitted scaler; ``None`` if the recipe does not scale."""
        return self.learned.scaler

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features."""
        return self.learned.chosen

    def processor(
        self,
        *,
        time_column: str | None = None,
        item_column: str | None = None,
        item_columns: Sequence[str] = (),
    ) -> FeatureProcessor:
        """Return a processor that computes the same features of other rows."""
        return FeatureProcessor(
            self.recipe,
            time_column=time_column,
            item_column=item_column,
            item_columns=item_columns,
            bars_per_day=self.bars_per_day,
            learned=self.learned,
        )


def choose_recipe(
    lake: Lake, recipe: str | None, like: str | None
) -> tuple[Recipe, Learned | None, int | None]:
    """Return a recipe; of an earlier feature set also its selection, scaler and bars per day.

    Parameters
    ----------
    lake : Lake
    recipe : str, optional
        Path of a YAML file, or name of a predefined recipe.
    like : str, optional
        Feature set whose recipe is used, instead of ``recipe``.

    Raises
    ------
    ConfigError
        If not exactly one of the two is given, or the recipe does not exist.
    DataNotFoundError, CorruptedFileError
    """
    if like is not None and recipe is None:
        earlier = feature_set_of(lake.read(DatasetRef.parse(like)))
        return earlier.recipe, earlier.learned, earlier.bars_per_day
    if recipe is None or like is not None:
        raise ConfigError("give --recipe, or --like and a feature set that was made by one")
    path = Path(recipe)
    if path.is_file():
        return parse_recipe(path.read_bytes(), recipe), None, None
    if path.suffix:
        raise ConfigError(f"--recipe: there is no file {recipe}")
    return get_recipe(recipe), None, None


def feature_set_of(manifest: DatasetManifest) -> FeatureSet:
    """Return the recipe of a version, with its scales and selection.

    Raises
    ------
    DataNotFoundError
        If it was not made by a recipe.
    CorruptedFileError
    """
    made_by: Any = manifest.extra.get(EXTRA)
    if made_by is None:
        raise DataNotFoundError(
            f"{manifest.ref} was not made by a recipe", hint="`gigacast data features` makes some"
        )
    try:
        recipe = Recipe.from_dict(made_by["recipe"])
        scaler = made_by.get("scaler")
        fitted = None if scaler is None else Scaler.from_dict(scaler, str(manifest.ref))
        learned = Learned(tuple(made_by["features"]), scaler=fitted)
        return FeatureSet(recipe, learned, made_by.get("bars_per_day"))
    # What a manifest says about its recipe comes from the bucket and may have any form.
    except (KeyError, TypeError, AttributeError, ConfigError) as error:
        raise CorruptedFileError(f"{manifest.ref}: its recipe cannot be read: {error}") from error
