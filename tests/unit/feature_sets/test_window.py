"""Rolling statistics beside a loop over rows, and where sums are known to go wrong."""

from fractions import Fraction

import numpy as np
import pytest

from gigacast.feature_sets.kernel import block, window
from gigacast.feature_sets.kernel.window import (
    STATISTICS,
    rolling_correlation,
    rolling_mean,
    rolling_quantile,
    rolling_std,
    rolling_sum,
)
from tests.unit.feature_sets.panel import offsets_of, slow, slow_pairs, walk

SLOW = {
    "mean": np.mean,
    "std": lambda part: np.std(part, ddof=1) if len(part) > 1 else np.nan,
    "min": np.min,
    "max": np.max,
    "median": np.median,
    "sum": np.sum,
}


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("rows", [1, 2, 3, 8, 30, 200])
@pytest.mark.parametrize("least", [None, 1, 3])
def test_a_rolling_statistic_equals_that_of_each_window(
    statistic: str, rows: int, least: int | None
) -> None:
    values, offsets = walk(rows), offsets_of()
    needed = rows if least is None else least
    expected = slow(values, offsets, rows, needed, SLOW[statistic])
    actual = STATISTICS[statistic](values, offsets, rows, least)
    np.testing.assert_allclose(actual, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("rows", [1, 4, 9, 33])
def test_long_items_computed_in_stretches_give_the_same(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y, offsets = walk(1), walk(2), offsets_of()
    full = [full_values(x, offsets, rows, 1) for full_values in STATISTICS.values()]
    full.append(rolling_correlation(x, y, offsets, rows, 2))
    monkeypatch.setattr(block, "CHUNK_ROWS", 8)
    monkeypatch.setattr(window, "CHUNK_VALUES", 10)
    cut = [full_values(x, offsets, rows, 1) for full_values in STATISTICS.values()]
    cut.append(rolling_correlation(x, y, offsets, rows, 2))
    for full_values, cut_values in zip(full, cut, strict=True):
        np.testing.assert_array_equal(full_values, cut_values)


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_quantiles_lie_between_two_values_in_proportion(level: float) -> None:
    values, offsets = walk(3), offsets_of()
    expected = slow(values, offsets, 9, 1, lambda part: np.quantile(part, level))
    actual = rolling_quantile(values, offsets, 9, level, 1)
    np.testing.assert_allclose(actual, expected, rtol=1e-12)


@pytest.mark.parametrize("rows", [3, 10, 50])
def test_correlations_use_the_pairs_without_missing_values(rows: int) -> None:
    x, y, offsets = walk(1), walk(2) + 0.5 * walk(1, missing=0), offsets_of()
    expected = slow_pairs(x, y, offsets, rows, 3, lambda a, b: np.corrcoef(a, b)[0, 1])
    actual = rolling_correlation(x, y, offsets, rows, 3)
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("level", [1e6, 1e9, 1e12, -1e12])
def test_a_large_offset_does_not_reduce_the_precision_of_the_spread(level: float) -> None:
    rng = np.random.default_rng(0)
    values = level + np.round(rng.normal(size=300) * 64) / 64  # exact at that level
    offsets = np.array([0, 300])
    exact = []
    for row in range(19, 300):
        part = [Fraction(v) for v in values[row - 19 : row + 1]]
        mean = sum(part) / 20
        exact.append(float(sum((v - mean) ** 2 for v in part) / 19) ** 0.5)
    np.testing.assert_allclose(rolling_std(values, offsets, 20)[19:], exact, rtol=1e-9)


def test_a_huge_value_has_no_effect_after_it_has_left_the_window() -> None:
    values = np.ones(100)
    values[10] = 1e18
    offsets = np.array([0, 100])
    for statistic in (rolling_sum, rolling_mean, rolling_std):
        after = statistic(values, offsets, 8)[18:]
        assert set(after) == {statistic(np.ones(8), np.array([0, 8]), 8)[7]}


def test_constant_values_have_no_spread_and_no_correlation() -> None:
    flat, offsets = np.full(50, 0.1) * 3, np.array([0, 50])
    assert set(rolling_std(flat, offsets, 7)[6:]) == {0.0}
    assert np.isnan(rolling_correlation(flat, np.arange(50.0), offsets, 7)).all()
    line = np.arange(50.0) + 1e9
    np.testing.assert_allclose(rolling_correlation(line, -line, offsets, 7)[6:], -1, rtol=1e-12)


def test_a_column_that_varies_by_rounding_only_has_no_correlation() -> None:
    line, offsets = np.arange(50.0), np.array([0, 50])
    rounded = 1e8 * (1 + np.finfo(float).eps * (np.arange(50) % 2))
    assert len(set(rounded)) == 2
    assert np.isnan(rolling_correlation(rounded, line, offsets, 7)).all()
    assert np.isnan(rolling_correlation(line, rounded, offsets, 7)).all()


def test_a_correlation_is_the_same_far_from_zero() -> None:
    x, y = (walk(seed, (60,), missing=0) / 100 for seed in (3, 4))
    offsets = np.array([0, 60])
    expected = rolling_correlation(x, y, offsets, 7)
    for far in (-1e9, 1e9):
        np.testing.assert_allclose(rolling_correlation(x + far, y, offsets, 7), expected, atol=1e-3)
        np.testing.assert_allclose(rolling_correlation(x, y + far, offsets, 7), expected, atol=1e-3)


def test_correlations_never_leave_their_range() -> None:
    x, offsets = walk(5, (500,), missing=0), np.array([0, 500])
    actual = rolling_correlation(x, 3 * x + 7, offsets, 5)[4:]
    assert actual.max() <= 1.0
    np.testing.assert_allclose(actual, 1.0)


def test_tables_and_items_without_rows_are_allowed() -> None:
    empty = np.empty(0)
    for statistic in STATISTICS.values():
        assert len(statistic(empty, np.array([0]), 3, None)) == 0
        assert len(statistic(empty, np.array([0, 0, 0]), 3, None)) == 0
