"""Families with a shape in time or in values: trends, growth, shifts, spikes, counts, bounds.

Each function takes the random generator, the number of series N and their length T, and returns [N,
T] float32.
"""

import numpy as np

from gigacast.core.array import FloatArray
from gigacast.synthetic import period
from gigacast.synthetic.seasonal import cyclic
from gigacast.synthetic.signal import (
    chance,
    heavy_tailed,
    log_uniform,
    segments,
    smooth,
    standardise,
    uniform,
    white,
)


def _clock(length: int) -> FloatArray:
    return np.linspace(0.0, 1.0, length, dtype=np.float32)[None, :]


def _season(rng: np.random.Generator, rows: int, length: int, share: float) -> FloatArray:
    cycle = period.mixed_periods(rng, rows, length / 3)
    strength = log_uniform(rng, 0.1, 1.5, rows) * chance(rng, share, rows)
    return strength * cyclic(rng, rows, length, cycle)


def trend(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Straight, bent, damped, broken and saturating lines, with noise and sometimes a season."""
    clock = _clock(length)
    slopes = white(rng, rows, 16) * uniform(rng, 0.3, 1.5, rows) + white(rng, rows, 1)
    part = segments(rng, rows, length, log_uniform(rng, 60.0, 1000.0, rows)) % 16
    broken = np.cumsum(np.take_along_axis(slopes, part, axis=1), axis=1)
    speed = log_uniform(rng, 2.0, 15.0, rows)
    shapes = (
        np.broadcast_to(clock, (rows, length)),
        np.power(clock, log_uniform(rng, 0.5, 2.5, rows)),
        1.0 - np.exp(-speed * clock),
        broken,
        1.0 / (1.0 + np.exp(-speed * (clock - uniform(rng, 0.0, 1.2, rows)))),
    )
    picked = rng.integers(0, len(shapes), size=rows)
    line = standardise(np.stack(shapes)[picked, np.arange(rows)].astype(np.float32))
    noise = white(rng, rows, length) * log_uniform(rng, 0.003, 0.5, rows)
    return line * np.sign(uniform(rng, -1.0, 2.0, rows)) + noise + _season(rng, rows, length, 0.5)


def growth(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Exponential growth or decay by up to a factor of twenty, times a season and noise."""
    rate = log_uniform(rng, 0.3, 3.0, rows) * np.sign(uniform(rng, -1.0, 2.0, rows))
    season = log_uniform(rng, 0.3, 1.0, rows) * _season(rng, rows, length, 0.6)
    noise = white(rng, rows, length) * log_uniform(rng, 0.003, 0.2, rows)
    logarithm = np.clip(rate * _clock(length) + 0.3 * season + noise, -8.0, 8.0)
    return np.asarray(np.exp(logarithm), dtype=np.float32)


def level_shifts(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Put a season and noise around a level that jumps a few times and stays."""
    part = segments(rng, rows, length, log_uniform(rng, 80.0, 800.0, rows)) % 16
    levels = white(rng, rows, 16) * log_uniform(rng, 0.3, 4.0, rows)
    noise = white(rng, rows, length) * log_uniform(rng, 0.02, 0.7, rows)
    return np.take_along_axis(levels, part, axis=1) + noise + _season(rng, rows, length, 0.7)


def spikes(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Spikes that decay: on a clock, at random, or both, over a quiet base."""
    cycle = np.maximum(period.mixed_periods(rng, rows, length / 2), 4.0)
    since = np.mod(np.arange(length)[None, :] + uniform(rng, 0.0, 1000.0, rows), cycle)
    regular = np.exp(-np.floor(since) / log_uniform(rng, 0.3, 4.0, rows))
    struck = rng.random((rows, length), dtype=np.float32) < log_uniform(rng, 0.003, 0.05, rows)
    random = struck * np.abs(heavy_tailed(rng, rows, length)) * log_uniform(rng, 0.5, 3.0, rows)
    base = smooth(rng, rows, length, log_uniform(rng, 20.0, 300.0, rows))
    base = base * log_uniform(rng, 0.01, 0.3, rows) + 0.03 * white(rng, rows, length)
    on_clock = chance(rng, 0.7, rows)
    at_random = np.maximum(1.0 - on_clock, chance(rng, 0.3, rows))
    return np.asarray(on_clock * regular + at_random * random + base, dtype=np.float32)


def intermittent(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Demand that is mostly zero: whole numbers at random times, sometimes seasonal ones."""
    rate = log_uniform(rng, 0.03, 0.5, rows)
    season = np.exp(0.7 * _season(rng, rows, length, 0.5))
    sold = rng.random((rows, length), dtype=np.float32) < np.minimum(rate * season, 1.0)
    size = np.ceil(-np.log1p(-rng.random((rows, length), dtype=np.float32)) * _mean(rng, rows))
    return np.asarray(sold * np.maximum(size, 1.0), dtype=np.float32)


def _mean(rng: np.random.Generator, rows: int) -> FloatArray:
    return log_uniform(rng, 0.2, 10.0, rows)


def counts(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Whole numbers of events whose rate is seasonal and drifts; Poisson, or more dispersed."""
    drift = smooth(rng, rows, length, log_uniform(rng, 60.0, 600.0, rows))
    wild = 0.3 * white(rng, rows, length) * chance(rng, 0.4, rows)
    log_rate = 0.6 * _season(rng, rows, length, 0.9) + 0.2 * drift + wild
    rate = log_uniform(rng, 0.5, 200.0, rows) * np.exp(np.clip(log_rate, -4.0, 4.0))
    return np.asarray(rng.poisson(rate), dtype=np.float32)


def bounded(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Shares and meters at their stops: signals squeezed into, or cut off at, 0 and 1."""
    slow = smooth(rng, rows, length, log_uniform(rng, 5.0, 200.0, rows))
    signal = 2.0 * _season(rng, rows, length, 0.8) + slow * uniform(rng, 0.1, 1.0, rows)
    signal = signal + white(rng, rows, length) * log_uniform(rng, 0.01, 0.3, rows)
    signal = signal * log_uniform(rng, 0.5, 3.0, rows) + uniform(rng, -1.0, 1.0, rows)
    squeezed = 1.0 / (1.0 + np.exp(-np.clip(signal, -15.0, 15.0)))
    cut = np.clip(0.5 + 0.3 * signal, 0.0, 1.0)
    shares = np.where(chance(rng, 0.5, rows) > 0, squeezed, cut)
    return np.asarray(shares, dtype=np.float32)
