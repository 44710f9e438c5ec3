"""The names of partitions, read from the keys of their objects.

Keys are relative to the input root.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, cast, get_args

from gigacast.core.time.month import Month
from gigacast.errors import ConfigError

Format = Literal["parquet", "csv", "json"]
FORMATS: tuple[Format, ...] = get_args(Format)
MONTH = "month"
"""Name of the partition that all panel parts of a month are."""
NAMED_PATTERN = (
    r"(?P<symbol>[^/]+?)_(?P<timeframe>[0-9]+(?:s|min|h|d|w))_h(?P<horizon>[0-9]+)"
    r"_(?P<year>[0-9]{4})_(?P<month>[0-9]{2})_(?P<hash>[0-9a-fA-F]+)\.(?P<extension>parquet|json|csv)"
)
PANEL_PATTERN = r"(?P<stem>part[-_.][^/]+)\.(?P<extension>parquet|json|csv)"
_HIVE_PANEL = re.compile(r"(?P<stem>[^/_.][^/]*)\.(?P<extension>parquet|json|csv)")
_GROUPS = ("symbol", "timeframe", "horizon", "year", "month", "hash", "extension")
_FOLDER = re.compile(
    r"(?:(?P<y>[0-9]{4})/(?P<m>[0-9]{2})|year=(?P<hy>[0-9]{4})/month=(?P<hm>[0-9]{1,2}))"
)
_YEAR_FOLDER = re.compile(r"(?:year=)?([0-9]{4})/")


def month_of_folder(folder: str) -> Month | None:
    """Return the month of ``2014/03`` or ``year=2014/month=3``; ``None`` for other folders."""
    match = _FOLDER.fullmatch(folder)
    if match is None:
        return None
    month = int(match["m"] or match["hm"])
    return Month(int(match["y"] or match["hy"]), month) if 1 <= month <= 12 else None


def year_of_folder(folder: str) -> int | None:
    """Return the year of ``2014/`` or ``year=2014/``; ``None`` for other folders."""
    match = _YEAR_FOLDER.fullmatch(folder)
    return int(match[1]) if match else None


def month_prefixes(year_folder: str, month: Month) -> tuple[str, ...]:
    """Return the key prefixes that a month may have below the folder of its year."""
    # Writers of Hive folders spell March as month=03 or as month=3.
    if not year_folder.startswith("year="):
        return (f"{year_folder}{month.month:02d}/",)
    padded = f"{year_folder}month={month.month:02d}/"
    return (padded, f"{year_folder}month={month.month}/") if month.month < 10 else (padded,)


@dataclass(frozen=True, slots=True)
class PartitionName:
    """The parts of an object's key.

    Parameters
    ----------
    folder : str
        Folder of the month, as spelled: ``2014/03`` or ``year=2014/month=03``.
    month : Month
        Month of the folder.
    series_name : str
        Part of the name that is the same in every month: ``EURUSD_1min_h15`` or ``part-00042``.
    extension : {"parquet", "csv", "json"}
        Ending of the key.
    symbol, timeframe, horizon_minutes, generation : optional
        Parts of the name of an object per symbol; ``None`` for a panel part.
    """

    folder: str
    month: Month
    series_name: str
    extension: Format
    symbol: str | None = None
    timeframe: str | None = None
    horizon_minutes: int | None = None
    generation: str | None = None

    @property
    def partition(self) -> str:
        """Name of the partition: the key without its hash and ending, which may change."""
        return f"{self.folder}/{self.series_name}"


def _compile(pattern: str, field_name: str, required: Iterable[str]) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"{field_name}: not a regular expression: {error}") from error
    missing = set(required) - set(compiled.groupindex)
    if missing and compiled.groups != len(_GROUPS):
        raise ConfigError(
            f"{field_name}: needs the named groups {', '.join(sorted(missing))}",
            hint=f"or seven plain groups in the order {', '.join(_GROUPS)}",
        )
    return compiled


@dataclass(frozen=True)
class NamingPattern:
    """The regular expressions for the object names of a bucket; both are settings.

    Parameters
    ----------
    named : str
        Expression for an object per symbol and month. It has seven plain groups in the order
        symbol, timeframe, horizon, year, month, hash, extension, or groups with these names.
    panel : str
        Expression for an object with many items, with the groups ``stem`` and ``extension``. In
        Hive folders (``year=2014/month=03``) every visible data file is a panel part.

    Raises
    ------
    ConfigError
        If an expression is invalid or lacks a group.
    """

    named: str = NAMED_PATTERN
    panel: str = PANEL_PATTERN
    _named: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _panel: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        named = _compile(self.named, "parquet_loader.file_patterns.naming_regex", _GROUPS)
        panel = _compile(
            self.panel, "parquet_loader.file_patterns.panel_regex", ("stem", "extension")
        )
        object.__setattr__(self, "_named", named)
        object.__setattr__(self, "_panel", panel)

    def parse(self, key: str) -> PartitionName | None:
        """Return the parts of a key relative to the input root; ``None`` if it is no partition."""
        folder, _, name = key.rpartition("/")
        month = month_of_folder(folder)
        if month is None:
            return None
        # A name that only begins like that of a symbol is refused by `_from_named`: it must not be
        # taken for a panel part. fullmatch comes first, because match may stop early.
        match = self._named.fullmatch(name) or self._named.match(name)
        if match is not None:
            return self._from_named(folder, month, match)
        return self._from_panel(folder, month, name)

    def _from_named(self, folder: str, month: Month, match: re.Match[str]) -> PartitionName | None:
        by_name = match.re.groupindex
        values = match.groupdict() if by_name else dict(zip(_GROUPS, match.groups(), strict=True))
        extension = values["extension"]
        # A name that contradicts its folder is not a partition: discovery reports it, instead of
        # guessing which of the two is right.
        if (int(values["year"]), int(values["month"])) != (month.year, month.month):
            return None
        if extension not in FORMATS or match.end() != len(match.string):
            return None
        return PartitionName(
            folder=folder,
            month=month,
            series_name=f"{values['symbol']}_{values['timeframe']}_h{values['horizon']}",
            extension=cast("Format", extension),
            symbol=values["symbol"],
            timeframe=values["timeframe"],
            horizon_minutes=int(values["horizon"]),
            generation=values["hash"],
        )

    def _from_panel(self, folder: str, month: Month, name: str) -> PartitionName | None:
        match = self._panel.fullmatch(name)
        if match is None and folder.startswith("year="):
            match = _HIVE_PANEL.fullmatch(name)
        if match is None or match["extension"] not in FORMATS:
            return None
        extension = cast("Format", match["extension"])
        return PartitionName(folder, month, match["stem"], extension)
