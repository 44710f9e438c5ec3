"""The building blocks of the families: Gaussian signals of a given spectrum, scales, profiles.

Every function takes the random generator first and returns float32 arrays [N, T].
"""

from collections.abc import Callable, Sequence

import numpy as np

from gigacast.core.array import FloatArray, IntArray

PROFILE_POINTS = 256


def uniform(rng: np.random.Generator, low: float, high: float, rows: int) -> FloatArray:
    """Return one uniform draw per series, [N, 1]."""
    return (low + (high - low) * rng.random((rows, 1), dtype=np.float32)).astype(np.float32)


def log_uniform(rng: np.random.Generator, low: float, high: float, rows: int) -> FloatArray:
    """Return one draw per series, uniform in the logarithm, [N, 1]."""
    return np.exp(uniform(rng, float(np.log(low)), float(np.log(high)), rows))


def chance(rng: np.random.Generator, probability: float, rows: int) -> FloatArray:
    """Return 1 with the probability given and 0 otherwise, [N, 1]."""
    return (rng.random((rows, 1)) < probability).astype(np.float32)


def white(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Return standard normal noise, [N, T]."""
    return rng.standard_normal((rows, length), dtype=np.float32)


def heavy_tailed(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Return noise of unit-scale normals whose variance is drawn anew at each point, [N, T].

    The logarithm of the variance is normal with a spread of its own per series, from Gaussian to
    tails heavier than those of financial returns.
    """
    spread = uniform(rng, 0.0, 0.8, rows)
    noise: FloatArray = white(rng, rows, length) * np.exp(spread * white(rng, rows, length))
    return noise


def standardise(signal: FloatArray) -> FloatArray:
    """Return the rows with mean zero and standard deviation one; constant rows become zero."""
    centred = signal - signal.mean(axis=1, keepdims=True)
    spread = np.sqrt(np.square(centred).mean(axis=1, keepdims=True))
    return np.asarray(centred / np.maximum(spread, 1e-6), dtype=np.float32)


def from_spectrum(rng: np.random.Generator, density: FloatArray, length: int) -> FloatArray:
    """Return stationary Gaussian series of the spectral densities given, standardised.

    Sampling in the spectrum costs one FFT instead of the factorisation of a covariance. The period
    of the transform is at least twice the length, so that ends do not join.

    Parameters
    ----------
    rng : np.random.Generator
        Source of randomness.
    density : FloatArray
        Spectral density at `frequencies(length)`, [N, F].
    length : int
        Points to return, at most F - 1.
    """
    phases = rng.standard_normal((*density.shape, 2), dtype=np.float32)
    spectrum = np.sqrt(density) * (phases[..., 0] + 1j * phases[..., 1])
    series = np.fft.irfft(spectrum.astype(np.complex64), axis=1)
    return standardise(series[:, :length].astype(np.float32))


def frequencies(length: int) -> FloatArray:
    """Return the angular frequencies of a transform twice as long as the series, [1, F].

    All are above zero; the transform's length is a multiple of 64, which keeps it fast.
    """
    points = -(-2 * length // 64) * 64
    grid = np.fft.rfftfreq(points, d=1.0 / (2.0 * np.pi))
    grid[0] = grid[1] / 2.0
    return grid.astype(np.float32)[None, :]


def smooth(rng: np.random.Generator, rows: int, length: int, scale: FloatArray) -> FloatArray:
    """Return smooth signals whose length scale, in points, is given per series [N, 1]."""
    density = np.exp(-0.5 * np.square(frequencies(length) * scale)) + 1e-12
    return from_spectrum(rng, density.astype(np.float32), length)


def fading(rng: np.random.Generator, rows: int, length: int, speed: FloatArray) -> FloatArray:
    """Return Ornstein-Uhlenbeck signals: deviations fade by the share ``speed`` [N, 1] a step."""
    density = 1.0 / (np.square(speed) + np.square(frequencies(length)))
    return from_spectrum(rng, density.astype(np.float32), length)


def profiles(rng: np.random.Generator, rows: int) -> FloatArray:
    """Return one cycle per series on a grid of phases, [N, PROFILE_POINTS], standardised.

    A random trigonometric series with a decay of its own, bent by one of five shapes: as it is,
    peaked (exponential), cut off below (a day of sunshine), squared off, folded.
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
    """Give each series to one maker, drawn by weight, and return what they made, [N, ...].

    A maker gets the positions of its series and returns one row for each: only what is used is
    computed.
    """
    picked = rng.choice(len(makers), size=rows, p=weights)
    made = [(np.flatnonzero(picked == kind), maker) for kind, maker in enumerate(makers)]
    parts = [(at, maker(at)) for at, maker in made if len(at)]
    result = np.empty((rows, *parts[0][1].shape[1:]), dtype=np.float32)
    for at, part in parts:
        result[at] = part
    return result


def at_phase(cycles: FloatArray, phase: FloatArray) -> FloatArray:
    """Read cycles [N, P] at phases [N, T] in turns, interpolating between grid points."""
    position = (phase - np.floor(phase)) * cycles.shape[1]
    left = position.astype(np.int64) % cycles.shape[1]
    share = (position - np.floor(position)).astype(np.float32)
    here = np.take_along_axis(cycles, left, axis=1)
    there = np.take_along_axis(cycles, (left + 1) % cycles.shape[1], axis=1)
    return np.asarray(here + share * (there - here), dtype=np.float32)


def segments(rng: np.random.Generator, rows: int, length: int, mean_length: FloatArray) -> IntArray:
    """Return the running number of the segment each point lies in, [N, T], from zero.

    Segments end at random, after ``mean_length`` [N, 1] points on average.
    """
    ends = rng.random((rows, length), dtype=np.float32) < 1.0 / np.maximum(mean_length, 1.0)
    return np.cumsum(ends, axis=1)
