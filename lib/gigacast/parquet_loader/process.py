"""Processing of loaded rows: missing values, outliers and types.

Missing values are filled within an item. Nothing changes that the settings do not name.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from gigacast.core.array import DoubleArray, IntArray
from gigacast.core.column import is_number, to_arrow, to_numpy
from gigacast.errors import ConfigError
from gigacast.parquet_loader.dataset import LoadColumns, LoadStats
from gigacast.parquet_loader.rows import item_starts, sort_rows
from gigacast.repair.fill import Missing, Numbered, interpolate, source_values
from gigacast.repair.narrow import narrowest_integer
from gigacast.repair.outlier import iqr_fences, zscore_fences
from gigacast.repair.outlier_forest import Forest, Scale, require_forest, sample_rows, stack
from gigacast.series.value import doubles

FOREST_LIMIT = 0.7
"""Score of an isolation forest above which a value is an outlier, as in `gigacast data clean`."""
_SCORED_ROWS = 1 << 16  # scored at a time, which bounds the memory of the forest
_OWN = "__own__"


@dataclass(frozen=True, slots=True)
class Processing:
    """Processing of rows; none by default.

    Parameters
    ----------
    nulls : {"forward_fill", "interpolate", "drop"}, optional
        Treatment of missing values: ``forward_fill`` repeats the item's last value, ``interpolate``
        draws a line over time between two values (it looks ahead), ``drop`` removes rows that lack
        a value for some target. Missing values stay by default.
    outliers : {"iqr", "zscore", "isolation_forest"}, optional
        Method that finds outliers of the targets. They are counted and do not change.
    threshold : float
        Number of interquartile ranges beyond the quartiles, or of standard deviations from the
        mean; for an isolation forest the score, `FOREST_LIMIT` unless it is between 0 and 1.
    narrow : bool
        Whether float64 columns become float32, and integers the narrowest type of their values.
    categories : bool
        Whether text columns become dictionaries of their distinct values.
    """

    nulls: Literal["forward_fill", "interpolate", "drop"] | None = None
    outliers: Literal["iqr", "zscore", "isolation_forest"] | None = None
    threshold: float = 3.0
    narrow: bool = False
    categories: bool = False

    def __post_init__(self) -> None:
        if self.nulls not in {None, "forward_fill", "interpolate", "drop"}:
            raise ConfigError(
                f"{self.nulls!r} is no treatment of missing values",
                hint="one of forward_fill, interpolate, drop",
            )
        if self.outliers == "isolation_forest":
            require_forest()  # a missing library fails at once, not after an hour of loading

    @property
    def fills(self) -> bool:
        """Whether missing values are filled from other rows."""
        return self.nulls in {"forward_fill", "interpolate"}


@dataclass(frozen=True)
class Surroundings:
    """Rows around those of a chunk, from which its missing values are filled; none by default."""

    before: pa.Table | None = None
    after: pa.Table | None = None

    def tables(self) -> list[pa.Table]:
        """Return the rows before and after."""
        return [table for table in (self.before, self.after) if table is not None]


def process_rows(
    table: pa.Table,
    columns: LoadColumns,
    processing: Processing,
    stats: LoadStats,
    around: Surroundings | None = None,
) -> pa.Table:
    """Return processed rows, and count outliers in the statistics.

    Parameters
    ----------
    table : pyarrow.Table
        Rows in the order of item and time.
    columns : LoadColumns
    processing : Processing
    stats : LoadStats
        Statistics that get the number of outliers by target.
    around : Surroundings, optional
        Rows of a longer load of which these are a part; these are all rows by default.
    """
    for name, outliers in find_outliers(table, columns, processing).items():
        stats.outliers[name] = stats.outliers.get(name, 0) + outliers
    if processing.nulls == "drop":
        table = table.filter(_complete_rows(table, columns.targets))
    elif processing.nulls is not None and table.num_rows:
        edges = around.tables() if around is not None else []
        table = _fill_among(table, edges, columns, processing.nulls)
    # The integers of later chunks are unknown, so those of a chunk keep their type.
    return with_types(table, columns, processing, integers=around is None)


def find_outliers(table: pa.Table, columns: LoadColumns, processing: Processing) -> dict[str, int]:
    """Return the number of outliers by target; empty if the settings count none."""
    if processing.outliers is None:
        return {}
    return {
        name: _count_outliers(doubles(table.column(name)), processing) for name in columns.targets
    }


def _count_outliers(values: DoubleArray, processing: Processing) -> int:
    """Count the values beyond the fences of the whole column, whatever their item."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 0
    offsets = np.array([0, len(finite)])
    if processing.outliers == "isolation_forest":
        return _count_isolated(finite, offsets, processing.threshold)
    if processing.outliers == "iqr":
        fences = iqr_fences(finite, offsets, processing.threshold, judge_flat=True)
    else:
        fences = zscore_fences(finite, offsets, processing.threshold)
    return int(np.count_nonzero(fences.beyond(finite, None)))


