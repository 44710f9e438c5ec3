"""Discovery of the files of a symbol in year and month folders.

The files are those that the forecasting job takes as partitions: the newest of several generations,
and no JSON file that describes a Parquet file beside it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from gigacast.core.partition.name import Format, NamingPattern, PartitionName
from gigacast.core.problem import Source
from gigacast.core.record import decode_json
from gigacast.core.time.month import IntRange, Month, MonthFilter
from gigacast.errors import (
    ConfigError,
    CorruptedFileError,
    DataNotFoundError,
    InvalidFilenameError,
)
from gigacast.lake.plan.discovery import Partition, Selection
from gigacast.lake.plan.months import MonthFolder, walk_months
from gigacast.storage.store import Store

Range = tuple[int, int]
_FIRST_YEAR, _LAST_YEAR = 1, 9999


@dataclass(frozen=True, slots=True)
class ParquetFileInfo:
    """A file, as described by its name and the listing.

    Parameters
    ----------
    file_path : str
        Path on this machine, or ``s3://`` URL.
    symbol : str
        Symbol, or name of a panel part such as ``part-00042``.
    timeframe, horizon, hash_id : optional
        Parts of the file's name, the horizon in minutes; ``None`` for panel parts.
    year, month : int
    extension : {"parquet", "json", "csv"}
    key : str
        Key below the root.
    etag : str
    size_bytes : int
    metadata_key : str, optional
        Key of the JSON file that describes a Parquet file; ``None`` if there is none.
    root : str
        URL of the fallback root that has the file; empty for the root itself.
    """

    file_path: str
    symbol: str
    timeframe: str | None
    horizon: int | None
    year: int
    month: int
    hash_id: str | None
    extension: Format
    key: str = ""
    etag: str = ""
    size_bytes: int = 0
    metadata_key: str | None = None
    root: str = ""

    def __fspath__(self) -> str:
        return self.file_path

    def __str__(self) -> str:
        return self.file_path

    @property
    def name(self) -> str:
        """Name of the file, without its folders."""
        return PurePosixPath(self.key).name

    @property
    def is_json(self) -> bool:
        """Whether it is a JSON file."""
        return self.extension == "json"

    @property
    def is_parquet(self) -> bool:
        """Whether it is a Parquet file."""
        return self.extension == "parquet"

    @property
    def calendar_month(self) -> Month:
        """Month of the file."""
        return Month(self.year, self.month)


@dataclass(frozen=True, slots=True)
class Discovered:
    """The files of the selected months.

    Parameters
    ----------
    files : tuple of ParquetFileInfo
        Files by month, then by symbol.
    superseded, unmatched : tuple of str
        Keys of older generations, and of objects whose names match no pattern.
    """

    files: tuple[ParquetFileInfo, ...]
    superseded: tuple[str, ...]
    unmatched: tuple[str, ...]


class FileDiscovery:
    """Finds files in the year and month folders of a root.

    Parameters
    ----------
    inputs : Store
    pattern : NamingPattern
    fallbacks : sequence of Store
        Roots in which the months are looked for that the root lacks, in order; none by default.
    """

    def __init__(
        self, inputs: Store, pattern: NamingPattern, fallbacks: Sequence[Store] = ()
    ) -> None:
        self._inputs = inputs
        self._pattern = pattern
        self._fallbacks = tuple(fallbacks)

    def discover_files(
        self,
        symbol: str,
        year: int | None = None,
        year_range: Range | None = None,
        month: int | None = None,
        month_range: Range | None = None,
        timeframes: Sequence[str] | None = None,
    ) -> list[ParquetFileInfo]:
        """Return the files of a symbol, oldest first; see `ParquetDataLoader.discover_files`."""
        if year is None and year_range is None:
            raise ConfigError(
                "Either 'year' or 'year_range' must be specified",
                hint="such as year=2024, or year_range=(2020, 2024)",
            )
        months = month_filter(year, year_range, month, month_range)
        chosen = (timeframes,) if isinstance(timeframes, str) else timeframes or ()
        selection = Selection(months, timeframes=frozenset(chosen))
        files = [info for info in self.discover(selection).files if symbol in _names_of(info)]
        for store in self._fallbacks:
            there = {_series_month(info) for info in files}
            copies = FileDiscovery(store, self._pattern).discover(selection).files
            files += [
                replace(info, root=store.address.url)
                for info in copies
                if symbol in _names_of(info) and _series_month(info) not in there
            ]
        return sorted(files, key=_order)

    def month_finder(
        self, symbol: str, timeframes: Sequence[str] | None = None
    ) -> Callable[[Month], list[ParquetFileInfo]]:
        """Return a function that returns the files of a symbol in a month.

        It raises ConfigError if they are of several timeframes.
        """

        def find(month: Month) -> list[ParquetFileInfo]:
            files = self.discover_files(
                symbol, month.year, month=month.month, timeframes=timeframes
            )
            check_one_series(symbol, files)
            return files

        return find

    def discover_after(
        self, symbol: str, since: datetime, timeframes: Sequence[str] | None = None
    ) -> list[ParquetFileInfo]:
        """Return the files of a symbol that may hold rows after a moment.

        If all files end before it, the last file is returned: its columns are those of the empty
        result.
        """
        day = since.date()
        # A day earlier, as the file may be in a zone in which the moment is still in that month.
        before = day - timedelta(days=1) if day > date.min else day
        first = Month(before.year, before.month)
        later = self.discover_files(
            symbol, year_range=(first.year, _LAST_YEAR), timeframes=timeframes
        )
        files = [info for info in later if info.calendar_month >= first]
        if files:
            return files
        years = (_FIRST_YEAR, _LAST_YEAR)
        return self.discover_files(symbol, year_range=years, timeframes=timeframes)[-1:]

    def discover(self, selection: Selection) -> Discovered:
        """Return the selected files of all symbols.

        Raises
        ------
        StorageError
        """
        files: list[ParquetFileInfo] = []
        superseded: list[str] = []
        unmatched: list[str] = []
        for folder in walk_months(self._inputs, self._pattern, selection):
            files += self._files_of(folder)
            superseded += folder.content.superseded
            unmatched += folder.content.unmatched
        files.sort(key=_order)
        return Discovered(tuple(files), tuple(superseded), tuple(unmatched))

    def parse_filename(self, key: str) -> ParquetFileInfo:
        """Read the name of a file; the key includes the year and month folders.

        Raises
        ------
        InvalidFilenameError
        """
        # Patterns are written for the folders of year and month with the name.
        name = self._pattern.parse("/".join(PurePosixPath(key).parts[-3:]))
        if name is None:
            raise InvalidFilenameError(
                f"Filename does not match expected pattern: {key}",
                hint="as 2014/03/EURUSD_1min_h15_2014_03_769b531dbb2ff3cb.parquet; the pattern is "
                "parquet_loader.file_patterns.naming_regex",
            )
        return ParquetFileInfo(
            file_path=key,
            **_fields_of(name),
            extension=name.extension,
            key=key,
        )

    def _files_of(self, folder: MonthFolder) -> list[ParquetFileInfo]:
        keys = {entry.key for entry in folder.objects}
        selected = (partition for partition in folder.content.partitions if partition.is_selected)
        return [self._info(partition, keys) for partition in selected]

    def _info(self, partition: Partition, keys: set[str]) -> ParquetFileInfo:
        name, entry = partition.name, partition.inputs[-1]
        # The newest generation's object; its JSON twin has the same name.
        twin = f"{entry.key.removesuffix('.parquet')}.json"
        return ParquetFileInfo(
            file_path=path_of(self._inputs, entry.key),
            **_fields_of(name),
            extension=entry.extension,
            key=entry.key,
            etag=entry.etag,
            size_bytes=entry.size_bytes,
            metadata_key=twin if twin in keys and twin != entry.key else None,
        )


def _names_of(info: ParquetFileInfo) -> tuple[str, ...]:
    # A symbol with files of several timeframes can be named with timeframe and horizon as well.
    return (info.symbol, f"{info.symbol}_{info.timeframe}_h{info.horizon}")


def _order(info: ParquetFileInfo) -> tuple[int, int, str, str]:
    return info.year, info.month, info.symbol, info.key


def _series_month(info: ParquetFileInfo) -> tuple[object, ...]:
    return info.symbol, info.timeframe, info.horizon, info.year, info.month


def path_of(inputs: Store, key: str) -> str:
    """Return the location of an object: a path for local folders, else a URL."""
    return f"{inputs.address.url.rstrip('/').removeprefix('file://')}/{key}"


def month_filter(
    year: int | None = None,
    year_range: Range | None = None,
    month: int | None = None,
    month_range: Range | None = None,
) -> MonthFilter:
    """Return the months to include.

    Raises
    ------
    ConfigError
        If both a value and a range are given, a range runs backwards, or a month is not 1 to 12.
    """
    months = _range_of("month", month, month_range)
    if months is not None and not (months.first >= 1 and months.last <= 12):
        raise ConfigError(f"month must be 1 to 12, got {month_range or month}")
    return MonthFilter(_range_of("year", year, year_range), months)


def _range_of(name: str, value: int | None, span: Range | None) -> IntRange | None:
    if value is not None and span is not None:
        raise ConfigError(f"give {name} or {name}_range, not both")
    if value is not None:
        if not isinstance(value, int):  # such as the text "2024" or a range given as `year`
            raise ConfigError(f"{name}: expected a whole number, got {value!r}")
        return IntRange(value, value)
    if span is None:
        return None
    ends = tuple(span) if isinstance(span, Sequence) else ()
    if len(ends) != 2 or not all(isinstance(end, int) for end in ends) or ends[0] > ends[1]:
        raise ConfigError(f"{name}_range: expected (first, last), got {span!r}")
    return IntRange(*ends)


def check_some_files(symbol: str, files: Sequence[ParquetFileInfo], inputs: Store) -> None:
    """Check that a symbol has files.

    Raises
    ------
    DataNotFoundError
    """
    if not files:
        raise DataNotFoundError(
            f"No files found for {symbol} under {inputs.address.url}",
            hint="`gigacast data discover` lists the files",
        )


def check_one_series(symbol: str, files: Sequence[ParquetFileInfo]) -> None:
    """Check that files are of one timeframe and horizon: their rows become a single series.

    Raises
    ------
    ConfigError
    """
    kinds = sorted({(str(info.timeframe), int(info.horizon or 0)) for info in files})
    if len(kinds) > 1:
        shown = ", ".join(f"{symbol}_{timeframe}_h{horizon}" for timeframe, horizon in kinds)
        raise ConfigError(
            f"{symbol}: files of several series match: {shown}",
            hint="name one by timeframes=['1min'], or by its whole name as symbol",
        )


def read_metadata(inputs: Store, info: ParquetFileInfo) -> dict[str, Any]:
    """Return the content of the JSON file that describes a Parquet file; empty if there is none.

    Raises
    ------
    CorruptedFileError
        If it is not a JSON object.
    """
    if info.metadata_key is None:
        return {}
    source = Source(info.metadata_key, CorruptedFileError, hint="write it again, or remove it")
    content = decode_json(inputs.get(info.metadata_key), source)
    if isinstance(content, dict):
        return content
    raise source.refuse("expected one JSON object")


def parse_moment(moment: datetime | date | str | np.datetime64) -> datetime:
    """Return a moment that is given as a datetime, a date (its midnight) or text in ISO 8601.

    Those of NumPy, as `LoadedDataset.times` has them, are cut to microseconds.

    Raises
    ------
    ConfigError
    """
    if isinstance(moment, np.datetime64):
        moment = moment.astype("M8[us]").item()  # None if it is no time
    if isinstance(moment, str):
        try:
            return datetime.fromisoformat(moment)
        except ValueError as error:
            raise ConfigError(
                f"last_timestamp: {moment!r} is no moment", hint="as 2014-03-31T12:00"
            ) from error
    if isinstance(moment, datetime) and moment == moment:  # noqa: PLR0124 - not pandas' NaT
        return moment
    if isinstance(moment, date) and not isinstance(moment, datetime):
        return datetime.combine(moment, time.min)
    raise ConfigError(f"last_timestamp: expected a moment, got {type(moment).__name__}")


def _fields_of(name: PartitionName) -> dict[str, Any]:
    """Return the fields of `ParquetFileInfo` that a name holds."""
    return {
        "symbol": name.symbol or name.lineage,
        "timeframe": name.timeframe,
        "horizon": name.horizon_minutes,
        "year": name.month.year,
        "month": name.month.month,
        "hash_id": name.generation,
    }
