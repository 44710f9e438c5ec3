"""The data sets of `ParquetDataLoader`: rows in the order of time, and statistics of loading."""

from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import RealArray, TimeArray
from gigacast.core.column import to_numpy
from gigacast.core.time.frequency import Frequency
from gigacast.errors import ConfigError, SchemaError
from gigacast.forecasting.history import joined_contexts, read_contexts
from gigacast.parquet_loader.discovery import ParquetFileInfo
from gigacast.series.source import (
    Aggregate,
    Aggregation,
    ColumnNames,
    PartialBins,
    ReadOptions,
    SeriesSource,
)


@dataclass(frozen=True, slots=True)
class LoadColumns:
    """Columns that are loaded, by their role.

    Parameters
    ----------
    timestamp : str
    item_id : str, optional
        Column of item ids; ``None`` for files of a single symbol.
    targets, features : tuple of str
    timestamps : tuple of str
        Features that hold times.
    items : tuple of str
        Columns that identify an item together, in place of ``item_id``; none by default.
    """

    timestamp: str
    item_id: str | None
    targets: tuple[str, ...]
    features: tuple[str, ...] = ()
    timestamps: tuple[str, ...] = ()
    items: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """Columns of item ids; none for files of a single symbol."""
        return self.items or ((self.item_id,) if self.item_id is not None else ())

    @property
    def names(self) -> ColumnNames:
        """Names of the columns for the readers of the forecasting job."""
        return ColumnNames(self.item_id, self.timestamp, self.targets, items=self.items)

    @property
    def all(self) -> tuple[str, ...]:
        """All columns, each once: item id, timestamp, targets, features."""
        return tuple(dict.fromkeys((*self.ids, self.timestamp, *self.targets, *self.features)))


@dataclass(slots=True)
class LoadStats:
    """Statistics of loading.

    Parameters
    ----------
    files : int
        Files opened.
    rows : int
        Rows returned.
    null_timestamps : int
        Rows dropped because their time is missing or unreadable.
    outliers : mapping of str to int
        Values beyond the threshold, by target; empty if outliers are not counted.
    row_groups, row_groups_skipped : int
    cache_hits, cache_misses : int
    bytes_read : int
        Bytes fetched from the store.
    memory_bytes : int
        Bytes of the returned rows in memory.
    seconds : float
        Time of loading, from the first request to the processed rows.
    bad_files : mapping of str to str
        Files that could not be read and were left out (`processing.on_bad_file: skip`), with the
        error.
    replaced : mapping of str to str
        Files that could not be read, with the file of a fallback root that was read instead.
    """

    files: int = 0
    rows: int = 0
    null_timestamps: int = 0
    outliers: dict[str, int] = field(default_factory=dict)
    row_groups: int = 0
    row_groups_skipped: int = 0
    cache_hits: int = 0
    cache_misses: int = 0
    bytes_read: int = 0
    memory_bytes: int = 0
    seconds: float = 0.0
    bad_files: dict[str, str] = field(default_factory=dict)
    replaced: dict[str, str] = field(default_factory=dict)

    @property
    def rows_per_second(self) -> float:
        """Rows returned per second of loading."""
        return self.rows / self.seconds if self.seconds else 0.0

    def add(self, stats: "LoadStats") -> None:
        """Add the statistics of another load."""
        for entry in fields(self):
            own, more = getattr(self, entry.name), getattr(stats, entry.name)
            if entry.name == "outliers":
                joined = {n: own.get(n, 0) + more.get(n, 0) for n in (*own, *more)}
            else:
                joined = {**own, **more} if isinstance(own, dict) else own + more
            setattr(self, entry.name, joined)


