"""Structural families: trends, growth, level shifts, spikes, counts and bounded values.

Each family takes a random generator, the number of series N and their length T, and returns series
[N, T], float32.
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
    """Return linear, curved, damped, broken and logistic trends with noise; half with a season."""
    clock = _clock(length)
    # Broken trends draw the slopes of their segments from sixteen, so that some come back.
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
    # Two trends in three rise.
    return line * np.sign(uniform(rng, -1.0, 2.0, rows)) + noise + _season(rng, rows, length, 0.5)


def growth(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Return exponential growth or decay by up to a factor of twenty, times season and noise."""
    rate = log_uniform(rng, 0.3, 3.0, rows) * np.sign(uniform(rng, -1.0, 2.0, rows))
    season = log_uniform(rng, 0.3, 1.0, rows) * _season(rng, rows, length, 0.6)
    noise = white(rng, rows, length) * log_uniform(rng, 0.003, 0.2, rows)
    # Clipped so that no combination of rate, season and noise overflows the exponential.
    logarithm = np.clip(rate * _clock(length) + 0.3 * season + noise, -8.0, 8.0)
    return np.asarray(np.exp(logarithm), dtype=np.float32)


def level_shifts(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Return a level that jumps a few times, plus noise and often a season."""
    part = segments(rng, rows, length, log_uniform(rng, 80.0, 800.0, rows)) % 16
    levels = white(rng, rows, 16) * log_uniform(rng, 0.3, 4.0, rows)
    noise = white(rng, rows, length) * log_uniform(rng, 0.02, 0.7, rows)
    return np.take_along_axis(levels, part, axis=1) + noise + _season(rng, rows, length, 0.7)


def spikes(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Return decaying spikes over a quiet base, periodic, at random times, or both."""
    cycle = np.maximum(period.mixed_periods(rng, rows, length / 2), 4.0)
    elapsed = np.mod(np.arange(length)[None, :] + uniform(rng, 0.0, 1000.0, rows), cycle)
    periodic = np.exp(-np.floor(elapsed) / log_uniform(rng, 0.3, 4.0, rows))
    occurs = rng.random((rows, length), dtype=np.float32) < log_uniform(rng, 0.003, 0.05, rows)
    random = occurs * np.abs(heavy_tailed(rng, rows, length)) * log_uniform(rng, 0.5, 3.0, rows)
    base = smooth(rng, rows, length, log_uniform(rng, 20.0, 300.0, rows))
    base = base * log_uniform(rng, 0.01, 0.3, rows) + 0.03 * white(rng, rows, length)
    has_periodic = chance(rng, 0.7, rows)
    has_random = np.maximum(1.0 - has_periodic, chance(rng, 0.3, rows))
    return np.asarray(has_periodic * periodic + has_random * random + base, dtype=np.float32)


def intermittent(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Return demand that is mostly zero: whole numbers at random times, half with a season."""
    rate = log_uniform(rng, 0.03, 0.5, rows)
    season = np.exp(0.7 * _season(rng, rows, length, 0.5))
    sold = rng.random((rows, length), dtype=np.float32) < np.minimum(rate * season, 1.0)
    # Exponentially distributed sizes by the inverse distribution function, rounded up.
    size = np.ceil(-np.log1p(-rng.random((rows, length), dtype=np.float32)) * _mean(rng, rows))
    return np.asarray(sold * np.maximum(size, 1.0), dtype=np.float32)


def _mean(rng: np.random.Generator, rows: int) -> FloatArray:
    return log_uniform(rng, 0.2, 10.0, rows)


def counts(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Return counts of events with a seasonal, drifting rate; Poisson or overdispersed."""
    drift = smooth(rng, rows, length, log_uniform(rng, 60.0, 600.0, rows))
    overdispersion = 0.3 * white(rng, rows, length) * chance(rng, 0.4, rows)
    log_rate = 0.6 * _season(rng, rows, length, 0.9) + 0.2 * drift + overdispersion
    # Clipped, so that no rate is above 200 * e^4, about 11,000 events.
    rate = log_uniform(rng, 0.5, 200.0, rows) * np.exp(np.clip(log_rate, -4.0, 4.0))
    return np.asarray(rng.poisson(rate), dtype=np.float32)


def bounded(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Return values between 0 and 1, squashed smoothly or clipped, like shares and meters."""
    slow = smooth(rng, rows, length, log_uniform(rng, 5.0, 200.0, rows))
    signal = 2.0 * _season(rng, rows, length, 0.8) + slow * uniform(rng, 0.1, 1.0, rows)
    signal = signal + white(rng, rows, length) * log_uniform(rng, 0.01, 0.3, rows)
    signal = signal * log_uniform(rng, 0.5, 3.0, rows) + uniform(rng, -1.0, 1.0, rows)
    squashed = 1.0 / (1.0 + np.exp(-np.clip(signal, -15.0, 15.0)))
    clipped = np.clip(0.5 + 0.3 * signal, 0.0, 1.0)
    shares = np.where(chance(rng, 0.5, rows) > 0, squashed, clipped)
    return np.asarray(shares, dtype=np.float32)
