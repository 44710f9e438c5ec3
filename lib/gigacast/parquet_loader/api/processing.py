"""Features of loaded rows: learned on what is trained on, applied to what is predicted from."""

from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import TypeVar

import pyarrow as pa

from gigacast.core.time.month import Month
from gigacast.errors import ConfigError
from gigacast.feature_sets.kernel.recipe import Recipe
from gigacast.feature_sets.stage import Learned
from gigacast.feature_sets.table import FeatureProcessor
from gigacast.parquet_loader.dataset import LoadedDataset

D = TypeVar("D", bound=LoadedDataset)


class LoadedFeatures:
    """Adds a recipe's features to loaded rows; without a recipe rows stay as they are.

    Parameters
    ----------
    recipe : Recipe, optional
    """

    def __init__(self, recipe: Recipe | None) -> None:
        self.recipe = recipe
        self.learned: Learned | None = None

    def process_training_features(self, data: D) -> D:
        """Return rows with features; what their training part tells is remembered.

        Raises
        ------
        ConfigError, SchemaError
            When the recipe does not fit the rows.
        """
        if self.recipe is None:
            return data
        processor = self._processor(data)
        features = processor.process_training_features(data.table)
        self.learned = processor.learned
        return _joined(data, features, processor.learned)

    def process_prediction_features(self, data: D) -> D:
        """Return rows with the same features, as they were learned.

        Raises
        ------
        ConfigError
            When the recipe learns and nothing was trained on.
        SchemaError
        """
        if self.recipe is None:
            return data
        processor = self._processor(data)
        features = processor.process_prediction_features(data.table)
        return _joined(data, features, self.learned or Learned(self.recipe.names))

    def _processor(self, data: LoadedDataset) -> FeatureProcessor:
        assert self.recipe is not None  # noqa: S101 - the callers looked
        own = data.columns
        item = own.item_id
        return FeatureProcessor(
            self.recipe, time_column=own.timestamp, item_column=item, learned=self.learned
        )


def _joined(data: D, features: pa.Table, learned: Learned | None) -> D:
    """Return rows, which are by item and time as their features are, with these beside them."""
    names = learned.chosen if learned is not None else ()
    table = data.table
    for name in names:
        column = features.column(name)
        if name in table.column_names:
            table = table.set_column(table.column_names.index(name), name, column)
        else:
            table = table.append_column(name, column)
    added = tuple(dict.fromkeys((*data.columns.features, *names)))
    return replace(data, table=table, columns=replace(data.columns, features=added))


def parse_moment(given: datetime | date | str) -> datetime:
    """Return a moment as people write it.

    Raises
    ------
    ConfigError
    """
    if isinstance(given, str):
        try:
            return datetime.fromisoformat(given)
        except ValueError as error:
            raise ConfigError(
                f"last_timestamp: {given!r} is no moment", hint="as 2014-03-31T12:00"
            ) from error
    if isinstance(given, datetime):
        return given
    if isinstance(given, date):
        return datetime.combine(given, time.min)
    raise ConfigError(f"last_timestamp: expected a moment, got {type(given).__name__}")


def first_month_after(since: datetime) -> Month:
    """Return the earliest month that may hold rows after it: a file may be in another zone."""
    day = since.date()
    before = day - timedelta(days=1) if day > date.min else day
    return Month(before.year, before.month)
