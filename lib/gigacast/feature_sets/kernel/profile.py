"""Volume profiles: the distribution of volume over prices in windows."""

from typing import NamedTuple

import numpy as np

from gigacast.core.array import BoolArray, DoubleArray, IntArray
from gigacast.feature_sets.kernel.window import windows


class VolumeProfile(NamedTuple):
    """Profile of each window, float64 [R] each; the names are those of `VOLUME_PROFILE_SCHEMA`."""

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

    The prices of a window are divided into bins of equal width. The point of control is the middle
    of the bin with the most volume; of several such bins, the lowest. The value area starts there
    and adds the neighbour with more volume, the upper one if they are equal, until it holds
    ``share`` of the volume (after Steidlmayer 1986, by volume instead of time). It ends at borders
    of bins.

    Parameters
    ----------
    price, volume : float64 [R]
        Prices and volumes; a row counts if both are known. A negative volume is missing.
    offsets : int64 [N + 1]
    window : int
        W, the rows of a window. A window with a row that does not count, or without volume, has no
        profile.
    bins : int
        Number of bins.
    share : float
        Share of the volume in the value area, 0 to 1.
    """
    volume = np.where(volume >= 0, volume, np.nan)
    both = ~(np.isnan(price) | np.isnan(volume))
    profile = VolumeProfile(*(np.full(len(price), np.nan) for _ in VolumeProfile._fields))
    prices = windows(np.where(both, price, np.nan), offsets, window)
    volumes = windows(np.where(both, volume, np.nan), offsets, window)
    for (rows, p), (_, v) in zip(prices, volumes, strict=True):
        total = v.sum(axis=1)
        good = np.flatnonzero(total > 0)  # also excludes NaN
        part = _profile_of(p[good], v[good], bins, share)
        for into, values in zip(profile, part, strict=True):
            into[rows.start + good] = values
    return profile


def _profile_of(price: DoubleArray, volume: DoubleArray, bins: int, share: float) -> VolumeProfile:
    """Return the profiles of n windows, given as matrices [n, W]."""
    count = len(price)
    low, high = price.min(axis=1), price.max(axis=1)
    width = (high - low) / bins
    safe = np.where(width > 0, width, 1.0)  # one price: all volume is in the first bin
    place: IntArray = ((price - low[:, None]) / safe[:, None]).astype(np.int64)
    place = np.clip(place, 0, bins - 1)
    # One count over the bins of all windows.
    flat = (np.arange(count)[:, None] * bins + place).ravel()
    counted = np.bincount(flat, volume.ravel(), minlength=count * bins)
    by_bin: DoubleArray = counted.astype(np.float64).reshape(count, bins)
    peak: IntArray = by_bin.argmax(axis=1).astype(np.int64)
    first, last = _value_area(by_bin, peak, share)
    total = volume.sum(axis=1)
    return VolumeProfile(
        (price * volume).sum(axis=1) / total,
        low + (peak + 0.5) * width,
        low + (last + 1) * width,
        low + first * width,
        total,
    )


def _value_area(by_bin: DoubleArray, peak: IntArray, share: float) -> tuple[IntArray, IntArray]:
    """Return the first and last bins of the value areas. All areas grow a bin at a time."""
    count, bins = by_bin.shape
    row = np.arange(count)
    first, last = peak.copy(), peak.copy()
    inside = by_bin[row, peak]
    target = share * by_bin.sum(axis=1)
    for _ in range(bins - 1):
        # The margin is for sums that differ from the share by rounding only.
        short: BoolArray = inside < target * (1 - 1e-12)
        if not short.any():
            break
        below = np.where(first > 0, by_bin[row, np.maximum(first - 1, 0)], -1.0)
        above = np.where(last < bins - 1, by_bin[row, np.minimum(last + 1, bins - 1)], -1.0)
        up = short & (above >= below)
        down = short & ~up
        inside = inside + np.where(up, above, 0.0) + np.where(down, below, 0.0)
        last, first = last + up, first - down
    return first, last
