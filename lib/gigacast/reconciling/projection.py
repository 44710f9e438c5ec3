"""Reconciliation: base forecasts of series and of their sums become forecasts that add up.

Errors of a backtest say how far a base forecast is to be believed. MinT moves each forecast by its
share of what does not add up, such that the variance of the reconciled errors is least. With W the
covariance of base errors and C the constraints (each sum minus its series), that is
``y - W C' (C W C')^-1 C y``: a system of as many equations as there are sums, whatever the number
of series. Covariances are never formed: W is diagonal, or that and a product of errors.

References
----------
Wickramasuriya, Athanasopoulos and Hyndman (2019), Optimal forecast reconciliation for hierarchical
and grouped time series through trace minimization, JASA 114.
Schaefer and Strimmer (2005), A shrinkage approach to large-scale covariance estimation.
Panagiotelis, Gamakumara, Athanasopoulos and Hyndman (2023), Probabilistic forecast reconciliation.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gigacast.core.array import DoubleArray, IntArray
from gigacast.settings.command.reconciliation import ReconcileMethod

MOST_STRETCH = 4.0
"""Bands are stretched at most by this, and at least by its inverse."""


@dataclass(frozen=True)
class Hierarchy:
    """The groups of N series in each of L levels of sums.

    Parameters
    ----------
    codes : tuple of int64 [N]
        Group of each series, for each level.
    counts : tuple of int
        Number of groups in each level.
    """

    codes: tuple[IntArray, ...]
    counts: tuple[int, ...]

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Place of the first group of each level among all A sums."""
        return tuple(int(start) for start in np.cumsum([0, *self.counts])[:-1])

    @property
    def sums(self) -> int:
        """Number of sums, A."""
        return sum(self.counts)

    def add_up(self, values: DoubleArray) -> DoubleArray:
        """Return the sums, float64 [A, K], of values of the series [N, K]."""
        total = np.zeros((self.sums, values.shape[1]))
        for start, codes in zip(self.starts, self.codes, strict=True):
            np.add.at(total, start + codes, values)
        return total

    def share_out(self, values: DoubleArray) -> DoubleArray:
        """Return for each series the total of the values of its sums, [N, K] of [A, K]."""
        total = np.zeros((len(self.codes[0]), values.shape[1]))
        for start, codes in zip(self.starts, self.codes, strict=True):
            total += values[start + codes]
        return total

    def overlap(self, weights: DoubleArray) -> DoubleArray:
        """Return the weight that each two sums have in common, [A, A], of weights [N]."""
        common = np.zeros((self.sums, self.sums))
        for first, (start, codes) in enumerate(zip(self.starts, self.codes, strict=True)):
            for second, other_start in enumerate(self.starts):
                rows, columns = self.counts[first], self.counts[second]
                cells = codes * columns + self.codes[second]
                block = np.bincount(cells, weights, minlength=rows * columns)
                common[start : start + rows, other_start : other_start + columns] = block.reshape(
                    rows, columns
                )
        return common


@dataclass(frozen=True)
class Covariance:
    """The covariance of base errors of A sums and N series, in this order.

    Parameters
    ----------
    variance : float64 [A + N]
    errors : float64 [A + N, T]
        Errors of each; zero where unknown.
    own : float
        Share of the diagonal; the rest is of the products of errors.
    """

    variance: DoubleArray
    errors: DoubleArray
    own: float = 1.0

    def times(self, values: DoubleArray) -> DoubleArray:
        """Return the covariance times values, [A + N, K]."""
        product = self.own * self.variance[:, None] * values
        if self.own < 1:
            inner = self.errors.T @ values
            product += (1 - self.own) / self.errors.shape[1] * (self.errors @ inner)
        return product


