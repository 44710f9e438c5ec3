"""Made-up columns of a few items, and the slow obvious way to walk over windows."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Real = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]
LENGTHS = (0, 1, 2, 7, 23, 64, 5, 40)


def offsets_of(lengths: tuple[int, ...] = LENGTHS) -> Int:
    return np.append(0, np.cumsum(lengths)).astype(np.int64)


def walk(
    seed: int, lengths: tuple[int, ...] = LENGTHS, *, missing: float = 0.1, level: float = 100.0
) -> Real:
    """A random walk around a level, with holes."""
    rng = np.random.default_rng(seed)
    values = level + rng.normal(size=sum(lengths)).cumsum()
    values[rng.random(len(values)) < missing] = np.nan
    return values


def slow(values: Real, offsets: Int, window: int, least: int, of: Callable[[Real], float]) -> Real:
    """Apply a function to the known values of each window, row by row."""
    result = np.full(len(values), np.nan)
    for first, stop in pairwise(offsets):
        for row in range(first, stop):
            part = values[max(first, row - window + 1) : row + 1]
            present = part[~np.isnan(part)]
            if len(present) >= least:
                result[row] = of(present)
    return result


def slow_pairs(
    x: Real, y: Real, offsets: Int, window: int, least: int, of: Callable[[Real, Real], float]
) -> Real:
    """The same for pairs of which both are known."""
    result = np.full(len(x), np.nan)
    for first, stop in pairwise(offsets):
        for row in range(first, stop):
            rows = slice(max(first, row - window + 1), row + 1)
            both = ~(np.isnan(x[rows]) | np.isnan(y[rows]))
            if both.sum() >= least:
                result[row] = of(x[rows][both], y[rows][both])
    return result
