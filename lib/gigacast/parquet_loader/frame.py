"""Checks and conversions of a loader for frames and tables that somebody else has read.

Each takes a frame of any library, a table or loaded rows, and returns the same kind.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from gigacast.core.column import is_number
from gigacast.core.plural import counted
from gigacast.errors import DataError
from gigacast.parquet_loader.check import (
    LoadQuality,
    QualityLimits,
    measure_quality,
    outlier_issues,
)
from gigacast.parquet_loader.column import (
    ColumnChoice,
    Normaliser,
    check_columns,
    settle_columns,
)
from gigacast.parquet_loader.dataset import LoadedDataset, LoadStats
from gigacast.parquet_loader.process import Processing, find_outliers, process_rows, with_types
from gigacast.parquet_loader.rows import sort_rows
from gigacast.series.frame import give_back, table_of, to_pandas

_NAME = "data"
_OUTLIERS = Processing(outliers="iqr")


def rows_of(data: Any, choice: ColumnChoice) -> LoadedDataset:
    """Return a frame as loaded rows, in the order of item and time.

    Columns are recognised as those of files are; numbers that are no target are features.

    Raises
    ------
    ConfigError, SchemaError
    """
    if isinstance(data, LoadedDataset):
        return data
    table = table_of(data)
    columns = settle_columns(table.schema, choice, _NAME)
    roles = {*columns.all}
    more = [f.name for f in table.schema if f.name not in roles and is_number(f.type)]
    columns = replace(columns, features=(*columns.features, *more))
    normaliser = Normaliser(columns, choice.unit)
    normaliser.settle(table)
    rows, dropped = normaliser.apply(table, _NAME)
    stats = LoadStats(rows=rows.num_rows, null_timestamps=dropped)
    return LoadedDataset(sort_rows(rows, columns), columns, _NAME, stats=stats)


def like(table: pa.Table, data: Any) -> Any:
    """Return rows in the kind of the data that they were made of."""
    if isinstance(data, LoadedDataset):
        return replace(data, table=table)
    # Without pandas' metadata, which names the types and the index of the data before.
    return give_back(table.replace_schema_metadata(None), data, to_pandas)


class TypeConverter:
    """Converts times and types, and fills missing values.

    Parameters
    ----------
    columns : ColumnChoice, optional
        Columns by name; recognised by default.
    """

    def __init__(self, columns: ColumnChoice | None = None) -> None:
        self._choice = columns or ColumnChoice()

    def convert_timestamps(self, data: Any) -> Any:
        """Return rows whose times are timestamps in microseconds; missing if they are unreadable.

        Raises
        ------
        SchemaError
            If there is no column of times.
        """
        table = data.table if isinstance(data, LoadedDataset) else table_of(data)
        columns = settle_columns(table.schema, self._choice, _NAME)
        normaliser = Normaliser(columns, self._choice.unit)
        normaliser.settle(table)
        return like(normaliser.with_times(table, _NAME), data)

    def optimize_dtypes(self, data: Any) -> Any:
        """Return rows with float32, the narrowest integers, and texts as categories."""
        rows = rows_of(data, self._choice)
        table = rows.table if isinstance(data, LoadedDataset) else table_of(data)
        return like(with_types(table, rows.columns, Processing(narrow=True, categories=True)), data)

    def handle_nulls(self, data: Any, strategy: str) -> Any:
        """Return rows in the order of item and time, with missing values filled or dropped.

        Parameters
        ----------
        data : frame, table or LoadedDataset
        strategy : {"forward_fill", "interpolate", "drop"}

        Raises
        ------
        ConfigError
            If the strategy is another.
        """
        processing = Processing(nulls=strategy)  # type: ignore[arg-type]  # checked by itself
        rows = rows_of(data, self._choice)
        return like(process_rows(rows.table, rows.columns, processing, LoadStats()), data)


@dataclass(frozen=True)
class Check:
    """Result of a check.

    Parameters
    ----------
    issues : tuple of str
        What is wrong, in words; empty if nothing is.
    measures : mapping
        Numbers by name, such as the share of missing values by column.
    """

    issues: tuple[str, ...] = ()
    measures: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_valid(self) -> bool:
        """Whether nothing is wrong."""
        return not self.issues


class SchemaValidator:
    """Checks that columns are those that a loader reads.

    Parameters
    ----------
    columns : ColumnChoice, optional
        Expected columns; recognised by default.
    limits : QualityLimits, optional
    processing : Processing, optional
        Its method finds outliers; 3 interquartile ranges by default.
    """

    def __init__(
        self,
        columns: ColumnChoice | None = None,
        limits: QualityLimits | None = None,
        processing: Processing | None = None,
    ) -> None:
        self._choice = columns or ColumnChoice()
        self._limits = limits or QualityLimits()
        self._processing = processing or _OUTLIERS

    def validate_schema(self, schema: pa.Schema) -> Check:
        """Return whether a schema has the expected columns, in types that can be read."""
        try:
            check_columns(schema, settle_columns(schema, self._choice, "the schema"), "the schema")
        except DataError as error:
            return Check((str(error),))
        return Check()

    def validate_data_quality(self, data: Any) -> LoadQuality:
        """Return the quality of rows; see `ParquetDataLoader.validate_data_quality`."""
        return measure_quality(rows_of(data, self._choice), self._limits, self._processing)


class DataQualityValidator(SchemaValidator):
    """Checks of rows, one by one."""

    def check_missing_values(self, data: Any) -> Check:
        """Return the share of missing values by column, and the columns over the limit."""
        missing, limit = self.validate_data_quality(data).missing, self._limits.missing
        over = [
            f"{share:.1%} of {name} is missing" for name, share in missing.items() if share > limit
        ]
        return Check(tuple(over), missing)

    def check_temporal_consistency(self, data: Any) -> Check:
        """Return the numbers of repeated times, of steps without a row and of unordered rows."""
        rows = rows_of(data, self._choice)
        quality = measure_quality(rows, self._limits, Processing())
        table = rows.table if isinstance(data, LoadedDataset) else table_of(data)
        unordered = self._unordered(table, rows)
        issues = []
        if quality.duplicates > self._limits.duplicates * len(rows):
            issues.append(counted(quality.duplicates, "repeated row"))
        if quality.gaps > self._limits.gaps * (len(rows) + quality.gaps):
            issues.append(f"{counted(quality.gaps, 'step')} without a row")
        if unordered:
            issues.append(f"{counted(unordered, 'row')} earlier than the row before")
        if rows.stats.null_timestamps:
            issues.append(f"{counted(rows.stats.null_timestamps, 'row')} without a readable time")
        measures = {
            "duplicates": quality.duplicates,
            "gaps": quality.gaps,
            "unordered": unordered,
            "without_time": rows.stats.null_timestamps,
        }
        return Check(tuple(issues), measures)

    def _unordered(self, table: pa.Table, rows: LoadedDataset) -> int:
        """Count the rows of an item that are earlier than the row before them in the data."""
        normaliser = Normaliser(rows.columns, self._choice.unit)
        normaliser.settle(table)
        plain, _ = normaliser.apply(table, _NAME)
        marked = plain.append_column("__place__", pa.array(np.arange(plain.num_rows)))
        # In the order of items alone, each in the order of the data.
        keys = [(name, "ascending") for name in (*rows.columns.ids, "__place__")]
        ordered = marked.sort_by(keys)
        times = ordered.column(rows.columns.timestamp).cast(pa.int64()).to_numpy()
        same = np.ones(max(0, len(times) - 1), np.bool_)
        for name in rows.columns.ids:
            ids = ordered.column(name).to_numpy()
            same &= ids[1:] == ids[:-1]
        return int(np.count_nonzero((times[1:] < times[:-1]) & same))

    def check_outliers(self, data: Any) -> Check:
        """Return the number of outliers by target, and the targets over the limit."""
        rows = rows_of(data, self._choice)
        outliers = find_outliers(rows.table, rows.columns, self._processing)
        quality = measure_quality(rows, self._limits)
        filled = {name: round(len(rows) * (1 - quality.missing[name])) for name in outliers}
        return Check(tuple(outlier_issues(outliers, filled, self._limits)), outliers)

    def check_schema_compliance(self, data: Any) -> Check:
        """Return whether the columns of rows are the expected ones."""
        table = data.table if isinstance(data, LoadedDataset) else table_of(data)
        return self.validate_schema(table.schema)
