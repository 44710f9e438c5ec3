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
from gigacast.parquet_loader.rows import item_starts
from gigacast.repair.fill import Missing, Numbered, interpolate, source_values
from gigacast.repair.outlier import iqr_fences, zscore_fences
from gigacast.series.value import doubles


@dataclass(frozen=True, slots=True)
class Processing:
    """Processing of rows; none by default.

    Parameters
    ----------
    nulls : {"forward_fill", "interpolate", "drop"}, optional
        Treatment of missing values: ``forward_fill`` repeats the item's last value, ``interpolate``
        draws a line over time between two values (it looks ahead), ``drop`` removes rows that lack
        a value for some target. Missing values stay by default.
    outliers : {"iqr", "zscore"}, optional
        Method that finds outliers of the targets. They are counted and do not change.
    threshold : float
        Number of interquartile ranges beyond the quartiles, or of standard deviations from the
        mean.
    narrow : bool
        Whether float64 columns become float32.
    categories : bool
        Whether text columns become dictionaries of their distinct values.
    """

    nulls: Literal["forward_fill", "interpolate", "drop"] | None = None
    outliers: Literal["iqr", "zscore"] | None = None
    threshold: float = 3.0
    narrow: bool = False
    categories: bool = False

    def __post_init__(self) -> None:
        if self.outliers not in {None, "iqr", "zscore"}:
            raise ConfigError(
                f"processing.outlier_method: {self.outliers} is not counted while loading",
                hint="use iqr or zscore; `gigacast data quality` has isolation forests",
            )


def process_rows(
    table: pa.Table, columns: LoadColumns, processing: Processing, stats: LoadStats
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
    """
    if processing.outliers is not None:
        for name in columns.targets:
            outliers = _count_outliers(doubles(table.column(name)), processing)
            stats.outliers[name] = stats.outliers.get(name, 0) + outliers
    if processing.nulls == "drop":
        table = table.filter(_complete_rows(table, columns.targets))
    elif processing.nulls is not None and table.num_rows:
        table = _fill(table, columns, processing.nulls)
    return _with_types(table, processing)


def _count_outliers(values: DoubleArray, processing: Processing) -> int:
    """Count the values beyond the fences of the whole column, whatever their item."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 0
    offsets = np.array([0, len(finite)])
    if processing.outliers == "iqr":
        fences = iqr_fences(finite, offsets, processing.threshold, judge_flat=True)
    else:
        fences = zscore_fences(finite, offsets, processing.threshold)
    return int(np.count_nonzero(fences.beyond(finite, None)))


def _complete_rows(table: pa.Table, names: tuple[str, ...]) -> pa.Array:
    complete = np.ones(table.num_rows, dtype=np.bool_)
    for name in names:
        complete &= ~np.isnan(doubles(table.column(name)))
    return to_arrow(complete)


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


def _with_types(table: pa.Table, processing: Processing) -> pa.Table:
    fields: list[Any] = []
    for field in table.schema:
        kind = field.type
        if processing.narrow and pa.types.is_float64(kind):
            kind = pa.float32()
        if processing.categories and (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            kind = pa.dictionary(pa.int32(), kind)
        fields.append(field.with_type(kind))
    return table.cast(pa.schema(fields)) if fields != list(table.schema) else table
