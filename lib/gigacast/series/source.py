"""The arguments and the statistics of the reader."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from gigacast.core.array import IntArray
from gigacast.core.time.frequency import Frequency
from gigacast.errors import ConfigError
from gigacast.series.csv.dialect import CsvOptions

Format = Literal["parquet", "csv", "json", "table"]
TimestampUnit = Literal["s", "ms", "us", "ns", "step"]
DuplicatePolicy = Literal["mean", "sum", "last", "first", "error"]
Aggregate = Literal["sum", "mean", "last", "first", "min", "max", "count"]
PartialBins = Literal["drop", "keep"]
ReadPath = Literal["sorted", "sorted_in_memory", "spilled"]

MEBIBYTE = 1 << 20
FILE_FORMATS: Mapping[str, Format] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
}
"""Formats of local files by ending."""
_COMPRESSED = (b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ")
OUTPUT_COLUMNS = frozenset(
    {
        *("timestamp", "target_name", "predictions", "fallback"),
        *("window", "origin", "frequency", "length", "steps", "missed", "scale"),
        *("magnitude", "error", "square", "relative", "excess"),
    }
)
"""Names of columns in forecasts and losses that are not those of items."""


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """Names of the columns. Columns without a name are recognised (see `gigacast.series.columns`).

    Parameters
    ----------
    item_id, timestamp : str, optional
        Columns of item ids and timestamps; recognised by default.
    targets : tuple of str
        Columns of targets, each of which is a series per item; recognised by default.
    past_covariates : tuple of str
        Covariates known up to the last value of the targets; none by default.
    known_covariates : tuple of str
        Covariates known over the horizon as well; none by default.
    items : tuple of str
        Columns that identify an item together, in place of ``item_id``; none by default.
    """

    item_id: str | None = None
    timestamp: str | None = None
    targets: tuple[str, ...] = ()
    past_covariates: tuple[str, ...] = ()
    known_covariates: tuple[str, ...] = ()
    items: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.items and self.item_id is not None:
            raise ConfigError(
                f"--item_column {self.item_id} and --item_columns {','.join(self.items)} "
                "both name the columns of item ids",
                hint="leave one of them out, also in the settings file and the environment",
            )
        doubled = sorted({name for name in self.items if self.items.count(name) > 1})
        if doubled:
            raise ConfigError(f"--item_columns: {doubled[0]!r} is named twice")
        reserved = [name for name in self.items if name in OUTPUT_COLUMNS or _is_level(name)]
        if reserved:
            raise ConfigError(
                f"--item_columns: a column {reserved[0]!r} of items can't be told from the column "
                "of this name in the output",
                hint="give the column another name",
            )

    @property
    def spec_fields(self) -> dict[str, Any]:
        """The names as fields of a spec, a plan or an audit, without ``items`` if it is empty."""
        # Empty, it is left out: specs and plans made before it existed stay the same.
        return {name: value for name, value in asdict(self).items() if name != "items" or value}

    @property
    def covariates(self) -> tuple[str, ...]:
        """All covariates: the past ones, then the known ones, each sorted by name."""
        return (*sorted(self.past_covariates), *sorted(self.known_covariates))


def _is_level(name: str) -> bool:
    """Check whether a name is that of a quantile's column, as 0.5."""
    try:
        return 0 < float(name) < 1
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class SeriesSource:
    """An object or a table in memory to read.

    Parameters
    ----------
    open : callable
        Function that returns a binary file at its start (seekable for Parquet), or a `pa.Table`
        for the format ``table``. It may be called more than once; the reader closes the files.
    format : str
        Format: ``parquet``, ``csv``, ``json`` or ``table``.
    name : str
        Key of the object, for error messages.
    primary : bool
        Whether items with a row in this source are returned. The other sources only add rows to
        them, as context.
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


def fetched_once(sources: Sequence[SeriesSource], limit_bytes: int) -> list[SeriesSource]:
    """Return sources that keep the content of small objects between the passes of a reader.

    Parameters
    ----------
    sources : sequence of SeriesSource
    limit_bytes : int
        Maximum size of all contents; others are opened again for each pass.
    """
    room = [limit_bytes]

    def keeping(source: SeriesSource) -> SeriesSource:
        contents: list[bytes] = []

        def opened() -> Any:
            if contents:
                return io.BytesIO(contents[0])
            file = source.open()
            # An object that was fetched by one request. Files are cheap to open again, and larger
            # objects are read by ranges.
            if isinstance(file, io.BytesIO) and file.getbuffer().nbytes <= room[0]:
                contents.append(file.getvalue())
                room[0] -= len(contents[0])
            return file

        return replace(source, open=opened)

    return [keeping(source) for source in sources]


@dataclass(frozen=True, slots=True)
class Aggregation:
    """How rows are aggregated into calendar bins (`gigacast.core.time.bins`).

    Parameters
    ----------
    how : str
        Value of a bin: the ``sum``, ``mean``, ``min``, ``max``, ``first`` or ``last`` of the values
        in it, or their number, ``count``.
    partial : str
        Whether the first and last bin of a series stay (``keep``) or not (``drop``) if the series
        does not cover them.
    zone : str, optional
        Time zone whose days are cut; that of the timestamps by default. Timestamps without a zone
        are wall time.
    """

    how: Aggregate
    partial: PartialBins = "drop"
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Options of the reader.

    Parameters
    ----------
    columns : ColumnNames
        Names of the columns.
    context_length : int
        Steps to keep up to and including the last timestamp, C.
    freq : Frequency, optional
        Frequency of all series; inferred per series by default. With a given frequency, points
        off its grid are moved to the nearest step (and counted).
    min_length : int
        Minimum number of values in the context; shorter series are ``TOO_SHORT``.
    item_id : str, optional
        Item id for tables without an id column (the partition's symbol).
    batch_series : int
        Series per `SeriesBatch`, except the last.
    memory_limit_bytes : int
        Approximate limit of the reader's memory, besides the returned batch.
    batch_rows : int, optional
        Rows decoded at a time; derived from the memory limit by default.
    spill_dir : Path, optional
        Folder to sort rows that do not fit in memory; the system's temporary folder by default.
    timestamp_unit : str, optional
        Unit of integer timestamps: ``s``, ``ms``, ``us``, ``ns``, or ``step`` for plain numbers;
        derived from the greatest magnitude in the column by default.
    horizon : int
        Steps of known covariates to keep after the last value of the targets.
    joint : bool
        Whether targets are forecast jointly. Batches then record which series belong to an item.
    duplicates : str, optional
        Value of a series at a time of which several rows say different ones: their ``mean``,
        ``sum``, the ``last`` or ``first`` in the order of the sources, or ``error``, which refuses
        them. By default the mean, and more than ``duplicate_share`` of such rows are refused.
    duplicate_share : float
        Share of conflicting rows up to which they are averaged by default.
    wide_times : bool
        Whether timestamps and dates are returned in microseconds, which hold any year and step.
    precise : bool
        Whether series whose steps float32 would lose have bases (see `gigacast.core.series.base`).
    wide_numbers : bool
        Whether batches have bases even where all of them are 0.
    csv : CsvOptions
        Parts of the dialect of CSV that are named; all are found for each file by default.
    aggregation : Aggregation, optional
        How rows are aggregated into the calendar bins of ``freq``; they are the steps of the series
        by default.
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
    duplicates: DuplicatePolicy | None = None
    duplicate_share: float = 0.01
    wide_times: bool = False
    precise: bool = False
    wide_numbers: bool = False
    csv: CsvOptions = field(default_factory=CsvOptions)
    aggregation: Aggregation | None = None

    @property
    def rows_freq(self) -> Frequency | None:
        """Frequency of the rows, if it is given; that of bins says nothing about it."""
        return self.freq if self.aggregation is None else None

    def __post_init__(self) -> None:
        if self.aggregation is not None and self.freq is None:
            raise ConfigError("aggregate: the bins have no frequency", hint="give --freq")
        names = ("context_length", "min_length", "batch_series", "memory_limit_bytes", "batch_rows")
        for name in names:
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.timestamp_unit not in {None, "s", "ms", "us", "ns", "step"}:
            raise ConfigError(
                f"timestamp_unit must be s, ms, us, ns or step, got {self.timestamp_unit!r}"
            )


@dataclass(frozen=True, slots=True)
class ConflictSample:
    """Keys of a few conflicting rows: N item ids, and times as `ItemRows` hold them, int64 [N]."""

    items: pa.Array
    times: IntArray


@dataclass(slots=True)
class ReadStats:
    """Counts of a reader, complete when it is exhausted.

    Parameters
    ----------
    rows : int
        Rows read (points, for list columns).
    bytes_read : int
        Size of the files, if known.
    series : int
        Series returned.
    duplicates : int
        Rows averaged into another row of the same step.
    conflicts, compared : int
        Rows with the series and time of another row and other values; rows compared for that.
    sample : ConflictSample, optional
        Keys of the first conflicting rows; none without any.
    snapped : int
        Rows moved to the nearest step of their grid.
    gaps : int
        Steps without a row in the returned contexts, counted per item.
    null_items, null_timestamps : int
        Rows dropped because their item id is null, or their time is null or unreadable.
    timed_rows : int
        Rows with a readable time, counted as they are read.
    timed_items, finer_items, coarser_items : int
        Items with a frequency that may not be that of their rows; those of them whose rows are
        finer, or coarser (see `gigacast.series.fit`).
    rows_freq : str or None
        Frequency of the rows of the first such item.
    path : str
        ``sorted`` (streamed), ``sorted_in_memory`` or ``spilled`` (sorted on disk).
    """

    rows: int = 0
    bytes_read: int = 0
    series: int = 0
    duplicates: int = 0
    conflicts: int = 0
    compared: int = 0
    sample: ConflictSample | None = None
    snapped: int = 0
    gaps: int = 0
    null_items: int = 0
    null_timestamps: int = 0
    timed_rows: int = 0
    timed_items: int = 0
    finer_items: int = 0
    coarser_items: int = 0
    rows_freq: str | None = None
    path: ReadPath = "sorted"

    @property
    def dropped(self) -> int:
        """Rows that are in no series: without an item id, or without a time."""
        return self.null_items + self.null_timestamps


def format_of(head: bytes, name: str) -> Format:
    """Return the format of a local file by its ending, or by its first bytes.

    Raises
    ------
    ConfigError
        If the file is compressed as a whole.
    """
    if not head.startswith(b"PAR1") and head.startswith(_COMPRESSED):
        raise ConfigError(f"{name}: the file is compressed", hint="unpack it first")
    if (named := FILE_FORMATS.get(Path(name).suffix.lower())) is not None:
        return named
    if head.startswith(b"PAR1"):
        return "parquet"
    return "json" if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in {b"{", b"["} else "csv"
