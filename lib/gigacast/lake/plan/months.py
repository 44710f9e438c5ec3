"""Month folders: cursors over listings, and a walk over the months of an input root."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from gigacast.core.partition.name import (
    NamingPattern,
    month_of_folder,
    month_prefixes,
    year_of_folder,
)
from gigacast.core.time.month import Month
from gigacast.lake.plan.discovery import Discoverer, MonthPartitions, Selection
from gigacast.storage.store import ObjectMeta, Store


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
        objects = (entry for page in pages for entry in page)
        self._groups = groupby(objects, key=self._place_of)
        self.place: str | None = None
        self._objects: Iterator[ObjectMeta] = iter(())
        self._advance()

    def _place_of(self, entry: ObjectMeta) -> str:
        key = entry.key[self._cut :]
        parts = key.split("/", 2)
        # An object outside the month folders is a place of its own, so that it is counted.
        # The slash is part of the order: `2014/03.txt` and `2014/03-old/` sort before `2014/03/`
        # in a listing, but after `2014/03`.
        return f"{parts[0]}/{parts[1]}/" if len(parts) > 2 else key

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
    years = [(year_of_folder(folder), folder) for folder in inputs.list_folder().folders]
    for year, year_folder in sorted((year, name) for year, name in years if year is not None):
        months = [Month(year, number) for number in range(1, 13)]
        selected = [month for month in months if month in selection.months]
        prefixes = [p for month in selected for p in month_prefixes(year_folder, month)]
        # `month=3` sorts after `month=12`: those are listed one by one, in the order of time.
        at_once = len(selected) == 12 and not year_folder.startswith("year=")
        for prefix in [year_folder] if at_once else prefixes:
            cursor = MonthCursor(inputs.list(prefix))
            while (place := cursor.place) is not None:
                objects = cursor.take(place)
                month = month_at(place)
                if month is not None and month in selection.months:
                    discovered = discoverer.discover(place[:-1], objects)
                    yield MonthFolder(month, tuple(objects), discovered)
