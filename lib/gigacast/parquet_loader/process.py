"""What is done to rows as they are loaded: missing values, outliers, types.

Everything is by item, vectorised over rows that are in the order of item and time. Only targets and
numeric features are touched; nothing is done that was not asked for.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import BoolArray, DoubleArray, IntArray
from gigacast.core.column import to_arrow, to_numpy
from gigacast.errors import ConfigError
from gigacast.parquet_loader.dataset import LoadColumns, LoadStats
from gigacast.parquet_loader.rows import item_starts


@dataclass(frozen=True, slots=True)
class Processing:
    """What is asked for; nothing by default.

    Parameters
    ----------
    nulls : {"forward_fill", "interpolate", "drop"}, optional
        ``forward_fill`` takes the item's last value, ``interpolate`` a line over time between two
        values (and so looks ahead), ``drop`` leaves out rows without a value for some target.
    outliers : {"iqr", "zscore"}, optional
        Values beyond the threshold are counted by target, and stay.
    threshold : float
        Interquartile ranges beyond the quartiles, or standard deviations from the mean.
    narrow : bool
        Whether float64 becomes float32.
    categories : bool
        Whether text becomes a dictionary of its distinct values.
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
                hint="use iqr or zscore; `gigacast data quality` grows forests",
            )


def process_rows(
    table: pa.Table, columns: LoadColumns, processing: Processing, stats: LoadStats
) -> pa.Table:
    """Return rows as they were asked for.

    Parameters
    ----------
    table : pyarrow.Table
        By item and time.
    columns : LoadColumns
    processing : Processing
    stats : LoadStats
        Told how many outliers there are.
    """
    if processing.outliers is not None:
        for name in columns.targets:
            found = _count_outliers(_values(table.column(name)), processing)
            stats.outliers[name] = stats.outliers.get(name, 0) + found
    if processing.nulls == "drop":
        table = table.filter(_all_known(table, columns.targets))
    elif processing.nulls is not None and table.num_rows:
        table = _fill(table, columns, processing.nulls)
    return _with_types(table, processing)


def _values(column: pa.ChunkedArray) -> DoubleArray:
    numbers = pc.fill_null(column.cast(pa.float64()), np.nan)
    found: DoubleArray = to_numpy(numbers)
    return found


def _count_outliers(values: DoubleArray, processing: Processing) -> int:
    known = values[np.isfinite(values)]
    if not len(known):
        return 0
    if processing.outliers == "iqr":
        low, high = np.percentile(known, [25, 75])
        reach = processing.threshold * (high - low)
        return int(((known < low - reach) | (known > high + reach)).sum())
    return int((np.abs(known - known.mean()) > processing.threshold * known.std()).sum())


def _all_known(table: pa.Table, names: tuple[str, ...]) -> pa.Array:
    known = np.ones(table.num_rows, dtype=np.bool_)
    for name in names:
        known &= ~np.isnan(_values(table.column(name)))
    return to_arrow(known)


def _fill(table: pa.Table, columns: LoadColumns, how: str) -> pa.Table:
    starts = item_starts(table, columns)
    first = np.repeat(starts, np.diff(np.append(starts, table.num_rows)))
    times = to_numpy(table.column(columns.timestamp).cast(pa.int64())).astype(np.float64)
    for place, field in enumerate(table.schema):
        if field.name in {columns.timestamp, columns.item_id} or not _is_number(field.type):
            continue
        column = table.column(place)
        values = _values(column)
        missing = np.isnan(values)
        if missing.any():
            filler = _forward if how == "forward_fill" else _between
            filled = filler(values, missing, first, times)
            kind = field.type if pa.types.is_floating(field.type) else pa.float64()
            filled_column = to_arrow(filled, np.isnan(filled)).cast(kind)
            table = table.set_column(place, pa.field(field.name, kind), filled_column)
    return table


def _last_known(missing: BoolArray, first: IntArray) -> IntArray:
    """Return the row of the latest value at or before each, -1 where the item has none."""
    rows = np.arange(len(missing))
    last = np.maximum.accumulate(np.where(missing, -1, rows))
    return np.where(last >= first, last, -1)


def _forward(
    values: DoubleArray, missing: BoolArray, first: IntArray, times: DoubleArray
) -> DoubleArray:
    del times
    last = _last_known(missing, first)
    return np.where(last >= 0, values[last], np.nan)


def _between(
    values: DoubleArray, missing: BoolArray, first: IntArray, times: DoubleArray
) -> DoubleArray:
    """Interpolate over time; before the first and after the last value nothing is made up."""
    last = _last_known(missing, first)
    rows = np.arange(len(values))
    following = np.minimum.accumulate(np.where(missing, len(values), rows)[::-1])[::-1]
    inside = (last >= 0) & (following < len(values))
    after = np.where(inside, following, 0)
    inside &= first[after] == first
    before = np.where(inside, last, 0)
    after = np.where(inside, after, 0)
    span = np.where(times[after] > times[before], times[after] - times[before], 1.0)
    share = (times - times[before]) / span
    line = values[before] + share * (values[after] - values[before])
    return np.where(missing, np.where(inside, line, np.nan), values)


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


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
