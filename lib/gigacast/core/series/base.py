"""Bases of series whose steps float32 would lose, as those of a meter that counts beyond 1e9.

Models compute in float32 and subtract a series' level first. So a series of large numbers that
change little is kept as differences to its first value, and forecasts get that value back in
float64. Ordinary series have the base 0 and are not touched.
"""

import numpy as np

from gigacast.core.array import DoubleArray, FloatArray, IntArray

LEAST_STEPS = 16
"""Half-widths of float32's grid that a change has to have for nothing to be lost by it."""


def split_bases(values: DoubleArray, offsets: IntArray) -> tuple[FloatArray, DoubleArray | None]:
    """Return series as float32 [R], and the base of each, [N]; ``None`` where all are 0.

    Parameters
    ----------
    values : float64 [R]
        Values of all series; NaN for missing ones.
    offsets : int64 [N + 1]
        Borders of the series.
    """
    bases = find_bases(values, offsets)
    has_base = bases != 0
    if has_base.any():
        values = values - np.repeat(bases, np.diff(offsets))
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = values.astype(np.float32)
    return narrow, bases if has_base.any() else None


def find_bases(values: DoubleArray, offsets: IntArray) -> DoubleArray:
    """Return the first value of each series whose steps float32 would lose, else 0, [N].

    They are lost if most changes from one value to the next are less than `LEAST_STEPS` times what
    rounding may move a value by.
    """
    bases = np.zeros(len(offsets) - 1)
    with np.errstate(over="ignore", invalid="ignore"):
        grid = np.spacing(np.abs(values).astype(np.float32)).astype(np.float64)
        changes = np.abs(np.diff(values))
        is_lost = (changes > 0) & (changes < LEAST_STEPS / 2 * grid[1:]) & np.isfinite(grid[1:])
    if not is_lost.any():
        return bases
    is_change = np.isfinite(changes) & (changes > 0)
    # Between the last value of a series and the first of the next one is no change.
    borders = offsets[1:-1][(offsets[1:-1] > 0) & (offsets[1:-1] < len(values))] - 1
    is_lost[borders] = is_change[borders] = False
    owner = np.repeat(np.arange(len(bases)), np.diff(offsets))[1:]
    lost = np.bincount(owner[is_lost], minlength=len(bases))
    changed = np.bincount(owner[is_change], minlength=len(bases))
    rows = np.flatnonzero(2 * lost > changed)
    finite = np.append(np.flatnonzero(np.isfinite(values)), len(values))
    firsts = finite[np.searchsorted(finite, offsets[rows])]
    bases[rows] = values[firsts]
    return bases
