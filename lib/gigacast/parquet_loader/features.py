"""Features of loaded rows: learned from training rows, applied to prediction rows."""

from dataclasses import replace
from typing import TypeVar

import numpy as np
import pyarrow as pa

from gigacast.core.column import to_arrow
from gigacast.feature_sets.kernel.recipe import Recipe
from gigacast.feature_sets.stage import Learned
from gigacast.feature_sets.table import FeatureProcessor as RecipeProcessor
from gigacast.parquet_loader.dataset import LoadedDataset
from gigacast.parquet_loader.rows import sort_rows

D = TypeVar("D", bound=LoadedDataset)
_OWN = "__own__"


class FeatureProcessor:
    """Adds the features of a recipe to loaded rows. Without a recipe the rows do not change.

    Parameters
    ----------
    recipe : Recipe, optional
    """

    def __init__(self, recipe: Recipe | None = None) -> None:
        self.recipe = recipe
        self.learned: Learned | None = None

    @property
    def reach(self) -> int:
        """Number of rows before a row that its features depend on."""
        return 0 if self.recipe is None else self.recipe.reach()

    def process_training_features(self, data: D) -> D:
        """Return rows with features, and keep what the recipe learns from their training part.

        Raises
        ------
        ConfigError, SchemaError
            If the recipe does not fit the rows.
        """
        if self.recipe is None:
            return data
        processor = self._processor(data)
        features = processor.process_training_features(data.table)
        self.learned = processor.learned
        return _joined(data, features, processor.learned)

    def process_prediction_features(self, data: D) -> D:
        """Return rows with the features as they were learned in training.

        The first rows of a context have features of the rows before it, which were loaded with it.

        Raises
        ------
        ConfigError
            If the recipe learns, and no training rows were processed before.
        SchemaError
        """
        if self.recipe is None:
            return data
        processor, learned = self._processor(data), self.learned or Learned(self.recipe.names)
        earlier: pa.Table | None = getattr(data, "earlier", None)
        if earlier is None or not earlier.num_rows:
            features = processor.process_prediction_features(data.table)
            return _joined(data, features, learned)
        parts = {True: data.table, False: earlier}
        joined = pa.concat_tables(
            [
                part.append_column(_OWN, to_arrow(np.full(len(part), own)))
                for own, part in parts.items()
            ],
            promote_options="permissive",
        )
        joined = sort_rows(joined, data.columns)
        features = processor.process_prediction_features(joined)
        ready = _joined(replace(data, table=joined), features, learned)
        table = ready.table.filter(ready.table.column(_OWN)).drop_columns([_OWN])
        return replace(ready, table=table, earlier=None)  # type: ignore[call-arg]

    def _processor(self, data: LoadedDataset) -> RecipeProcessor:
        assert self.recipe is not None  # noqa: S101 - the callers checked
        columns = data.columns
        return RecipeProcessor(
            self.recipe,
            time_column=columns.timestamp,
            item_columns=columns.ids,
            learned=self.learned,
        )


def _joined(data: D, features: pa.Table, learned: Learned | None) -> D:
    """Return rows with feature columns added; both must be in the order of item and time."""
    names = learned.chosen if learned is not None else ()
    # A feature may replace a column of the same name.
    table = data.table
    for name in names:
        column = features.column(name)
        if name in table.column_names:
            table = table.set_column(table.column_names.index(name), name, column)
        else:
            table = table.append_column(name, column)
    added = tuple(dict.fromkeys((*data.columns.features, *names)))
    return replace(data, table=table, columns=replace(data.columns, features=added))
