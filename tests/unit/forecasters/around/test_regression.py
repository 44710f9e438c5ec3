"""The regression on covariates around a model: known effects, and the laws of a wrapper."""

from dataclasses import replace

import numpy as np
import pytest

from gigacast.core.series.forecast import ForecastRequest
from gigacast.forecasters.around.regression import RegressedForecaster, effects_of
from gigacast.forecasters.around.ridge import Panel, find_effects
from tests.unit.forecasters.around.test_enhancement import MeanForecaster

H, SEASON = 14, 7
NAN = float("nan")


def panel(n: int = 200, *, effect: float = 4.0, series: int = 5) -> Panel:
    """Series with noise, season and drift, and two covariates, of which the first has an effect."""
    rng = np.random.default_rng([n, series])
    steps = np.arange(n + H)
    covariates = rng.normal(size=(series, 2, n + H))
    own = rng.normal(size=(series, n + H)) + rng.normal(0, 0.3, (series, n + H)).cumsum(axis=1)
    values = 50 + own + 3 * np.sin(2 * np.pi * steps / SEASON) + effect * covariates[:, 0]
    seasons = np.full(series, SEASON)
    return Panel(values[:, :n], covariates[:, :, :n], covariates[:, :, n:], seasons)


def request(sample: Panel) -> ForecastRequest:
    """The request of a forecaster that takes groups: each series, then its covariates."""
    count, width, length = sample.past.shape
    rows = np.concatenate([sample.context[:, None], sample.past], axis=1).reshape(-1, length)
    future = np.full((count, 1, H), NAN)
    ahead = np.concatenate([future, sample.ahead], axis=1).reshape(-1, H)
    size = width + 1
    return ForecastRequest(
        context=rows.astype(np.float32),
        horizon=H,
        levels=(0.1, 0.5, 0.9),
        seasons=np.repeat(sample.seasons, size),
        seeds=np.zeros(len(rows), np.uint64),
        group_size=size,
        future=ahead.astype(np.float32),
    )


@pytest.mark.parametrize("effect", [-6.0, 2.0, 4.0])
def test_a_known_effect_is_found_and_that_of_noise_is_not(effect: float) -> None:
    sample = panel(effect=effect)
    ahead = find_effects(sample).ahead
    expected = effect * (sample.ahead[:, 0] - sample.past[:, 0].mean(axis=1, keepdims=True))
    assert np.abs(ahead - expected).mean() < 0.1 * np.abs(expected).mean()
    assert not find_effects(panel(effect=0.0)).is_any.any()


def test_effects_are_those_of_least_squares_where_nothing_disturbs() -> None:
    sample = panel()._replace(seasons=np.ones(5, np.int64))
    clean = sample._replace(context=7 + 3 * sample.past[:, 0] - 2 * sample.past[:, 1])
    effects = find_effects(clean)
    weights = np.array([3.0, -2.0])[:, None]
    for n in range(5):
        rows = np.vstack([np.ones(sample.past.shape[2]), sample.past[n]])
        solved, *_ = np.linalg.lstsq(rows.T, clean.context[n], rcond=None)
        middle = sample.past[n].mean(axis=1)
        expected = solved[1:] @ (sample.ahead[n] - middle[:, None])
        np.testing.assert_allclose(effects.ahead[n], expected, rtol=0.01, atol=0.02)
        np.testing.assert_allclose(solved[1:], weights[:, 0], atol=1e-8)


def test_what_drifts_or_repeats_alike_is_not_taken_for_an_effect() -> None:
    rng = np.random.default_rng(3)
    steps = np.arange(300 + H)
    walks = rng.normal(size=(8, 300 + H)).cumsum(axis=1)
    causes = rng.normal(size=(8, 1, 300 + H)).cumsum(axis=2)
    apart = Panel(walks[:, :300], causes[..., :300], causes[..., 300:], np.ones(8, np.int64))
    assert find_effects(apart).is_any.mean() <= 0.25
    season = np.sin(2 * np.pi * steps / SEASON) + np.zeros((8, 1, 1))
    noisy = 3 * season[:, 0, :300] + rng.normal(size=(8, 300))
    seasonal = Panel(noisy, season[..., :300], season[..., 300:], np.full(8, SEASON))
    assert not find_effects(seasonal).is_any.any(), "the model knows the season"


