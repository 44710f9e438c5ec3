"""Bases of series whose steps float32 would lose, as those of a meter that counts beyond 1e9.

Models compute in float32 and subtract a series' level first. So a series of large numbers that
change little is kept as differences to its first value, and forecasts get that value back in
float64. Ordinary series have the base 0 and are not touched.
"""

import numpy as np

from gigacast.core.array import BoolArray, DoubleArray, FloatArray, IntArray

LEAST_STEPS = 16
"""Half-widths of float32's grid that a change has to have for nothing to be lost by it."""
_BLOCK = 1 << 15
_EXPONENT = 0x7F800000
"""Bits of the exponent of a float32."""
_LOST_SHARE = LEAST_STEPS * 2.0**-23
"""Share of a value that its grid is at most: twice it, as rounding may raise the exponent."""
_LEAST_LOST = LEAST_STEPS / 2 * 2.0**-149
"""The same beside the values next to 0, where the grid of float32 is finest."""


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


def add_bases(values: FloatArray, bases: DoubleArray) -> DoubleArray:
    """Return values as they were read, float64.

    A value at 0 is far from a base, where float32 is coarse: as near to 0 as float32 tells is 0, as
    a sensor that fails says it.

    Parameters
    ----------
    values : float32
        Differences to bases.
    bases : float64
        Bases of the values, in a shape that fits to theirs.
    """
    is_zero = values == (-bases).astype(np.float32)
    return np.where(is_zero, 0.0, values + bases)


def find_bases(values: DoubleArray, offsets: IntArray) -> DoubleArray:
    """Return a value beside which float32 keeps the steps of each series, [N]; 0 if it has them.

    They are lost if most changes from one value to the next are less than `LEAST_STEPS` times what
    rounding may move a value by. The base is then the first value; if most are lost beside that as
    well, as where a meter begins with a zero or is exchanged, it is the first value whose next
    change is.
    """
    bases = np.zeros(len(offsets) - 1)
    rows, _ = _mostly_lost(values, offsets)
    if not len(rows):
        return bases
    finite = np.append(np.flatnonzero(np.isfinite(values)), len(values))
    bases[rows] = values[finite[np.searchsorted(finite, offsets[rows])]]
    places, borders = _places_of(offsets, rows)
    own = values[places]
    with np.errstate(over="ignore", invalid="ignore"):
        apart = own - np.repeat(bases[rows], np.diff(borders))
    still, changed = _mostly_lost(apart, borders)
    bases[rows[still]] = own[changed - 1]
    return bases


def _mostly_lost(values: DoubleArray, offsets: IntArray) -> tuple[IntArray, IntArray]:
    """Return series most of whose changes float32 loses, and the value after the first one, [R]."""
    lost = _lost_changes(values)
    owners = np.searchsorted(offsets, lost, side="right") - 1
    # Between the last value of a series and the first of the next one is no change.
    is_within = lost != offsets[owners]
    lost, owners = lost[is_within], owners[is_within]
    if not len(owners):
        return owners, lost
    counts = np.bincount(owners, minlength=len(offsets) - 1)
    rows = np.flatnonzero(counts)
    rows = rows[2 * counts[rows] > _count_changes(values, offsets, rows)]
    return rows, lost[np.searchsorted(owners, rows)]


def _places_of(offsets: IntArray, rows: IntArray) -> tuple[IntArray, IntArray]:
    """Return the places of the values of some series, one series after the other, and borders."""
    lengths = np.diff(offsets)[rows]
    borders = np.append(0, np.cumsum(lengths))
    places = np.arange(borders[-1]) + np.repeat(offsets[rows] - borders[:-1], lengths)
    return places, borders


def _lost_changes(values: DoubleArray) -> IntArray:
    """Return the values whose change from the value before them float32 loses, in any series."""
    # Blocks stay in the processor's cache. In each of them the changes that are small beside its
    # largest value are found first: they are few, and only they are looked at one by one.
    lost = [np.empty(0, np.int64)]
    room = np.empty(_BLOCK)
    for start in range(0, max(0, len(values) - 1), _BLOCK):
        block = values[start : start + _BLOCK + 1]
        with np.errstate(over="ignore", invalid="ignore"):
            changes = np.subtract(block[1:], block[:-1], out=room[: len(block) - 1])
            np.abs(changes, out=changes)
            limit = _most_lost(block)
            # Of most blocks no change is that small. NaN, where a value is missing, is no answer.
            if changes.min() >= limit:
                continue
            is_small = changes < limit
            is_small &= changes > 0
            places = np.flatnonzero(is_small)
            if len(places):
                places = places[_are_lost(block[1:][places], changes[places])]
                lost.append(places + (start + 1))
    return np.concatenate(lost)


def _most_lost(block: DoubleArray) -> float:
    """Return a limit below which all changes are that float32 loses beside any of these values."""
    largest = max(float(block.max()), -float(block.min()))
    if np.isnan(largest):
        largest = float(np.fmax.reduce(np.abs(block)))
    # NaN, if there is no value at all: no change is below it.
    return max(largest * _LOST_SHARE, _LEAST_LOST)


def _are_lost(values: DoubleArray, changes: DoubleArray) -> BoolArray:
    """Return which changes are less than `LEAST_STEPS` half-widths of the grid at their values."""
    narrow = np.abs(values).astype(np.float32)
    # The exponent alone is the power of two below a value, and the grid is a fixed share of it.
    grid = (narrow.view(np.int32) & _EXPONENT).view(np.float32)
    grid *= np.float32(LEAST_STEPS / 2 * 2.0**-23)
    np.maximum(grid, np.float32(_LEAST_LOST), out=grid)
    is_lost: BoolArray = (changes < grid) & (narrow < np.finfo(np.float32).max)
    return is_lost


def _count_changes(values: DoubleArray, offsets: IntArray, rows: IntArray) -> IntArray:
    """Return the changes within some of the series, [R]; each has two values at least."""
    places, borders = _places_of(offsets, rows)
    with np.errstate(over="ignore", invalid="ignore"):
        changes = np.abs(np.diff(values[places]))
    is_change = np.isfinite(changes) & (changes > 0)
    is_change[borders[1:-1] - 1] = False
    counts: IntArray = np.add.reduceat(is_change, borders[:-1], dtype=np.int64)
    return counts
