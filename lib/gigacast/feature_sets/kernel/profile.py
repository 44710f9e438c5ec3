"""How volume is distributed over prices in windows."""

from typing import NamedTuple

import numpy as np

from gigacast.core.array import BoolArray, DoubleArray, IntArray
from gigacast.feature_sets.kernel.window import windows


class VolumeProfile(NamedTuple):
    """Of each window, float64 [R]; as `VOLUME_PROFILE_SCHEMA` names them."""

    vwap: DoubleArray
    point_of_control: DoubleArray
    value_area_high: DoubleArray
    value_area_low: DoubleArray
    total_volume: DoubleArray


def volume_profile(
    price: DoubleArray,
    volume: DoubleArray,
    offsets: IntArray,
    window: int,
    bins: int = 24,
    share: float = 0.7,
) -> VolumeProfile:
    """Return the volume profiles of windows.

    The window's prices are divided into bins of equal width. The point of control is the middle of
    the bin with the most volume, the lowest of several. The value area starts there and takes the
    larger neighbour, the upper one of two alike, until it holds ``share`` of the volume (after
    Steidlmayer 1986, by volume and not by time); its ends are ends of bins.

    Parameters
    ----------
    price, volume : float64 [R]
        A row counts when both are known; a volume below zero is missing.
    offsets : int64 [N + 1]
    window : int
        Rows, W; a window with a row that does not count, or without volume, has no profile.
    bins : int
    share : float
        0 to 1.
    """
    volume = np.where(volume >= 0, volume, np.nan)
    both = ~(np.isnan(price) | np.isnan(volume))
    found = VolumeProfile(*(np.full(len(price), np.nan) for _ in VolumeProfile._fields))
    prices = windows(np.where(both, price, np.nan), offsets, window)
    volumes = windows(np.where(both, volume, np.nan), offsets, window)
    for (rows, p), (_, v) in zip(prices, volumes, strict=True):
        total = v.sum(axis=1)
        good = np.flatnonzero(total > 0)  # NaN is not
        part = _profile_of(p[good], v[good], bins, share)
        for into, values in zip(found, part, strict=True):
            into[rows.start + good] = values
    return found


def _profile_of(price: DoubleArray, volume: DoubleArray, bins: int, share: float) -> VolumeProfile:
    """Return the profiles of n windows written out, [n, W]."""
    count = len(price)
    low, high = price.min(axis=1), price.max(axis=1)
    width = (high - low) / bins
    safe = np.where(width > 0, width, 1.0)
    place: IntArray = ((price - low[:, None]) / safe[:, None]).astype(np.int64)
    place = np.clip(place, 0, bins - 1)
    flat = (np.arange(count)[:, None] * bins + place).ravel()
    counted = np.bincount(flat, volume.ravel(), minlength=count * bins)
    held: DoubleArray = counted.astype(np.float64).reshape(count, bins)
    most: IntArray = held.argmax(axis=1).astype(np.int64)
    first, last = _value_area(held, most, share)
    total = volume.sum(axis=1)
    return VolumeProfile(
        (price * volume).sum(axis=1) / total,
        low + (most + 0.5) * width,
        low + (last + 1) * width,
        low + first * width,
        total,
    )


def _value_area(held: DoubleArray, most: IntArray, share: float) -> tuple[IntArray, IntArray]:
    """Return the first and last bin of the value areas; one bin is added at a time, to all."""
    count, bins = held.shape
    row = np.arange(count)
    first, last = most.copy(), most.copy()
    inside = held[row, most]
    wanted = share * held.sum(axis=1)
    for _ in range(bins - 1):
        short: BoolArray = inside < wanted * (1 - 1e-12)
        if not short.any():
            break
        below = np.where(first > 0, held[row, np.maximum(first - 1, 0)], -1.0)
        above = np.where(last < bins - 1, held[row, np.minimum(last + 1, bins - 1)], -1.0)
        up = short & (above >= below)
        down = short & ~up
        inside = inside + np.where(up, above, 0.0) + np.where(down, below, 0.0)
        last, first = last + up, first - down
    return first, last
