"""Calendar arithmetic on arrays of days: months, weekdays, business days.

Days are int64 days since 1970-01-01, months int64 months since 1970-01, times int64 microseconds
since 1970: wall time, proleptic Gregorian calendar, negative before 1970.
"""

import numpy as np

from gigacast.core.array import IntArray

DAY_US = 86_400_000_000
MONTH_END = 31


def split_days(times: IntArray) -> tuple[IntArray, IntArray]:
    """Return the day of each time, and the microseconds since its midnight."""
    days = times // DAY_US
    return days, times - days * DAY_US


def months_of(days: IntArray) -> IntArray:
    """Return the month of each day."""
    # numpy's datetime casts count calendar months for arrays, without a loop in Python.
    months: IntArray = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return months


def first_days(months: IntArray) -> IntArray:
    """Return the first day of each month."""
    days: IntArray = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    return days


def split_months(days: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Return the month of each day, its day of the month (from 1), and the month's length."""
    months = months_of(days)
    first = first_days(months)
    return months, days - first + 1, first_days(months + 1) - first


def days_in_months(months: IntArray, day_of_month: IntArray | int) -> IntArray:
    """Return the given day of each month, clipped to the month's length (31 is its last day)."""
    first = first_days(months)
    length = first_days(months + 1) - first
    days: IntArray = first + np.minimum(day_of_month, length) - 1
    return days


def weekdays(days: IntArray) -> IntArray:
    """Return the weekday of each day, 0 for Monday."""
    shifted = days + 3  # day 0, 1970-01-01, is a Thursday
    return shifted - shifted // 7 * 7  # numpy's floor division is faster than its remainder


def business_number(days: IntArray) -> IntArray:
    """Return the number of each business day, which grows by one from day to day, int64 [N].

    Saturday and Sunday have the number of the Friday before.
    """
    # Weeks begin on Monday: day 0, 1970-01-01, is the fourth day of its week.
    shifted = days + 3
    weeks = shifted // 7
    numbers: IntArray = weeks * 5 + np.minimum(shifted - weeks * 7, 4)
    return numbers


def business_day(numbers: IntArray) -> IntArray:
    """Return the day of each number, the inverse of `business_number` for Monday to Friday."""
    return numbers + numbers // 5 * 2 - 3
