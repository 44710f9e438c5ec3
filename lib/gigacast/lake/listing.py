"""A listing cut into months. Imports ``storage`` only."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from gigacast.storage.store import ObjectMeta


class MonthCursor:
    """Walks a listing month folder by month folder, in step with other listings.

    Parameters
    ----------
    pages : iterable of list of ObjectMeta
        In key order.
    prefix : str
        What the keys start with before ``2014/03/``; left in the objects' keys.
    """

    def __init__(self, pages: Iterable[list[ObjectMeta]], prefix: str = "") -> None:
        self._cut = len(prefix)
        objects = (entry for page in pages for entry in page)
        self._groups = groupby(objects, key=self._folder_of)
        self.folder: str | None = None
        self._objects: Iterator[ObjectMeta] = iter(())
        self._advance()

    def _folder_of(self, entry: ObjectMeta) -> str:
        parts = entry.key[self._cut :].split("/", 2)
        return "/".join(parts[:2]) if len(parts) > 2 else entry.key[self._cut :]

    def _advance(self) -> None:
        self.folder, self._objects = next(self._groups, (None, iter(())))

    def take(self, folder: str) -> list[ObjectMeta]:
        """Return the objects of this folder and step on; none when the cursor is elsewhere."""
        if self.folder != folder:
            return []
        objects = list(self._objects)
        self._advance()
        return objects
