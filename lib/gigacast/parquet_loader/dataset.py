"""What `ParquetDataLoader` hands out: rows in the order of time, and what was done to get them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import FloatArray, TimeArray
from gigacast.core.column import to_numpy
from gigacast.core.time.frequency import Frequency
from gigacast.errors import SchemaError
from gigacast.forecasting.history import pad_contexts, read_contexts
from gigacast.parquet_loader.discovery import ParquetFileInfo
from gigacast.series.source import ColumnNames, ReadOptions, SeriesSource


@dataclass(frozen=True, slots=True)
class LoadColumns:
    """Which columns are loaded, and what they are.

    Parameters
    ----------
    timestamp : str
    item_id : str, optional
        Absent in files of one symbol.
    targets, features : tuple of str
    timestamps : tuple of str
        Features that hold times.
    """

    timestamp: str
    item_id: str | None
    targets: tuple[str, ...]
    features: tuple[str, ...] = ()
    timestamps: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """All of them, each once, in the order they are given out."""
        first = (self.item_id,) if self.item_id is not None else ()
        return tuple(dict.fromkeys((*first, self.timestamp, *self.targets, *self.features)))


@dataclass(slots=True)
class LoadStats:
    """What loading came to.

    Parameters
    ----------
    files : int
        Opened.
    rows : int
        Handed out.
    null_timestamps : int
        Rows dropped because their time is missing or cannot be read.
    outliers : mapping of str to int
        Values beyond the threshold, by target, where that was asked for.
    row_groups, row_groups_skipped : int
    cache_hits, cache_misses : int
    seconds : float
    """

    files: int = 0
    rows: int = 0
    null_timestamps: int = 0
    outliers: dict[str, int] = field(default_factory=dict)
    row_groups: int = 0
    row_groups_skipped: int = 0
    cache_hits: int = 0
    cache_misses: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class LoadedDataset:
    """Rows of one symbol, or of a panel, by item and time.

    Parameters
    ----------
    table : pyarrow.Table
        The time column holds timestamps of microseconds, whatever the files had.
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
        """The time of each row, datetime64[us] [R]; of a zone, in UTC."""
        return times_of(self.table, self.columns.timestamp)

    def to_pandas(self) -> Any:
        """Return the rows as a `pandas.DataFrame`."""
        return self.table.to_pandas()

    def contexts(
        self, context_length: int | None = None, freq: Frequency | str | None = None
    ) -> FloatArray:
        """Return the targets as models take them, read by the forecasting job's readers.

        Parameters
        ----------
        context_length : int, optional
            At most so many of the last steps; as many as there are rows when absent.
        freq : str, optional
            Inferred when absent.

        Returns
        -------
        float32 [T] or [N, T]
            One series, or N (by item and target) left-padded with NaN.
        """
        options = self.read_options(context_length, freq)
        found = [values for batch in read_contexts([self.source()], options) for values in batch]
        return found[0] if len(found) == 1 else pad_contexts(found)

    def source(self) -> SeriesSource:
        """Return the rows as the forecasting job's readers take them."""
        return SeriesSource.of_table(self.table, name=self.symbol)

    def read_options(
        self, context_length: int | None = None, freq: Frequency | str | None = None
    ) -> ReadOptions:
        """Return how those readers read the rows."""
        own = self.columns
        return ReadOptions(
            columns=ColumnNames(own.item_id, own.timestamp, own.targets),
            context_length=context_length or max(1, len(self)),
            freq=Frequency.parse(freq) if isinstance(freq, str) else freq,
            item_id=self.symbol,
        )


@dataclass(frozen=True)
class TrainingDataset(LoadedDataset):
    """Rows to learn from."""


@dataclass(frozen=True)
class PredictionDataset(LoadedDataset):
    """The last rows that are known.

    Parameters
    ----------
    context_length : int, optional
        As asked for.
    fell_back : bool
        Whether the month asked for had no file, and an earlier one was read.
    """

    context_length: int | None = None
    fell_back: bool = False


@dataclass(frozen=True)
class IncrementalDataset(LoadedDataset):
    """Rows after a moment; none when nothing is newer.

    Parameters
    ----------
    since : datetime, optional
        The moment.
    """

    since: datetime | None = None

    @property
    def last_timestamp(self) -> datetime | None:
        """The moment to ask from the next time."""
        newest = pc.max(self.table.column(self.columns.timestamp)).as_py()
        found: datetime | None = newest if newest is not None else self.since
        return found


def times_of(table: pa.Table, column: str) -> TimeArray:
    """Return a normalised time column as datetime64[us] [R]."""
    kind = table.schema.field(column).type
    numbers = table.column(column).cast(pa.int64()) if pa.types.is_timestamp(kind) else None
    if numbers is None:
        raise SchemaError(f"column {column!r} counts steps and holds no times")
    found: TimeArray = to_numpy(numbers).view("M8[us]")
    return found