@dataclass(frozen=True)
class LoadedDataset:
    """Rows of a symbol or of a panel, in the order of item and time.

    Parameters
    ----------
    table : pyarrow.Table
        The rows. Times are timestamps in microseconds, whatever the files hold.
    columns : LoadColumns
    symbol : str
    files : tuple of ParquetFileInfo
    stats : LoadStats
    """

    table: pa.Table
    columns: LoadColumns
    symbol: str
    files: tuple[ParquetFileInfo, ...] = ()
    stats: LoadStats = field(default_factory=LoadStats)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def times(self) -> TimeArray:
        """Time of each row, datetime64[us] [R]; in UTC if the column has a zone."""
        return times_of(self.table, self.columns.timestamp)

    def to_pandas(self) -> Any:
        """Return the rows as a `pandas.DataFrame`."""
        return self.table.to_pandas()

    def contexts(
        self,
        context_length: int | None = None,
        freq: Frequency | str | None = None,
        aggregate: Aggregate | None = None,
        partial_bins: PartialBins = "drop",
    ) -> RealArray:
        """Return the targets as contexts of a model, regularised as the forecasting job does it.

        Parameters
        ----------
        context_length : int, optional
            Maximum number of steps, the latest ones; the number of rows by default.
        freq : str, optional
            Frequency of the steps; inferred by default.
        aggregate : str, optional
            Value of the calendar bins of ``freq``, as ``sum`` or ``mean``, made of finer rows; they
            are refused by default.
        partial_bins : {"drop", "keep"}
            Treatment of the first and last bin that the rows do not cover.

        Returns
        -------
        float32 [T] or [N, T]
            A single series, or N series (by item and target), left-padded with NaN. They are
            float64 if float32 would lose steps.
        """
        options = self.read_options(context_length, freq)
        if aggregate is not None:
            options = replace(options, aggregation=Aggregation(aggregate, partial_bins))
        # A single series keeps its plain form [T], as models take it.
        return joined_contexts(read_contexts([self.source()], options))

    def source(self) -> SeriesSource:
        """Return the rows as a source for the readers of the forecasting job."""
        return SeriesSource.of_table(self.table, name=self.symbol)

    def read_options(
        self, context_length: int | None = None, freq: Frequency | str | None = None
    ) -> ReadOptions:
        """Return the options with which the readers of the forecasting job read the rows."""
        return ReadOptions(
            columns=self.columns.names,
            context_length=context_length or max(1, len(self)),
            freq=Frequency.parse(freq) if isinstance(freq, str) else freq,
            item_id=self.symbol,
        )


@dataclass(frozen=True, init=False)
class TrainingDataset(LoadedDataset):
    """Rows for training, and those for validation if they were split off.

    Parameters
    ----------
    train : LoadedDataset, optional
        Rows whose table, columns, symbol, files and statistics are taken; the fields of
        `LoadedDataset` by name otherwise.
    validation : LoadedDataset, optional
        Later rows, as of `create_splits`; none by default.
    """

    validation: LoadedDataset | None = None

    def __init__(
        self,
        train: LoadedDataset | None = None,
        validation: LoadedDataset | None = None,
        **entries: Any,
    ) -> None:
        super().__init__(**_entries_of(train, entries))
        object.__setattr__(self, "validation", validation)

    @property
    def train(self) -> "TrainingDataset":
        """The rows for training alone."""
        return replace(self, validation=None)


@dataclass(frozen=True, init=False)
class PredictionDataset(LoadedDataset):
    """The last rows of a symbol: the context of a forecast.

    Parameters
    ----------
    context : LoadedDataset, optional
        Rows whose fields are taken; the fields of `LoadedDataset` by name otherwise.
    context_length : int, optional
        Number of rows requested for each item; all by default.
    fell_back : bool
        Whether an earlier month was read because the requested month has no file.
    earlier : pyarrow.Table, optional
        Rows before the context that the features of the recipe look back to; they are no part of
        the context. None by default.
    """

    context_length: int | None = None
    fell_back: bool = False
    earlier: pa.Table | None = field(default=None, repr=False)

    def __init__(
        self,
        context: LoadedDataset | None = None,
        *,
        context_length: int | None = None,
        fell_back: bool = False,
        earlier: pa.Table | None = None,
        **entries: Any,
    ) -> None:
        super().__init__(**_entries_of(context, entries))
        length = context_length or getattr(context, "context_length", None)
        object.__setattr__(self, "context_length", length)
        object.__setattr__(self, "fell_back", fell_back or getattr(context, "fell_back", False))
        if earlier is None:
            earlier = getattr(context, "earlier", None)
        object.__setattr__(self, "earlier", earlier)


def _entries_of(rows: LoadedDataset | None, entries: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of `LoadedDataset`: those of rows, and those given by name."""
    if rows is None:
        return entries
    if not isinstance(rows, LoadedDataset):
        raise ConfigError(
            f"expected rows of ParquetDataLoader, got {type(rows).__name__}",
            hint="as load_training_data and load_prediction_data return them",
        )
    return {entry.name: getattr(rows, entry.name) for entry in fields(LoadedDataset)} | entries


@dataclass(frozen=True)
class IncrementalDataset(LoadedDataset):
    """Rows after a moment; empty if the files have none.

    Parameters
    ----------
    since : datetime, optional
        The moment.
    """

    since: datetime | None = None

    @property
    def last_timestamp(self) -> datetime | None:
        """The latest time of the rows, or ``since`` without rows: the start of the next load."""
        newest: datetime | None = pc.max(self.table.column(self.columns.timestamp)).as_py()
        return newest if newest is not None else self.since


def times_of(table: pa.Table, column: str) -> TimeArray:
    """Return a normalised time column as datetime64[us] [R]."""
    kind = table.schema.field(column).type
    numbers = table.column(column).cast(pa.int64()) if pa.types.is_timestamp(kind) else None
    if numbers is None:
        raise SchemaError(f"column {column!r} counts steps and holds no times")
    times: TimeArray = to_numpy(numbers).view("M8[us]")
    return times
