"""Building blocks of the families: random scales, Gaussian signals by spectrum, profiles.

Functions take a random generator first and return float32 arrays, [N, T] unless stated otherwise.
The order of draws defines the corpus: a reordering gives other series for the same seed.
"""

from collections.abc import Callable, Sequence

import numpy as np

from gigacast.core.array import FloatArray, IntArray

PROFILE_POINTS = 256
"""Grid points of one cycle of a profile."""


def uniform(rng: np.random.Generator, low: float, high: float, rows: int) -> FloatArray:
    """Return a uniform random number per series, [N, 1]."""
    return (low + (high - low) * rng.random((rows, 1), dtype=np.float32)).astype(np.float32)


def log_uniform(rng: np.random.Generator, low: float, high: float, rows: int) -> FloatArray:
    """Return a random number per series, uniform in its logarithm, [N, 1]."""
    return np.exp(uniform(rng, float(np.log(low)), float(np.log(high)), rows))


def chance(rng: np.random.Generator, probability: float, rows: int) -> FloatArray:
    """Return 1 with the given probability and 0 otherwise, [N, 1]."""
    return (rng.random((rows, 1)) < probability).astype(np.float32)


def white(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Return standard normal noise, [N, T]."""
    return rng.standard_normal((rows, length), dtype=np.float32)


def heavy_tailed(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Return normal noise with a random variance at each point, [N, T].

    The logarithm of the variance is normal, with a random spread per series: from Gaussian to tails
    heavier than those of financial returns.
    """
    spread = uniform(rng, 0.0, 0.8, rows)
    noise: FloatArray = white(rng, rows, length) * np.exp(spread * white(rng, rows, length))
    return noise


def standardise(signal: FloatArray) -> FloatArray:
    """Return series with mean zero and standard deviation one; constant series become zero."""
    centred = signal - signal.mean(axis=1, keepdims=True)
    spread = np.sqrt(np.square(centred).mean(axis=1, keepdims=True))
    return np.asarray(centred / np.maximum(spread, 1e-6), dtype=np.float32)


def from_spectrum(rng: np.random.Generator, density: FloatArray, length: int) -> FloatArray:
    """Return stationary Gaussian series of given spectral densities, standardised.

    Sampling in the spectrum takes one FFT instead of the factorisation of a covariance, which is
    what makes KernelSynth slow. The transform is periodic; its period is at least twice the length,
    so that the end of a series does not join its start.

    Parameters
    ----------
    rng : np.random.Generator
    density : FloatArray
        Spectral density at `frequencies(length)`, [N, F].
    length : int
        Number of points to return, at most F - 1.
    """
    amplitudes = rng.standard_normal((*density.shape, 2), dtype=np.float32)
    spectrum = np.sqrt(density) * (amplitudes[..., 0] + 1j * amplitudes[..., 1])
    series = np.fft.irfft(spectrum.astype(np.complex64), axis=1)
    return standardise(series[:, :length].astype(np.float32))


def frequencies(length: int) -> FloatArray:
    """Return the angular frequencies of a transform twice as long as the series, [1, F]."""
    points = -(-2 * length // 64) * 64  # lengths with large prime factors are slow
    grid = np.fft.rfftfreq(points, d=1.0 / (2.0 * np.pi))
    # Power-law densities are infinite at zero, so the lowest frequency is moved above it.
    grid[0] = grid[1] / 2.0
    return grid.astype(np.float32)[None, :]


def smooth(rng: np.random.Generator, rows: int, length: int, scale: FloatArray) -> FloatArray:
    """Return smooth signals, [N, T], with a length scale in points per series, [N, 1]."""
    # The added constant keeps a density that underflows everywhere from giving a constant zero.
    density = np.exp(-0.5 * np.square(frequencies(length) * scale)) + 1e-12
    return from_spectrum(rng, density.astype(np.float32), length)


def fading(rng: np.random.Generator, rows: int, length: int, speed: FloatArray) -> FloatArray:
    """Return Ornstein-Uhlenbeck signals, [N, T], that decay by ``speed``, [N, 1], per step."""
    density = 1.0 / (np.square(speed) + np.square(frequencies(length)))
    return from_spectrum(rng, density.astype(np.float32), length)


def profiles(rng: np.random.Generator, rows: int) -> FloatArray:
    """Return one cycle per series on a grid of phases, [N, PROFILE_POINTS], standardised.

    A random trigonometric series with its own decay, in one of five shapes: unchanged, peaked
    (exponential), clipped from below (like sunshine over a day), saturated, or folded.
    """
    orders = np.arange(1, 25, dtype=np.float32)[None, :]
    cutoff = np.floor(log_uniform(rng, 1.0, 24.99, rows))
    decay = np.where(orders <= cutoff, orders ** -uniform(rng, 0.0, 2.0, rows), 0.0)
    parts = rng.standard_normal((rows, 24, 2), dtype=np.float32) * decay[..., None]
    spectrum = np.zeros((rows, PROFILE_POINTS // 2 + 1), dtype=np.complex64)
    spectrum[:, 1:25] = parts[..., 0] + 1j * parts[..., 1]
    cycle = standardise(np.fft.irfft(spectrum, axis=1).astype(np.float32))
    bend = uniform(rng, 0.5, 2.0, rows)
    floor = uniform(rng, -1.0, 0.5, rows)
    return standardise(
        one_of(
            rng,
            rows,
            (
                lambda at: cycle[at],
                lambda at: np.exp(0.8 * bend[at] * cycle[at]),
                lambda at: np.maximum(cycle[at] - floor[at], 0.0),
                lambda at: np.tanh(2.0 * bend[at] * cycle[at]),
                lambda at: np.abs(cycle[at]),
            ),
            weights=(0.4, 0.25, 0.15, 0.1, 0.1),
        )
    )


def one_of(
    rng: np.random.Generator,
    rows: int,
    makers: Sequence[Callable[[IntArray], FloatArray]],
    weights: Sequence[float] | None = None,
) -> FloatArray:
    """Assign each series to a function by weight, and return the functions' results, [N, ...].

    A function gets the indices of its series and returns a row for each, so that nothing is
    computed for series that do not use it.
    """
    # Functions are called in order, each with its own share of the random stream.
    picked = rng.choice(len(makers), size=rows, p=weights)
    assigned = [(np.flatnonzero(picked == kind), maker) for kind, maker in enumerate(makers)]
    parts = [(at, maker(at)) for at, maker in assigned if len(at)]
    result = np.empty((rows, *parts[0][1].shape[1:]), dtype=np.float32)
    for at, part in parts:
        result[at] = part
    return result


def at_phase(cycles: FloatArray, phase: FloatArray) -> FloatArray:
    """Return cycles, [N, P], at phases in turns, [N, T], interpolated between grid points."""
    position = (phase - np.floor(phase)) * cycles.shape[1]
    point = position.astype(np.int64) % cycles.shape[1]
    share = (position - np.floor(position)).astype(np.float32)
    lower = np.take_along_axis(cycles, point, axis=1)
    upper = np.take_along_axis(cycles, (point + 1) % cycles.shape[1], axis=1)
    return np.asarray(lower + share * (upper - lower), dtype=np.float32)


def segments(rng: np.random.Generator, rows: int, length: int, mean_length: FloatArray) -> IntArray:
    """Return the index of each point's segment, [N, T].

    Segments end at random, after ``mean_length``, [N, 1], points on average.
    """
    ends = rng.random((rows, length), dtype=np.float32) < 1.0 / np.maximum(mean_length, 1.0)
    return np.cumsum(ends, axis=1)
