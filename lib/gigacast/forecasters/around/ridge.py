"""The part of a series that follows its known covariates, found by a ridge regression.

A series has noise that remembers, a level that drifts and a season; any of them would be taken for
an effect of a covariate that drifts or repeats as well. So all is compared in steps that are free
of them: values less a share of the value before, which is that of the noise (errors of first
order), less the mean of the phase of their season. Shrinkage is chosen by the error of each value
when it is left out, which a formula gives. If no choice is clearly better than no effect, there is
none.
"""

from typing import NamedTuple

import numpy as np

from gigacast.core.array import BoolArray, DoubleArray, IntArray

SHRINKAGES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Weights of the penalty, in sums of squares of a covariate: at 1 a lone effect is halved."""
LEAST_GAIN = 0.02
"""Share by which the error of values left out must fall for an effect to count."""
GAIN_PER_VALUE = 4.0
"""Added to that share, divided by the number of values: few of them prove little."""
LEAST_SEASONS = 3
"""Seasons that a series needs for the means of its phases."""
PASSES = 3
"""Estimates of effects and of what the noise remembers, each from the other."""
_TINY = 1e-10


class Panel(NamedTuple):
    """G series with their V covariates.

    Parameters
    ----------
    context : float64 [G, T]
        Values, NaN where missing.
    past, ahead : float64 [G, V, T], [G, V, H]
        Covariates over the context and the horizon, NaN where missing.
    seasons : int64 [G]
        Steps of a season, at least 1.
    """

    context: DoubleArray
    past: DoubleArray
    ahead: DoubleArray
    seasons: IntArray

    def take(self, rows: IntArray) -> "Panel":
        """Return some of the series."""
        return Panel(self.context[rows], self.past[rows], self.ahead[rows], self.seasons[rows])


class Effects(NamedTuple):
    """What covariates add to series.

    Parameters
    ----------
    past, ahead : float64 [G, T], [G, H]
        Sum of the effects at each step; zero on average over the context.
    """

    past: DoubleArray
    ahead: DoubleArray

    @property
    def is_any(self) -> BoolArray:
        """Whether a series has an effect at all, bool [G]."""
        return np.asarray(np.concatenate([self.past, self.ahead], axis=1).any(axis=1))


def find_effects(panel: Panel) -> Effects:
    """Return the effects of covariates that are known over the whole horizon.

    Every series is looked at alone, and only up to the end of its context.
    """
    count, length = panel.context.shape
    past, ahead = np.zeros((count, length)), np.zeros((count, panel.ahead.shape[2]))
    for season in np.unique(panel.seasons) if length > PASSES else ():
        rows = np.flatnonzero(panel.seasons == season)
        effects = _of_season(panel.take(rows), int(season))
        past[rows], ahead[rows] = effects
    return Effects(past, ahead)


def _of_season(panel: Panel, season: int) -> Effects:
    """Return the effects of series with the same season."""
    past, ahead = _of_one_size(*centred(panel))
    # In units of a series' own spread, so that squares neither overflow nor vanish.
    context = np.where(np.isfinite(panel.context), panel.context, np.nan)
    has_value = np.isfinite(context)
    scale = spread_of(context, has_value)
    values = np.where(has_value, context, 0.0) / scale[:, None]
    weights = np.zeros(past.shape[:2])
    memory = memory_of(values, has_value, season)
    for _ in range(PASSES):
        weights = _fit(values, has_value, past, memory, season)
        memory = memory_of(values - np.einsum("gv,gvt->gt", weights, past), has_value, season)
    weights *= scale[:, None]
    return Effects(np.einsum("gv,gvt->gt", weights, past), np.einsum("gv,gvh->gh", weights, ahead))


def centred(panel: Panel) -> tuple[DoubleArray, DoubleArray]:
    """Return covariates less their means over the context, 0 where missing or not known ahead."""
    has_value = np.isfinite(panel.past) & np.isfinite(panel.context)[:, None]
    counts = np.maximum(has_value.sum(axis=2), 1)
    means = np.where(has_value, panel.past, 0.0).sum(axis=2) / counts
    # What is not known ahead would be missed there: a part of the past without its future.
    is_given = np.asarray(np.isfinite(panel.ahead).all(axis=2))[:, :, None]
    is_past = is_given & np.isfinite(panel.past)
    past = np.where(is_past, panel.past - means[:, :, None], 0.0)
    ahead = np.where(is_given, panel.ahead - means[:, :, None], 0.0)
    return past, ahead


def _of_one_size(past: DoubleArray, ahead: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
    # Sizes of covariates are as different as dollars and degrees.
    size = np.abs(past).max(axis=2, initial=0.0)
    size = np.where(size > 0, size, 1.0)[:, :, None]
    return past / size, ahead / size


def spread_of(context: DoubleArray, has_value: BoolArray) -> DoubleArray:
    """Return the standard deviation of each series, 1 for a constant one, [G]."""
    counts = np.maximum(has_value.sum(axis=1), 1)
    largest = np.abs(np.where(has_value, context, 0.0)).max(axis=1, initial=0.0)
    unit = np.where(largest > 0, largest, 1.0)
    relative = np.where(has_value, context, 0.0) / unit[:, None]
    mean = relative.sum(axis=1) / counts
    apart = np.where(has_value, relative - mean[:, None], 0.0)
    spread = np.sqrt(np.square(apart).sum(axis=1) / counts) * unit
    own: DoubleArray = np.where(spread > _TINY * unit, spread, 1.0)
    return own


def memory_of(values: DoubleArray, has_value: BoolArray, season: int) -> DoubleArray:
    """Return the share of a value's deviation that the next one keeps, 0 to 1, [G]."""
    apart = _without_phases(values, has_value, season) * has_value
    both = has_value[:, 1:] & has_value[:, :-1]
    products = (apart[:, 1:] * apart[:, :-1] * both).sum(axis=1)
    squares = (np.square(apart[:, :-1]) * both).sum(axis=1)
    share = np.divide(products, squares, out=np.zeros(len(values)), where=squares > _TINY)
    # Means that are taken from the same values make the share look smaller (Kendall, 1954).
    share += (1 + 3 * share) / np.maximum(both.sum(axis=1), 4)
    clipped: DoubleArray = np.clip(share, 0.0, 1.0)
    return clipped


