"""Features of loaded rows: learned from training rows, applied to prediction rows."""

from dataclasses import replace
from typing import TypeVar

import numpy as np
import pyarrow as pa

from gigacast.core.column import to_arrow
from gigacast.feature_sets.kernel.recipe import Recipe
from gigacast.feature_sets.stage import Learned
from gigacast.feature_sets.table import FeatureProcessor
from gigacast.parquet_loader.dataset import LoadedDataset
from gigacast.parquet_loader.rows import item_starts
from gigacast.series.columns import ITEM_KEY

D = TypeVar("D", bound=LoadedDataset)


class LoadedFeatures:
    """Adds the features of a recipe to loaded rows. Without a recipe the rows do not change.

    Parameters
    ----------
    recipe : Recipe, optional
    """

    def __init__(self, recipe: Recipe | None) -> None:
        self.recipe = recipe
        self.learned: Learned | None = None

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
        features = processor.process_training_features(_keyed(data))
        self.learned = processor.learned
        return _joined(data, features, processor.learned)

    def process_prediction_features(self, data: D) -> D:
        """Return rows with the features as they were learned in training.

        Raises
        ------
        ConfigError
            If the recipe learns, and no training rows were processed before.
        SchemaError
        """
        if self.recipe is None:
            return data
        processor = self._processor(data)
        features = processor.process_prediction_features(_keyed(data))
        return _joined(data, features, self.learned or Learned(self.recipe.names))

    def _processor(self, data: LoadedDataset) -> FeatureProcessor:
        assert self.recipe is not None  # noqa: S101 - the callers checked
        columns = data.columns
        return FeatureProcessor(
            self.recipe,
            time_column=columns.timestamp,
            item_column=ITEM_KEY if columns.items else columns.item_id,
            learned=self.learned,
        )


def _keyed(data: LoadedDataset) -> pa.Table:
    """Return the rows; several columns of ids get the key that features are grouped by."""
    if not data.columns.items:
        return data.table
    # Ranks are in the order of the columns, as the rows are; keys as texts would be in another.
    starts = item_starts(data.table, data.columns)
    counts = np.diff(np.append(starts, len(data)))
    ranks = np.repeat(np.arange(len(starts)), counts)
    return data.table.append_column(ITEM_KEY, to_arrow(ranks))


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
