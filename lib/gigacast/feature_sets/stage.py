"""Features on this machine's disk, before they are published: scales and ranks look at them here.

One column is in memory at a time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gigacast.core.array import BoolArray, DoubleArray, IntArray
from gigacast.core.column import to_numpy
from gigacast.errors import ConfigError
from gigacast.feature_sets.kernel.compute import LABEL
from gigacast.feature_sets.kernel.frame import column_values, value_column
from gigacast.feature_sets.kernel.ranking import Rank, rank_features, select_features
from gigacast.feature_sets.kernel.recipe import Recipe
from gigacast.feature_sets.kernel.scaling import Scaler

MOST_RANKED_ROWS = 1 << 20
"""More say no more of a rank, and take memory and time."""


class StagedFeatures:
    """Features in one local file.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pq.ParquetWriter | None = None

    def write(self, features: pa.Table) -> None:
        """Add rows."""
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, features.schema, compression="none")
        self._writer.write_table(features)

    def close(self) -> None:
        """Finish the file; it can be read then."""
        if self._writer is not None:
            self._writer.close()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Iterate over all rows."""
        with pq.ParquetFile(self._path) as file:
            yield from file.iter_batches(use_threads=False)

    def values(self, name: str) -> DoubleArray:
        """Return one column, [R]."""
        return column_values(pq.read_table(self._path, columns=[name], use_threads=False), name)

    def trained_on(self, time_column: str, until: int) -> BoolArray:
        """Return which rows are of the training part, [R]."""
        return trained_on(pq.read_table(self._path, columns=[time_column]).column(0), until)


def trained_on(times: pa.ChunkedArray, until: int) -> BoolArray:
    """Return which rows are of the training part, [R]."""
    if pa.types.is_date(times.type):
        times = times.cast(pa.timestamp("us"))
    found: BoolArray = to_numpy(times.cast(pa.int64())) <= until
    return found


class Computed(Protocol):
    """Features that were computed, a column at a time."""

    def values(self, name: str) -> DoubleArray:
        """Return one column, [R]."""
        ...


class _Columns(Mapping[str, DoubleArray]):
    """Some staged columns, read when they are looked at; of some rows only."""

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
    """What was learned from the training part.

    Parameters
    ----------
    chosen : tuple of str
        The features that are given out.
    ranks : tuple of Rank
        Of all of them, best first; none where nothing was to be selected.
    scaler : Scaler, optional
    """

    chosen: tuple[str, ...]
    ranks: tuple[Rank, ...] = ()
    scaler: Scaler | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        ranking = [
            {"name": r.name, "score": r.score, "rows": r.rows, "chosen": r.name in self.chosen}
            for r in self.ranks
        ]
        scaler = None if self.scaler is None else self.scaler.to_dict()
        return {"features": list(self.chosen), "ranking": ranking, "scaler": scaler}


def learn(staged: Computed, recipe: Recipe, training: BoolArray, until: str) -> Learned:
    """Rank, select and fit scales as a recipe says, on the training part alone.

    Raises
    ------
    ConfigError
        When no feature says anything of the target, or one has no value in the training part.
    """
    chosen, ranks = recipe.names, tuple[Rank, ...]()
    if recipe.select is not None:
        rule = recipe.select
        label = staged.values(LABEL)
        rows = _ranked_rows(training & ~np.isnan(label))
        columns = _Columns(staged, recipe.names, rows)
        ranks = tuple(rank_features(columns, label[rows], rule.measure))
        best = select_features(columns, list(ranks), rule.count, rule.most_alike)
        chosen = tuple(name for name in recipe.names if name in best)
        if not chosen:
            raise ConfigError(
                f"no feature of {recipe.name} says anything of {rule.target} on "
                f"{len(rows):,} rows up to {until}",
                hint="train on more, or choose another target or measure",
            )
    scaler = None
    if recipe.scale is not None:
        wanted = [name for name in recipe.scale.columns or chosen if name in chosen]
        scaled = _Columns(staged, wanted)
        scaler = Scaler.fit(scaled, training, recipe.scale.method, until)  # type: ignore[arg-type]
    return Learned(chosen, ranks, scaler)


def _ranked_rows(training: BoolArray) -> IntArray:
    """Return the rows that are ranked on: of very many, evenly spread ones."""
    rows = np.flatnonzero(training)
    return rows[:: max(1, -(-len(rows) // MOST_RANKED_ROWS))]


def apply_learned(table: pa.Table, recipe: Recipe, learned: Learned) -> pa.Table:
    """Return features as they are published: the chosen ones, scaled."""
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