def _without_phases(values: DoubleArray, has_value: BoolArray, season: int) -> DoubleArray:
    """Return values, [G, T] or [G, V, T], less the mean of each phase of the season."""
    weights = has_value if values.ndim == 2 else has_value[:, None]
    by_phase, counts = _phases(values * weights, season), _phases(weights, season)
    totals = counts.sum(axis=-2)
    means = by_phase.sum(axis=-2) / np.maximum(totals, 1)
    plain = (values * weights).sum(axis=-1) / np.maximum(weights.sum(axis=-1), 1)
    is_seasonal: BoolArray = np.asarray(has_value.sum(axis=1) >= LEAST_SEASONS * season)
    is_seasonal = is_seasonal.reshape(-1, *[1] * (values.ndim - 1))
    means = np.where(is_seasonal, means, plain[..., None])
    length = values.shape[-1]
    repeats = -(-length // season)
    apart: DoubleArray = values - np.tile(means, repeats)[..., repeats * season - length :]
    return apart


def _phases(values: DoubleArray | BoolArray, season: int) -> DoubleArray:
    """Return values by season and phase, [..., T / m, m]; the last one is the last phase."""
    length = values.shape[-1]
    padding = [(0, 0)] * (values.ndim - 1) + [(-length % season, 0)]
    return np.pad(values.astype(np.float64), padding).reshape(*values.shape[:-1], -1, season)


class Steps(NamedTuple):
    """Series and covariates in steps that are free of memory, level and season.

    Parameters
    ----------
    target : float64 [G, T - 1]
    design : float64 [G, V, T - 1]
    has_step : bool [G, T - 1]
        Steps with a value and one before it; the others are 0.
    """

    target: DoubleArray
    design: DoubleArray
    has_step: BoolArray


def free_steps(
    values: DoubleArray, has_value: BoolArray, past: DoubleArray, memory: DoubleArray, season: int
) -> Steps:
    """Return the steps in which effects are looked for.

    Parameters
    ----------
    values : float64 [G, T]
        0 where missing.
    has_value : bool [G, T]
    past : float64 [G, V, T]
        Centred covariates.
    memory : float64 [G]
        See `memory_of`.
    season : int
    """
    both = has_value[:, 1:] & has_value[:, :-1]
    steps = values[:, 1:] - memory[:, None] * values[:, :-1]
    causes = past[:, :, 1:] - memory[:, None, None] * past[:, :, :-1]
    target = _without_phases(steps, both, season) * both
    return Steps(target, _without_phases(causes, both, season) * both[:, None], both)


def _fit(
    values: DoubleArray,
    has_value: BoolArray,
    past: DoubleArray,
    memory: DoubleArray,
    season: int,
) -> DoubleArray:
    """Return the weights of covariates, [G, V]; zeros where no effect is clear."""
    target, design, both = free_steps(values, has_value, past, memory, season)
    size = np.sqrt(np.square(design).sum(axis=2))
    # A covariate that is a part of the season is left to the model, which knows seasons.
    size = np.where(size > 1e-6, size, np.inf)
    design = design / size[:, :, None]
    gram = design @ design.swapaxes(1, 2)
    own, axes = np.linalg.eigh(gram)
    turned = axes.swapaxes(1, 2) @ design
    along = (turned @ target[:, :, None])[:, :, 0]
    counts = both.sum(axis=1)
    taken = _leverage(both, season)
    nothing = np.square(target / (1 - taken)).sum(axis=1)
    best = nothing * (1 - LEAST_GAIN - GAIN_PER_VALUE / np.maximum(counts, 1))
    weights = np.zeros(size.shape)
    squares = np.square(turned)
    for shrinkage in SHRINKAGES:
        inverse = 1 / (np.maximum(own, 0.0) + shrinkage)
        residual = target - np.einsum("gv,gvt->gt", along * inverse, turned)
        share = np.einsum("gv,gvt->gt", inverse, squares) + taken
        # A value that decides an effect alone says nothing about it once it is left out.
        error = np.square(residual / np.maximum(1 - share, 0.01)).sum(axis=1)
        fitted = (axes @ (along * inverse)[:, :, None])[:, :, 0] / size
        is_better = error < best
        best = np.where(is_better, error, best)
        weights = np.where(is_better[:, None], fitted, weights)
    return weights


def _leverage(both: BoolArray, season: int) -> DoubleArray:
    """Return the share of each step in the mean that is taken from it, [G, T]."""
    length = both.shape[1]
    repeats = -(-length // season)
    totals = _phases(both, season).sum(axis=-2)
    is_seasonal = np.asarray(both.sum(axis=1) >= LEAST_SEASONS * season).reshape(-1, 1)
    counts = np.where(is_seasonal, totals, both.sum(axis=1)[:, None])
    spread = np.tile(1 / np.maximum(counts, 2), repeats)[:, repeats * season - length :]
    leverage: DoubleArray = np.where(both, spread, 0.0)
    return leverage