@dataclass(frozen=True)
class Reconciliation:
    """How base forecasts of A sums and N series are made to add up.

    Parameters
    ----------
    hierarchy : Hierarchy
    covariance : Covariance, optional
        ``None`` takes the series as they are: bottom-up.
    """

    hierarchy: Hierarchy
    covariance: Covariance | None = None

    def apply(self, base: DoubleArray) -> DoubleArray:
        """Return forecasts that add up, float64 [A + N, K], of base forecasts [A + N, K]."""
        hierarchy, sums = self.hierarchy, self.hierarchy.sums
        series = base[sums:]
        if self.covariance is not None:
            apart = base[:sums] - hierarchy.add_up(series)
            solved: DoubleArray = np.linalg.solve(self._system, apart).astype(np.float64)
            moved = np.concatenate([solved, -hierarchy.share_out(solved)])
            series = series - self.covariance.times(moved)[sums:]
        # Added up anew, so that sums are those of the series to the last bit of rounding.
        return np.concatenate([hierarchy.add_up(series), series])

    @cached_property
    def _system(self) -> DoubleArray:
        """``C W C'``, float64 [A, A]."""
        covariance, hierarchy = self.covariance, self.hierarchy
        assert covariance is not None  # noqa: S101 - bottom-up solves nothing
        sums = hierarchy.sums
        system = np.diag(covariance.variance[:sums])
        system += hierarchy.overlap(covariance.variance[sums:])
        system *= covariance.own
        if covariance.own < 1:
            errors = covariance.errors
            apart = errors[:sums] - hierarchy.add_up(errors[sums:])
            system += (1 - covariance.own) / errors.shape[1] * (apart @ apart.T)
        # Two sums of the same series, and errors of zero, must not make it singular.
        system[np.diag_indices(sums)] += 1e-10 * np.trace(system) / sums
        return system


def reconciliation_of(
    hierarchy: Hierarchy, method: ReconcileMethod, errors: DoubleArray, spread: DoubleArray
) -> Reconciliation:
    """Return the reconciliation of a method.

    Parameters
    ----------
    hierarchy : Hierarchy
    method : {"bottom_up", "mint_diagonal", "mint_shrink"}
    errors : float64 [A + N, T]
        Errors of a backtest, at the same times for all; NaN where there are none.
    spread : float64 [A + N]
        Variance of the forecasts themselves, for series without errors.
    """
    if method == "bottom_up":
        return Reconciliation(hierarchy)
    variance = variances(errors, spread)
    filled = np.nan_to_num(errors)
    own = shrinkage(filled) if method == "mint_shrink" and errors.shape[1] > 1 else 1.0
    return Reconciliation(hierarchy, Covariance(variance, filled, own))


def variances(errors: DoubleArray, spread: DoubleArray) -> DoubleArray:
    """Return the mean squared error of each row, [A + N]; the spread of rows without errors."""
    is_known = np.isfinite(errors)
    count = is_known.sum(axis=1)
    squares = np.where(is_known, np.square(np.nan_to_num(errors)), 0.0).sum(axis=1)
    measured = np.where(count > 0, squares / np.maximum(count, 1), spread)
    # A forecast without any error would never move, and two of them could not add up.
    floor = 1e-8 * float(np.nanmean(measured)) if np.nansum(measured) > 0 else 1.0
    variance: DoubleArray = np.maximum(np.nan_to_num(measured, nan=floor), floor)
    return variance


def shrinkage(errors: DoubleArray) -> float:
    """Return the share of the diagonal, 0 to 1, of errors [R, T] with which covariances err least.

    It is the estimator of Schaefer and Strimmer, of correlations about zero. The sums over all
    pairs of rows are those of small products, so that no matrix of R by R is formed.
    """
    times = errors.shape[1]
    scale = np.sqrt(np.mean(np.square(errors), axis=1))
    unit = errors[scale > 0] / scale[scale > 0, None]
    if len(unit) < 2:
        return 1.0
    squares = np.square(unit)
    # Over all pairs i, j, also i = j, which are taken off below.
    squared_means = float(np.square(unit.T @ unit).sum()) / times**2
    fourth = float(np.square(squares.sum(axis=0)).sum())
    own_means = float(np.square(squares.mean(axis=1)).sum())
    own_fourth = float(np.square(squares).sum())
    pairs = squared_means - own_means
    noise = (fourth - own_fourth) - times * pairs
    variance = noise * times / (times - 1) ** 3
    return float(np.clip(variance / pairs, 0.0, 1.0)) if pairs > 0 else 1.0


def stretches(reconciliation: Reconciliation, errors: DoubleArray) -> DoubleArray:
    """Return by how much bands are stretched, [A + N]: as the same map stretches the errors."""
    filled = np.nan_to_num(errors)
    moved = reconciliation.apply(filled)
    is_known = np.isfinite(errors)
    before = np.where(is_known, np.square(filled), 0.0).sum(axis=1)
    after = np.where(is_known, np.square(moved), 0.0).sum(axis=1)
    ratio = np.divide(after, before, out=np.ones(len(before)), where=before > 0)
    stretched: DoubleArray = np.clip(np.sqrt(ratio), 1 / MOST_STRETCH, MOST_STRETCH)
    return stretched
