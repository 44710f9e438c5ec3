"""Periods of synthetic series: calendar periods, and random ones that patches do not divide."""

from dataclasses import dataclass

import numpy as np

from gigacast.core.array import FloatArray, IntArray
from gigacast.synthetic.signal import log_uniform


@dataclass(frozen=True)
class Calendar:
    """A sampling interval's cycles, in steps.

    Attributes
    ----------
    name : str
        The sampling interval.
    short, long : float
        The inner cycle (a day of hours) and the outer one (a week of hours).
    weight : float
        How often it is drawn, relative to the others.
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
_SHORT = np.array([calendar.short for calendar in CALENDARS], dtype=np.float32)
_LONG = np.array([calendar.long for calendar in CALENDARS], dtype=np.float32)
_NESTED = np.array([c.long > c.short and float(c.long / c.short).is_integer() for c in CALENDARS])


def calendar_periods(rng: np.random.Generator, rows: int) -> tuple[FloatArray, FloatArray]:
    """Return the short and long period of a random calendar per series, each [N, 1]."""
    picked = rng.choice(len(CALENDARS), size=rows, p=_WEIGHTS / _WEIGHTS.sum())
    return _SHORT[picked, None], _LONG[picked, None]


def nested_periods(rng: np.random.Generator, rows: int) -> tuple[IntArray, IntArray]:
    """Return whole periods of which one divides the other: steps per cycle, cycles per outer one.

    Mostly real calendars (24 hours, 7 days); one in six is random.
    """
    weights = np.where(_NESTED, _WEIGHTS, 0.0)
    picked = rng.choice(len(CALENDARS), size=rows, p=weights / weights.sum())
    inner = _SHORT[picked, None].astype(np.int64)
    outer = np.rint(_LONG[picked, None] / _SHORT[picked, None]).astype(np.int64)
    other = rng.random((rows, 1)) < 1 / 6
    random_inner = np.rint(log_uniform(rng, 2.0, 120.0, rows)).astype(np.int64)
    random_outer = rng.integers(2, 13, size=(rows, 1))
    return np.where(other, random_inner, inner), np.where(other, random_outer, outer)


def random_periods(rng: np.random.Generator, rows: int, longest: float) -> FloatArray:
    """Return periods drawn log-uniformly from 2 to ``longest``, half of them whole, [N, 1]."""
    period = log_uniform(rng, 2.0, max(longest, 3.0), rows)
    whole = rng.random((rows, 1)) < 0.5
    return np.where(whole, np.rint(period), period).astype(np.float32)


def mixed_periods(rng: np.random.Generator, rows: int, longest: float) -> FloatArray:
    """Return periods of real calendars for two series in three, random ones for the rest, [N, 1].

    Two in three of the calendars' are the short cycle. No period is longer than ``longest``.
    """
    short, long = calendar_periods(rng, rows)
    real = np.where(rng.random((rows, 1)) < 2 / 3, short, long)
    real = np.where(real > longest, short, real)
    drawn = random_periods(rng, rows, longest)
    return np.where((rng.random((rows, 1)) < 2 / 3) & (real <= longest), real, drawn)
