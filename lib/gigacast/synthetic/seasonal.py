"""Seasonal families: harmonics, calendars, profiles, waves, evolving and multiplicative seasons.

Each family takes a random generator, the number of series N and their length T, and returns series
[N, T], float32.
"""

import numpy as np

from gigacast.core.array import FloatArray, IntArray
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
    """Return random profiles, [N, T], repeated with the given periods, [N, 1].

    A smooth profile is interpolated between its grid points. A stepwise one has an independent
    value for each step of the period, like the days of a week; short periods are mostly stepwise.
    """
    smooth_cycle = at_phase(profiles(rng, rows), _phase(rng, cycle, length))
    # At most 512 independent values, which bounds the table; longer periods repeat the last one.
    steps = np.minimum(np.ceil(cycle), 512).astype(np.int64)
    table = heavy_tailed(rng, rows, int(steps.max()))
    position = np.mod(_time(length) + np.floor(uniform(rng, 0.0, 512.0, rows)), cycle)
    stepwise = np.take_along_axis(table, np.minimum(position.astype(np.int64), steps - 1), axis=1)
    stepwise_share = np.where(cycle <= 12, 0.6, 0.15)
    return standardise(np.where(rng.random((rows, 1)) < stepwise_share, stepwise, smooth_cycle))


def harmonics(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Return sums of one to three waves, each with its own period and up to five harmonics."""
    total = np.zeros((rows, length), dtype=np.float32)
    active = np.floor(uniform(rng, 1.0, 3.7, rows))  # 1 or 2 components, less often 3
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
    """Return nested seasons: daily profiles of two kinds of day, and a level for each weekday.

    Days of the second kind (such as weekends) follow a profile between that of the first and one of
    their own. The level of a day scales the profile or is added to it.
    """
    inner, outer = period.nested_periods(rng, rows)
    # A random offset, so that series start at any hour of any day.
    step = np.arange(length)[None, :] + rng.integers(0, 100_000, size=(rows, 1))
    day = (step // inner) % outer
    phase = ((step % inner) / inner).astype(np.float32)
    workday, weekend = profiles(rng, rows), profiles(rng, rows)
    weekend = standardise(workday + uniform(rng, 0.0, 1.5, rows) * weekend)
    size = uniform(rng, 0.2, 1.3, rows)
    days = int(outer.max())
    # The last 0 to 2 days of each outer period are weekends.
    weekends = np.arange(days)[None, :] >= outer - rng.integers(0, 3, size=(rows, 1))
    levels = white(rng, rows, days) * log_uniform(rng, 0.02, 0.6, rows)
    levels += weekends * uniform(rng, -1.0, 0.5, rows)
    is_weekend = np.take_along_axis(weekends, day, axis=1)
    shape = np.where(is_weekend, size * at_phase(weekend, phase), at_phase(workday, phase))
    level = np.take_along_axis(levels, day, axis=1).astype(np.float32)
    level = level * (1.0 - chance(rng, 0.2, rows))
    # The offset makes most of the standardised shape positive, as quantities that scale are.
    scaled = (shape + 1.8) * np.exp(0.5 * level)
    signal = np.where(chance(rng, 0.5, rows) > 0, scaled, shape + level)
    return standardise(signal.astype(np.float32)) + _drift(rng, rows, length, 0.5)


def varying_days(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Return nested seasons whose days differ at random: each has its own size, level and shape.

    What is seen of a day tells of the rest of it, and of the next day as much as days are alike:
    the deviations of a day are an autoregression over days, from independent to almost a walk.
    Half of the deviations change at the end of a day, the others pass smoothly into the next.
    """
    inner, outer = period.nested_periods(rng, rows)
    step = np.arange(length)[None, :] + rng.integers(0, 100_000, size=(rows, 1))
    day = (step // inner) % outer
    phase = ((step % inner) / inner).astype(np.float32)
    usual, weekend, odd = profiles(rng, rows), profiles(rng, rows), profiles(rng, rows)
    weekends = np.arange(int(outer.max()))[None, :] >= outer - rng.integers(0, 3, size=(rows, 1))
    weekend = standardise(usual + uniform(rng, 0.0, 1.0, rows) * weekend)
    is_weekend = np.take_along_axis(weekends, day, axis=1)
    shape = np.where(is_weekend, at_phase(weekend, phase), at_phase(usual, phase))
    levels = white(rng, rows, weekends.shape[1]) * log_uniform(rng, 0.02, 0.5, rows)
    level = np.take_along_axis(levels - weekends * uniform(rng, -0.3, 1.0, rows), day, axis=1)
    size, shift, bend = (_by_day(rng, rows, length, step, inner) for _ in range(3))
    size = np.exp(log_uniform(rng, 0.03, 0.5, rows) * chance(rng, 0.7, rows) * size)
    shift = log_uniform(rng, 0.03, 0.8, rows) * chance(rng, 0.7, rows) * shift
    bend = log_uniform(rng, 0.03, 0.6, rows) * chance(rng, 0.4, rows) * bend
    shape = shape + bend * at_phase(odd, phase)
    scaled = (shape + 1.8) * np.exp(0.5 * level + 0.5 * shift) * size
    added = shape * size + level + shift
    signal = np.where(chance(rng, 0.5, rows) > 0, scaled, added)
    return standardise(signal.astype(np.float32)) + _drift(rng, rows, length, 0.3)


def _by_day(
    rng: np.random.Generator, rows: int, length: int, step: IntArray, inner: IntArray
) -> FloatArray:
    """Return a random deviation of each day at its points, [N, T], of about unit size."""
    number = step // inner - step[:, :1] // inner
    days = int(number.max()) + 2
    likeness = np.where(chance(rng, 0.3, rows) > 0, 0.0, uniform(rng, 0.0, 0.95, rows))
    values = heavy_tailed(rng, rows, days)
    for today in range(1, days):
        fresh = np.sqrt(1.0 - likeness[:, 0] ** 2) * values[:, today]
        values[:, today] = likeness[:, 0] * values[:, today - 1] + fresh
    own = np.take_along_axis(values, number, axis=1)
    following = np.take_along_axis(values, number + 1, axis=1)
    phase = ((step % inner) / inner).astype(np.float32)
    blended = own + phase * (following - own)
    return np.where(chance(rng, 0.5, rows) > 0, own, blended).astype(np.float32)


def profile(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Return a clean profile, or the sum of two of different periods; half with a slow drift."""
    first = cyclic(rng, rows, length, period.mixed_periods(rng, rows, length / 2))
    second = cyclic(rng, rows, length, period.mixed_periods(rng, rows, length / 2))
    both = first + chance(rng, 0.3, rows) * log_uniform(rng, 0.1, 1.0, rows) * second
    return both + _drift(rng, rows, length, 0.5)


def evolving(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Return seasons whose strength and shape change slowly."""
    cycle = period.mixed_periods(rng, rows, length / 3)
    first, second = cyclic(rng, rows, length, cycle), cyclic(rng, rows, length, cycle)
    slow = log_uniform(rng, 60.0, 600.0, rows)
    strength = np.exp(0.4 * uniform(rng, 0.0, 1.5, rows) * smooth(rng, rows, length, slow))
    change = uniform(rng, 0.0, 0.8, rows) * smooth(rng, rows, length, slow)
    season: FloatArray = strength * first + change * second
    return season + _drift(rng, rows, length, 0.6)


def multiplicative(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Return level times season times noise: amplitude and noise grow with the level."""
    clock = _time(length) / length - 0.5
    slow = smooth(rng, rows, length, log_uniform(rng, 80.0, 800.0, rows))
    walk = standardise(np.cumsum(white(rng, rows, length), axis=1))
    drift = np.where(chance(rng, 0.3, rows) > 0, walk, slow) * log_uniform(rng, 0.02, 0.4, rows)
    trend = np.exp(uniform(rng, -1.0, 1.6, rows) * clock * chance(rng, 0.7, rows) + drift)
    cycle = period.mixed_periods(rng, rows, length / 2)
    season = np.exp(log_uniform(rng, 0.05, 0.7, rows) * cyclic(rng, rows, length, cycle))
    noise = np.exp(log_uniform(rng, 0.003, 0.15, rows) * white(rng, rows, length))
    return np.asarray(trend * season * noise, dtype=np.float32)


def waves(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Return sawtooth, triangle, rectangle and staircase waves."""
    phase = np.mod(_phase(rng, period.mixed_periods(rng, rows, length / 2), length), 1.0)
    duty = uniform(rng, 0.1, 0.9, rows)
    stairs = np.floor(log_uniform(rng, 2.0, 8.0, rows))
    sign = np.sign(uniform(rng, -1.0, 1.0, rows))
    wave = one_of(
        rng,
        rows,
        (
            lambda at: phase[at] * sign[at],
            lambda at: np.where(
                phase[at] < duty[at], phase[at] / duty[at], (1.0 - phase[at]) / (1.0 - duty[at])
            ),
            lambda at: (phase[at] < duty[at]).astype(np.float32),
            lambda at: np.floor(phase[at] * stairs[at]) / stairs[at],
        ),
    )
    return standardise(wave) + _drift(rng, rows, length, 0.3)


def _drift(rng: np.random.Generator, rows: int, length: int, share: float) -> FloatArray:
    """Return a drifting level, [N, T], for a share of the series; zero for the others.

    It is smooth, linear, a random walk, or mean-reverting over 2 to 100 steps.
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
