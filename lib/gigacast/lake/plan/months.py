"""Month folders: cursors over listings, and a walk over the months of an input root."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import groupby

from gigacast.core.partition.name import (
    NamingPattern,
    is_hive_year,
    is_level,
    month_of_folder,
    month_place,
    month_prefixes,
    year_of_folder,
)
from gigacast.core.time.month import Month
from gigacast.lake.plan.discovery import Discoverer, MonthPartitions, Selection
from gigacast.storage.store import ObjectMeta, Store

_LISTERS = 16
"""Folders listed at the same time."""
_PROBES = 4
"""Folders of a level in which years are looked for, before all are listed."""
_MOST_LEVELS = 5
"""Hive levels above the years that are looked into, the top included."""


def month_at(place: str) -> Month | None:
    """Return the month of a place of a `MonthCursor`; ``None`` for other folders and objects."""
    return month_of_folder(place[:-1]) if place.endswith("/") else None


class MonthCursor:
    """Walks a listing month folder by month folder, in step with other listings.

    ``place`` is the current folder with its slash (``2014/03/``), or the key of an object beside
    the folders (``2014/03.txt``); ``None`` at the end. Places ascend in the order of strings, so
    that listings are in step when each takes the smallest place of all.

    Parameters
    ----------
    pages : iterable of list of ObjectMeta
        Pages in key order.
    prefix : str
        Part of the keys before ``2014/03/``.
    """

    def __init__(self, pages: Iterable[list[ObjectMeta]], prefix: str = "") -> None:
        self._cut = len(prefix)
        self._last = ""
        objects = (entry for page in pages for entry in page)
        self._groups = groupby(objects, key=self._place_of)
        self.place: str | None = None
        self._objects: Iterator[ObjectMeta] = iter(())
        self._advance()

    def _place_of(self, entry: ObjectMeta) -> str:
        # An object outside the month folders is a place of its own, so that it is counted.
        # Keys below a folder of a month are of that folder, and a million of them come in a row.
        if self._last and entry.key.startswith(self._last, self._cut):
            return self._last
        place = month_place(entry.key[self._cut :])
        self._last = place if place.endswith("/") else ""
        return place

    def _advance(self) -> None:
        self.place, self._objects = next(self._groups, (None, iter(())))

    def take(self, place: str) -> list[ObjectMeta]:
        """Return the objects of a place and advance; none when the cursor is at another one."""
        if self.place != place:
            return []
        # `groupby` empties a group when the next one begins, so it is read before the advance.
        objects = list(self._objects)
        self._advance()
        return objects


@dataclass(slots=True)
class YearFolders:
    """The folders of years of a root, and what else is beside them.

    Parameters
    ----------
    years : list of str
        Folders of years, with the Hive levels above: ``2014/``, ``store=12/year=2014/``.
    others : list of str
        Folders that hold no years.
    objects : list of str
        Keys of objects beside the folders.
    """

    years: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    objects: list[str] = field(default_factory=list)


def find_years(store: Store, prefix: str = "") -> YearFolders:
    """Return the folders of years below a prefix, without the prefix.

    One request, and one for each folder of a Hive level above the years. Of folders of one level in
    which a few show no years, as in `day=2024-01-31/hour=12/`, no more is listed.
    """
    folders = YearFolders()
    with ThreadPoolExecutor(_LISTERS) as pool:
        levels = [""]
        for depth in range(_MOST_LEVELS):
            # The next level is listed at once: a bucket may have thousands of stores.
            listed = pool.map(lambda level: store.list_folder(prefix + level), levels)
            names: list[str] = []
            for folder in listed:
                names += [name.removeprefix(prefix) for name in folder.folders]
                folders.objects += [entry.key for entry in folder.objects]
            folders.years += [name for name in names if year_of_folder(name) is not None]
            levels = [name for name in names if is_level(name[:-1].rpartition("/")[2])]
            levels = _with_years(store, prefix, levels, _MOST_LEVELS - depth - 1)
            chosen = {*levels, *folders.years}
            folders.others += [name for name in names if name not in chosen]
            if not levels:
                break
    return folders


def _with_years(store: Store, prefix: str, levels: list[str], depth: int) -> list[str]:
    """Return the folders of those levels in which a few folders show years."""
    by_name: dict[str, list[str]] = {}
    for level in levels:
        name = "/".join(part.partition("=")[0] for part in level[:-1].split("/"))
        by_name.setdefault(name, []).append(level)
    chosen: list[str] = []
    for folders in by_name.values():
        shown = folders[:: -(-len(folders) // _PROBES)]
        if any(_shows_years(store, prefix, folder, depth) for folder in shown):
            chosen += folders
    return chosen


def _shows_years(store: Store, prefix: str, level: str, depth: int) -> bool:
    """Check whether years are below a folder, looking into one folder of each level."""
    for _ in range(depth):
        names = [n.removeprefix(prefix) for n in store.list_folder(prefix + level).folders]
        if any(year_of_folder(name) is not None for name in names):
            return True
        deeper = [name for name in names if is_level(name[:-1].rpartition("/")[2])]
        if not deeper:
            return False
        level = deeper[-1]
    return False


def _in_time(year_folder: str) -> tuple[int, str]:
    return year_of_folder(year_folder) or 0, year_folder


def with_latest_month(inputs: Store, selection: Selection) -> Selection:
    """Return a selection in which the newest month of an input root stands for ``latest``.

    A few listings of folders, and none if the selection names its months.

    Raises
    ------
    StorageError
    """
    months = selection.months
    if not months.latest:
        return selection
    chosen: list[Month] = []
    # From the newest year back: a year without a folder of a month is passed over.
    by_year = groupby(sorted(find_years(inputs).years, key=_in_time, reverse=True), year_of_folder)
    for year, folders in by_year:
        if year is None or (months.years is not None and year not in months.years):
            continue
        listed = [name for folder in folders for name in inputs.list_folder(folder).folders]
        chosen = [month for name in listed if (month := month_of_folder(name[:-1])) is not None]
        if chosen:
            break
    return replace(selection, months=months.among(chosen))


@dataclass(frozen=True, slots=True)
class MonthFolder:
    """A month folder: its objects, and the partitions among them."""

    month: Month
    objects: tuple[ObjectMeta, ...]
    content: MonthPartitions


def walk_months(
    inputs: Store, pattern: NamingPattern, selection: Selection
) -> Iterator[MonthFolder]:
    """Yield the month folders that a selection covers, in the order of time.

    Partitions that the selection leaves out are included with ``is_selected`` false. Earlier months
    are not added as context.

    Raises
    ------
    StorageError
    """
    discoverer = Discoverer(pattern, replace(selection, context_partitions=0))
    for year_folder in sorted(find_years(inputs).years, key=_in_time):
        year = year_of_folder(year_folder)
        assert year is not None  # noqa: S101 - `find_years` returns folders of years
        months = [Month(year, number) for number in range(1, 13)]
        selected = [month for month in months if month in selection.months]
        prefixes = [p for month in selected for p in month_prefixes(year_folder, month)]
        # `month=3` sorts after `month=12`: those are listed one by one, in the order of time.
        at_once = len(selected) == 12 and not is_hive_year(year_folder)
        for prefix in [year_folder] if at_once else prefixes:
            cursor = MonthCursor(inputs.list(prefix))
            while (place := cursor.place) is not None:
                objects = cursor.take(place)
                month = month_at(place)
                if month is not None and month in selection.months:
                    discovered = discoverer.discover(place[:-1], objects)
                    yield MonthFolder(month, tuple(objects), discovered)
