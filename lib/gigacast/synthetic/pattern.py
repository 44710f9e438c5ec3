"""Families without chance: whole numbers that repeat, clean waves, and products of signals.

Each family takes a random generator, the number of series N and their length T, and returns series
[N, T], float32.
"""

import numpy as np

from gigacast.core.array import FloatArray
from gigacast.synthetic import period
from gigacast.synthetic.seasonal import cyclic
from gigacast.synthetic.signal import chance, log_uniform, one_of, smooth, standardise, uniform

_LONGEST_PATTERN = 168


def patterns(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Return whole numbers that repeat exactly: open and closed days, shifts, deliveries.

    Half have the values 0 and 1, the others up to 12. Every fourth has an outer pattern as well,
    which switches the inner one on and off.
    """
    cycle = period.mixed_periods(rng, rows, min(length / 2, _LONGEST_PATTERN))
    steps = np.clip(np.rint(cycle), 2, _LONGEST_PATTERN).astype(np.int64)
    largest = np.where(chance(rng, 0.5, rows) > 0, 1.0, np.floor(log_uniform(rng, 2.0, 12.9, rows)))
    filled = rng.random((rows, int(steps.max()))) < uniform(rng, 0.15, 0.9, rows)
    values = np.ceil(rng.random(filled.shape, dtype=np.float32) * largest) * filled
    # A step that is on and one that is off: no pattern is constant.
    values[:, 0], values[:, 1] = largest[:, 0], 0.0
    clock = np.arange(length)[None, :] + rng.integers(0, _LONGEST_PATTERN, (rows, 1))
    inner = np.take_along_axis(values, clock % steps, axis=1)
    outer_steps = rng.integers(2, 9, (rows, 1))
    outer = rng.random((rows, 8)) < uniform(rng, 0.4, 0.9, rows)
    is_on = np.take_along_axis(outer, (clock // steps) % outer_steps, axis=1)
    switched = np.where(chance(rng, 0.25, rows) > 0, is_on, True)
    return np.asarray(inner * switched, dtype=np.float32)


def clean_waves(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Return one or two sines without any noise, whose size may grow or fade evenly."""
    clock = np.arange(length, dtype=np.float32)[None, :]
    longest = 1.5 * length
    first = log_uniform(rng, 3.0, longest, rows)
    calendar = period.mixed_periods(rng, rows, length / 2)
    first = np.where(chance(rng, 0.5, rows) > 0, calendar, first)
    second = log_uniform(rng, 3.0, longest, rows)
    wave = np.sin(2.0 * np.pi * (clock / first + uniform(rng, 0.0, 1.0, rows)))
    overtone = np.sin(2.0 * np.pi * (clock / second + uniform(rng, 0.0, 1.0, rows)))
    wave = wave + overtone * log_uniform(rng, 0.05, 1.0, rows) * chance(rng, 0.4, rows)
    rate = uniform(rng, -1.5, 1.5, rows) * chance(rng, 0.3, rows)
    return np.asarray(wave * np.exp(rate * clock / length), dtype=np.float32)


def products(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Return products of two signals: seasons, smooth signals and lines, one times the other.

    The covariance of a product of independent signals is the product of their kernels: a season
    times a smooth signal is the locally periodic kernel, times a line a season that grows evenly.
    """

    def signal() -> FloatArray:
        line = np.arange(length, dtype=np.float32)[None, :] / length
        line = line + uniform(rng, -1.0, 1.0, rows)
        scale = log_uniform(rng, length / 12.0, length, rows)
        cycle = period.mixed_periods(rng, rows, length / 3)
        season = cyclic(rng, rows, length, cycle)
        slow = smooth(rng, rows, length, scale)
        return one_of(
            rng,
            rows,
            (
                lambda at: season[at],
                lambda at: slow[at],
                lambda at: np.asarray(line[at], np.float32),
            ),
            weights=(0.45, 0.35, 0.2),
        )

    first, second = signal(), signal()
    offset = uniform(rng, 0.0, 2.0, rows) * chance(rng, 0.6, rows)
    return standardise(np.asarray(first * (second + offset), dtype=np.float32))
