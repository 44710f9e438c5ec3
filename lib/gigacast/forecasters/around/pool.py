"""Effects of covariates that the series of a partition have in common.

A short series says little about its covariates, many of them together say much. Their steps that
are free of memory, level and season are added up, each in units of its own, to one regression. It
counts if it is clearly better than no effect on series that it was not made of, and only for short
series without a clear effect of their own.
"""

from dataclasses import dataclass, field

import numpy as np

from gigacast.core.array import BoolArray, DoubleArray, IntArray
from gigacast.forecasters.around.ridge import (
    GAIN_PER_VALUE,
    LEAST_GAIN,
    PASSES,
    Effects,
    Panel,
    Steps,
    centred,
    find_effects,
    free_steps,
    memory_of,
    spread_of,
)

MOST_VALUES = 50
"""Values of a series from which on it speaks for itself: without a clear effect it has none. In
examples with effects of a size of their own, longer series lose by those of the others."""
FOLDS = 8
"""Parts of the series; each is judged by the effects of the others."""
SHRINKAGES = (0.003, 0.03, 0.3, 1.0)
"""Weights of the penalty, in sums of squares of a covariate over all series."""
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Pool:
    """Effects that the series of a partition have in common.

    Parameters
    ----------
    weights : tuple of float [V]
        Spreads of a series per unit of each covariate; zeros without a clear effect.
    categories : tuple of bool [V]
        Covariates whose values are in units of the series: means of the target by category.
    """

    weights: tuple[float, ...]
    categories: tuple[bool, ...]

    def fill(self, panel: Panel, own: Effects) -> Effects:
        """Return effects with those of the pool for short series that have none of their own."""
        is_short = np.isfinite(panel.context).sum(axis=1) < MOST_VALUES
        rows = np.flatnonzero(is_short & ~own.is_any)
        if not len(rows) or not any(self.weights):
            return own
        part = panel.take(rows)
        spread = spread_of(part.context, np.isfinite(part.context))
        weights = np.where(self.categories, 1.0, spread[:, None]) * np.array(self.weights)
        past, ahead = centred(part)
        filled = Effects(own.past.copy(), own.ahead.copy())
        filled.past[rows] = np.einsum("gv,gvt->gt", weights, past)
        filled.ahead[rows] = np.einsum("gv,gvh->gh", weights, ahead)
        return filled


@dataclass
class PoolSums:
    """Sums over the series of a partition, from which their common effects follow.

    Parameters
    ----------
    categories : tuple of bool [V]
        See `Pool`.
    """

    categories: tuple[bool, ...]
    _squares: DoubleArray = field(init=False)
    _products: DoubleArray = field(init=False)
    _counts: DoubleArray = field(init=False)

    def __post_init__(self) -> None:
        width = len(self.categories)
        self._squares = np.zeros((FOLDS, width, width))
        self._products = np.zeros((FOLDS, width))
        self._counts = np.zeros(FOLDS)

    def add(self, panel: Panel, numbers: IntArray) -> None:
        """Add series.

        Parameters
        ----------
        panel : Panel
        numbers : int64 [G]
            Numbers of the series in their partition, which divide them into folds.
        """
        for season in np.unique(panel.seasons) if panel.context.shape[1] > PASSES else ():
            rows = np.flatnonzero(panel.seasons == season)
            self._add(panel.take(rows), numbers[rows] % FOLDS, int(season))

    def _add(self, panel: Panel, folds: IntArray, season: int) -> None:
        has_value = np.isfinite(panel.context)
        spread = spread_of(panel.context, has_value)
        values = np.where(has_value, panel.context, 0.0) / spread[:, None]
        past, _ = centred(panel)
        unit = np.where(self.categories, spread[:, None], 1.0)
        # What a series remembers is seen where its own effect, if it has one, is taken out.
        unexplained = values - find_effects(panel).past / spread[:, None]
        memory = memory_of(unexplained, has_value, season)
        steps = free_steps(values, has_value, past / unit[:, :, None], memory, season)
        self._add_steps(steps, folds)

    def _add_steps(self, steps: Steps, folds: IntArray) -> None:
        counts = steps.has_step.sum(axis=1)
        variance = np.square(steps.target).sum(axis=1) / np.maximum(counts, 1)
        is_moving: BoolArray = variance > _TINY
        # A wild series must not speak for all.
        weight = np.where(is_moving, 1 / np.where(is_moving, variance, 1.0), 0.0)
        gram = steps.design @ steps.design.swapaxes(1, 2)
        along = (steps.design @ steps.target[:, :, None])[:, :, 0]
        np.add.at(self._squares, folds, gram * weight[:, None, None])
        np.add.at(self._products, folds, along * weight[:, None])
        np.add.at(self._counts, folds, counts * is_moving)

    def pool(self) -> Pool:
        """Return the common effects."""
        squares, products = self._squares.sum(axis=0), self._products.sum(axis=0)
        size = np.sqrt(np.diagonal(squares))
        size = np.where(size > _TINY, size, np.inf)
        nothing = float(self._counts.sum())
        best = nothing * (1 - LEAST_GAIN - GAIN_PER_VALUE / max(nothing, 1.0))
        weights = np.zeros(len(size))
        for shrinkage in SHRINKAGES:
            error = 0.0
            for k in range(FOLDS):
                remaining = (squares - self._squares[k], products - self._products[k])
                w = _solved(*remaining, size, shrinkage)
                error += self._counts[k] - 2 * self._products[k] @ w + w @ self._squares[k] @ w
            if error < best:
                best, weights = error, _solved(squares, products, size, shrinkage)
        # Sums of another order differ in their last digits.
        rounded = tuple(float(f"{w:.9g}") for w in weights)
        return Pool(rounded, self.categories)


def _solved(
    squares: DoubleArray, products: DoubleArray, size: DoubleArray, shrinkage: float
) -> DoubleArray:
    """Return the weights of covariates, whose sizes do not matter."""
    scaled = squares / np.outer(size, size) + shrinkage * np.eye(len(size))
    solved: DoubleArray = np.linalg.solve(scaled, products / size) / size
    return solved
