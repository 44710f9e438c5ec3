"""Families that repeat: harmonics, calendars, profiles, waves, evolving and multiplicative ones.

Each function takes the random generator, the number of series N and their length T, and returns [N,
T] float32.
"""

import numpy as np

from gigacast.core.array import FloatArray
from gigacast.synthetic import period
from gigacast.synthetic.signal import (
    at_phase,
    chance,
    fading,
    heavy_tailed,
    log_uniform,
    one_of,
    profiles,
    smooth,
    standardise,
    uniform,
    white,
)


def _time(length: int) -> FloatArray:
    return np.arange(length, dtype=np.float32)[None, :]


def _phase(rng: np.random.Generator, cycle: FloatArray, length: int) -> FloatArray:
    return np.asarray((_time(length) / cycle) + uniform(rng, 0.0, 1.0, len(cycle)), np.float32)


def cyclic(rng: np.random.Generator, rows: int, length: int, cycle: FloatArray) -> FloatArray:
    """Return random profiles repeated at the periods given [N, 1]; half are free at each step.

    A smooth profile is read between its grid points; a free one has an independent value for each
    step of the period, as the days of a week do.
    """
    even = at_phase(profiles(rng, rows), _phase(rng, cycle, length))
    steps = np.minimum(np.ceil(cycle), 512).astype(np.int64)
    table = heavy_tailed(rng, rows, int(steps.max()))
    place = np.mod(_time(length) + np.floor(uniform(rng, 0.0, 512.0, rows)), cycle)
    free = np.take_along_axis(table, np.minimum(place.astype(np.int64), steps - 1), axis=1)
    likely_free = np.where(cycle <= 12, 0.6, 0.15)
    return standardise(np.where(rng.random((rows, 1)) < likely_free, free, even))


