"""Alignment of times to a grid.

The grids of the readers pass through the last point of each series. These grids are the same for
all series: they pass through midnight of 1970-01-01, weeks begin on Monday, and months on the day
of the frequency.
"""

from dataclasses import replace
from typing import Literal

import numpy as np

from gigacast.core.array import IntArray
from gigacast.core.time.calendar_grid import DAY_US
from gigacast.core.time.frequency import Frequency
from gigacast.core.time.trading_calendar import Calendar

_WEEK_US = 7 * DAY_US
_MONDAY_US = 4 * DAY_US  # 1970-01-05, the first Monday


def align(times: IntArray, frequency: Frequency, rounding: Literal["floor", "nearest"]) -> IntArray:
    """Return the grid point at or before each time, or the nearest; halves go to the later point.

    Parameters
    ----------
    times : int64 [R]
        Times in microseconds, or step numbers.
    frequency : Frequency
    rounding : {"floor", "nearest"}

    Examples
    --------
    >>> align(np.array([89_000_000]), Frequency.parse("min"), "nearest").tolist()
    [60000000]
    """
    if frequency.kind in {"fixed", "steps"}:
        is_weeks = frequency.kind == "fixed" and frequency.count % _WEEK_US == 0
        shift = _MONDAY_US if is_weeks else 0
        moved = times - shift + (frequency.count // 2 if rounding == "nearest" else 0)
        result: IntArray = moved // frequency.count * frequency.count + shift
        return result
    # Months, quarters and years have no fixed length.
    before = _floor(times, frequency)
    if rounding == "floor":
        return before
    after = _stepping(frequency).shift(before, 1)
    return np.where(after - times <= times - before, after, before)


def _floor(times: IntArray, frequency: Frequency) -> IntArray:
    step, origin = _stepping(frequency), np.zeros(1, np.int64)
    calendar = Calendar()
    ranks = calendar.rank(times, frequency) - calendar.rank(origin, frequency)
    steps = step.shift(np.zeros(len(times), np.int64), ranks)
    return np.where(steps > times, step.shift(steps, -1), steps)


def _stepping(frequency: Frequency) -> Frequency:
    return replace(frequency, day=frequency.day or 1) if frequency.kind == "months" else frequency
