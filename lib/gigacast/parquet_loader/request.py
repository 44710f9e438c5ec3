"""What to load: the rows of files, within limits."""

from dataclasses import dataclass, field
from datetime import datetime

from gigacast.parquet_loader.column import ColumnChoice
from gigacast.parquet_loader.discovery import ParquetFileInfo
from gigacast.series.csv.dialect import CsvOptions


@dataclass(frozen=True)
class LoadResources:
    """Limits of loading.

    Parameters
    ----------
    memory_limit_bytes : int
        Maximum bytes of rows in memory.
    workers : int
        Number of files read at a time.
    chunk_rows : int
        Maximum rows of a chunk.
    csv : CsvOptions
        Parts of the dialect of CSV files that are named.
    skip_bad_files : bool
        Whether files that cannot be read are left out; their error is raised by default.
    """

    memory_limit_bytes: int = 1 << 30
    workers: int = 4
    chunk_rows: int = 1 << 20
    csv: CsvOptions = field(default_factory=CsvOptions)
    skip_bad_files: bool = False


@dataclass(frozen=True)
class LoadRequest:
    """The rows to load.

    Parameters
    ----------
    symbol : str
    files : tuple of ParquetFileInfo
        Files in the order of time; at least one.
    columns : ColumnChoice
    since : datetime, optional
        Time after which rows are loaded; without a zone in the time of the files, or in UTC if
        their times have a zone. All rows by default.
    last_rows : int, optional
        Number of latest rows of each file that suffice; all by default.
    """

    symbol: str
    files: tuple[ParquetFileInfo, ...]
    columns: ColumnChoice
    since: datetime | None = None
    last_rows: int | None = None
