"""Calendar months, the unit by which a bucket is divided, and filters of months."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from gigacast.errors import ConfigError

_RANGE = re.compile(r"^(\d{1,4})(?::(\d{1,4}))?$")


@dataclass(frozen=True, order=True, slots=True)
class Month:
    """A calendar month; months are ordered by time."""

    year: int
    month: int

    def __post_init__(self) -> None:
        if not 1 <= self.month <= 12:
            raise ConfigError(f"month must be 1 to 12, got {self.month}")

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"

    @property
    def folder(self) -> str:
        """Folder of this month below an input root, such as ``2014/03``."""
        return f"{self.year:04d}/{self.month:02d}"

    def shift(self, months: int) -> "Month":
        """Return the month that is ``months`` later, or earlier if negative."""
        index = self.year * 12 + self.month - 1 + months
        return Month(index // 12, index % 12 + 1)


@dataclass(frozen=True, slots=True)
class IntRange:
    """A closed range of integers: years or months of the year."""

    first: int
    last: int

    def __contains__(self, value: int) -> bool:
        return self.first <= value <= self.last

    @classmethod
    def parse(cls, text: str, field: str) -> "IntRange":
        """Read ``2014`` or ``2014:2016``.

        Raises
        ------
        ConfigError
            If the text is neither, or the range runs backwards.
        """
        match = _RANGE.match(text.strip())
        if match is None:
            raise ConfigError(f"{field}: expected N or FIRST:LAST, got {text!r}")
        first = int(match[1])
        last = int(match[2] or match[1])
        if last < first:
            raise ConfigError(f"{field}: the range {text!r} runs backwards")
        return cls(first, last)


@dataclass(frozen=True, slots=True)
class MonthFilter:
    """A selection of years, and of months in each of them; ``None`` selects all.

    The range of months applies to each year, as in "the first half of each of these years".
    """

    latest: ClassVar[bool] = False
    years: IntRange | None = None
    months: IntRange | None = None

    def among(self, months: Iterable[Month]) -> "MonthFilter":
        """Return the filter of single months, where the newest of those that exist is meant."""
        del months
        return self

    def __contains__(self, month: Month) -> bool:
        return (self.years is None or month.year in self.years) and (
            self.months is None or month.month in self.months
        )


# A class of its own: a field would be in the plans, and in the texts of filters, that are stored.
@dataclass(frozen=True, slots=True)
class LatestMonth(MonthFilter):
    """The newest month that there is, of some years; `among` finds it."""

    latest: ClassVar[bool] = True

    def among(self, months: Iterable[Month]) -> MonthFilter:
        """Return the filter of the newest of some months."""
        chosen = [month for month in months if self.years is None or month.year in self.years]
        newest = max(chosen, default=None)
        # Nothing exists: the filter of a month that nothing is in.
        year, month = (9999, 12) if newest is None else (newest.year, newest.month)
        return MonthFilter(IntRange(year, year), IntRange(month, month))

    def __contains__(self, month: Month) -> bool:
        raise ConfigError(
            "months: the latest month means nothing here", hint="name it, as --months 3"
        )
