"""Numbers that look like times in forms that are not read, such as ``ddmmyyyy``.

Read as steps, as months or as seconds since 1970 they would be other times. Numbers count as such
only if all of a column do: those of a counter soon leave every form.
"""

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LEAST_NUMBERS = 4
"""Numbers that are needed: fewer are in a form by chance."""
_SAMPLE = 64
_RANGES = {
    "year": (1900, 2200), "yy": (0, 99), "month": (1, 12), "day": (1, 31), "hour": (0, 23),
    "minute": (0, 59), "second": (0, 59), "week": (1, 53), "quarter": (1, 4), "ordinal": (1, 366),
}  # fmt: skip
_CLOCK = (("hour", 2), ("minute", 2), ("second", 2))
_DAY_FIRST = (("day", 2), ("month", 2), ("year", 4))
_MONTH_FIRST = (("month", 2), ("day", 2), ("year", 4))
_SHORT = (("yy", 2), ("month", 2), ("day", 2))


@dataclass(frozen=True)
class Spelling:
    """A form of numbers that may be times, but is not read.

    Parameters
    ----------
    name : str
    parts : tuple of (str, int)
        Parts of a number and their digits, from the left.
    """

    name: str
    parts: tuple[tuple[str, int], ...]

    @property
    def digits(self) -> int:
        """Digits of a number without leading zeros."""
        return sum(width for _, width in self.parts)

    def count(self, numbers: npt.NDArray[np.int64]) -> int:
        """Return how many numbers there are if all have this form, else 0."""
        # Years of two digits before 10 would make times of small counters.
        floor = 10 if self.parts[0][0] == "yy" else 1
        least = floor * 10 ** (self.digits - self.parts[0][1])
        if numbers.min() < least or numbers.max() >= 10**self.digits:
            return 0
        for part in (numbers[:_SAMPLE], numbers):
            if not self._is_spelled(part):
                return 0
        return len(numbers)

    def _is_spelled(self, numbers: npt.NDArray[np.int64]) -> bool:
        rest = numbers
        for part, width in reversed(self.parts):
            rest, value = np.divmod(rest, 10**width)
            low, high = _RANGES[part]
            if value.min() < low or value.max() > high:
                return False
        return True


SPELLINGS = (
    Spelling("ddmmyyyy", _DAY_FIRST),
    Spelling("mmddyyyy", _MONTH_FIRST),
    Spelling("yymmdd", _SHORT),
    Spelling("yymm", (("yy", 2), ("month", 2))),
    Spelling("yyyyddd", (("year", 4), ("ordinal", 3))),
    Spelling("yyyyww", (("year", 4), ("week", 2))),
    Spelling("yyyyq", (("year", 4), ("quarter", 1))),
    Spelling("ddmmyyyyHHMM", (*_DAY_FIRST, *_CLOCK[:2])),
    Spelling("mmddyyyyHHMM", (*_MONTH_FIRST, *_CLOCK[:2])),
    Spelling("ddmmyyyyHHMMSS", (*_DAY_FIRST, *_CLOCK)),
    Spelling("mmddyyyyHHMMSS", (*_MONTH_FIRST, *_CLOCK)),
    Spelling("yymmddHHMM", (*_SHORT, *_CLOCK[:2])),
    Spelling("yymmddHHMMSS", (*_SHORT, *_CLOCK)),
)
# Numbers of today since another moment than 1970. As nanoseconds since 1970 the first two would be
# of a few months, of 1974 and of 1990; as seconds the others of the years 1988 to 1997, of 2032 to
# 2038 and of 2080 to 2105.
_EPOCHS = {
    "100 nanoseconds since the year 1601 (FILETIME of Windows)": (125_911e12, 136_950e12),
    "100 nanoseconds since the year 1 (ticks of .NET)": (630_822e12, 642_000e12),
    "seconds since 2001 (Cocoa)": (5.7e8, 8.6e8),
    "seconds since 1960 (SAS)": (1.95e9, 2.147e9),
    "milliseconds since 1960 (Stata)": (1.95e12, 2.147e12),
    "seconds since 1900 or 1904 (NTP, HFS)": (3.5e9, 4.27e9),
}
"""Counts that no unit reads, if all numbers of a column are between two."""
_COUNTS = {
    "days since 1970 or 1960": (16_436, 27_394),
    "days of a spreadsheet": (42_005, 49_310),
    "modified Julian days": (57_023, 64_328),
    "Julian days": (2_457_024, 2_464_329),
    "days since the year 0 or 1": (735_599, 743_271),
    "hours since 1970": (394_464, 569_784),
    "minutes since 1970": (23_667_840, 34_187_040),
}
"""Counts of the years 2015 to 2035 that are plain steps by their size."""
_DAYS_OF_2000, _DAYS_OF_2100 = 36_526, 73_051
"""Days of a spreadsheet."""
_OF_TIME = re.compile(r"date|time|day|hour|minute|epoch|\b(?:ds|ts)\b", re.IGNORECASE)


def count_spelled(numbers: npt.NDArray[np.int64]) -> tuple[int, ...]:
    """Return, for each of `SPELLINGS`, how many numbers have it; 0 unless all have."""
    return tuple(spelling.count(numbers) for spelling in SPELLINGS)


def spelling_of(count: int, spelled: tuple[int, ...], least: float, greatest: float) -> str | None:
    """Return the form that all numbers of a column seem to have; ``None`` if there is none.

    Parameters
    ----------
    count : int
        Numbers of the column.
    spelled : tuple of int
        Sums of `count_spelled` over the column.
    least, greatest : float
        Least and greatest number.
    """
    if count < LEAST_NUMBERS:
        return None
    for spelling, inside in zip(SPELLINGS, spelled, strict=True):
        # 2401 to 2412 may count anything; after 2412 a counter has 2413.
        is_counter = spelling.name == "yymm" and least // 100 == greatest // 100
        if inside == count and not is_counter:
            return f"dates of the form {spelling.name}"
    for name, (first, end) in _EPOCHS.items():
        if first <= least and greatest < end:
            return name
    return None


def count_of_time(column: str, least: float, greatest: float) -> str | None:
    """Return what the numbers of a column called a time seem to count; ``None`` for plain steps.

    As steps they would have no week and no year.

    Parameters
    ----------
    column : str
        Name of the column.
    least, greatest : float
        Least and greatest number.
    """
    if _OF_TIME.search(column) is None:
        return None
    for name, (low, end) in _COUNTS.items():
        if low <= least and greatest < end:
            return name
    is_date = "date" in column.lower() and least >= _DAYS_OF_2000 and greatest < _DAYS_OF_2100
    return "days of a spreadsheet" if is_date else None
