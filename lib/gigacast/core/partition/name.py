"""The names of partitions, read from the keys of their objects.

Keys are relative to the input root.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, cast, get_args
from urllib.parse import unquote

from gigacast.core.time.month import Month
from gigacast.errors import ConfigError, SchemaError

WHOLE_MONTH = "month"
"""Series name of a partition of all panel parts of a month."""
Format = Literal["parquet", "csv", "json"]
Partitioning = Literal["object", "month", "bucket"]
"""What a partition is: an object, all panel parts of a month, or those of a folder below one."""
FORMATS: tuple[Format, ...] = get_args(Format)
NAMED_PATTERN = (
    r"(?P<symbol>[^/]+?)_(?P<timeframe>[0-9]+(?:s|min|h|d|w))_h(?P<horizon>[0-9]+)"
    r"_(?P<year>[0-9]{4})_(?P<month>[0-9]{2})_(?P<hash>[0-9a-fA-F]+)\.(?P<extension>parquet|json|csv)"
)
PANEL_PATTERN = r"(?P<stem>part[-_.][^/]+)\.(?P<extension>parquet|json|csv)"
EXPECTED_NAMES = "expected {YYYY}/{MM}/part-NAME.parquet, .csv or .json"
_HIVE_PANEL = re.compile(r"(?P<stem>[^/_.][^/]*)\.(?P<extension>parquet|json|csv)")
_GROUPS = ("symbol", "timeframe", "horizon", "year", "month", "hash", "extension")
# Possessive (`*+`): where no year follows, the levels above it must not be taken for its folder.
_ABOVE = r"(?P<above>(?:(?!year=|month=)[^/=]+=[^/]*/)*+)"
_FOLDER = re.compile(
    _ABOVE
    + r"(?:(?P<y>[0-9]{4})/(?P<m>[0-9]{2})|year=(?P<hy>[0-9]{4})/month=(?P<hm>[0-9]{1,2}))"
    + r"(?P<below>(?:/(?!year=|month=)[^/=]+=[^/]*)*+)"
)
_PLACE = re.compile(_ABOVE + r"[^/]+/[^/]+/")
_LEVEL = re.compile(r"(?P<name>[^/=]+)=(?P<value>[^/]*)")
_NULL_LEVEL = "__HIVE_DEFAULT_PARTITION__"
_YEAR_FOLDER = re.compile(_ABOVE + r"(?P<hive>year=)?(?P<year>[0-9]{4})/")


@lru_cache(maxsize=4096)
def month_of_folder(folder: str) -> Month | None:
    """Return the month of ``2014/03`` or ``year=2014/month=3``; ``None`` for other folders.

    Hive levels may be above and below: ``store=12/year=2014/month=3/shelf=4``.
    """
    match = _FOLDER.fullmatch(folder)
    if match is None:
        return None
    month = int(match["m"] or match["hm"])
    return Month(int(match["y"] or match["hy"]), month) if 1 <= month <= 12 else None


def year_of_folder(folder: str) -> int | None:
    """Return the year of ``2014/``, ``year=2014/`` or ``store=12/2014/``; else ``None``."""
    match = _YEAR_FOLDER.fullmatch(folder)
    return int(match["year"]) if match else None


def is_whole_month(partition: str) -> bool:
    """Return whether a partition is all parts of a month, by its name or lineage."""
    return partition.rpartition("/")[2] == WHOLE_MONTH


def partitioning_of(partition: str) -> Partitioning:
    """Return what a partition is, by its name: an object, or a month or a folder below it."""
    if not is_whole_month(partition):
        return "object"
    match = _FOLDER.fullmatch(partition.rpartition("/")[0])
    return "bucket" if match is not None and match["below"] else "month"


def is_hive_year(folder: str) -> bool:
    """Check whether the folder of a year is spelled as ``year=2014/``."""
    match = _YEAR_FOLDER.fullmatch(folder)
    return match is not None and match["hive"] is not None


def levels_above(folder: str) -> str:
    """Return the Hive levels before the year of a folder: ``store=12/``; empty without any."""
    match = _YEAR_FOLDER.match(folder)
    return match["above"] if match else ""


def is_level(folder: str) -> bool:
    """Check whether a folder is a Hive level that months may be below: ``store=12/``."""
    match = _LEVEL.fullmatch(folder.removesuffix("/"))
    return match is not None and match["name"] not in {"year", "month"}


def month_place(key: str) -> str:
    """Return the month folder that a key is in, with its slash; the key itself if it is in none."""
    match = _PLACE.match(key)
    # The slash is part of the order: `2014/03.txt` and `2014/03-old/` sort before `2014/03/`
    # in a listing, but after `2014/03`.
    return match[0] if match else key


def lineage_of(partition: str) -> str:
    """Return what is the same in the name of a partition in every month: ``store=12/part-0``."""
    folder, _, name = partition.rpartition("/")
    match = _FOLDER.fullmatch(folder)
    if match is None:
        return name
    below = match["below"].removeprefix("/")
    return f"{match['above']}{below}{'/' if below else ''}{name}"


def folder_in(folder: str, month: Month) -> tuple[str, ...]:
    """Return the spellings that the folder of another month may have, like that of a month."""
    match = _FOLDER.fullmatch(folder)
    if match is None:
        return ()
    year = f"{match['above']}{'year=' if match['hy'] else ''}{month.year:04d}/"
    return tuple(f"{p[:-1]}{match['below']}" for p in month_prefixes(year, month))


def month_prefixes(year_folder: str, month: Month) -> tuple[str, ...]:
    """Return the key prefixes that a month may have below the folder of its year."""
    # Writers of Hive folders spell March as month=03 or as month=3.
    if not is_hive_year(year_folder):
        return (f"{year_folder}{month.month:02d}/",)
    padded = f"{year_folder}month={month.month:02d}/"
    return (padded, f"{year_folder}month={month.month}/") if month.month < 10 else (padded,)


def hive_levels(key: str) -> dict[str, str | None]:
    """Return the Hive levels of a key by name, besides year and month: ``store=12`` is one.

    Values are text, without the escapes that writers of Hive folders use; Hive's word for a
    missing value is ``None``.

    Raises
    ------
    SchemaError
        If a name stands twice with different values.
    """
    named: dict[str, str | None] = {}
    for folder in key.split("/")[:-1]:
        level = _LEVEL.fullmatch(folder)
        if level is None or level["name"] in {"year", "month"}:
            continue
        name = unquote(level["name"])
        value = None if level["value"] == _NULL_LEVEL else unquote(level["value"])
        if named.setdefault(name, value) != value:
            raise SchemaError(
                f"{key}: the level {name!r} stands twice, as {named[name]!r} and as {value!r}",
                hint="rename one of the two folders",
            )
    return named


@dataclass(frozen=True, slots=True)
class PartitionName:
    """The parts of an object's key.

    Parameters
    ----------
    folder : str
        Folder of the month, as spelled: ``2014/03`` or ``year=2014/month=03``, with the Hive
        levels above and below it.
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

    @property
    def lineage(self) -> str:
        """Series name with the Hive levels above and below the month: ``store=12/part-0``."""
        return lineage_of(self.partition)


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
        if match is None and "=" in folder:
            match = _HIVE_PANEL.fullmatch(name)
        if match is None or match["extension"] not in FORMATS:
            return None
        extension = cast("Format", match["extension"])
        return PartitionName(folder, month, match["stem"], extension)
