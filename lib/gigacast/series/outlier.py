"""Values that lie far out of their series. Imports numpy and its neighbours.

Every series has fences of its own, so that a panel of assets of different prices is judged asset
by asset. Missing and infinite values have no part in the fences.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gigacast.series.quantile import RealArray, segment_quantiles
from gigacast.series.segment import (
    BoolArray,
    CodeArray,
    IntArray,
    offsets_without,
    reduce_segments,
    spread,
)


@dataclass(frozen=True, slots=True)
class Fences:
    """Below and above which values of each series lie far out, float64 [N] each; never for NaN."""

    low: RealArray
    high: RealArray

    def beyond(self, values: RealArray, codes: CodeArray | None) -> BoolArray:
        """Return which values lie far out, bool [R].

        Parameters
        ----------
        values : float64 [R]
        codes : int [R], optional
            Each row's series, ascending; absent when there is one.
        """
        low, high = self.of(codes)
        with np.errstate(invalid="ignore"):
            outside = values < low
            outside |= values > high
        return outside

    def clip(self, values: RealArray, codes: CodeArray | None) -> RealArray:
        """Return values moved to the nearest that does not lie far out."""
        low, high = self.of(codes)
        clipped: RealArray = np.clip(values, low, high)
        return clipped

    def of(
        self, codes: CodeArray | None
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | tuple[np.float64, np.float64]:
        """Return the fences of rows whose series ascend: of one series as two numbers."""
        low = np.where(np.isnan(self.low), -np.inf, self.low)
        high = np.where(np.isnan(self.high), np.inf, self.high)
        if len(low) == 1:
            return low[0], high[0]
        if codes is not None and len(codes) and codes[0] == codes[-1]:
            return low[codes[0]], high[codes[0]]
        return (low, high) if codes is None else (low[codes], high[codes])


def iqr_fences(values: RealArray, offsets: IntArray, factor: float) -> Fences:
    """Return the quartiles, less and plus so many interquartile ranges (Tukey 1977).

    Parameters
    ----------
    values : float64 [R]
    offsets : int64 [N + 1]
    factor : float
        3 is Tukey's "far out". Where more than half of a series is one value, the range is 0, and
        nothing is told.
    """
    known, bounds = _finite(values, offsets)
    quartiles = segment_quantiles(known, bounds, (0.25, 0.75))
    width = quartiles[:, 1] - quartiles[:, 0]
    width[width == 0] = np.nan
    return Fences(quartiles[:, 0] - factor * width, quartiles[:, 1] + factor * width)


def zscore_fences(values: RealArray, offsets: IntArray, limit: float) -> Fences:
    """Return the mean, less and plus so many standard deviations of each series."""
    known, bounds = _finite(values, offsets)
    counts = np.diff(bounds)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = reduce_segments(np.add, known, bounds, 0) / counts
        centred = known - (means[0] if len(means) == 1 else spread(means, bounds))
        np.square(centred, out=centred)
        deviations = np.sqrt(reduce_segments(np.add, centred, bounds, 0) / counts)
    deviations[deviations == 0] = np.nan
    return Fences(means - limit * deviations, means + limit * deviations)


def _finite(values: RealArray, offsets: IntArray) -> tuple[RealArray, IntArray]:
    finite = np.isfinite(values)
    if finite.all():
        return values, offsets
    return values[finite], offsets_without(~finite, offsets)
