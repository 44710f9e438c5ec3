"""Values that lie far out of their series.

Every series has fences of its own, so that a panel of assets of different prices is judged asset
by asset. Missing and infinite values have no part in the fences.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gigacast.core.array import BoolArray, CodeArray, DoubleArray, IntArray
from gigacast.repair.quantile import segment_quantiles
from gigacast.series.segment import offsets_without, reduce_segments, run_starts, spread

_RUNS_ONE_BY_ONE = 64
"""Up to so many series are held against their fences one by one, without a copy of these."""


@dataclass(frozen=True, slots=True)
class Fences:
    """Below and above which values of each series lie far out, float64 [N] each; never for NaN."""

    low: DoubleArray
    high: DoubleArray

    def beyond(self, values: DoubleArray, codes: CodeArray | None) -> BoolArray:
        """Return which values lie far out, bool [R].

        Parameters
        ----------
        values : float64 [R]
        codes : int [R], optional
            Each row's series, ascending; absent when there is one.
        """
        if not len(values):
            return np.zeros(0, np.bool_)
        bounds, low, high = self._runs(values, codes)
        outside = np.empty(len(values), np.bool_)
        with np.errstate(invalid="ignore"):
            if len(low) > _RUNS_ONE_BY_ONE:
                lengths = np.diff(bounds)
                np.less(values, np.repeat(low, lengths), out=outside)
                outside |= values > np.repeat(high, lengths)
                return outside
            for run, least, greatest in zip(pairwise(bounds.tolist()), low, high, strict=True):
                some, found = values[slice(*run)], outside[slice(*run)]
                np.less(some, least, out=found)
                found |= some > greatest
        return outside

    def clip(self, values: DoubleArray, codes: CodeArray | None) -> DoubleArray:
        """Return values moved to the nearest that does not lie far out."""
        low, high = self.of(codes)
        clipped: DoubleArray = np.clip(values, low, high)
        return clipped

    def of(
        self, codes: CodeArray | None
    ) -> tuple[DoubleArray, DoubleArray] | tuple[np.float64, np.float64]:
        """Return the fences of rows whose series ascend: of one series as two numbers."""
        low, high = self._open
        if len(low) == 1:
            return low[0], high[0]
        return (low, high) if codes is None else (low[codes], high[codes])

    @property
    def _open(self) -> tuple[DoubleArray, DoubleArray]:
        low = np.where(np.isnan(self.low), -np.inf, self.low)
        return low, np.where(np.isnan(self.high), np.inf, self.high)

    def _runs(
        self, values: DoubleArray, codes: CodeArray | None
    ) -> tuple[IntArray, DoubleArray, DoubleArray]:
        """Return where the rows of one series begin and end, and the fences of each such run."""
        low, high = self._open
        if codes is None or len(low) == 1:
            return np.array([0, len(values)]), low[:1], high[:1]
        cuts = run_starts(codes)
        own = codes[cuts]
        return np.append(cuts, len(codes)), low[own], high[own]


def iqr_fences(
    values: DoubleArray, offsets: IntArray, factor: float, *, judge_flat: bool = False
) -> Fences:
    """Return the quartiles, less and plus so many interquartile ranges (Tukey 1977).

    Parameters
    ----------
    values : float64 [R]
    offsets : int64 [N + 1]
    factor : float
        Interquartile ranges beyond the quartiles; 3 is Tukey's "far out".
    judge_flat : bool
        Whether series with an interquartile range of 0 (more than half of the values are equal)
        have fences: every other value is then beyond them. By default they have none.
    """
    known, bounds = _finite(values, offsets)
    quartiles = segment_quantiles(known, bounds, (0.25, 0.75))
    width = quartiles[:, 1] - quartiles[:, 0]
    if not judge_flat:
        width[width == 0] = np.nan
    return Fences(quartiles[:, 0] - factor * width, quartiles[:, 1] + factor * width)


def zscore_fences(values: DoubleArray, offsets: IntArray, limit: float) -> Fences:
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


def _finite(values: DoubleArray, offsets: IntArray) -> tuple[DoubleArray, IntArray]:
    finite = np.isfinite(values)
    if finite.all():
        return values, offsets
    return values[finite], offsets_without(~finite, offsets)
