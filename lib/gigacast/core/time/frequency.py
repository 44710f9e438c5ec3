"""Frequencies, and the arithmetic of their time grids.

A frequency has one of four kinds, which cover the pandas aliases in use:

=============  ==========================================  =======================================
kind           aliases                                     next step
=============  ==========================================  =======================================
fixed          ``us ms s min 15min h D 7D W``              plus ``count`` microseconds
steps          ``1 5`` (plain integers, no clock)          plus ``count``
business       ``B``                                       next Monday to Friday
months         ``MS ME M QS QE Q YS YE Y M@15``            plus ``count`` months, the day clipped
=============  ==========================================  =======================================

A frequency is the distance between grid points, not the position of the grid: **every grid passes
through the last timestamp of its series**. So ``W`` is any seven days, and ``QS`` is any third
month: the anchor of ``W-MON`` only matters to calendar bins (`gigacast.core.time.bins`). For months
the day is part of the frequency: the first (``MS``), the last (``ME``), a fixed day (``M@15``,
clipped in shorter months), or for a bare ``M``, ``Q`` or ``Y`` the day of the last timestamp, where
the end of a month stays the end of a month.

All times are int64 microseconds since 1970 in wall time (the reader converts time zones), or plain
integers for steps.
"""

from dataclasses import dataclass, field
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
    weekdays,
)
from gigacast.core.time.frequency_alias import parse_alias, spell_anchor, spell_fixed, spell_months

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
        Day of the month for ``months``; 31 is the end of the month; the day of the last timestamp
        by default.
    anchor : int, optional
        Last weekday of calendar weeks, 0 for Monday; or the month, from 1, in which calendar
        quarters or years start or end. Frequencies that differ only in it are equal, as steps do
        not depend on it.
    """

    kind: Kind
    count: int
    day: int | None = None
    anchor: int | None = field(default=None, compare=False)

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
        """Return a step of calendar months on a day of the month (31 for its end)."""
        return cls("months", count, day)

    @classmethod
    def parse(cls, text: str) -> "Frequency":
        """Return the frequency of an alias, as pandas spells or spelled it.

        Upper and lower case matter only between ``MS`` (month start) and ``ms``. ``M`` is a month
        and ``min`` or ``T`` a minute, while a lone ``m`` is refused as ambiguous. ``daily``,
        ``hourly`` and the like are accepted too.

        Raises
        ------
        ConfigError
            If the text is not an alias of a known frequency.
        """
        return cls(*parse_alias(text))

    @property
    def alias(self) -> str:
        """Canonical text, from which `parse` returns an equal frequency."""
        if self.kind == "fixed":
            return spell_fixed(self.count)
        if self.kind == "months":
            return spell_months(self.count, self.day)
        return "B" if self.kind == "business" else str(self.count)

    @property
    def pandas_alias(self) -> str:
        """Alias that pandas and services built on it know; empty for plain steps.

        Months on another day than the first or the last are those of the first.
        """
        if self.kind == "steps":
            return ""
        if self.kind != "months":
            return self.alias
        return spell_months(self.count, MONTH_END if self.day == MONTH_END else 1)

    @property
    def anchored_alias(self) -> str:
        """Alias with the anchor, as ``W-SUN``, which names calendar bins."""
        # Seven days that are no calendar week have other bins.
        if self.kind == "fixed" and self.anchor is None and self.count % (7 * DAY_US) == 0:
            return f"{self.count // DAY_US}D"
        return self.alias + spell_anchor(self.kind, self.anchor)

    def __str__(self) -> str:
        return self.alias

    @property
    def in_wall_time(self) -> bool:
        """Whether steps follow wall time, as days and longer steps do, or UTC, as hours do.

        On the day of a change to summer time, midnight to midnight is one step of a daily series
        although it has 23 hours; an hourly series has a value for each of these hours.
        """
        return self.kind in {"business", "months"} or (
            self.kind == "fixed" and self.count % DAY_US == 0
        )

    @property
    def season_length(self) -> int:
        """Number of steps in a season.

        Weeks have 52 and days 7 here, where GluonTS, and figures published with it, has 1 for both.
        The season of seconds is an hour (3600), of minutes a day (1440; 96 for ``15min``), of hours
        a day (24), of days a week (7), of business days a week (5), of weeks (52), months (12) and
        quarters (4) a year. It is 1 for steps that do not divide their season, for years and for
        plain integers.
        """
        if self.kind == "business":
            return 5
        if self.kind == "months":
            return _divide(12, self.count)
        return _fixed_season(self.count) if self.kind == "fixed" else 1

    def shift(self, times: IntArray, steps: IntArray | int) -> IntArray:
        """Return the times ``steps`` later, or earlier if negative. Shapes broadcast.

        For times off the grid, business days count from the Friday before the weekend, and months
        from the month of the time.
        """
        if self.kind in {"fixed", "steps"}:
            return times + np.multiply(steps, self.count)
        days, time_of_day = split_days(times)
        if self.kind == "business":
            return business_day(business_number(days) + steps) * DAY_US + time_of_day
        months = months_of(days) + np.multiply(steps, self.count)
        return days_in_months(months, self._day_of_month(days)) * DAY_US + time_of_day

    def start(self, times: IntArray) -> IntArray:
        """Return the first grid point of series that start at these times.

        A start on a weekend is the Monday after it for business days, as for pandas; other
        frequencies start at the time itself, and those of months in its month.
        """
        if self.kind != "business":
            return self.shift(times, 0)
        days = times // DAY_US
        return self.shift(times, np.where(weekdays(days) > 4, 1, 0))

    def future(self, last: IntArray, horizon: int) -> IntArray:
        """Return the grid points after each last timestamp.

        Parameters
        ----------
        last : int64 [N]
            Last timestamps.
        horizon : int
            Steps ahead, H.

        Returns
        -------
        int64 [N, H]
        """
        return self.shift(last[:, None], np.arange(1, horizon + 1, dtype=np.int64))

    def grid_index(self, times: IntArray, last: IntArray) -> tuple[IntArray, BoolArray]:
        """Return the number of steps from each time to its last one, and whether it is exact.

        Parameters
        ----------
        times, last : int64 [R]
            Wall times, with ``times <= last``. Shapes broadcast.

        Returns
        -------
        steps : int64 [R]
            Number of steps. A time off the grid counts as the nearest grid point, or the later of
            two equally near ones (to the month for ``months``; a weekend as its Friday for
            ``business``).
        exact : bool [R]
            Whether the time is on the grid.
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
        """Return an upper bound of the distance of ``steps`` steps, in the unit of the times."""
        # Whole weeks or months, and two more for the parts at both ends.
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
    """Return distances divided by the step, rounded to the nearest; halves are rounded down."""
    # In integers: float64 has 53 bits, and microseconds since 1970 need up to 63.
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
