"""Intermittent demand: quantiles of a mixture of zeros and of sizes."""

import numpy as np
import pytest

from gigacast.forecasters.around.demand import with_zeros
from gigacast.forecasters.around.wrapping import Around
from gigacast.forecasters.naive import SeasonalNaive

LEVELS = (0.05, 0.3, 0.5, 0.75, 0.9, 0.99)
NAN = np.nan
RARE = [NAN, 0, 0, 3, 0, 0, 0, 8, NAN, 0, 0, 0, 5, 0, 0, 2]
H = 3


def model_quantiles(rows: int) -> np.ndarray:
    drawn = np.random.default_rng(0).normal(1, 2, (rows, H, len(LEVELS)))
    return np.sort(drawn, axis=-1).astype(np.float32)


def slow(row: list[float], quantiles: np.ndarray) -> np.ndarray:
    """Return the quantiles of one intermittent series, level by level."""
    values = [value for value in row if value == value]  # noqa: PLR0124 - NaN
    values = values[next(n for n, value in enumerate(values) if value > 0) :]
    sizes = [value for value in values if value > 0]
    share = (values.count(0) + 0.5) / (len(values) + 1)
    mixed = np.zeros_like(quantiles)
    for step in range(H):
        for place, level in enumerate(LEVELS):
            if level > share:
                size = np.quantile(sizes, (level - share) / (1 - share))
                mixed[step, place] = (max(quantiles[step, place], 0) + size) / 2
    return mixed


def test_quantiles_of_rare_demand_are_those_of_zeros_and_sizes() -> None:
    more = np.random.default_rng(1)
    rows = [RARE, *((more.random(16) < 0.3) * more.integers(1, 9, 16) for _ in range(5))]
    context = np.array([[float(value) for value in row] for row in rows], np.float32)
    quantiles = model_quantiles(len(rows))
    changed, is_rare = with_zeros(quantiles, context, LEVELS)
    assert is_rare.sum() >= 3
    for place in np.flatnonzero(is_rare):
        expected = slow(context[place].astype(float).tolist(), quantiles[place])
        np.testing.assert_allclose(changed[place], expected, rtol=1e-6)
    assert (np.diff(changed[is_rare], axis=-1) >= 0).all()


@pytest.mark.parametrize(
    "row",
    [
        [0.0] * 16,
        [0.0] * 10 + [3, 4, 0, 5, 6, 7],  # it has only just begun
        [-1.0, *RARE[1:]],
        [NAN] * 10 + [3, 0, 0, 4, 0, 0],  # too few
        list(range(16)),
    ],
)
def test_all_other_series_stay_as_they_are(row: list[float]) -> None:
    quantiles = model_quantiles(1)
    changed, is_rare = with_zeros(quantiles, np.array([row], np.float32), LEVELS)
    assert not is_rare.any()
    np.testing.assert_array_equal(changed, quantiles)


def test_a_row_on_which_the_model_failed_stays_without_numbers() -> None:
    quantiles = model_quantiles(1)
    quantiles[:] = NAN
    changed, _ = with_zeros(quantiles, np.array([RARE], np.float32), LEVELS)
    assert np.isnan(changed).all()


def test_it_costs_one_pass() -> None:
    assert Around("zeros").passes(SeasonalNaive().info, 7) == 1
