"""Outliers: values beyond the fences of their series.

Every series has its own fences, so that assets of different prices can be in one panel. Missing and
infinite values do not count for the fences.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gigacast.core.array import BoolArray, CodeArray, DoubleArray, IntArray
from gigacast.repair.quantile import segment_quantiles
from gigacast.series.segment import offsets_without, reduce_segments, run_starts, spread

_RUNS_ONE_BY_ONE = 64
"""Up to this number, series are compared one by one, which needs no array of fences by row."""


@dataclass(frozen=True, slots=True)
class Fences:
    """Lower and upper fence of each series, float64 [N] each. A NaN fence excludes nothing."""

    low: DoubleArray
    high: DoubleArray

    def beyond(self, values: DoubleArray, codes: CodeArray | None) -> BoolArray:
        """Return which values are beyond the fences, bool [R].

        Parameters
        ----------
        values : float64 [R]
        codes : int [R], optional
            Series of each row, ascending; a single series by default.
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
                part, result = values[slice(*run)], outside[slice(*run)]
                np.less(part, least, out=result)
                result |= part > greatest
        return outside

    def clip(self, values: DoubleArray, codes: CodeArray | None) -> DoubleArray:
        """Return values with those beyond a fence replaced by the fence."""
        low, high = self.of(codes)
        clipped: DoubleArray = np.clip(values, low, high)
        return clipped

    def of(
        self, codes: CodeArray | None
    ) -> tuple[DoubleArray, DoubleArray] | tuple[np.float64, np.float64]:
        """Return the fences of each row, [R] each; of a single series as two numbers."""
        low, high = self._open
        if len(low) == 1:
            return low[0], high[0]
        return (low, high) if codes is None else (low[codes], high[codes])

    @property
    def _open(self) -> tuple[DoubleArray, DoubleArray]:
        # Any comparison with NaN is false, but clipping to NaN would lose the value.
        low = np.where(np.isnan(self.low), -np.inf, self.low)
        return low, np.where(np.isnan(self.high), np.inf, self.high)

    def _runs(
        self, values: DoubleArray, codes: CodeArray | None
    ) -> tuple[IntArray, DoubleArray, DoubleArray]:
        """Return the offsets of the runs of rows of one series, and the fences of each run."""
        low, high = self._open
        if codes is None or len(low) == 1:
            return np.array([0, len(values)]), low[:1], high[:1]
        cuts = run_starts(codes)
        own = codes[cuts]
        return np.append(cuts, len(codes)), low[own], high[own]


def iqr_fences(
    values: DoubleArray, offsets: IntArray, factor: float, *, judge_flat: bool = False
) -> Fences:
    """Return fences a number of interquartile ranges beyond the quartiles (Tukey 1977).

    Parameters
    ----------
    values : float64 [R]
    offsets : int64 [N + 1]
    factor : float
        Interquartile ranges beyond the quartiles; 3 is Tukey's "far out".
    judge_flat : bool
        Whether series with an interquartile range of 0 (half of the values are equal)
        have fences: every other value is then beyond them. By default they have none.
    """
    finite, bounds = _finite(values, offsets)
    quartiles = segment_quantiles(finite, bounds, (0.25, 0.75))
    width = quartiles[:, 1] - quartiles[:, 0]
    if not judge_flat:
        width[width == 0] = np.nan
    return Fences(quartiles[:, 0] - factor * width, quartiles[:, 1] + factor * width)


def zscore_fences(values: DoubleArray, offsets: IntArray, limit: float) -> Fences:
    """Return fences a number of standard deviations from the mean of each series."""
    finite, bounds = _finite(values, offsets)
    counts = np.diff(bounds)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = reduce_segments(np.add, finite, bounds, 0) / counts
        # Deviations are squared after the mean is subtracted: the difference of two large sums of
        # squares would lose the spread of prices far from zero.
        centred = finite - (means[0] if len(means) == 1 else spread(means, bounds))
        np.square(centred, out=centred)
        deviations = np.sqrt(reduce_segments(np.add, centred, bounds, 0) / counts)
    deviations[deviations == 0] = np.nan  # a constant series has no outliers
    return Fences(means - limit * deviations, means + limit * deviations)


def _finite(values: DoubleArray, offsets: IntArray) -> tuple[DoubleArray, IntArray]:
    finite = np.isfinite(values)
    if finite.all():  # the usual case needs no copy
        return values, offsets
    return values[finite], offsets_without(~finite, offsets)
