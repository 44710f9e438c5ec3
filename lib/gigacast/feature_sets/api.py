"""Features from Python: recipes, feature sets made of datasets and of frames.

A door like the command line. A recipe says which features of which columns; what comes with the
package is named after the contract it keeps: ``ohlcv``, ``price_volatility``,
``momentum_indicators``, ``volume_profile``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

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
from gigacast.feature_sets.table import FeatureProcessor
from gigacast.job.audit import this_author
from gigacast.lake.dataset.contract_file import format_yaml
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
"""A recipe, its plain values, or the name of one that comes with the package."""


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe from a YAML file, anywhere.

    Raises
    ------
    ConfigError
        Naming the entry that is wrong.
    ObjectNotFoundError
    """
    where = plain_location(path)
    return parse_recipe(open_store(where.address).get(where.key), str(path))


def save_recipe(recipe: AnyRecipe, path: str | Path) -> None:
    """Write a recipe as a YAML file, anywhere."""
    where = plain_location(path)
    open_store(where.address).put(where.key, format_yaml(_recipe(recipe).to_dict()).encode())


def compute_features(
    data: Any,
    recipe: AnyRecipe,
    *,
    time_column: str | None = None,
    item_column: str | None = None,
    bars_per_day: int | None = None,
) -> Any:
    """Return features of a frame, by item and time.

    Parameters
    ----------
    data : pandas.DataFrame or pyarrow.Table
    recipe : Recipe, mapping or str
        Scales and ranks are of its training part alone.
    time_column, item_column : str, optional
        Recognised when absent.
    bars_per_day : int, optional
        Rows of a day of trading, for windows such as ``30d``.

    Returns
    -------
    pandas.DataFrame
        Item, time, the columns that are kept, and the features.

    Raises
    ------
    ConfigError, SchemaError
    """
    processor = FeatureProcessor(
        _recipe(recipe),
        time_column=time_column,
        item_column=item_column,
        bars_per_day=bars_per_day,
    )
    return processor.process_training_features(_table(data)).to_pandas()


def build_features(  # noqa: PLR0913 - keywords, each with a default
    source: str | Path,
    path: str | Path,
    recipe: AnyRecipe | None = None,
    *,
    like: str | Path | None = None,
    time_column: str | None = None,
    item_column: str | None = None,
    bars_per_day: int | None = None,
    partition_by: Sequence[str] = (),
    compression: str = "snappy",
    what: str = "",
) -> dict[str, Any]:
    """Publish features of a dataset, or of files, as ``features/v{Y}/{feature_set}/``.

    Parameters
    ----------
    source : str or Path
        A dataset, or Parquet files anywhere.
    path : str or Path
        The feature set; with ``latest`` for a version the next one is taken.
    recipe : Recipe, mapping or str, optional
    like : str or Path, optional
        A feature set whose recipe, selection and scaler are used as they are, in place of a recipe.
    time_column, item_column, bars_per_day : optional
        As `compute_features`.
    partition_by, compression, what
        As `gigacast.datasets.write_features`.

    Returns
    -------
    dict
        The metadata of the version.

    Raises
    ------
    ConfigError, SchemaError, SchemaMismatchError, DatasetConflictError, StorageError
    """
    check_layer(path, "features")
    if (recipe is None) == (like is None):
        raise ConfigError("give a recipe, or like: a feature set that was made by one")
    where = dataset_location(path)
    assert where.ref is not None  # noqa: S101 - just looked
    known = read_feature_set(like) if like is not None else None
    by = (partition_by,) if isinstance(partition_by, str) else tuple(partition_by)
    options = FeatureOptions(
        recipe=known.recipe if known is not None else _recipe(recipe),
        time_column=time_column,
        item_column=item_column,
        bars_per_day=bars_per_day or (known.bars_per_day if known is not None else None),
        learned=known.learned if known is not None else None,
        publish=PublishOptions(
            what=what,
            dependencies=tuple(dependencies_of(source, where)),
            files=FileRules(by, compression),
        ),
    )
    done = _build(where.lake(), where.ref, open_rows(source), options, this_author())
    return MetadataManager.read_metadata_file(f"{where.address.url}/{done.published.manifest.ref}")


def read_feature_set(path: str | Path) -> FeatureSet:
    """Return how a published version was made: its recipe, selection and scaler.

    Its ``processor()`` makes the same features of other rows.

    Raises
    ------
    ConfigError
        When the path is not of the features layer.
    DataNotFoundError
        When there is no such version, or no recipe made it.
    """
    check_layer(path, "features")
    return feature_set_of(open_manifest(path))


def _recipe(recipe: AnyRecipe | None) -> Recipe:
    if isinstance(recipe, Recipe):
        return recipe
    return get_recipe(recipe) if isinstance(recipe, str) else Recipe.from_dict(recipe)


def _table(data: Any) -> pa.Table:
    if isinstance(data, pa.Table):
        return data
    if not hasattr(data, "columns"):
        raise ConfigError(f"data: expected a frame or a table, got {type(data).__name__}")
    return pa.Table.from_pandas(data, preserve_index=False).replace_schema_metadata(None)
