"""The files of a symbol, by year and month: what `ParquetDataLoader` and `data discover` find.

Found as the forecasting job finds its partitions: the newest of several generations, and no JSON
that describes a Parquet beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from gigacast.core.partition.name import Format, NamingPattern
from gigacast.core.time.month import IntRange, Month, MonthFilter
from gigacast.errors import ConfigError, InvalidFilenameError
from gigacast.lake.plan.discovery import Partition, Selection
from gigacast.lake.plan.months import MonthFolder, walk_months
from gigacast.storage.store import Store

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ParquetFileInfo:
    """One file, as its name and the listing describe it.

    Parameters
    ----------
    file_path : str
        A path on this machine, or an ``s3://`` URL.
    symbol : str
        Or the name of a panel part, as ``part-00042``.
    timeframe, horizon, hash_id : optional
        Of a named file; the horizon in minutes.
    year, month : int
    extension : {"parquet", "json", "csv"}
    key : str
        Below the root.
    etag : str
    size_bytes : int
    metadata_key : str, optional
        The JSON beside a Parquet that describes it.
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

    @property
    def is_parquet(self) -> bool:
        """Whether it is a Parquet file."""
        return self.extension == "parquet"

    @property
    def is_json(self) -> bool:
        """Whether it is a JSON file with the data itself."""
        return self.extension == "json"

    @property
    def calendar_month(self) -> Month:
        """Its month."""
        return Month(self.year, self.month)


@dataclass(frozen=True, slots=True)
class Discovered:
    """What lies in the months asked for.

    Parameters
    ----------
    files : tuple of ParquetFileInfo
        By month, then by symbol.
    superseded, unmatched : tuple of str
        Keys of older generations, and of what is no partition.
    """

    files: tuple[ParquetFileInfo, ...]
    superseded: tuple[str, ...]
    unmatched: tuple[str, ...]


class FileDiscovery:
    """Finds files in the year and month folders of one root.

    Parameters
    ----------
    inputs : Store
    pattern : NamingPattern
    """

    def __init__(self, inputs: Store, pattern: NamingPattern) -> None:
        self._inputs = inputs
        self._pattern = pattern

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
        wanted = (timeframes,) if isinstance(timeframes, str) else timeframes or ()
        found = self.discover(Selection(months, timeframes=frozenset(wanted)))
        return [info for info in found.files if symbol in _names_of(info)]

    def discover(self, selection: Selection) -> Discovered:
        """Return all that is selected, of any symbol.

        Raises
        ------
        StorageError
        """
        files: list[ParquetFileInfo] = []
        superseded: list[str] = []
        unmatched: list[str] = []
        for folder in walk_months(self._inputs, self._pattern, selection):
            files += self._files_of(folder)
            superseded += folder.found.superseded
            unmatched += folder.found.unmatched
        files.sort(key=lambda info: (info.year, info.month, info.symbol, info.key))
        return Discovered(tuple(files), tuple(superseded), tuple(unmatched))

    def parse_filename(self, key: str) -> ParquetFileInfo:
        """Read the name of a file, given with its year and month folders.

        Raises
        ------
        InvalidFilenameError
        """
        name = self._pattern.parse("/".join(PurePosixPath(key).parts[-3:]))
        if name is None:
            raise InvalidFilenameError(
                f"Filename does not match expected pattern: {key}",
                hint="as 2014/03/EURUSD_1min_h15_2014_03_769b531dbb2ff3cb.parquet; the pattern is "
                "parquet_loader.file_patterns.naming_regex",
            )
        return ParquetFileInfo(
            file_path=key,
            symbol=name.symbol or name.series_name,
            timeframe=name.timeframe,
            horizon=name.horizon_minutes,
            year=name.month.year,
            month=name.month.month,
            hash_id=name.generation,
            extension=name.extension,
            key=key,
        )

    def _files_of(self, folder: MonthFolder) -> list[ParquetFileInfo]:
        there = {entry.key for entry in folder.objects}
        wanted = (partition for partition in folder.found.partitions if partition.wanted)
        return [self._info(partition, there) for partition in wanted]

    def _info(self, partition: Partition, there: set[str]) -> ParquetFileInfo:
        name, entry = partition.name, partition.inputs[-1]
        twin = f"{entry.key.removesuffix('.parquet')}.json"
        return ParquetFileInfo(
            file_path=path_of(self._inputs, entry.key),
            symbol=name.symbol or name.series_name,
            timeframe=name.timeframe,
            horizon=name.horizon_minutes,
            year=name.month.year,
            month=name.month.month,
            hash_id=name.generation,
            extension=entry.extension,
            key=entry.key,
            etag=entry.etag,
            size_bytes=entry.size_bytes,
            metadata_key=twin if twin in there and twin != entry.key else None,
        )


def _names_of(info: ParquetFileInfo) -> tuple[str, ...]:
    return (info.symbol, f"{info.symbol}_{info.timeframe}_h{info.horizon}")


def path_of(inputs: Store, key: str) -> str:
    """Return where an object lies as people write it: a path where there is one, else a URL."""
    return f"{inputs.address.url.rstrip('/').removeprefix('file://')}/{key}"


def month_filter(
    year: int | None = None,
    year_range: Range | None = None,
    month: int | None = None,
    month_range: Range | None = None,
) -> MonthFilter:
    """Return the months that are asked for.

    Raises
    ------
    ConfigError
        When one and a range are given, a range runs backwards, or a month is none.
    """
    months = _range_of("month", month, month_range)
    if months is not None and not (months.first >= 1 and months.last <= 12):
        raise ConfigError(f"month must be 1 to 12, got {month_range or month}")
    return MonthFilter(_range_of("year", year, year_range), months)


def _range_of(name: str, one: int | None, given: Range | None) -> IntRange | None:
    if one is not None and given is not None:
        raise ConfigError(f"give {name} or {name}_range, not both")
    if one is not None:
        if not isinstance(one, int):
            raise ConfigError(f"{name}: expected a whole number, got {one!r}")
        return IntRange(one, one)
    if given is None:
        return None
    ends = tuple(given) if isinstance(given, Sequence) else ()
    if len(ends) != 2 or not all(isinstance(end, int) for end in ends) or ends[0] > ends[1]:
        raise ConfigError(f"{name}_range: expected (first, last), got {given!r}")
    return IntRange(*ends)


def check_one_series(symbol: str, files: Sequence[ParquetFileInfo]) -> None:
    """Refuse to mix timeframes: their rows would be one series.

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
