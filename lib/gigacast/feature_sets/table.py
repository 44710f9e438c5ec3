"""Features of rows in memory, for contexts, notebooks and the loader.

They are exactly the features that `feature_sets.build` publishes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from gigacast.core.array import DoubleArray
from gigacast.core.dataset.predicate import Predicate
from gigacast.errors import ConfigError
from gigacast.feature_sets.kernel.compute import compute_features
from gigacast.feature_sets.kernel.frame import column_values
from gigacast.feature_sets.kernel.recipe import Recipe
from gigacast.feature_sets.source import (
    FeatureColumns,
    FeatureSource,
    named_items,
    settle_columns,
)
from gigacast.feature_sets.stage import Learned, apply_learned, learn, trained_on
from gigacast.feature_sets.training import moment_text, training_end

_NO_LIMIT = 1 << 62


@dataclass(frozen=True)
class TableRows:
    """A table with the methods of `Rows`."""

    data: pa.Table
    where: str = "the data"

    @property
    def schema(self) -> pa.Schema:
        """Schema of the rows."""
        return self.data.schema

    def read(
        self,
        columns: Sequence[str] | None = None,
        predicate: Predicate | None = None,
        *,
        batch_rows: int = 65_536,
    ) -> Iterator[pa.RecordBatch]:
        """Yield the matching rows in batches."""
        yield from self.table(columns, predicate).to_batches(max_chunksize=batch_rows)

    def table(
        self, columns: Sequence[str] | None = None, predicate: Predicate | None = None
    ) -> pa.Table:
        """Return the matching rows."""
        rows = self.data if predicate is None else self.data.filter(predicate.mask(self.data))
        return rows if columns is None else rows.select(list(columns))


@dataclass(frozen=True)
class _TableFeatures:
    """Features in memory, with the method of `Computed`."""

    table: pa.Table

    def values(self, name: str) -> DoubleArray:
        """Return a column, float64 [R]."""
        return column_values(self.table, name)


class FeatureProcessor:
    """Computes the features of a recipe: learns from training rows, and applies it to later rows.

    Parameters
    ----------
    recipe : Recipe
    time_column, item_column : str, optional
        Columns of times and items; recognised by default.
    item_columns : sequence of str
        Columns that identify an item together, in place of ``item_column``; none by default.
    bars_per_day : int, optional
        Rows of a trading day; the recipe's by default, or 1 for daily rows.
    learned : Learned, optional
        Selection and scaler learned before; see `read_feature_set`.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        time_column: str | None = None,
        item_column: str | None = None,
        item_columns: Sequence[str] = (),
        bars_per_day: int | None = None,
        learned: Learned | None = None,
    ) -> None:
        self.recipe = recipe
        self.learned = learned
        self._columns = (time_column, named_items(item_column, item_columns))
        self._bars_per_day = bars_per_day

    def process_training_features(self, table: pa.Table) -> pa.Table:
        """Return the features of rows; scales and ranks are learned from their training part.

        Raises
        ------
        ConfigError, SchemaError
        """
        source, columns = self._open(table)
        rows, recipe = TableRows(table), self.recipe
        until = training_end(rows, columns.time, recipe) if recipe.learns else None
        features = self._compute(table, source, until)
        self.learned = Learned(self.recipe.names)
        if until is not None:
            training = trained_on(features.column(columns.time), until)
            text = moment_text(table.schema.field(columns.time).type, until)
            self.learned = learn(_TableFeatures(features), self.recipe, training, text)
        return apply_learned(features, self.recipe, self.learned)

    def process_prediction_features(self, table: pa.Table) -> pa.Table:
        """Return the features of other rows, selected and scaled as in training.

        Raises
        ------
        ConfigError
            If the recipe scales or selects and nothing was learned before.
        SchemaError
        """
        learned = self.learned
        if learned is None and self.recipe.learns:
            raise ConfigError(
                f"the recipe {self.recipe.name!r} scales or selects, and is not trained yet",
                hint="call process_training_features, or take a published set: read_feature_set",
            )
        source, _ = self._open(table)
        features = self._compute(table, source, None)
        return apply_learned(features, self.recipe, learned or Learned(self.recipe.names))

    def _open(self, table: pa.Table) -> tuple[FeatureSource, FeatureColumns]:
        rows = TableRows(table)
        columns = settle_columns(rows, self.recipe, *self._columns)
        # The rows are in memory already, so no limit applies.
        return FeatureSource(rows, self.recipe, columns, _NO_LIMIT), columns

    def _compute(self, table: pa.Table, source: FeatureSource, until: int | None) -> pa.Table:
        return compute_features(table, self.recipe, source.setting(self._bars_per_day), until)
