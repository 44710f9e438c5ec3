"""Frequencies as values, and the arithmetic of time grids.

A frequency is one of four kinds, which cover what the pandas aliases in use mean:

=============  ==========================================  =======================================
kind           aliases                                     next step
=============  ==========================================  =======================================
fixed          ``us ms s min 15min h D 7D W``              plus ``count`` microseconds
steps          ``1 5`` (plain integers, no clock)          plus ``count``
business       ``B``                                       next Monday to Friday
months         ``MS ME M QS QE Q YS YE Y M@15``            plus ``count`` months, the day clipped
=============  ==========================================  =======================================

A frequency gives the distance between grid points, never where the grid lies: **every grid passes
through the last timestamp of its series**. So ``W`` is any seven days (the anchor of ``W-MON`` is
read and left to the data), and ``QS`` any third month. For months the day is part of the
frequency: the first (``MS``), the last (``ME``), a fixed one (``M@15``, clipped in shorter months)
or, for a bare ``M``, ``Q`` or ``Y``, that of the last timestamp, a month's end staying a month's
end.

All times are int64 microseconds since 1970 in wall time (zones are the reader's business), or
plain integers for steps.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gigacast.core.array import BoolArray, IntArray
from gigacast.core.time.calendar_grid import (
    DAY_US,
    MONTH_END,
    business_day,
    business_number,
    days_in_months,
    months_of,
    split_days,
    split_months,
)
from gigacast.core.time.frequency_alias import parse_alias, spell_fixed, spell_months

Kind = Literal["fixed", "steps", "business", "months"]

_HOUR_US = DAY_US // 24
_MINUTE_US = _HOUR_US // 60
_SECOND_US = _MINUTE_US // 60


@dataclass(frozen=True, slots=True)
class Frequency:
    """The distance between two steps of a series. Make one by `parse` or the named constructors.

    Parameters
    ----------
    kind : str
        ``fixed``, ``steps``, ``business`` or ``months``.
    count : int
        Microseconds, steps, business days (1) or months from one grid point to the next.
    day : int, optional
        Day of the month for ``months``; 31 is the month's end; ``None`` the last timestamp's.
    """

    kind: Kind
    count: int
    day: int | None = None

    @classmethod
    def fixed(cls, microseconds: int) -> "Frequency":
        """Return a fixed step of clock time."""
        return cls("fixed", microseconds)

    @classmethod
    def steps(cls, count: int = 1) -> "Frequency":
        """Return a step of plain integers."""
        return cls("steps", count)

    @classmethod
    def business(cls) -> "Frequency":
        """Return Monday to Friday."""
        return cls("business", 1)

    @classmethod
    def months(cls, count: int, day: int | None = None) -> "Frequency":
        """Return a step of calendar months on a day of the month (31: its end)."""
        return cls("months", count, day)

    @classmethod
    def parse(cls, text: str) -> "Frequency":
        """Read an alias, pandas' old and new ones, in any case where that is unambiguous.

        Case decides between ``MS`` (month start) and ``ms``; ``M`` is a month and ``min`` or ``T``
        a minute, while a lone ``m`` is refused. ``daily``, ``hourly`` and the like are read too.

        Raises
        ------
        ConfigError
            When the text names no frequency, or one this package does not know.
        """
        return cls(*parse_alias(text))

    @property
    def alias(self) -> str:
        """The canonical text, which `parse` reads back to an equal frequency."""
        if self.kind == "fixed":
            return spell_fixed(self.count)
        if self.kind == "months":
            return spell_months(self.count, self.day)
        return "B" if self.kind == "business" else str(self.count)

    def __str__(self) -> str:
        return self.alias

    @property
    def in_wall_time(self) -> bool:
        """Whether steps follow the calendar on the wall: days and longer do, hours do not.

        Across a change to summer time, midnight to midnight is one day whatever its hours, but an
        hourly series has a value for every hour that passes.
        """
        return self.kind in {"business", "months"} or (
            self.kind == "fixed" and self.count % DAY_US == 0
        )

    @property
    def season_length(self) -> int:
        """Steps in a season, by the conventions of GluonTS and Nixtla.

        Seconds have an hour (3600), minutes a day (1440; 96 for ``15min``), hours a day (24), days
        a week (7), business days a week (5), weeks (52), months (12) and quarters (4) a year.
        Steps that do not divide their season, years and plain integers have none: 1.
        """
        if self.kind == "business":
            return 5
        if self.kind == "months":
            return _divide(12, self.count)
        return _fixed_season(self.count) if self.kind == "fixed" else 1

    def shift(self, times: IntArray, steps: IntArray | int) -> IntArray:
        """Return the times so many steps later (earlier when negative); shapes broadcast.

        Off the grid, business days count from the Friday before a weekend, and months from the
        month the time lies in.
        """
        if self.kind in {"fixed", "steps"}:
            return times + np.multiply(steps, self.count)
        days, time_of_day = split_days(times)
        if self.kind == "business":
            return business_day(business_number(days) + steps) * DAY_US + time_of_day
        months = months_of(days) + np.multiply(steps, self.count)
        return days_in_months(months, self._day_of_month(days)) * DAY_US + time_of_day

    def future(self, last: IntArray, horizon: int) -> IntArray:
        """Return the grid after each last timestamp.

        Parameters
        ----------
        last : int64 [N]
        horizon : int
            Steps ahead, H.

        Returns
        -------
        int64 [N, H]
        """
        return self.shift(last[:, None], np.arange(1, horizon + 1, dtype=np.int64))

    def grid_index(self, times: IntArray, last: IntArray) -> tuple[IntArray, BoolArray]:
        """Return how many steps each time lies before its last one, and whether exactly.

        Parameters
        ----------
        times, last : int64 [R]
            Wall times, ``times <= last``; shapes broadcast.

        Returns
        -------
        steps : int64 [R]
            Off the grid: of the nearest step, the later of two (in months for ``months``; a
            weekend is its Friday for ``business``).
        exact : bool [R]
            Whether the time lies on the grid.
        """
        if self.kind in {"fixed", "steps"}:
            distance = last - times
            return nearest_steps(distance, self.count), distance % self.count == 0
        days, last_days = times // DAY_US, last // DAY_US
        if self.kind == "business":
            steps = business_number(last_days) - business_number(days)
        else:
            steps = nearest_steps(months_of(last_days) - months_of(days), self.count)
        return steps, self.shift(last, -steps) == times

    def span_us(self, steps: int) -> int:
        """Return an upper bound of the distance (in the unit of the times) of so many steps."""
        if self.kind == "business":
            return (steps // 5 + 2) * 7 * DAY_US
        if self.kind == "months":
            return (steps * self.count + 2) * 31 * DAY_US
        return steps * self.count

    def _day_of_month(self, days: IntArray) -> IntArray | int:
        if self.day is not None:
            return self.day
        _, day, length = split_months(days)
        return np.where(day == length, MONTH_END, day)


def nearest_steps(distance: IntArray, count: IntArray | int) -> IntArray:
    """Divide distances by steps, to the nearest; half-way goes to the smaller number."""
    steps: IntArray = (distance + (np.asarray(count, np.int64) - 1) // 2) // count
    return steps


def _divide(season: int, count: int) -> int:
    return season // count if season % count == 0 else 1


def _fixed_season(count: int) -> int:
    for unit, units_per_season in (
        (7 * DAY_US, 52),
        (DAY_US, 7),
        (_HOUR_US, 24),
        (_MINUTE_US, 24 * 60),
        (_SECOND_US, 60 * 60),
    ):
        if count % unit == 0:
            return _divide(units_per_season, count // unit)
    return 1
