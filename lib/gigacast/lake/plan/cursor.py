"""A walk over a listing in columns, month folder by month folder."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from gigacast.core.partition.name import month_place
from gigacast.storage.listed import NOTHING, Listed


class ColumnCursor:
    """Walks a listing month folder by month folder, in step with other listings.

    It is a `MonthCursor` over pages in columns: its places are the same, and no object is made for
    a key.

    Parameters
    ----------
    pages : iterable of Listed
        Pages in key order.
    prefix : str
        Part of the keys before ``2014/03/``.
    """

    def __init__(self, pages: Iterable[Listed], prefix: str = "") -> None:
        self._prefix = prefix
        self._pages: Iterator[Listed] = iter(pages)
        self._page, self._at = NOTHING, 0
        self.place: str | None = None
        self._advance()

    def take(self, place: str) -> Listed:
        """Return the objects of a place and advance; none when the cursor is at another one."""
        if self.place != place:
            return NOTHING
        pieces: list[Listed] = []
        while self._has_rows():
            stop = self._end_of(place)
            if stop == self._at:
                break
            pieces.append(self._page.slice(self._at, stop))
            self._at = stop
        self._advance()
        return Listed.joined(pieces)

    def _has_rows(self) -> bool:
        """Whether there is a current row; gets the next page where the last one has ended."""
        while self._at == len(self._page):
            page = next(self._pages, None)
            if page is None:
                return False
            self._page, self._at = page, 0
        return True

    def _key(self, row: int) -> str:
        return str(self._page.keys[row].as_py())

    def _advance(self) -> None:
        self.place = None
        if self._has_rows():
            self.place = month_place(self._key(self._at)[len(self._prefix) :])

    def _end_of(self, place: str) -> int:
        """Return the row of the page at which the objects of a place end."""
        full, last = self._prefix + place, len(self._page)
        # An object outside the month folders is a place of its own.
        if not place.endswith("/"):
            return self._at + (self._key(self._at) == full)
        if self._key(last - 1).startswith(full):
            return last
        # In key order those of one folder are side by side, so the end is found by halves.
        return bisect_left(
            range(last), True, self._at, key=lambda row: not self._key(row).startswith(full)
        )
