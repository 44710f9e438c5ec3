"""Features staged on the local disk, from which ranks and scales are learned before publication.

One column is in memory at a time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from gigacast.core.array import BoolArray, DoubleArray, IntArray
from gigacast.core.column import to_numpy
from gigacast.core.footer import VerifiedParquet
from gigacast.core.plural import counted
from gigacast.errors import ConfigError
from gigacast.feature_sets.kernel.compute import LABEL
from gigacast.feature_sets.kernel.frame import column_values, value_column
from gigacast.feature_sets.kernel.ranking import Rank, rank_features, select_features
from gigacast.feature_sets.kernel.recipe import Recipe
from gigacast.feature_sets.kernel.scaling import Scaler
from gigacast.storage.parquet.writer import ParquetWriter, scratch_writer

MAX_RANKED_ROWS = 1 << 20
"""More rows hardly change a rank, and take memory and time."""


class StagedFeatures:
    """Features in a local file.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: ParquetWriter | None = None

    def write(self, features: pa.Table) -> None:
        """Add rows; all have the schema of the first."""
        if self._writer is None:
            self._writer = scratch_writer(self._path, features.schema)
        self._writer.write(features)

    def close(self) -> None:
        """Finish the file, so that it can be read."""
        if self._writer is not None:
            self._writer.close()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield all rows in batches."""
        with VerifiedParquet(self._path) as file:
            yield from file.iter_batches(use_threads=False)

    def values(self, name: str) -> DoubleArray:
        """Return a column, float64 [R]."""
        return column_values(self._column(name), name)

    def trained_on(self, time_column: str, until: int) -> BoolArray:
        """Return which rows are in the training part, bool [R]."""
        return trained_on(self._column(time_column).column(0), until)

    def _column(self, name: str) -> pa.Table:
        with VerifiedParquet(self._path) as file:
            return file.read(columns=[name], use_threads=False)


def trained_on(times: pa.ChunkedArray, until: int) -> BoolArray:
    """Return which rows are in the training part, bool [R]."""
    # The end of the training part of dates is in microseconds, see `training_end`.
    if pa.types.is_date(times.type):
        times = times.cast(pa.timestamp("us"))
    inside: BoolArray = to_numpy(times.cast(pa.int64())) <= until
    return inside


class Computed(Protocol):
    """Computed features, read a column at a time."""

    def values(self, name: str) -> DoubleArray:
        """Return a column, float64 [R]."""
        ...


class _Columns(Mapping[str, DoubleArray]):
    """Some columns of staged features, each read on access; of some rows or of all."""

    def __init__(
        self, staged: Computed, names: Sequence[str], rows: IntArray | None = None
    ) -> None:
        self._staged = staged
        self._names = tuple(names)
        self._rows = rows

    def __getitem__(self, name: str) -> DoubleArray:
        values = self._staged.values(name)
        return values if self._rows is None else values[self._rows]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@dataclass(frozen=True)
class Learned:
    """The selection, ranks and scaler learned from the training part.

    Parameters
    ----------
    chosen : tuple of str
        Selected features.
    ranks : tuple of Rank
        Ranks of all features, best first; empty if the recipe does not select.
    scaler : Scaler, optional
        Fitted scaler; ``None`` if the recipe does not scale.
    """

    chosen: tuple[str, ...]
    ranks: tuple[Rank, ...] = ()
    scaler: Scaler | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as stored in a manifest."""
        ranking = [
            {"name": r.name, "score": r.score, "rows": r.rows, "chosen": r.name in self.chosen}
            for r in self.ranks
        ]
        scaler = None if self.scaler is None else self.scaler.to_dict()
        return {"features": list(self.chosen), "ranking": ranking, "scaler": scaler}


def learn(staged: Computed, recipe: Recipe, training: BoolArray, until: str) -> Learned:
    """Rank and select features and fit their scales by a recipe, on the training part only.

    Raises
    ------
    ConfigError
        If no feature depends on the target, or a feature has no value in the training part.
    """
    chosen, ranks = recipe.names, tuple[Rank, ...]()
    if recipe.select is not None:
        rule = recipe.select
        # Rows without a target, such as the last ones of the training part, cannot be ranked on.
        label = staged.values(LABEL)
        rows = _ranked_rows(training & ~np.isnan(label))
        columns = _Columns(staged, recipe.names, rows)
        ranks = tuple(rank_features(columns, label[rows], rule.measure))
        best = select_features(columns, list(ranks), rule.count, rule.most_alike)
        chosen = tuple(name for name in recipe.names if name in best)
        if not chosen:
            raise ConfigError(
                f"no feature of {recipe.name} depends on {rule.target} in "
                f"{counted(len(rows), 'row')} up to {until}",
                hint="train on more, or choose another target or measure",
            )
    scaler = None
    if recipe.scale is not None:
        names = [name for name in recipe.scale.columns or chosen if name in chosen]
        scaled = _Columns(staged, names)
        scaler = Scaler.fit(scaled, training, recipe.scale.method, until)  # type: ignore[arg-type]
    return Learned(chosen, ranks, scaler)


def _ranked_rows(training: BoolArray) -> IntArray:
    """Return the rows for ranking: those of the training part, evenly thinned if they are many."""
    rows = np.flatnonzero(training)
    return rows[:: max(1, -(-len(rows) // MAX_RANKED_ROWS))]


def apply_learned(table: pa.Table, recipe: Recipe, learned: Learned) -> pa.Table:
    """Return the selected features, scaled."""
    dropped = {LABEL, *(name for name in recipe.names if name not in learned.chosen)}
    table = table.select([name for name in table.column_names if name not in dropped])
    if learned.scaler is None:
        return table
    for name in learned.scaler.centre:
        if name in table.column_names:
            scaled = learned.scaler.transform({name: column_values(table, name)})[name]
            place = table.column_names.index(name)
            table = table.set_column(place, name, value_column(scaled))
    return table
