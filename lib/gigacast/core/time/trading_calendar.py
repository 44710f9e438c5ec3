"""The days and hours of a market, at which rows are expected.

A calendar and a frequency together give the number of steps between two times. `Calendar.parse`
reads ``24/7``, ``weekdays``, ``mon-fri 09:30-16:00`` and ``sun-thu 10:00-17:00 Asia/Dubai``.
"""

import re
from dataclasses import dataclass
from datetime import date

import numpy as np

from gigacast.core.array import BoolArray, IntArray
from gigacast.core.time.calendar_grid import (
    DAY_US,
    business_number,
    months_of,
    split_days,
    weekdays,
)
from gigacast.core.time.frequency import Frequency
from gigacast.core.time.zone import check_zone, to_wall
from gigacast.errors import ConfigError

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TEXT = re.compile(
    r"(?P<first>[a-z]{3})-(?P<last>[a-z]{3})"
    r"(?:\s+(?P<open>\d{2}:\d{2})-(?P<close>\d{2}:\d{2})(?:\s+(?P<zone>\S+))?)?",
    re.IGNORECASE,
)
_HINT = "such as 24/7, weekdays, 'mon-fri 09:30-16:00 America/New_York'"


@dataclass(frozen=True, slots=True)
class Calendar:
    """Open days of the week and hours of the day, without holidays.

    Parameters
    ----------
    days : tuple of int
        Open days of the week, 0 for Monday.
    open_us, close_us : int
        Opening and closing time of each open day, in microseconds since midnight. Steps are
        expected from the opening time on and before the closing time.
    zone : str, optional
        Time zone of the hours; UTC by default.
    holidays : tuple of date
        Closed days.

    Examples
    --------
    >>> str(Calendar.parse("mon-fri 09:30-16:00 America/New_York"))
    'mon-fri 09:30-16:00 America/New_York'
    """

    days: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    open_us: int = 0
    close_us: int = DAY_US
    zone: str | None = None
    holidays: tuple[date, ...] = ()

    @classmethod
    def parse(cls, text: str, holidays: tuple[date, ...] = ()) -> "Calendar":
        """Return the calendar that a text describes.

        Raises
        ------
        ConfigError
            If the text is not a calendar.
        """
        plain = text.strip().lower()
        if plain in {"24/7", "always"}:
            return cls(holidays=holidays)
        if plain == "weekdays":
            return cls((0, 1, 2, 3, 4), holidays=holidays)
        match = _TEXT.fullmatch(text.strip())
        if match is None:
            raise ConfigError(f"there is no calendar {text!r}", hint=_HINT)
        first, last = (_day(match[name], text) for name in ("first", "last"))
        days = tuple(sorted((first + n) % 7 for n in range((last - first) % 7 + 1)))
        opens = _clock(match["open"] or "00:00", text)
        closes = _clock(match["close"] or "24:00", text)
        if closes <= opens:
            raise ConfigError(f"calendar {text!r}: it closes before it opens", hint=_HINT)
        return cls(days, opens, closes, _checked_zone(match["zone"]), holidays)

    @property
    def is_always(self) -> bool:
        """Whether the market never closes."""
        is_all_day = self.open_us == 0 and self.close_us == DAY_US
        return len(self.days) == 7 and is_all_day and not self.holidays

    def __str__(self) -> str:
        if len(self.days) == 7 and self.open_us == 0 and self.close_us == DAY_US:
            return "24/7"
        # The first open day after a closed one: sun-thu must not be spelled mon-...
        first = next(d for d in self.days if (d - 1) % 7 not in self.days or len(self.days) == 7)
        last = (first + len(self.days) - 1) % 7
        hours = f" {_spell(self.open_us)}-{_spell(self.close_us)}"
        zone = f" {self.zone}" if self.zone else ""
        return f"{_DAYS[first]}-{_DAYS[last]}{hours}{zone}"

    def rank(self, times: IntArray, frequency: Frequency) -> IntArray:
        """Return the rank of each time, int64 [R]: the number of expected steps up to it.

        Ranks have an arbitrary origin. The difference of two ranks is the number of steps between
        the times. Times off the grid or outside the hours have the rank of the last step before.

        Parameters
        ----------
        times : int64 [R]
            Times in microseconds of UTC, or plain steps.
        frequency : Frequency
            Distance between two steps.
        """
        if frequency.kind == "steps":
            return times // frequency.count
        days, time_of_day = split_days(to_wall(times, self.zone))
        if frequency.kind == "business":
            ranks = business_number(days)
        elif frequency.kind == "months":
            ranks = months_of(days) // frequency.count
        elif frequency.count % DAY_US == 0:
            ranks = self._open_days(days) // (frequency.count // DAY_US)
        elif self.is_always:
            ranks = times // frequency.count
        else:
            ranks = self._steps_in_hours(days, time_of_day, frequency.count)
        return ranks

    def _steps_in_hours(self, days: IntArray, time_of_day: IntArray, step: int) -> IntArray:
        # The closing time has no step of its own, so a last step that is cut short still counts.
        steps_per_day = -(-(self.close_us - self.open_us) // step)
        today = np.clip((time_of_day - self.open_us) // step + 1, 0, steps_per_day)
        before = self._open_days(days - 1)
        ranks: IntArray = before * steps_per_day + np.where(self._is_open(days), today, 0)
        return ranks

    def _open_days(self, days: IntArray) -> IntArray:
        """Return the number of open days up to and including each day, from an arbitrary origin."""
        shifted = days + 3  # 1970-01-01 was a Thursday
        weeks = shifted // 7
        within = np.cumsum([day in self.days for day in range(7)])
        counted: IntArray = weeks * len(self.days) + within[shifted - weeks * 7]
        return counted - np.searchsorted(self._closed(), days, side="right")

    def _is_open(self, days: IntArray) -> "BoolArray":
        opened = np.array([day in self.days for day in range(7)])[weekdays(days)]
        return opened & ~np.isin(days, self._closed())

    def _closed(self) -> IntArray:
        """Return the holidays on days that are otherwise open, in ascending order."""
        numbers = [(day - date(1970, 1, 1)).days for day in sorted(set(self.holidays))]
        days = np.array(numbers, np.int64)
        return days[np.isin(weekdays(days), self.days)]


def _day(text: str, calendar: str) -> int:
    if text.lower() not in _DAYS:
        raise ConfigError(f"calendar {calendar!r}: there is no day {text!r}", hint=_HINT)
    return _DAYS.index(text.lower())


def _clock(text: str, calendar: str) -> int:
    hours, minutes = (int(part) for part in text.split(":"))
    if hours * 60 + minutes > 24 * 60 or minutes > 59:
        raise ConfigError(f"calendar {calendar!r}: there is no time {text}", hint=_HINT)
    return (hours * 60 + minutes) * 60_000_000


def _spell(time_us: int) -> str:
    minutes = time_us // 60_000_000
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _checked_zone(zone: str | None) -> str | None:
    check_zone(zone)
    return zone
