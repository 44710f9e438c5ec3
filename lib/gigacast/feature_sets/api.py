"""Features from Python: recipes, and feature sets of datasets and of frames.

A recipe lists features and the columns they are computed from. The package has the recipes
``ohlcv``, ``price_volatility``, ``momentum_indicators`` and ``volume_profile``, named after the
contract that their features keep.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

from gigacast.core.record import encode_yaml
from gigacast.datasets.files import FileRules
from gigacast.datasets.metadata import MetadataManager
from gigacast.datasets.publish import PublishOptions
from gigacast.datasets.resolve import (
    check_layer,
    dataset_location,
    dependencies_of,
    open_manifest,
    open_rows,
    plain_location,
    verify_of,
)
from gigacast.errors import ConfigError
from gigacast.feature_sets.build import (
    FeatureOptions,
    FeatureSet,
    feature_set_of,
    parse_recipe,
)
from gigacast.feature_sets.build import build_features as _build
from gigacast.feature_sets.kernel.predefined import get_recipe
from gigacast.feature_sets.kernel.recipe import Recipe
from gigacast.feature_sets.kernel.scaling import Scaler
from gigacast.feature_sets.source import named_items
from gigacast.feature_sets.table import FeatureProcessor
from gigacast.job.audit import this_author
from gigacast.series.frame import table_of
from gigacast.settings.argument import checked
from gigacast.settings.command.data import FeatureSetOptions
from gigacast.settings.flag import rows_of
from gigacast.settings.signature import with_options
from gigacast.storage.opening import open_store

__all__ = [
    "FeatureProcessor",
    "FeatureSet",
    "Recipe",
    "Scaler",
    "build_features",
    "compute_features",
    "get_recipe",
    "load_recipe",
    "read_feature_set",
    "save_recipe",
]

AnyRecipe: TypeAlias = Recipe | Mapping[str, Any] | str
"""A recipe, its plain values, or the name of a recipe of the package."""


@checked
def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe from a YAML file: a path or a URL.

    Raises
    ------
    ConfigError
        If an entry is wrong; the error names it.
    ObjectNotFoundError
    """
    location = plain_location(path)
    return parse_recipe(open_store(location.address).get(location.key), str(path))


@checked
def save_recipe(recipe: AnyRecipe, path: str | Path) -> None:
    """Write a recipe as a YAML file: a path or a URL."""
    location = plain_location(path)
    open_store(location.address).put(location.key, encode_yaml(_recipe(recipe).to_dict()).encode())


@with_options(own=rows_of(FeatureSetOptions))
@checked
def compute_features(
    data: Any,
    recipe: AnyRecipe,
    *,
    time_column: str | None = None,
    item_column: str | None = None,
    item_columns: str | Sequence[str] = (),
    bars_per_day: int | None = None,
) -> Any:
    """Return the features of a frame, in the order of item and time.

    Parameters
    ----------
    data : pandas.DataFrame or pyarrow.Table
    recipe : Recipe, mapping or str
        Recipe, whose scales and ranks are learned from its training part only.
    item_column : str, optional
        Column of item ids; recognised by default.
    item_columns : sequence of str
        Columns that identify an item together, in place of ``item_column``; none by default.

    Returns
    -------
    pandas.DataFrame
        Item, time, the kept columns and the features.

    Raises
    ------
    ConfigError, SchemaError
    """
    processor = FeatureProcessor(
        _recipe(recipe),
        time_column=time_column,
        item_column=item_column,
        item_columns=_listed(item_columns),
        bars_per_day=bars_per_day,
    )
    return processor.process_training_features(_table(data)).to_pandas()


@with_options(own=rows_of(FeatureSetOptions))
@checked
def build_features(  # noqa: PLR0913 - keywords, each with a default
    source: str | Path,
    path: str | Path,
    recipe: AnyRecipe | None = None,
    *,
    like: str | Path | None = None,
    time_column: str | None = None,
    item_column: str | None = None,
    item_columns: str | Sequence[str] = (),
    bars_per_day: int | None = None,
    partition_by: Sequence[str] = (),
    compression: str = "snappy",
    what: str = "",
    verify_datasets: str = "sample",
    n_jobs: int = 1,
) -> dict[str, Any]:
    """Publish the features of a dataset or of files as ``features/v{Y}/{feature_set}/``.

    Parameters
    ----------
    source : str or Path
        Dataset, or path or URL of Parquet files.
    path : str or Path
        Feature set, with its version; ``latest`` publishes the next version.
    recipe : Recipe, mapping or str, optional
        Recipe; required without ``like``.
    item_column : str, optional
        Column of item ids; recognised by default.
    item_columns : sequence of str
        Columns that identify an item together, in place of ``item_column``; none by default.
    partition_by, compression, what
        See `gigacast.datasets.write_features`.
    verify_datasets : {"sample", "always", "never"}
        See `gigacast.datasets.read_parquet_with_schema`.
    n_jobs : int
        Number of processes that compute features of different items; -1 for all cores.

    Returns
    -------
    dict
        Metadata of the version.

    Raises
    ------
    ConfigError, SchemaError, SchemaMismatchError, DatasetConflictError, StorageError
    """
    check_layer(path, "features")
    if (recipe is None) == (like is None):
        raise ConfigError("give a recipe, or like: a feature set that was made by a recipe")
    location = dataset_location(path)
    assert location.ref is not None  # noqa: S101 - the layer was checked
    former = read_feature_set(like) if like is not None else None
    by = (partition_by,) if isinstance(partition_by, str) else tuple(partition_by)
    options = FeatureOptions(
        recipe=former.recipe if former is not None else _recipe(recipe),
        time_column=time_column,
        items=named_items(item_column, _listed(item_columns)),
        bars_per_day=bars_per_day or (former.bars_per_day if former is not None else None),
        learned=former.learned if former is not None else None,
        n_jobs=n_jobs,
        publish=PublishOptions(
            what=what,
            dependencies=tuple(dependencies_of(source, location)),
            files=FileRules(by, compression),
        ),
    )
    rows = open_rows(source, verify_of(verify_datasets))
    built = _build(location.lake(), location.ref, rows, options, this_author())
    folder = f"{location.address.url}/{built.published.manifest.ref}"
    return MetadataManager.read_metadata_file(folder)


@checked
def read_feature_set(path: str | Path) -> FeatureSet:
    """Return the recipe, selection and scaler of a published version.

    Its ``processor()`` computes the same features of other rows.

    Raises
    ------
    ConfigError
        If the path is not in the features layer.
    DataNotFoundError
        If there is no such version, or it was not made by a recipe.
    """
    check_layer(path, "features")
    return feature_set_of(open_manifest(path))


def _listed(names: str | Sequence[str]) -> tuple[str, ...]:
    parts = names.split(",") if isinstance(names, str) else names
    return tuple(part.strip() for part in parts if part.strip())


def _recipe(recipe: AnyRecipe | None) -> Recipe:
    if isinstance(recipe, Recipe):
        return recipe
    return get_recipe(recipe) if isinstance(recipe, str) else Recipe.from_dict(recipe)


def _table(data: Any) -> pa.Table:
    # Without pandas' metadata, which describes columns and an index that the result does not have.
    return data if isinstance(data, pa.Table) else table_of(data).replace_schema_metadata(None)
