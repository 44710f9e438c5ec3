"""Times moved onto a grid.

Unlike the grids of series, which pass through their last point, these are the same for all: they
pass through midnight of 1970-01-01, weeks begin on Monday, months on their day of the frequency.
"""

from dataclasses import replace
from typing import Literal

import numpy as np

from gigacast.core.array import IntArray
from gigacast.core.time.calendar_grid import DAY_US
from gigacast.core.time.frequency import Frequency
from gigacast.core.time.trading_calendar import Calendar

_WEEK_US = 7 * DAY_US
_MONDAY_US = 4 * DAY_US


def align(times: IntArray, frequency: Frequency, how: Literal["floor", "nearest"]) -> IntArray:
    """Return the step at or before each time, or the nearest; half-way goes to the later.

    Parameters
    ----------
    times : int64 [R]
        Microseconds, or plain steps.
    frequency : Frequency
    how : {"floor", "nearest"}

    Examples
    --------
    >>> align(np.array([89_000_000]), Frequency.parse("min"), "nearest").tolist()
    [60000000]
    """
    if frequency.kind in {"fixed", "steps"}:
        is_weeks = frequency.kind == "fixed" and frequency.count % _WEEK_US == 0
        shift = _MONDAY_US if is_weeks else 0
        moved = times - shift + (frequency.count // 2 if how == "nearest" else 0)
        result: IntArray = moved // frequency.count * frequency.count + shift
        return result
    before = _floor(times, frequency)
    if how == "floor":
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
