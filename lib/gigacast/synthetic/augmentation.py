"""Imperfections of real data, added to synthetic series: noise, outliers, rounding, gaps.

Each function takes a random generator and series [N, T] and returns a changed copy. The share of
series that it changes is set in the mixture.
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
    """Return series, [N, T], with all augmentations of a mixture."""
    # Without any augmentation the series keep the scale of their families: tests and pictures show
    # the families themselves.
    if mixture.is_plain:
        return signal
    mixed = superpose(rng, standardise(signal), mixture.superpose)
    noisy = add_outliers(rng, add_noise(rng, mixed, mixture.noisy), mixture.outliers)
    scaled = rescale(rng, noisy, mixture.rounded, mixture.mirrored)
    return shorten(rng, blank_out(rng, scaled, mixture.missing), mixture.shortened)


def superpose(rng: np.random.Generator, signal: FloatArray, share: float) -> FloatArray:
    """Add another series of the block, at a random weight, to a share of the series."""
    partner = signal[rng.permutation(len(signal))]
    return (
        signal + chance(rng, share, len(signal)) * log_uniform(rng, 0.1, 1.0, len(signal)) * partner
    )


def add_noise(rng: np.random.Generator, signal: FloatArray, share: float) -> FloatArray:
    """Add noise of 0.5% to 60% of a series' spread: Gaussian, heavy-tailed or autocorrelated."""
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
    """Shift up to one point in fifty by several spreads, in a share of the series."""
    rows, length = signal.shape
    rate = log_uniform(rng, 0.002, 0.02, rows) * chance(rng, share, rows)
    is_outlier = rng.random((rows, length), dtype=np.float32) < rate
    return np.asarray(signal + is_outlier * white(rng, rows, length) * 6.0, dtype=np.float32)


def rescale(
    rng: np.random.Generator, signal: FloatArray, rounded: float, mirrored: float
) -> FloatArray:
    """Give series a random scale and offset; change the sign of a share and round another."""
    rows = len(signal)
    size = log_uniform(rng, 0.01, 1e4, rows)
    offset = uniform(rng, 0.0, 8.0, rows) * chance(rng, 0.8, rows)
    signed = np.where(chance(rng, 1.0 - mirrored, rows) > 0, signal, -signal)
    scaled = (signed + offset) * size
    # Rounded series get a scale of their own, so that they have 3 to 300 steps per spread.
    steps = log_uniform(rng, 3.0, 300.0, rows)
    stepped = np.rint((signed + offset) * steps)
    result = np.where(chance(rng, rounded, rows) > 0, stepped, scaled)
    return np.asarray(result, dtype=np.float32)


def blank_out(rng: np.random.Generator, signal: FloatArray, share: float) -> FloatArray:
    """Remove single points, or a stretch of up to a third of a series, in a share of the series."""
    rows, length = signal.shape
    points = rng.random((rows, length), dtype=np.float32) < log_uniform(rng, 0.005, 0.4, rows)
    start = uniform(rng, 0.0, length, rows)
    clock = np.arange(length)[None, :]
    stretch = (clock >= start) & (clock < start + log_uniform(rng, 2.0, length / 3.0, rows))
    missing = np.where(chance(rng, 0.5, rows) > 0, points, stretch) & (chance(rng, share, rows) > 0)
    return np.where(missing, np.float32(np.nan), signal)


def shorten(rng: np.random.Generator, signal: FloatArray, share: float) -> FloatArray:
    """Remove the start of a share of the series; an eighth to all of their points remain.

    The points become NaN, as in a context that is padded on the left.
    """
    rows, length = signal.shape
    remaining = log_uniform(rng, length / 8.0, length, rows)
    early = np.arange(length)[None, :] < (length - remaining) * chance(rng, share, rows)
    return np.where(early, np.float32(np.nan), signal)
