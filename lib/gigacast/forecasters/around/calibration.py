"""Calibrated quantiles: distances from the median, stretched by what a backtest has measured.

The score of a value at a level is its distance from the median in units of the quantile's. If the
quantile is right, the share of scores below 1 is that of its level; the factor of a level is the
score that has this share below it (conformal prediction; Romano, Patterson and Candes, 2019, for
quantiles). Scores are counted in bins, so that partitions add up.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gigacast.core.array import DoubleArray, FloatArray, IntArray, RealArray
from gigacast.core.digest import digest_value
from gigacast.errors import ConfigError
from gigacast.forecasters.levels import MEDIAN, find_level, same_level

LARGEST, BINS = 32.0, 400
"""Scores are counted from 1 / LARGEST to LARGEST in as many bins of equal ratio."""
MOST_STRETCH = 4.0
"""Factors are at most this, and at least its inverse."""
STEP_EVIDENCE, LEVEL_EVIDENCE = 100, 30
"""Scores at which a step weighs as much as the level's mean over steps, and that as much as 1."""
LEAST_FORECASTS = 30
"""Forecasts that a calibration needs."""
_EDGES = np.geomspace(1 / LARGEST, LARGEST, BINS + 1)
_EDGES[BINS // 2] = 1.0  # not to rounding: what is not stretched is counted exactly


@dataclass(frozen=True)
class Calibration:
    """Factors of distances from the median.

    Parameters
    ----------
    levels : tuple of float
        Q quantile levels, ascending.
    factors : tuple of tuple of float
        Factor of each step and level, [H][Q].
    """

    levels: tuple[float, ...]
    factors: tuple[tuple[float, ...], ...]

    @cached_property
    def digest(self) -> str:
        """Digest of levels and factors, which the spec of calibrated forecasts names."""
        return digest_value([self.levels, self.factors], length=8)

    @property
    def horizon(self) -> int:
        """Steps that are calibrated, H."""
        return len(self.factors)

    def apply(self, quantiles: FloatArray, levels: tuple[float, ...]) -> FloatArray:
        """Return calibrated quantiles, [B, H, W], of W levels, the median among them.

        Raises
        ------
        ConfigError
            If a level or step is not calibrated.
        """
        if quantiles.shape[1] != self.horizon:
            raise ConfigError(
                f"calibrate: {self.horizon} steps are calibrated, not {quantiles.shape[1]}",
                hint="backtest with --calibrate and the same --horizon",
            )
        places = [find_level(level, self.levels) for level in levels]
        table = np.pad(np.array(self.factors), ((0, 0), (0, 1)), constant_values=1.0)
        # The median itself needs no factor: the last column, 1, is its own.
        columns = [-1 if place is None else place for place in places]
        missing = [
            level
            for level, place in zip(levels, places, strict=True)
            if place is None and not same_level(level, MEDIAN)
        ]
        if missing:
            raise ConfigError(
                f"calibrate: the level {missing[0]} is not calibrated",
                hint="backtest with --calibrate and the same levels",
            )
        middle = quantiles[..., find_level(MEDIAN, levels), None].astype(np.float64)
        apart = quantiles - middle
        with np.errstate(over="ignore"):
            calibrated: FloatArray = (middle + apart * table[:, columns]).astype(quantiles.dtype)
        return calibrated


def scores_of(actuals: RealArray, median: RealArray, quantiles: RealArray) -> FloatArray:
    """Return the score of each value at each level, float32 [N, H, Q]; NaN where undefined.

    Parameters
    ----------
    actuals, median : float32 [N, H]
        Values, NaN where missing, and medians.
    quantiles : float32 [N, H, Q]
        All are float64 where float32 would lose steps.
    """
    middle = median.astype(np.float64)[..., None]
    apart = quantiles - middle
    # Rounding is no distance.
    has_distance = np.abs(apart) > _rounding(quantiles) * np.abs(middle)
    with np.errstate(over="ignore", invalid="ignore"):
        scores = (actuals.astype(np.float64)[..., None] - middle) / np.where(
            has_distance, apart, np.nan
        )
        return scores.astype(np.float32)


def _rounding(quantiles: RealArray) -> DoubleArray:
    """Return the share of a number that may be rounding, [N, 1, 1]."""
    # Among doubles, series without a base have numbers of float32 all the same.
    with np.errstate(over="ignore"):
        is_narrow = (quantiles.astype(np.float32) == quantiles) | np.isnan(quantiles)
    return np.where(is_narrow.all(axis=(1, 2), keepdims=True), 1e-6, 1e-12)


@dataclass(frozen=True)
class ScoreCounts:
    """Numbers of scores by step, level and bin, of two halves of the series.

    Parameters
    ----------
    levels : tuple of float
        Q levels.
    counts : int64 [2, H, Q, BINS + 2]
        The first bin is of smaller scores, and of those on the other side of the median.
    forecasts : int
    """

    levels: tuple[float, ...]
    counts: IntArray
    forecasts: int

    @classmethod
    def count(cls, levels: tuple[float, ...], scores: FloatArray, half: IntArray) -> "ScoreCounts":
        """Count scores, [N, H, Q], of series of either half, 0 or 1 [N]."""
        _, horizon, width = scores.shape
        bins = np.searchsorted(_EDGES, scores, side="left")
        shape = (2, horizon, width, BINS + 2)
        cells = (half[:, None, None] * horizon + np.arange(horizon)[:, None]) * width
        cells = (cells + np.arange(width)) * (BINS + 2) + bins
        is_defined = np.isfinite(scores)
        flat = np.bincount(cells[is_defined], minlength=int(np.prod(shape)))
        forecasts = int(is_defined.any(axis=(1, 2)).sum())
        return cls(levels, flat.reshape(shape), forecasts)

    def __add__(self, other: "ScoreCounts") -> "ScoreCounts":
        return ScoreCounts(
            self.levels, self.counts + other.counts, self.forecasts + other.forecasts
        )

    def fit(self) -> Calibration:
        """Return the factors of all scores."""
        return Calibration(self.levels, _as_tuples(_factors(self.counts.sum(axis=0), self.levels)))

    def coverage(self) -> tuple[DoubleArray, DoubleArray]:
        """Return the shares of values below each level, [Q], before and after calibration.

        The factors of each half of the series are tried on the other half.
        """
        fits = [_factors(half, self.levels) for half in self.counts]
        before = _share_below(self.counts.sum(axis=0), np.ones(fits[0].shape), self.levels)
        parts = [
            _share_below(half, fit, self.levels)
            for half, fit in zip(self.counts, reversed(fits), strict=True)
        ]
        weights = self.counts.sum(axis=(1, 3))
        weights = np.maximum(weights, 1e-9)
        return before, np.average(np.nan_to_num(parts), axis=0, weights=weights)


def _as_tuples(factors: DoubleArray) -> tuple[tuple[float, ...], ...]:
    # Four digits: more would only tell apart what evidence cannot.
    return tuple(tuple(float(f"{value:.4g}") for value in row) for row in factors)


def _target(levels: tuple[float, ...]) -> DoubleArray:
    """Return the share of scores that shall be below 1 at each level."""
    shares: DoubleArray = np.maximum(np.array(levels), 1 - np.array(levels))
    return shares


def _factors(counts: IntArray, levels: tuple[float, ...]) -> DoubleArray:
    """Return factors [H, Q] of counts [H, Q, bins], drawn to 1 where evidence is thin."""
    shares = _target(levels)
    of_step = np.log(_score_at(counts, shares))
    of_level = np.log(_score_at(counts.sum(axis=0), shares))
    number = counts.sum(axis=2)
    # Steps of one forecast are not independent: a level has the evidence of its mean step.
    of_level = of_level * _weight(number.mean(axis=0), LEVEL_EVIDENCE)
    weight = _weight(number, STEP_EVIDENCE)
    factors = np.exp(weight * of_step + (1 - weight) * of_level)
    factors = np.clip(factors, 1 / MOST_STRETCH, MOST_STRETCH)
    factors[:, [same_level(level, MEDIAN) for level in levels]] = 1.0
    return factors


def _weight(number: IntArray | DoubleArray, evidence: int) -> DoubleArray:
    weight: DoubleArray = number / (number + evidence)
    return weight


def _score_at(counts: IntArray, shares: DoubleArray) -> DoubleArray:
    """Return the score with a share of all below it, [..., Q] of [..., Q, bins]; 1 of none."""
    total = counts.sum(axis=-1)
    # The rank of conformal prediction, of one score more than there are.
    rank = np.minimum(np.ceil((total + 1) * shares), total)
    reached = np.cumsum(counts, axis=-1)
    place = (reached < rank[..., None]).sum(axis=-1)
    # The middle of the bin, on the scale of ratios.
    middles = np.concatenate([[_EDGES[0]], np.sqrt(_EDGES[1:] * _EDGES[:-1]), [_EDGES[-1]]])
    return np.where(total > 0, middles[np.minimum(place, BINS + 1)], 1.0)


def _share_below(counts: IntArray, factors: DoubleArray, levels: tuple[float, ...]) -> DoubleArray:
    """Return the share of values below each level, [Q], whose distances factors [H, Q] stretch."""
    reached = np.cumsum(counts, axis=-1)
    place = np.searchsorted(_EDGES, factors, side="left")[..., None]
    within = np.take_along_axis(reached, place, axis=-1)[..., 0].sum(axis=0)
    total = counts.sum(axis=(0, 2))
    share = np.divide(within, total, out=np.full(len(levels), np.nan), where=total > 0)
    below: DoubleArray = np.where(np.array(levels) < MEDIAN, 1 - share, share)
    return below
