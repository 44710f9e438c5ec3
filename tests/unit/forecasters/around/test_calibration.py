"""Calibrated quantiles: against sorted scores, and by the coverage that they promise."""

import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest

from gigacast.errors import ConfigError
from gigacast.forecasters.around.calibration import (
    _EDGES,
    BINS,
    LARGEST,
    LEAST_FORECASTS,
    LEVEL_EVIDENCE,
    MOST_STRETCH,
    STEP_EVIDENCE,
    Calibration,
    ScoreCounts,
    scores_of,
)
from gigacast.forecasters.batching import forecast_batch
from gigacast.forecasters.naive import SeasonalNaive
from gigacast.forecasters.options import ForecastOptions
from tests.support.tiny_models import series_batch

LEVELS = (0.1, 0.3, 0.5, 0.8, 0.95)
H = 3


def normal_forecasts(count: int, spread: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values of a standard normal distribution, and quantiles of one of another spread."""
    rng = np.random.default_rng(count)
    level = rng.normal(0, 50, (count, 1))
    actuals = level + rng.normal(0, 1, (count, H))
    apart = spread * np.array([NormalDist().inv_cdf(q) for q in LEVELS])
    quantiles = np.repeat(level, H, axis=1)[:, :, None] + apart
    return actuals, np.repeat(level, H, axis=1), quantiles


def counts_of(count: int, spread: float) -> ScoreCounts:
    scores = scores_of(*normal_forecasts(count, spread))
    return ScoreCounts.count(LEVELS, scores, np.arange(count) % 2)


def slow_factor(scores: list[float], share: float) -> float:
    ordered = sorted(scores)
    rank = min(math.ceil((len(ordered) + 1) * share), len(ordered))
    return max(ordered[rank - 1], 1 / 32)


@pytest.mark.parametrize("count", [40, 700])
def test_factors_are_ranks_of_scores_drawn_to_one_by_their_evidence(count: int) -> None:
    scores = scores_of(*normal_forecasts(count, 0.5))
    factors = np.array(counts_of(count, 0.5).fit().factors)
    for place, level in enumerate(LEVELS):
        if level == 0.5:
            assert (factors[:, place] == 1).all()
            continue
        share = max(level, 1 - level)
        of_level = slow_factor(scores[:, :, place].ravel().tolist(), share)
        of_level = of_level ** (count / (count + LEVEL_EVIDENCE))
        for step in range(H):
            weight = count / (count + STEP_EVIDENCE)
            own = slow_factor(scores[:, step, place].tolist(), share)
            expected = own**weight * of_level ** (1 - weight)
            assert factors[step, place] == pytest.approx(expected, rel=0.02)  # of a bin


def test_bins_are_of_equal_ratio_and_one_of_their_edges_is_one() -> None:
    assert len(_EDGES) == BINS + 1
    np.testing.assert_allclose(_EDGES[1:] / _EDGES[:-1], LARGEST ** (2 / BINS))
    assert (_EDGES[0] * LARGEST, _EDGES[BINS // 2], _EDGES[-1] / LARGEST) == (1, 1, 1)


def test_scores_beyond_all_bins_count_as_the_largest() -> None:
    scores = np.full((LEVEL_EVIDENCE, 1, 1), 1000.0)
    fitted = ScoreCounts.count((0.9,), scores, np.zeros(LEVEL_EVIDENCE, np.int64)).fit()
    of_step = LEVEL_EVIDENCE / (LEVEL_EVIDENCE + STEP_EVIDENCE)
    expected = LARGEST ** (of_step + (1 - of_step) / 2)
    assert expected > MOST_STRETCH == fitted.factors[0][0]
    few = ScoreCounts.count((0.9,), scores[:6], np.zeros(6, np.int64)).fit()
    of_step, of_level = 6 / (6 + STEP_EVIDENCE), 6 / (6 + LEVEL_EVIDENCE)
    assert few.factors[0][0] == pytest.approx(
        LARGEST ** (of_step + (1 - of_step) * of_level), rel=1e-3
    )


@pytest.mark.parametrize("spread", [0.4, 1.0, 2.5])
def test_calibrated_quantiles_hold_on_other_series_what_they_say(spread: float) -> None:
    before, after = counts_of(4000, spread).coverage()
    others = [place for place, level in enumerate(LEVELS) if level != 0.5]
    np.testing.assert_allclose(after[others], np.array(LEVELS)[others], atol=0.02)
    expected = [NormalDist().cdf(spread * NormalDist().inv_cdf(LEVELS[n])) for n in others]
    np.testing.assert_allclose(before[others], expected, atol=0.02)


def test_counts_of_partitions_add_up() -> None:
    scores = scores_of(*normal_forecasts(90, 0.5))
    half = np.arange(90) % 2
    whole = ScoreCounts.count(LEVELS, scores, half)
    parts = [ScoreCounts.count(LEVELS, scores[a:b], half[a:b]) for a, b in ((0, 31), (31, 90))]
    assert (parts[0] + parts[1]).fit() == (parts[1] + parts[0]).fit() == whole.fit()
    assert (parts[0] + parts[1]).forecasts == whole.forecasts == 90


def test_missing_values_and_bands_without_width_have_no_score() -> None:
    actuals = np.array([[1.0, np.nan], [2.0, 3.0]])
    median = np.array([[0.0, 0.0], [1e9, 1.0]])
    quantiles = np.stack([median - 1, median, median + np.array([[2.0, 2.0], [64.0, 4.0]])], -1)
    scores = scores_of(actuals, *(part.astype(np.float32) for part in (median, quantiles)))
    assert np.isnan(scores[0, 1]).all()
    assert np.isnan(scores[:, :, 1]).all()
    assert scores[0, 0, [0, 2]].tolist() == [-1.0, 0.5]
    assert np.isnan(scores[1, 0]).all()  # 64 of 1e9 is the rounding of float32
    # Doubles have other numbers than those of float32: series of large numbers keep their steps.
    assert np.isfinite(scores_of(actuals, median, quantiles)[1, 0, [0, 2]]).all()
    assert ScoreCounts.count((0.1, 0.5, 0.9), scores, np.array([0, 1])).forecasts == 2


def test_a_forecast_is_stretched_around_its_median_and_the_fallback_is_not() -> None:
    batch = series_batch([[1, 5, 2, 6, 3, 7, 2, 9], [4.0]])
    options = ForecastOptions(H, (0.1, 0.9), min_length=2, season=2)
    plain = forecast_batch(SeasonalNaive(), batch, options)
    stretched = Calibration((0.1, 0.9), ((2.0, 3.0), (0.5, 1.0), (1.0, 4.0)))
    calibrated = forecast_batch(SeasonalNaive(), batch, replace(options, calibration=stretched))
    middle = plain.median[0][:, None]
    expected = middle + (plain.quantiles[0] - middle) * np.array(stretched.factors)
    np.testing.assert_allclose(calibrated.quantiles[0], expected, rtol=1e-6)
    np.testing.assert_array_equal(calibrated.median, plain.median)
    np.testing.assert_array_equal(calibrated.quantiles[1], plain.quantiles[1])


def test_other_steps_and_levels_than_those_measured_are_refused() -> None:
    stored = Calibration((0.1, 0.9), ((1.0, 1.0),) * H)
    batch = series_batch([[1, 5, 2, 6]])
    for options, match in (
        (ForecastOptions(H + 1, (0.1, 0.9)), "3 steps are calibrated, not 4"),
        (ForecastOptions(H, (0.1, 0.8)), "the level 0.8 is not calibrated"),
    ):
        with pytest.raises(ConfigError, match=match):
            forecast_batch(SeasonalNaive(), batch, replace(options, calibration=stored))


def test_the_digest_of_a_calibration_stays_what_it_is() -> None:
    # The spec of calibrated forecasts names it: under another one all would be made again.
    stored = Calibration((0.1, 0.9), ((1.0, 1.5), (0.5, 2.0)))
    assert (stored.digest, stored.horizon) == ("120ffa1e", 2)
    others = (
        Calibration((0.1, 0.8), stored.factors),
        Calibration(stored.levels, ((1.0, 1.5), (0.5, 2.5))),
    )
    assert len({stored.digest, *(other.digest for other in others)}) == 3


def test_the_numbers_that_decide_a_factor_stay_what_they_are() -> None:
    assert (LARGEST, BINS, MOST_STRETCH) == (32, 400, 4)
    assert (STEP_EVIDENCE, LEVEL_EVIDENCE, LEAST_FORECASTS) == (100, 30, 30)