def _count_isolated(values: DoubleArray, offsets: IntArray, threshold: float) -> int:
    rows = stack([Scale.of(values, offsets).apply(values, None)])
    # Thresholds of the other methods, such as 3 ranges, are no scores.
    limit = threshold if 0 < threshold < 1 else FOREST_LIMIT
    forest = Forest(rows[sample_rows(len(rows))], limit)
    return sum(
        int(np.count_nonzero(forest.find(rows[start : start + _SCORED_ROWS])))
        for start in range(0, len(rows), _SCORED_ROWS)
    )


def _complete_rows(table: pa.Table, names: tuple[str, ...]) -> pa.Array:
    complete = np.ones(table.num_rows, dtype=np.bool_)
    for name in names:
        complete &= ~np.isnan(doubles(table.column(name)))
    return to_arrow(complete)


def _fill_among(
    table: pa.Table, edges: list[pa.Table], columns: LoadColumns, policy: str
) -> pa.Table:
    """Fill the missing values of rows, also from the known values of other rows."""
    if not edges:
        return _fill(table, columns, policy)
    parts = [*edges, table]
    own = [np.full(len(part), part is table) for part in parts]
    joined = pa.concat_tables(parts, promote_options="permissive")
    joined = joined.append_column(_OWN, to_arrow(np.concatenate(own)))
    filled = _fill(sort_rows(joined, columns), columns, policy)
    return filled.filter(filled.column(_OWN)).drop_columns([_OWN])


def edge_rows(table: pa.Table, columns: LoadColumns, *, first: bool) -> pa.Table:
    """Return the rows with the first or last known value of each column of each item.

    Parameters
    ----------
    table : pyarrow.Table
        Rows in the order of item and time.
    columns : LoadColumns
    first : bool
        Whether the first values are sought; the last ones otherwise.
    """
    if not table.num_rows:
        return table
    starts = item_starts(table, columns)
    rows = np.arange(table.num_rows)
    chosen = np.zeros(table.num_rows, np.bool_)
    for field in table.schema:
        if field.name in {columns.timestamp, *columns.ids} or not is_number(field.type):
            continue
        present = ~np.isnan(doubles(table.column(field.name)))
        if first:
            edges = np.minimum.reduceat(np.where(present, rows, len(rows)), starts)
        else:
            edges = np.maximum.reduceat(np.where(present, rows, -1), starts)
        chosen[edges[(edges >= 0) & (edges < len(rows))]] = True
    return table.filter(to_arrow(chosen))


def _fill(table: pa.Table, columns: LoadColumns, policy: str) -> pa.Table:
    """Fill the missing values of all number columns from the same item's known values."""
    starts = item_starts(table, columns)
    times = to_numpy(table.column(columns.timestamp).cast(pa.int64()))
    for place, field in enumerate(table.schema):
        if field.name in {columns.timestamp, *columns.ids} or not is_number(field.type):
            continue
        values = doubles(table.column(place))
        # Unlike cleaning, loading keeps infinities: only NaN and nulls are missing.
        present = ~np.isnan(values)
        if present.all():
            continue
        filled = _fill_column(Numbered(values, present), times, starts, policy).values
        # Integers become floats: what is interpolated, or still missing, fits no integer.
        kind = field.type if pa.types.is_floating(field.type) else pa.float64()
        filled_column = to_arrow(filled, np.isnan(filled)).cast(kind)
        table = table.set_column(place, pa.field(field.name, kind), filled_column)
    return table


def _fill_column(column: Numbered, times: IntArray, starts: IntArray, policy: str) -> Numbered:
    assert column.known is not None  # noqa: S101 - the caller checked
    missing = Missing(column.known, times, starts)
    before = missing.before()
    if policy == "forward_fill":
        chosen = before.available
        return column.placed(missing.rows[chosen], source_values(column, before, chosen))
    # Nothing is extrapolated before the first known value of an item or after its last.
    after = missing.after()
    chosen = before.available & after.available
    between = interpolate(column, times, missing, (before, after), chosen)
    return column.placed(missing.rows[chosen], between)


def with_types(
    table: pa.Table, columns: LoadColumns, processing: Processing, *, integers: bool = True
) -> pa.Table:
    """Return rows in the types that take less memory, as far as the settings ask for it."""
    fields: list[Any] = []
    for place, field in enumerate(table.schema):
        kind = field.type
        is_key = field.name in {columns.timestamp, *columns.ids}
        if processing.narrow and pa.types.is_float64(kind):
            kind = pa.float32()
        elif processing.narrow and integers and pa.types.is_integer(kind) and not is_key:
            kind = narrowest_integer(table.column(place))
        if processing.categories and (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            kind = pa.dictionary(pa.int32(), kind)
        fields.append(field.with_type(kind))
    return table.cast(pa.schema(fields)) if fields != list(table.schema) else table
