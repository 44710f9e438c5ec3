"""Seasonal naive: a repeated season and a growing spread."""

import numpy as np
import pytest

from gigacast.core.series.forecast import ForecastRequest
from gigacast.forecasters.naive import SeasonalNaive

NAN = float("nan")


def forecast(
    context: list[float], season: int, horizon: int, levels: tuple[float, ...] = (0.5,)
) -> np.ndarray:
    request = ForecastRequest(
        context=np.array([context], np.float32),
        horizon=horizon,
        levels=levels,
        seasons=np.array([season]),
        seeds=np.zeros(1, np.uint64),
    )
    return SeasonalNaive().predict(request)[0]


def test_the_last_season_is_repeated():
    assert forecast([1, 2, 3, 4, 5, 6], 3, 7)[:, 0].tolist() == [4, 5, 6, 4, 5, 6, 4]


def test_a_gap_is_filled_from_the_season_before():
    assert forecast([1, 2, 3, 4, NAN, 6], 3, 3)[:, 0].tolist() == [4, 2, 6]


def test_a_phase_without_a_value_gets_the_last_value():
    assert forecast([NAN, 2, 3, NAN, 5, 6], 3, 3)[:, 0].tolist() == [6, 5, 6]


def test_a_context_shorter_than_a_season_takes_the_last_value_where_it_has_none():
    assert forecast([7, 8], 5, 5)[:, 0].tolist() == [8, 8, 8, 7, 8]


def test_one_value_is_repeated_without_spread():
    assert forecast([3], 7, 2, (0.1, 0.9)).tolist() == [[3, 3], [3, 3]]


def test_padding_changes_nothing():
    series = [1.0, 5.0, 2.0, 7.0, 3.0, 9.0]
    plain = forecast(series, 4, 6, (0.1, 0.5))
    assert np.array_equal(plain, forecast([NAN] * 10 + series, 4, 6, (0.1, 0.5)))


def test_the_spread_is_that_of_statsforecast():
    """Checked against its formulas: sigma from y[m:] - y[:-m], times sqrt(seasons ahead)."""
    context = np.random.default_rng(0).normal(size=40).round(3).tolist()
    sigma = np.sqrt(np.mean(np.square(np.subtract(context[7:], context[:-7]))))
    quantiles = forecast(context, 7, 15, (0.1, 0.5, 0.9))
    spread = sigma * np.sqrt([1] * 7 + [2] * 7 + [3])
    assert quantiles[:, 2] - quantiles[:, 1] == pytest.approx(1.2815516 * spread, rel=1e-5)
    assert quantiles[:, 1] - quantiles[:, 0] == pytest.approx(1.2815516 * spread, rel=1e-5)


def test_a_context_without_a_seasonal_difference_spreads_like_a_random_walk():
    quantiles = forecast([1, 3, 1, 3], 7, 4, (0.5, 0.8413447))
    assert quantiles[:, 1] - quantiles[:, 0] == pytest.approx(2 * np.sqrt([1, 2, 3, 4]), rel=1e-5)


def test_series_of_different_seasons_share_a_batch():
    context = np.tile(np.arange(12, dtype=np.float32), (3, 1))
    request = ForecastRequest(context, 4, (0.5,), np.array([3, 4, 3]), np.zeros(3, np.uint64))
    assert SeasonalNaive().predict(request)[..., 0].tolist() == [
        [9, 10, 11, 9],
        [8, 9, 10, 11],
        [9, 10, 11, 9],
    ]


def test_a_row_without_a_value_is_nan():
    assert np.isnan(forecast([NAN, NAN], 2, 3, (0.1, 0.9))).all()


def test_an_empty_context_is_nan():
    assert np.isnan(forecast([], 2, 3)).all()