def test_a_series_does_not_depend_on_the_others_of_its_batch() -> None:
    sample = panel()
    together = find_effects(sample)
    for n in range(5):
        alone = find_effects(sample.take(np.array([n])))
        np.testing.assert_array_equal(alone.ahead[0], together.ahead[n])
        np.testing.assert_array_equal(alone.past[0], together.past[n])


def test_scale_and_level_of_series_and_covariates_do_not_matter() -> None:
    sample = panel()
    plain = find_effects(sample).ahead
    scaled = find_effects(
        Panel(
            1e9 + 1e6 * sample.context,
            5 - 1e-3 * sample.past,
            5 - 1e-3 * sample.ahead,
            sample.seasons,
        )
    )
    np.testing.assert_allclose(scaled.ahead / 1e6, plain, rtol=1e-5, atol=1e-5)


def test_values_that_are_missing_are_no_reason_to_find_nothing() -> None:
    sample = panel()
    rng = np.random.default_rng(0)
    context = np.where(rng.random(sample.context.shape) < 0.1, NAN, sample.context)
    past = np.where(rng.random(sample.past.shape) < 0.05, NAN, sample.past)
    context[:, :40] = NAN
    effects = find_effects(sample._replace(context=context, past=past))
    assert np.isfinite(effects.ahead).all()
    assert np.isfinite(effects.past).all()
    complete = find_effects(sample).ahead
    assert np.corrcoef(effects.ahead.ravel(), complete.ravel())[0, 1] > 0.98


def test_a_covariate_that_is_not_known_over_the_whole_horizon_has_no_effect() -> None:
    sample = panel()
    ahead = sample.ahead.copy()
    ahead[:, 0, 3] = NAN
    assert not find_effects(sample._replace(ahead=ahead)).is_any.any()


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_short_and_constant_series_have_no_effect(steps: int) -> None:
    sample = panel(n=60)
    short = sample._replace(context=sample.context[:, :steps], past=sample.past[:, :, :steps])
    assert not find_effects(short).is_any.any()
    assert not find_effects(sample._replace(context=np.full((5, 60), 3.0))).is_any.any()


def test_a_series_without_an_effect_is_forecast_as_without_covariates_bit_for_bit() -> None:
    sample, plain = panel(effect=0.0), MeanForecaster()
    groups = request(sample)
    alone = replace(
        groups,
        context=groups.context[::3],
        seasons=groups.seasons[::3],
        seeds=groups.seeds[::3],
        group_size=1,
        future=None,
    )
    inner = MeanForecaster()
    together = RegressedForecaster(inner).predict(groups)
    np.testing.assert_array_equal(together[::3], plain.predict(alone))
    np.testing.assert_array_equal(inner.requests[0].context, alone.context)
    np.testing.assert_array_equal(RegressedForecaster(plain).predict(alone), plain.predict(alone))


def test_the_model_sees_the_series_less_its_effect_which_is_added_to_every_quantile() -> None:
    groups, inner = request(panel()), MeanForecaster()
    forecast = RegressedForecaster(inner).predict(groups)[::3]
    effects = effects_of(groups)
    (reduced,) = inner.requests
    assert reduced.group_size == 1
    assert reduced.future is None
    np.testing.assert_allclose(reduced.context, groups.context[::3] - effects.past, rtol=1e-6)
    own = inner.predict(reduced)
    np.testing.assert_allclose(forecast, own + effects.ahead[:, :, None], rtol=1e-6)
