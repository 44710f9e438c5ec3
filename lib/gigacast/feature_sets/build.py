"""A cleaned dataset, or files, into a published version of a feature set.

rows -> features, item by item -> (the training part: ranks, scales) -> a version of `features/`.
What a version was made by - the recipe, what was learned, the scaler - stands in its manifest and
its ``metadata.json``, so that later rows are made into the same features: see `feature_set_of`.
"""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from gigacast.core.contract.definition import Contract
from gigacast.core.contract.predefined import PREDEFINED
from gigacast.core.dataset.ref import DatasetRef
from gigacast.datasets.publish import PublishedDataset, PublishOptions, publish_rows
from gigacast.datasets.read import DatasetRows
from gigacast.errors import ConfigError, CorruptedFileError, DataNotFoundError
from gigacast.feature_sets.kernel.compute import compute_features
from gigacast.feature_sets.kernel.recipe import Recipe
from gigacast.feature_sets.kernel.scaling import Scaler
from gigacast.feature_sets.source import FeatureColumns, FeatureSource, settle_columns
from gigacast.feature_sets.stage import Learned, StagedFeatures, apply_learned, learn
from gigacast.feature_sets.table import FeatureProcessor
from gigacast.feature_sets.training import moment_text, training_end
from gigacast.lake.dataset.catalog import Lake
from gigacast.lake.dataset.contract_file import parse_yaml
from gigacast.lake.dataset.manifest import DatasetManifest
from gigacast.lake.model.registry import Author

EXTRA = "feature_set_made_by"
"""The entry of metadata.json that says how a set was made."""
VALUELESS_HINT = (
    "their windows lack a value everywhere: fill first with `gigacast data clean`, or give "
    "min_count or shorter windows in a recipe of your own"
)
_BATCH_ROWS = 65_536


def parse_recipe(content: str | bytes, where: str) -> Recipe:
    """Read a recipe from YAML.

    Raises
    ------
    ConfigError
        Naming what is wrong, and where.
    """
    try:
        return Recipe.from_dict(parse_yaml(content, where))
    except ConfigError as error:
        message = error.message.removeprefix(f"{where}: ")
        raise ConfigError(f"{where}: {message}", hint=error.hint) from error


@dataclass(frozen=True)
class FeatureOptions:
    """How a feature set is made.

    Parameters
    ----------
    recipe : Recipe
    time_column, item_column : str, optional
        Recognised when absent.
    bars_per_day : int, optional
        Rows of a day of trading; the recipe's, or 1 for daily rows, when absent.
    learned : Learned, optional
        What an earlier version learned: nothing is learned anew then.
    memory_limit_bytes : int
    publish : PublishOptions
    """

    recipe: Recipe
    time_column: str | None = None
    item_column: str | None = None
    bars_per_day: int | None = None
    learned: Learned | None = None
    memory_limit_bytes: int = 4 << 30
    publish: PublishOptions = field(default_factory=PublishOptions)


@dataclass(frozen=True)
class BuiltFeatures:
    """What came of it: the version, and what was learned from the training part.

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
        Of the features layer.
    rows : DatasetRows
    options : FeatureOptions
        ``publish.dependencies`` says what the rows are.
    author : Author

    Raises
    ------
    ConfigError
        When the recipe cannot be computed so; nothing is written then.
    SchemaError, SchemaMismatchError, DatasetConflictError, StorageError
    """
    if ref.layer != "features":
        raise ConfigError(f"{ref} is not in features/", hint="such as features/v1/momentum")
    recipe = options.recipe
    contract = _contract_of(recipe)
    columns = settle_columns(rows, recipe, options.time_column, options.item_column)
    source = FeatureSource(rows, recipe, columns, options.memory_limit_bytes)
    setting = source.setting(options.bars_per_day)
    learning = options.learned is None and recipe.learns
    until = training_end(rows, columns.time, recipe) if learning else None
    tables = (compute_features(table, recipe, setting, until) for table in source.tables())
    with tempfile.TemporaryDirectory(prefix="gigacast-features-") as scratch:
        learned = options.learned or Learned(recipe.names)
        if until is not None:
            staged = _staged(tables, Path(scratch) / "features.parquet")
            training = staged.trained_on(columns.time, until)
            told = moment_text(rows.schema.field(columns.time).type, until)
            learned = learn(staged, recipe, training, told)
            tables = (pa.Table.from_batches([batch]) for batch in staged.batches())
        found = (_named(apply_learned(table, recipe, learned), recipe, columns) for table in tables)
        schema, batches = _stream(found)
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
    """Looks, as rows go by, which features have a value at all."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)
        self._without = list(self._names)
        self._rows = 0

    @property
    def none_of(self) -> tuple[str, ...]:
        """The features that are missing in every row; none of a set without rows."""
        return tuple(self._without) if self._rows else ()

    def watch(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pass rows on.

        Raises
        ------
        ConfigError
            At their end, when no feature has a value: nothing is published then.
        """
        for batch in batches:
            self._rows += batch.num_rows
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
    """Return features with the names of the contract that they keep."""
    if recipe.contract is None:
        return table
    names = {columns.time: "timestamp", columns.item: "symbol"}
    return table.rename_columns([names.get(name, name) for name in table.column_names])


def _time_column(schema: pa.Schema, recipe: Recipe, columns: FeatureColumns) -> str | None:
    """Return the column that a version's bounds in time are of; counts of steps have none."""
    name = columns.time if recipe.contract is None else "timestamp"
    kind = schema.field(name).type
    return name if pa.types.is_timestamp(kind) or pa.types.is_date(kind) else None


def _stream(tables: Iterator[pa.Table]) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Return the columns of tables that come one after the other, and their rows."""
    first = next(tables)
    whole = chain([first], tables)
    return first.schema, (b for t in whole for b in t.to_batches(max_chunksize=_BATCH_ROWS))


def _contract_of(recipe: Recipe) -> Contract | None:
    found = [one for one in PREDEFINED if one.name == recipe.contract]
    if recipe.contract is not None and not found:
        there = ", ".join(one.name for one in PREDEFINED)
        raise ConfigError(f"contract: there is no {recipe.contract!r}", hint=f"there are {there}")
    return found[0] if found else None


@dataclass(frozen=True)
class FeatureSet:
    """How a version of a feature set was made: enough to make the same of other rows."""

    recipe: Recipe
    learned: Learned
    bars_per_day: int | None

    @property
    def scaler(self) -> Scaler | None:
        """The scaler that was fitted, where the recipe scales."""
        return self.learned.scaler

    @property
    def features(self) -> tuple[str, ...]:
        """The features it has."""
        return self.learned.chosen

    def processor(
        self, *, time_column: str | None = None, item_column: str | None = None
    ) -> FeatureProcessor:
        """Return what makes the same features of other rows."""
        return FeatureProcessor(
            self.recipe,
            time_column=time_column,
            item_column=item_column,
            bars_per_day=self.bars_per_day,
            learned=self.learned,
        )


def feature_set_of(manifest: DatasetManifest) -> FeatureSet:
    """Return how a version was made.

    Raises
    ------
    DataNotFoundError
        When it was not made by a recipe.
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
        known = None if scaler is None else Scaler.from_dict(scaler, str(manifest.ref))
        learned = Learned(tuple(made_by["features"]), scaler=known)
        return FeatureSet(recipe, learned, made_by.get("bars_per_day"))
    except (KeyError, TypeError, AttributeError, ConfigError) as error:
        raise CorruptedFileError(
            f"{manifest.ref}: how it was made can't be read: {error}"
        ) from error
