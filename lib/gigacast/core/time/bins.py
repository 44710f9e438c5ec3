"""Calendar bins: the hours, days, weeks, months, quarters and years into which rows are aggregated.

Bins are those of pandas' `resample` for the same alias, with pandas' labels:

==============================  =================================================  ==============
alias                           bin                                                label
==============================  =================================================  ==============
``min 15min h 6h D``            from midnight on                                   its start
``W W-MON``                     seven days up to and including the anchor's day    its last day
``B``                           a business day; Friday has the weekend             its start
``MS QS-FEB YS-APR``            months, from the first of the anchor's month       its first day
``ME QE-FEB YE-MAR M Q Y``      months, to the end of the anchor's month           its last day
``M@15``                        from that day to the day before the next           its start
``5`` (plain numbers)           multiples                                          its start
==============================  =================================================  ==============

All series have the same bins, wherever their rows begin: multiples that do not divide a day, a week
or a year (``7h``, ``2D``, ``2W``, ``5MS``) are counted from 1970-01-01, as pandas counts them with
``origin="epoch"``. Days and longer bins are cut in wall time. Shorter ones last equally long on all
days, also where clocks change, and begin at midnight of standard time.
"""

from dataclasses import dataclass

import numpy as np

from gigacast.core.array import IntArray
from gigacast.core.time.calendar_grid import (
    DAY_US,
    MONTH_END,
    business_day,
    business_number,
    days_in_months,
    first_days,
    months_of,
    split_months,
)
from gigacast.core.time.frequency import Frequency
from gigacast.core.time.zone import to_wall

_WEEKDAY_OF_1970 = 3  # 1970-01-01 was a Thursday
_HALF_YEAR = 6


@dataclass(frozen=True, slots=True)
class Bins:
    """The calendar bins of a frequency.

    All times are int64 [R]: microseconds in wall time if the frequency is `in_wall_time`, in UTC if
    it is shorter than a day, or plain steps.

    Parameters
    ----------
    frequency : Frequency
    """

    frequency: Frequency

    @property
    def has_end_labels(self) -> bool:
        """Whether a bin has the label of its last day."""
        frequency = self.frequency
        if frequency.kind == "months":
            return frequency.day in {None, MONTH_END}
        return frequency.kind == "fixed" and frequency.anchor is not None

    @property
    def step(self) -> Frequency:
        """The frequency of the labels."""
        frequency = self.frequency
        if frequency.kind == "months" and frequency.day is None:
            return Frequency("months", frequency.count, MONTH_END, frequency.anchor)
        return frequency

    def numbers(self, times: IntArray, offset: IntArray | int = 0) -> IntArray:
        """Return the number of the bin of each time; the next bin has the next number.

        Parameters
        ----------
        times : int64 [R]
        offset : int64 [R] or int
            Offset of standard time from UTC, see `standard_offset`; it matters to bins shorter than
            a day only.
        """
        frequency = self.frequency
        if not frequency.in_wall_time:
            return (times + offset) // frequency.count
        days = times // DAY_US
        if frequency.kind == "business":
            return business_number(days)
        if frequency.kind == "fixed":
            return (days - self._first_day) // (frequency.count // DAY_US)
        months, day, length = split_months(days)
        months = months - (day < np.minimum(self._day, length))
        return (months - self._first_month) // frequency.count

    def starts(self, numbers: IntArray, offset: IntArray | int = 0) -> IntArray:
        """Return the start of each bin; its end is the start of the next."""
        frequency = self.frequency
        if not frequency.in_wall_time:
            return numbers * frequency.count - offset
        if frequency.kind == "business":
            return business_day(numbers) * DAY_US
        if frequency.kind == "fixed":
            days = numbers * (frequency.count // DAY_US) + self._first_day
            return days * DAY_US
        return days_in_months(self._months(numbers), self._day) * DAY_US

    def labels(self, numbers: IntArray, offset: IntArray | int = 0) -> IntArray:
        """Return the label of each bin."""
        if not self.has_end_labels:
            return self.starts(numbers, offset)
        if self.frequency.kind == "fixed":
            return self.starts(numbers + 1) - DAY_US
        return (first_days(self._months(numbers + 1)) - 1) * DAY_US

    def _months(self, numbers: IntArray) -> IntArray:
        return numbers * self.frequency.count + self._first_month

    @property
    def _day(self) -> int:
        """Day of the month on which bins start."""
        return 1 if self.has_end_labels else int(self.frequency.day or 1)

    @property
    def _first_day(self) -> int:
        """First day of a bin, in days since 1970."""
        anchor = self.frequency.anchor
        return 0 if anchor is None else (anchor + 1 - _WEEKDAY_OF_1970) % 7

    @property
    def _first_month(self) -> int:
        """First month of a bin, in months since January 1970."""
        anchor = self.frequency.anchor
        if anchor is None:
            return 0
        return anchor % 12 if self.has_end_labels else anchor - 1


def standard_offset(times: IntArray, zone: str | None) -> IntArray:
    """Return the offset of standard time from UTC in the year of each time, microseconds, [N].

    Parameters
    ----------
    times : int64 [N]
        Microseconds of UTC.
    zone : str, optional
        UTC by default.
    """
    if zone is None or len(times) == 0:
        return np.zeros(len(times), np.int64)
    january = first_days(months_of(times // DAY_US) // 12 * 12) * DAY_US
    july = first_days(months_of(january // DAY_US) + _HALF_YEAR) * DAY_US
    # Clocks are set forward in summer, which begins in July or in January.
    winter: IntArray = np.minimum(to_wall(january, zone) - january, to_wall(july, zone) - july)
    return winter
