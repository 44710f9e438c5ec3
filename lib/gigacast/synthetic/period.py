"""Periods of synthetic series: those of calendars, and random ones.

Half of the random periods are not whole, so that patches of 16 points do not divide them.
"""

from dataclasses import dataclass

import numpy as np

from gigacast.core.array import FloatArray, IntArray
from gigacast.synthetic.signal import log_uniform


@dataclass(frozen=True)
class Calendar:
    """Periods of a sampling interval, in steps.

    Attributes
    ----------
    name : str
        Name of the sampling interval.
    short, long : float
        Inner period (a day of hours) and outer period (a week of hours).
    weight : float
        Probability of the calendar, relative to the others.
    """

    name: str
    short: float
    long: float
    weight: float


CALENDARS = (
    Calendar("minute", 60.0, 1440.0, 0.03),
    Calendar("5 minutes", 12.0, 288.0, 0.03),
    Calendar("10 minutes", 144.0, 1008.0, 0.03),
    Calendar("15 minutes", 96.0, 672.0, 0.06),
    Calendar("half hour", 48.0, 336.0, 0.06),
    Calendar("hour", 24.0, 168.0, 0.28),
    Calendar("2 hours", 12.0, 84.0, 0.02),
    Calendar("3 hours", 8.0, 56.0, 0.02),
    Calendar("6 hours", 4.0, 28.0, 0.02),
    Calendar("day", 7.0, 365.25, 0.10),
    Calendar("day of the month", 7.0, 30.4375, 0.04),
    Calendar("business day", 5.0, 21.75, 0.05),
    Calendar("week", 52.1786, 13.0446, 0.08),
    Calendar("week of the month", 4.3482, 52.1786, 0.03),
    Calendar("month", 12.0, 3.0, 0.10),
    Calendar("quarter", 4.0, 2.0, 0.05),
)

_WEIGHTS = np.array([calendar.weight for calendar in CALENDARS])
_SHORT_PERIODS = np.array([calendar.short for calendar in CALENDARS], dtype=np.float32)
_LONG_PERIODS = np.array([calendar.long for calendar in CALENDARS], dtype=np.float32)
# Calendars whose long period is a whole multiple of the short one.
_NESTED = np.array([c.long > c.short and float(c.long / c.short).is_integer() for c in CALENDARS])


def calendar_periods(rng: np.random.Generator, rows: int) -> tuple[FloatArray, FloatArray]:
    """Return the short and long period of a random calendar for each series, [N, 1]."""
    picked = rng.choice(len(CALENDARS), size=rows, p=_WEIGHTS / _WEIGHTS.sum())
    return _SHORT_PERIODS[picked, None], _LONG_PERIODS[picked, None]


def nested_periods(rng: np.random.Generator, rows: int) -> tuple[IntArray, IntArray]:
    """Return nested whole periods, [N, 1]: steps per inner period, inner periods per outer one.

    Five in six are those of calendars (24 hours, 7 days), the others are random.
    """
    weights = np.where(_NESTED, _WEIGHTS, 0.0)
    picked = rng.choice(len(CALENDARS), size=rows, p=weights / weights.sum())
    inner = _SHORT_PERIODS[picked, None].astype(np.int64)
    outer = np.rint(_LONG_PERIODS[picked, None] / _SHORT_PERIODS[picked, None]).astype(np.int64)
    is_random = rng.random((rows, 1)) < 1 / 6
    random_inner = np.rint(log_uniform(rng, 2.0, 120.0, rows)).astype(np.int64)
    random_outer = rng.integers(2, 13, size=(rows, 1))
    return np.where(is_random, random_inner, inner), np.where(is_random, random_outer, outer)


def random_periods(rng: np.random.Generator, rows: int, longest: float) -> FloatArray:
    """Return periods drawn log-uniformly from 2 to ``longest``, half of them whole, [N, 1]."""
    period = log_uniform(rng, 2.0, max(longest, 3.0), rows)
    is_whole = rng.random((rows, 1)) < 0.5
    return np.where(is_whole, np.rint(period), period).astype(np.float32)


def mixed_periods(rng: np.random.Generator, rows: int, longest: float) -> FloatArray:
    """Return calendar periods for two series in three and random ones for the others, [N, 1].

    Two in three calendar periods are the short one. No period is longer than ``longest``, because
    a series must show its season to be learned from.
    """
    short, long = calendar_periods(rng, rows)
    from_calendar = np.where(rng.random((rows, 1)) < 2 / 3, short, long)
    from_calendar = np.where(from_calendar > longest, short, from_calendar)
    drawn = random_periods(rng, rows, longest)
    use_calendar = (rng.random((rows, 1)) < 2 / 3) & (from_calendar <= longest)
    return np.where(use_calendar, from_calendar, drawn)