def harmonics(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """One to three sums of sines, each with a period of its own and up to five overtones."""
    total = np.zeros((rows, length), dtype=np.float32)
    active = np.floor(uniform(rng, 1.0, 3.7, rows))
    for component in range(3):
        cycle = period.mixed_periods(rng, rows, length)
        turns = 2.0 * np.pi * _phase(rng, cycle, length)
        wave = np.sin(turns)
        overtones = np.floor(log_uniform(rng, 1.0, 5.99, rows))
        for order in range(2, 6):
            strength = white(rng, rows, 1) / order * (order <= overtones)
            wave = wave + strength * np.sin(order * turns + uniform(rng, 0.0, 6.28, rows))
        weight = log_uniform(rng, 0.1, 1.0, rows) if component else np.ones((rows, 1), np.float32)
        total += wave * weight * (component < active)
    return total


def calendar(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Nest a cycle in a cycle: daily profiles of two kinds of day, and levels by day of the week.

    Days of the second kind (weekends, say) follow a profile between the first and one of their
    own; each day has a level; the level scales the profile or is added to it.
    """
    inner, outer = period.nested_periods(rng, rows)
    step = np.arange(length)[None, :] + rng.integers(0, 100_000, size=(rows, 1))
    day = (step // inner) % outer
    turn = ((step % inner) / inner).astype(np.float32)
    work, rest = profiles(rng, rows), profiles(rng, rows)
    rest = standardise(work + uniform(rng, 0.0, 1.5, rows) * rest)
    size = uniform(rng, 0.2, 1.3, rows)
    kinds = int(outer.max())
    resting = np.arange(kinds)[None, :] >= outer - rng.integers(0, 3, size=(rows, 1))
    levels = white(rng, rows, kinds) * log_uniform(rng, 0.02, 0.6, rows)
    levels += resting * uniform(rng, -1.0, 0.5, rows)
    is_rest = np.take_along_axis(resting, day, axis=1)
    shape = np.where(is_rest, size * at_phase(rest, turn), at_phase(work, turn))
    level = np.take_along_axis(levels, day, axis=1).astype(np.float32)
    level = level * (1.0 - chance(rng, 0.2, rows))
    scaled = (shape + 1.8) * np.exp(0.5 * level)
    signal = np.where(chance(rng, 0.5, rows) > 0, scaled, shape + level)
    return standardise(signal.astype(np.float32)) + _drift(rng, rows, length, 0.5)


def profile(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Repeat one clean profile, or two of different periods, half of them with a slow drift."""
    first = cyclic(rng, rows, length, period.mixed_periods(rng, rows, length / 2))
    second = cyclic(rng, rows, length, period.mixed_periods(rng, rows, length / 2))
    both = first + chance(rng, 0.3, rows) * log_uniform(rng, 0.1, 1.0, rows) * second
    return both + _drift(rng, rows, length, 0.5)


def evolving(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Let a season change: its strength and its shape follow slow smooth signals."""
    cycle = period.mixed_periods(rng, rows, length / 3)
    first, second = cyclic(rng, rows, length, cycle), cyclic(rng, rows, length, cycle)
    slow = log_uniform(rng, 60.0, 600.0, rows)
    strength = np.exp(0.4 * uniform(rng, 0.0, 1.5, rows) * smooth(rng, rows, length, slow))
    change = uniform(rng, 0.0, 0.8, rows) * smooth(rng, rows, length, slow)
    season: FloatArray = strength * first + change * second
    return season + _drift(rng, rows, length, 0.6)


def multiplicative(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Level times season times noise: the swing and the noise grow with the level."""
    clock = _time(length) / length - 0.5
    slow = smooth(rng, rows, length, log_uniform(rng, 80.0, 800.0, rows))
    walk = standardise(np.cumsum(white(rng, rows, length), axis=1))
    bend = np.where(chance(rng, 0.3, rows) > 0, walk, slow) * log_uniform(rng, 0.02, 0.4, rows)
    trend = np.exp(uniform(rng, -1.0, 1.6, rows) * clock * chance(rng, 0.7, rows) + bend)
    cycle = period.mixed_periods(rng, rows, length / 2)
    season = np.exp(log_uniform(rng, 0.05, 0.7, rows) * cyclic(rng, rows, length, cycle))
    noise = np.exp(log_uniform(rng, 0.003, 0.15, rows) * white(rng, rows, length))
    return np.asarray(trend * season * noise, dtype=np.float32)


def waves(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Sawtooth, triangle, rectangle and staircase waves."""
    turn = np.mod(_phase(rng, period.mixed_periods(rng, rows, length / 2), length), 1.0)
    duty = uniform(rng, 0.1, 0.9, rows)
    stairs = np.floor(log_uniform(rng, 2.0, 8.0, rows))
    sign = np.sign(uniform(rng, -1.0, 1.0, rows))
    wave = one_of(
        rng,
        rows,
        (
            lambda at: turn[at] * sign[at],
            lambda at: np.where(
                turn[at] < duty[at], turn[at] / duty[at], (1.0 - turn[at]) / (1.0 - duty[at])
            ),
            lambda at: (turn[at] < duty[at]).astype(np.float32),
            lambda at: np.floor(turn[at] * stairs[at]) / stairs[at],
        ),
    )
    return standardise(wave) + _drift(rng, rows, length, 0.3)


def _drift(rng: np.random.Generator, rows: int, length: int, share: float) -> FloatArray:
    """Return a wandering level for a share of the series.

    Smooth, a line, a random walk, or deviations that fade over 2 to 100 steps.
    """
    slow = log_uniform(rng, 50.0, 800.0, rows)
    fade = log_uniform(rng, 0.01, 0.5, rows)
    slope = uniform(rng, -1.0, 1.0, rows)
    line = standardise(_time(length))
    drift = one_of(
        rng,
        rows,
        (
            lambda at: smooth(rng, len(at), length, slow[at]),
            lambda at: line * slope[at],
            lambda at: standardise(np.cumsum(white(rng, len(at), length), axis=1)),
            lambda at: fading(rng, len(at), length, fade[at]),
        ),
    )
    return drift * log_uniform(rng, 0.05, 1.5, rows) * chance(rng, share, rows)
