"""Each family of synthetic series has the property it is named after."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gigacast.synthetic import FAMILIES, Mixture, generate, period, seasonal
from gigacast.synthetic.period import CALENDARS, mixed_periods, nested_periods
from gigacast.synthetic.seasonal import cyclic
from gigacast.synthetic.signal import at_phase, fading, one_of, segments, smooth

ROWS, LENGTH = 256, 512


def drawn(family: str) -> np.ndarray:
    return generate(ROWS, LENGTH, seed=8, mixture=Mixture.of(family)).values


def random_source() -> np.random.Generator:
    return np.random.default_rng(6)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_varies_and_is_finite(family: str) -> None:
    values = drawn(family)
    assert values.shape == (ROWS, LENGTH)
    assert np.isfinite(values).all()
    assert np.mean(values.std(axis=1) > 1e-3) > 0.95


@pytest.mark.parametrize("family", ["counts", "intermittent"])
def test_counts_are_whole_and_not_negative(family: str) -> None:
    values = drawn(family)
    assert_array_equal(values, np.rint(values))
    assert values.min() == 0


def test_intermittent_demand_is_mostly_zero() -> None:
    assert np.median(np.mean(drawn("intermittent") == 0, axis=1)) > 0.6


def test_bounded_series_stay_between_zero_and_one() -> None:
    values = drawn("bounded")
    assert values.min() >= 0
    assert values.max() <= 1


@pytest.mark.parametrize("family", ["growth", "multiplicative"])
def test_growth_and_multiplicative_series_are_positive(family: str) -> None:
    assert drawn(family).min() > 0


def test_walks_move_further_than_a_single_step() -> None:
    values = drawn("random_walk")
    steps = np.abs(np.diff(values, axis=1)).mean(axis=1)
    assert np.median(np.ptp(values, axis=1) / steps) > 10


def test_mean_reverting_series_cross_their_mean_often() -> None:
    centred = drawn("mean_reverting") - drawn("mean_reverting").mean(axis=1, keepdims=True)
    crossings = (np.diff(np.sign(centred), axis=1) != 0).sum(axis=1)
    assert np.median(crossings) > 20


def test_spikes_stand_out() -> None:
    values = drawn("spikes")
    height = (values.max(axis=1) - np.median(values, axis=1)) / values.std(axis=1)
    assert np.median(height) > 3


@pytest.mark.parametrize("period", [7.0, 24.0, 10.5, 52.0])
def test_a_cycle_repeats_after_its_period(period: float) -> None:
    series = cyclic(random_source(), 64, 256, np.full((64, 1), period, np.float32))
    lag = round(2 * period)
    assert_allclose(series[:, lag:], series[:, :-lag], atol=2e-3)


def test_profile_series_mostly_repeat_at_some_lag() -> None:
    values = drawn("profile")[:64]
    centred = values - values.mean(axis=1, keepdims=True)
    spread = np.square(centred).mean(axis=1)
    lags = range(2, 257)
    gaps = [np.square(centred[:, k:] - centred[:, :-k]).mean(axis=1) / spread for k in lags]
    assert np.median(np.min(gaps, axis=0)) < 0.2


def test_periods_are_calendars_and_random_ones_within_bounds() -> None:
    periods = mixed_periods(random_source(), 4000, 200.0)
    known_periods = {np.float32(value) for c in CALENDARS for value in (c.short, c.long)}
    share = np.mean([value in known_periods for value in periods[:, 0]])
    assert periods.min() >= 2.0
    assert periods.max() <= 200.0
    assert 0.6 < share < 0.85


def test_nested_periods_hold_hours_of_days_of_weeks() -> None:
    inner, outer = nested_periods(random_source(), 2000)
    assert np.mean((inner == 24) & (outer == 7)) > 0.25
    assert inner.min() >= 2
    assert outer.min() >= 2


def test_phases_are_read_between_grid_points() -> None:
    cycle = np.array([[0.0, 1.0, 2.0, 1.0]], dtype=np.float32)
    phase = np.array([[0.0, 0.125, 0.5, 0.875, 1.25]], dtype=np.float32)
    assert_allclose(at_phase(cycle, phase), [[0.0, 0.5, 2.0, 0.5, 1.0]])


def test_a_longer_scale_is_smoother() -> None:
    scale = np.array([[2.0]] * 64 + [[60.0]] * 64, dtype=np.float32)
    rough = np.abs(np.diff(smooth(random_source(), 128, 300, scale), axis=1)).mean(axis=1)
    assert rough[:64].min() > rough[64:].max()


def test_deviations_fade_at_the_requested_speed() -> None:
    series = fading(random_source(), 512, 512, np.full((512, 1), 0.1, np.float32))
    correlation = np.mean(series[:, 10:] * series[:, :-10])
    assert correlation == pytest.approx(np.exp(-1.0), abs=0.06)


def test_segments_have_the_requested_mean_length() -> None:
    numbers = segments(random_source(), 400, 500, np.full((400, 1), 50.0, np.float32))
    assert (np.diff(numbers, axis=1) >= 0).all()
    assert numbers[:, -1].mean() == pytest.approx(10.0, rel=0.1)


def test_each_series_is_made_by_one_function() -> None:
    draws = one_of(
        random_source(),
        100,
        (
            lambda at: np.stack([at, at * 0], axis=1).astype(np.float32),
            lambda at: np.stack([at, at * 0 + 1], axis=1).astype(np.float32),
        ),
    )
    assert_array_equal(draws[:, 0], np.arange(100))
    assert set(draws[:, 1].tolist()) == {0.0, 1.0}


def days_of(family: Callable[[np.random.Generator, int, int], np.ndarray]) -> np.ndarray:
    """Series of a family as weeks of days of hours, [N, weeks, 7, 24]."""
    return family(random_source(), ROWS, 24 * 7 * 6).reshape(ROWS, 6, 7, 24)


def test_days_vary_from_week_to_week_but_keep_their_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    def hours(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
        return np.full((rows, 1), 24), np.full((rows, 1), 7)

    monkeypatch.setattr(period, "nested_periods", hours)
    varying, repeated = days_of(seasonal.varying_days), days_of(seasonal.calendar)

    def change(days: np.ndarray) -> np.ndarray:
        levels = days.mean(axis=3)
        return levels.std(axis=1).mean(axis=1) / days.std(axis=(1, 2, 3))

    assert np.median(change(varying)) > 2 * np.median(change(repeated))
    shapes = varying.reshape(ROWS, -1, 24)
    shapes = shapes - shapes.mean(axis=2, keepdims=True)
    usual = shapes.mean(axis=1, keepdims=True)
    sizes = np.sqrt(np.square(shapes).sum(axis=2) * np.square(usual).sum(axis=2))
    assert np.median((shapes * usual).sum(axis=2) / sizes) > 0.7


def test_patterns_are_whole_numbers_that_repeat_exactly() -> None:
    values = drawn("patterns")
    assert_array_equal(values, np.rint(values))
    assert values.min() == 0
    assert np.mean(values.max(axis=1) == 1) > 0.4
    repeats = [(values[:, lag:] == values[:, :-lag]).all(axis=1) for lag in range(2, 257)]
    assert np.mean(np.any(repeats, axis=0)) > 0.7


def test_clean_waves_have_no_noise() -> None:
    # Each difference of a slow wave is smaller than the one before; of noise it is larger.
    values = drawn("clean_waves")
    sizes = [np.abs(np.diff(values, n=n, axis=1)).mean(axis=1) for n in (0, 1, 2, 4)]
    assert np.mean((np.diff(sizes, axis=0) < 0).all(axis=0)) > 0.5


def test_exponential_smoothing_has_trends_seasons_and_levels_that_move() -> None:
    values = drawn("exponential_smoothing").astype(np.float64)
    centred = values - values.mean(axis=1, keepdims=True)
    total = np.square(centred).sum(axis=1)
    line = np.linspace(-1.0, 1.0, LENGTH)
    explained = (centred @ line) ** 2 / np.square(line).sum() / total
    assert np.mean(explained > 0.5) > 0.2
    steps = np.diff(values, axis=1)
    moved = steps - steps.mean(axis=1, keepdims=True)
    gaps = [
        np.square(moved[:, lag:] - moved[:, :-lag]).mean(axis=1) / np.square(moved).mean(axis=1)
        for lag in range(2, 169)
    ]
    assert np.mean(np.min(gaps, axis=0) < 0.3) > 0.2


def test_the_nodes_of_a_causal_graph_follow_their_past() -> None:
    values = drawn("causal_graph").astype(np.float64)
    predictors = [values[:, 24 - lag : -lag] for lag in (1, 2, 3, 6, 12)]
    shares = []
    for row in range(64):
        past = np.stack([part[row] for part in predictors], axis=1)
        target = values[row, 24:]
        fitted = past @ np.linalg.lstsq(past, target, rcond=None)[0]
        shares.append(1.0 - np.square(target - fitted).sum() / np.square(target).sum())
    assert np.median(shares) > 0.1


def test_a_product_with_a_line_is_a_season_that_grows_evenly() -> None:
    values = drawn("products")
    quarters = np.stack([part.std(axis=1) for part in np.array_split(values, 4, axis=1)])
    grows = (np.diff(quarters, axis=0) > 0).all(axis=0) | (np.diff(quarters, axis=0) < 0).all(
        axis=0
    )
    assert 0.1 < grows.mean() < 0.9
