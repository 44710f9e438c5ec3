"""What happens to series on their way to us: noise, gross errors, rounding, gaps, late starts.

Each function takes the random generator and series [N, T] and returns altered ones; the share of
series it alters comes from the mixture.
"""

import numpy as np

from gigacast.core.array import FloatArray
from gigacast.synthetic.mixture import Mixture
from gigacast.synthetic.signal import (
    chance,
    fading,
    heavy_tailed,
    log_uniform,
    one_of,
    standardise,
    uniform,
    white,
)


def augment(rng: np.random.Generator, signal: FloatArray, mixture: Mixture) -> FloatArray:
    """Superpose, disturb, scale and blank out series as the mixture says, [N, T]."""
    untouched = mixture == Mixture(mixture.shares, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    if untouched:
        return signal
    mixed = superpose(rng, standardise(signal), mixture.superpose)
    noisy = add_outliers(rng, add_noise(rng, mixed, mixture.noisy), mixture.outliers)
    scaled = rescale(rng, signal, noisy, mixture.rounded)
    return shorten(rng, blank_out(rng, scaled, mixture.missing), mixture.shortened)


def superpose(rng: np.random.Generator, signal: FloatArray, share: float) -> FloatArray:
    """Add another series of the block, at a random weight, to a share of the series."""
    other = signal[rng.permutation(len(signal))]
    return (
        signal + chance(rng, share, len(signal)) * log_uniform(rng, 0.1, 1.0, len(signal)) * other
    )


def add_noise(rng: np.random.Generator, signal: FloatArray, share: float) -> FloatArray:
    """Add noise of 0.5% to 60% of a series' spread: Gaussian, heavy-tailed, or one that fades."""
    rows, length = signal.shape
    size = log_uniform(rng, 0.005, 0.6, rows) * chance(rng, share, rows)
    speed = log_uniform(rng, 0.05, 1.0, rows)
    noise = one_of(
        rng,
        rows,
        (
            lambda at: white(rng, len(at), length),
            lambda at: heavy_tailed(rng, len(at), length),
            lambda at: fading(rng, len(at), length, speed[at]),
        ),
        weights=(0.5, 0.25, 0.25),
    )
    return np.asarray(signal + size * noise, dtype=np.float32)


def add_outliers(rng: np.random.Generator, signal: FloatArray, share: float) -> FloatArray:
    """Throw up to one point in fifty off by several spreads in a share of the series."""
    rows, length = signal.shape
    rate = log_uniform(rng, 0.002, 0.02, rows) * chance(rng, share, rows)
    hit = rng.random((rows, length), dtype=np.float32) < rate
    return np.asarray(signal + hit * white(rng, rows, length) * 6.0, dtype=np.float32)


def rescale(
    rng: np.random.Generator, original: FloatArray, signal: FloatArray, rounded: float
) -> FloatArray:
    """Give series a size and an offset; most keep their sign, a share is rounded."""
    rows = len(signal)
    size = log_uniform(rng, 0.01, 1e4, rows)
    away = uniform(rng, 0.0, 8.0, rows) * chance(rng, 0.8, rows)
    upright = np.where(chance(rng, 0.92, rows) > 0, signal, -signal)
    scaled = (upright + away) * size
    steps = log_uniform(rng, 3.0, 300.0, rows)
    whole = np.rint((upright + away) * steps)
    sized = np.where(chance(rng, rounded, rows) > 0, whole, scaled)
    return np.asarray(sized, dtype=np.float32)


def blank_out(rng: np.random.Generator, signal: FloatArray, share: float) -> FloatArray:
    """Blank out single points or one stretch of up to a third of the series, in a share of them."""
    rows, length = signal.shape
    points = rng.random((rows, length), dtype=np.float32) < log_uniform(rng, 0.005, 0.4, rows)
    start = uniform(rng, 0.0, length, rows)
    clock = np.arange(length)[None, :]
    stretch = (clock >= start) & (clock < start + log_uniform(rng, 2.0, length / 3.0, rows))
    gone = np.where(chance(rng, 0.5, rows) > 0, points, stretch) & (chance(rng, share, rows) > 0)
    return np.where(gone, np.float32(np.nan), signal)


def shorten(rng: np.random.Generator, signal: FloatArray, share: float) -> FloatArray:
    """Let a share of the series begin late, with between an eighth and all of their points left."""
    rows, length = signal.shape
    kept = log_uniform(rng, length / 8.0, length, rows)
    late = np.arange(length)[None, :] < (length - kept) * chance(rng, share, rows)
    return np.where(late, np.float32(np.nan), signal)
