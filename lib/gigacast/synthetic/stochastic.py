"""Stochastic families: Gaussian processes, autoregressions, walks, mean reversion, regimes.

Each family takes a random generator, the number of series N and their length T, and returns series
[N, T], float32.
"""

import numpy as np

from gigacast.core.array import FloatArray
from gigacast.synthetic import period
from gigacast.synthetic.seasonal import cyclic
from gigacast.synthetic.signal import (
    chance,
    fading,
    frequencies,
    from_spectrum,
    heavy_tailed,
    log_uniform,
    one_of,
    segments,
    standardise,
    uniform,
    white,
)


def smooth_kernels(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Return Gaussian processes: squared exponential, Matern, power law, and a sum of two.

    The kernels are those of KernelSynth (Ansari et al. 2024), sampled by their spectra.
    """
    omega = frequencies(length)
    scale = log_uniform(rng, 2.0, length / 2.0, rows)
    second_scale = log_uniform(rng, 2.0, length / 2.0, rows)
    roughness = uniform(rng, 0.5, 3.0, rows)
    power, share = uniform(rng, 0.5, 4.0, rows), uniform(rng, 0.05, 1.0, rows)

    def exponential(length_scale: FloatArray) -> FloatArray:
        density: FloatArray = length_scale * np.exp(-0.5 * np.square(omega * length_scale))
        return density

    density = one_of(
        rng,
        rows,
        (
            lambda at: exponential(scale[at]),
            lambda at: np.power(1.0 + np.square(omega * scale[at]), -roughness[at] - 0.5),
            lambda at: np.power(omega, -power[at]),
            lambda at: exponential(scale[at]) + share[at] * exponential(second_scale[at]),
        ),
    )
    # As in `smooth`: a density that underflows everywhere must not give a constant zero.
    return from_spectrum(rng, density + np.float32(1e-12), length)


def autoregressive(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Return stationary AR(2) series with real roots, or complex ones that oscillate with a period.

    One in three also has a root at a seasonal lag. Sampled by their spectra, without a loop over
    steps.
    """
    omega = frequencies(length)
    decay = 1.0 - log_uniform(rng, 0.003, 0.7, rows)
    turn = 2.0 * np.pi / period.mixed_periods(rng, rows, length / 2)
    second = uniform(rng, -0.6, 0.9, rows)
    oscillates = chance(rng, 0.4, rows) > 0
    lag1 = np.where(oscillates, 2.0 * decay * np.cos(turn), decay + second)
    lag2 = np.where(oscillates, -decay * decay, -decay * second)
    gain = np.abs(1.0 - lag1 * np.exp(-1j * omega) - lag2 * np.exp(-2j * omega))
    season = np.rint(period.mixed_periods(rng, rows, length / 3))
    seasonal = (1.0 - log_uniform(rng, 0.02, 0.8, rows)) * chance(rng, 1 / 3, rows)
    gain = gain * np.abs(1.0 - seasonal * np.exp(-1j * omega * season))
    # The bound keeps the density finite at a frequency that falls on a root.
    return from_spectrum(rng, (1.0 / np.maximum(gain, 1e-4) ** 2).astype(np.float32), length)


def random_walk(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Return random walks, some with drift, changing volatility, noise, a season, or geometric.

    A walk observed with noise is the local level model behind exponential smoothing.
    """
    # Segments draw their volatility from eight values, so that some come back.
    volatility = segments(rng, rows, length, log_uniform(rng, 20.0, 2000.0, rows)) % 8
    sizes = np.exp(0.5 * white(rng, rows, 8) * chance(rng, 0.5, rows))
    moves = heavy_tailed(rng, rows, length) * np.take_along_axis(sizes, volatility, axis=1)
    persistence = uniform(rng, -0.3, 0.7, rows) * chance(rng, 0.4, rows)
    moves[:, 1:] += persistence * moves[:, :-1]
    drift = uniform(rng, -0.15, 0.2, rows) * chance(rng, 0.6, rows)
    level = np.cumsum(moves + drift, axis=1, dtype=np.float32)
    noise = white(rng, rows, length) * log_uniform(rng, 0.1, 8.0, rows) * chance(rng, 0.4, rows)
    cycle = period.mixed_periods(rng, rows, length / 3)
    strength = log_uniform(rng, 0.5, 12.0, rows) * chance(rng, 0.4, rows)
    walk = level + noise + strength * cyclic(rng, rows, length, cycle)
    geometric = np.exp(log_uniform(rng, 0.05, 0.7, rows) * standardise(walk))
    result = np.where(chance(rng, 0.4, rows) > 0, geometric, walk)
    return np.asarray(result, dtype=np.float32)


def mean_reverting(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Return Ornstein-Uhlenbeck processes, some around a season."""
    process = fading(rng, rows, length, log_uniform(rng, 0.005, 0.5, rows))
    cycle = period.mixed_periods(rng, rows, length / 3)
    strength = log_uniform(rng, 0.2, 3.0, rows) * chance(rng, 0.4, rows)
    return process + strength * cyclic(rng, rows, length, cycle)


def regimes(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Return two or three alternating regimes, each with a level, a spread and a seasonality."""
    count = rng.integers(2, 4, size=(rows, 1))
    state = segments(rng, rows, length, log_uniform(rng, 15.0, 200.0, rows)) % count
    levels = white(rng, rows, 3) * uniform(rng, 0.0, 2.0, rows)
    spreads = np.exp(0.8 * white(rng, rows, 3)) * log_uniform(rng, 0.05, 0.5, rows)
    strengths = np.abs(white(rng, rows, 3))
    process = cyclic(rng, rows, length, period.mixed_periods(rng, rows, length / 3))
    level = np.take_along_axis(levels, state, axis=1)
    noise = white(rng, rows, length) * np.take_along_axis(spreads, state, axis=1)
    season = process * np.take_along_axis(strengths, state, axis=1)
    return np.asarray(level + noise + season, dtype=np.float32)
