"""Forecasts that add up: the small system of equations against dense matrices."""

from typing import Any

import numpy as np
import pytest

from gigacast.core.array import DoubleArray
from gigacast.reconciling import projection
from gigacast.reconciling.projection import (
    MOST_STRETCH,
    Hierarchy,
    Reconciliation,
    reconciliation_of,
    shrinkage,
    stretches,
    variances,
)

METHODS = ("bottom_up", "mint_diagonal", "mint_shrink")


def hierarchy(series: int = 12, seed: int = 0) -> Hierarchy:
    """A total, regions, and kinds that cross the regions."""
    rng = np.random.default_rng(seed)
    codes = [np.zeros(series, np.int64), *(rng.permutation(series) % count for count in (3, 4))]
    return Hierarchy(tuple(codes), (1, 3, 4))


def summing(groups: Hierarchy) -> DoubleArray:
    """The dense matrix of sums over series, S."""
    rows = [
        (codes == group).astype(float)
        for codes, count in zip(groups.codes, groups.counts, strict=True)
        for group in range(count)
    ]
    return np.concatenate([np.array(rows), np.eye(len(groups.codes[0]))])


def drawn(groups: Hierarchy, times: int = 15, seed: int = 1) -> tuple[DoubleArray, ...]:
    """Base forecasts that do not add up, errors that go together, and variances of forecasts."""
    rng = np.random.default_rng(seed)
    rows = groups.sums + len(groups.codes[0])
    base = rng.normal(50, 20, (rows, 4))
    errors = rng.normal(0, 1, (rows, times)) + rng.normal(0, 1, times)
    errors *= rng.uniform(0.5, 3, (rows, 1))
    return base, errors, np.full(rows, 2.0)


def dense(groups: Hierarchy, covariance: DoubleArray, base: DoubleArray) -> DoubleArray:
    """MinT as Wickramasuriya et al. (2019) write it: S (S' W^-1 S)^-1 S' W^-1 y."""
    matrix = summing(groups)
    inverse = np.linalg.inv(covariance)
    return matrix @ np.linalg.solve(matrix.T @ inverse @ matrix, matrix.T @ inverse @ base)


@pytest.mark.parametrize("method", METHODS)
def test_reconciled_forecasts_are_those_of_dense_matrices(method: Any) -> None:
    groups = hierarchy()
    base, errors, spread = drawn(groups)
    moved_rows = reconciliation_of(groups, method, errors, spread).apply(base)
    matrix = summing(groups)
    if method == "bottom_up":
        np.testing.assert_allclose(moved_rows, matrix @ base[groups.sums :])
        return
    variance = np.diag(np.mean(errors**2, axis=1))
    own = shrinkage(errors) if method == "mint_shrink" else 1.0
    assert (0 < own < 1) == (method == "mint_shrink")
    products = errors @ errors.T / errors.shape[1]
    expected = dense(groups, own * variance + (1 - own) * products, base)
    np.testing.assert_allclose(moved_rows, expected, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_reconciled_forecasts_add_up_and_those_that_did_stay(method: Any) -> None:
    groups = hierarchy(seed=3)
    base, errors, spread = drawn(groups)
    reconciliation = reconciliation_of(groups, method, errors, spread)
    moved = reconciliation.apply(base)
    matrix = summing(groups)
    np.testing.assert_allclose(moved[: groups.sums], (matrix @ moved[groups.sums :])[: groups.sums])
    np.testing.assert_allclose(reconciliation.apply(moved), moved, rtol=1e-9)


@pytest.mark.parametrize(("rows", "common"), [(7, 1.0), (3, 0.7), (3, 2.0)])
def test_shrinkage_is_that_of_all_pairs_one_by_one(rows: int, common: float) -> None:
    rng = np.random.default_rng(0)
    errors = rng.normal(size=(rows, 20)) + common * rng.normal(size=20)
    errors[1] = 0
    nonzero = np.delete(errors, 1, axis=0)
    unit = nonzero / np.sqrt(np.mean(nonzero**2, axis=1, keepdims=True))
    times, noise, squares = 20, 0.0, 0.0
    for first in range(rows - 1):
        for second in range(rows - 1):
            if first != second:
                products = unit[first] * unit[second]
                mean = products.mean()
                noise += times / (times - 1) ** 3 * ((products - mean) ** 2).sum()
                squares += mean**2
    assert shrinkage(errors) == pytest.approx(min(1.0, noise / squares))
    assert shrinkage(np.zeros((3, 5))) == 1.0
    assert shrinkage(np.array([[1.0, 1.0], [1.0, -1.0]])) == 1.0  # without any correlation


def test_a_sum_that_is_known_well_pulls_its_series() -> None:
    groups = Hierarchy((np.zeros(2, np.int64),), (1,))
    base = np.array([[10.0], [3.0], [3.0]])
    errors = np.array([[0.01, -0.01], [1.0, -1.0], [2.0, -2.0]])
    moved = reconciliation_of(groups, "mint_diagonal", errors, np.ones(3)).apply(base)
    # Four are missing; the second series, with four times the variance, takes four fifths of them.
    np.testing.assert_allclose(moved.ravel(), [10, 3.8, 6.2], atol=1e-2)


def test_series_without_errors_take_the_variance_of_their_forecasts() -> None:
    errors = np.array([[1.0, np.nan], [np.nan, np.nan], [0.0, 0.0]])
    moved_rows = variances(errors, np.array([9.0, 4.0, 9.0]))
    np.testing.assert_allclose(moved_rows[:2], [1, 4])
    assert 0 < moved_rows[2] < 1e-6
    assert (variances(np.zeros((2, 1)), np.zeros(2)) == 1).all()


def test_two_sums_of_the_same_series_get_the_same_forecast() -> None:
    codes = np.zeros(3, np.int64)
    groups = Hierarchy((codes, codes), (1, 1))
    errors = np.zeros((5, 4))
    base = np.array([[7.0], [9.0], [1.0], [2.0], [3.0]])
    moved = reconciliation_of(groups, "mint_shrink", errors, np.ones(5)).apply(base)
    assert np.isfinite(moved).all()
    assert moved[0] == moved[1]


def test_bands_are_stretched_as_the_errors_of_the_backtest() -> None:
    groups = Hierarchy((np.zeros(2, np.int64),), (1,))
    errors = np.array([[1.0, -1.0, 1.0, np.nan], [2.0, -2.0, 2.0, 0.0], [2.0, -2.0, 2.0, 0.0]])
    moved_rows = stretches(Reconciliation(groups), errors)
    # Errors of the series go together, so that their sum has twice those of each: four times one.
    np.testing.assert_allclose(moved_rows, [MOST_STRETCH, 1, 1])
    assert (stretches(Reconciliation(groups), np.full((3, 2), np.nan)) == 1).all()


def test_a_band_is_stretched_at_most_fourfold():
    assert projection.MOST_STRETCH == 4
