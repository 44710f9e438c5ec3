"""What is read and how: values only."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from gigacast.core.time.frequency import Frequency
from gigacast.errors import ConfigError

Format = Literal["parquet", "csv", "json", "table"]
TimestampUnit = Literal["s", "ms", "us", "ns", "step"]
ReadPath = Literal["sorted", "sorted_in_memory", "spilled"]

MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """Which columns hold what; ``None`` and ``()`` mean: recognise them.

    Parameters
    ----------
    item_id, timestamp : str, optional
    targets : tuple of str
        Every one becomes a series of its own per item.
    past_covariates, known_covariates : tuple of str
        Known up to the last value of the targets; over the horizon as well. Never recognised.
    """

    item_id: str | None = None
    timestamp: str | None = None
    targets: tuple[str, ...] = ()
    past_covariates: tuple[str, ...] = ()
    known_covariates: tuple[str, ...] = ()

    @property
    def covariates(self) -> tuple[str, ...]:
        """All covariates: the past ones, then the known ones, each in the order of names."""
        return (*sorted(self.past_covariates), *sorted(self.known_covariates))


@dataclass(frozen=True, slots=True)
class SeriesSource:
    """One object, or one table in memory.

    Parameters
    ----------
    open : callable
        Gives a readable binary file (seekable for Parquet) positioned at its start, or for the
        format ``table`` a `pa.Table`. It may be called more than once; the reader closes files.
    format : str
        ``parquet``, ``csv``, ``json`` or ``table``.
    name : str
        For error messages: the key.
    primary : bool
        Whether items with a row here are to be emitted. Others only lend their rows as context.
    """

    open: Callable[[], Any]
    format: Format
    name: str
    primary: bool = True

    @classmethod
    def of_table(
        cls, table: pa.Table, *, name: str = "table", primary: bool = True
    ) -> "SeriesSource":
        """Return a source over a table in memory."""
        return cls(lambda: table, "table", name, primary)


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What is wanted of the rows.

    Parameters
    ----------
    columns : ColumnNames
    context_length : int
        Steps before (and with) the last timestamp to keep, C.
    freq : Frequency, optional
        Inferred for each series when absent. When given, points off its grid are snapped to the
        nearest step (and counted).
    min_length : int
        Series with fewer values in their context are ``TOO_SHORT``.
    item_id : str, optional
        The item of tables without an id column (the partition's symbol).
    batch_series : int
        Series in each `SeriesBatch` but the last.
    memory_limit_bytes : int
        About how much the reader may hold at once, besides the batch it hands out.
    batch_rows : int, optional
        Rows decoded at a time; told by the memory limit when absent.
    spill_dir : Path, optional
        Where rows that do not fit are sorted; the system's temporary folder when absent.
    timestamp_unit : str, optional
        Of integer timestamps: ``s``, ``ms``, ``us``, ``ns``, or ``step`` for plain numbers.
        Told by the largest magnitude in the column when absent.
    horizon : int
        Steps of known covariates to keep after the last value of the targets.
    joint : bool
        Whether targets are forecast jointly: batches then say which series are of one item.
    """

    columns: ColumnNames = field(default_factory=ColumnNames)
    context_length: int = 2048
    freq: Frequency | None = None
    min_length: int = 1
    item_id: str | None = None
    batch_series: int = 4096
    memory_limit_bytes: int = 512 * MEBIBYTE
    batch_rows: int | None = None
    spill_dir: Path | None = None
    timestamp_unit: TimestampUnit | None = None
    horizon: int = 0
    joint: bool = False

    def __post_init__(self) -> None:
        names = ("context_length", "min_length", "batch_series", "memory_limit_bytes", "batch_rows")
        for name in names:
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.timestamp_unit not in {None, "s", "ms", "us", "ns", "step"}:
            raise ConfigError(
                f"timestamp_unit must be s, ms, us, ns or step, got {self.timestamp_unit!r}"
            )


@dataclass(slots=True)
class ReadStats:
    """What a reader has seen; complete once it is exhausted.

    Parameters
    ----------
    rows : int
        Rows read (points, for list columns).
    bytes_read : int
        Size of the files, where known.
    series : int
        Series emitted.
    duplicates : int
        Rows averaged into another row of the same step.
    snapped : int
        Rows moved to the nearest step of their grid.
    gaps : int
        Steps of the emitted contexts that had no row, by item.
    null_items, null_timestamps : int
        Rows dropped because they named no item or no (readable) time.
    path : str
        ``sorted`` (streamed), ``sorted_in_memory`` or ``spilled`` (sorted through disk).
    """

    rows: int = 0
    bytes_read: int = 0
    series: int = 0
    duplicates: int = 0
    snapped: int = 0
    gaps: int = 0
    null_items: int = 0
    null_timestamps: int = 0
    path: ReadPath = "sorted"
