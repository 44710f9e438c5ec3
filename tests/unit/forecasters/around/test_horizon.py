"""Steps beyond the trained horizon: against loops over single steps."""

from dataclasses import dataclass, field, replace
from typing import get_args

import numpy as np
import pytest

from gigacast.core.series.forecast import ForecastRequest
from gigacast.errors import ConfigError
from gigacast.forecasters.around import horizon
from gigacast.forecasters.around.horizon import (
    BandedForecaster,
    DilatedForecaster,
    LongHorizon,
    carry_bands,
    keep_bands,
)
from gigacast.forecasters.around.wrapping import Around
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.forecasters.naive import SeasonalNaive

LEVELS = (0.1, 0.3, 0.5, 0.9)
INFO = replace(SeasonalNaive().info, levels=(0.1, 0.5, 0.9), prediction_length=8, context_length=64)


@dataclass
class NamedSteps:
    """Forecasts the last value plus the steps ahead in the units of the context's own steps."""

    info: ForecasterInfo = INFO
    requests: list[ForecastRequest] = field(default_factory=list)

    def predict(self, request: ForecastRequest) -> np.ndarray:
        self.requests.append(request)
        step = request.context[:, -1] - request.context[:, -2:][:, 0]
        ahead = np.arange(1, request.horizon + 1)
        middle = request.context[:, -1:] + step[:, None] * ahead
        width = 1 / np.arange(1, request.horizon + 1)[:, None]  # narrows with every step
        return (middle[:, :, None] + width * (np.array(request.levels) - 0.5)).astype(np.float32)


def requested(horizon: int, rows: int = 3, length: int = 40) -> ForecastRequest:
    context = np.arange(length, dtype=np.float32) * np.arange(1, rows + 1)[:, None]
    return ForecastRequest(
        context.astype(np.float32), horizon, LEVELS, np.full(rows, 5), np.zeros(rows, np.uint64)
    )


def slow_bands(values: np.ndarray, season: int, block: int) -> np.ndarray:
    result = values.astype(np.float64)
    middle = result[:, 2].copy()
    for step in range(block, len(values)):
        first = step // block * block
        same = [s for s in range(first) if season > 1 and (step - s) % season == 0]
        for place in (0, 1, 3):
            apart = np.abs(result[:, place] - middle)
            least = apart[same[-1]] if same else apart[first - block : first].mean()
            sign = -1 if place < 2 else 1
            result[step, place] = middle[step] + sign * max(apart[step], least)
    return result


@pytest.mark.parametrize("season", [1, 3, 8, 12, 40])
def test_bands_are_at_least_those_of_the_block_before_at_the_same_season(season: int) -> None:
    rng = np.random.default_rng(season)
    values = np.sort(rng.normal(0, 1, (4, 29, 4)) * rng.uniform(0.2, 2, (4, 29, 1))).astype(
        np.float32
    )
    seasons = np.array([season, 1, season, 7])
    widened = keep_bands(values, LEVELS, seasons, 8)
    for row in range(4):
        np.testing.assert_allclose(
            widened[row], slow_bands(values[row], seasons[row], 8), rtol=1e-5
        )
    np.testing.assert_array_equal(widened[:, :8], values[:, :8])
    np.testing.assert_allclose(widened[..., 2], values[..., 2], rtol=1e-6)
    np.testing.assert_allclose(
        widened, keep_bands(widened, LEVELS, seasons, 8), rtol=1e-6, atol=1e-6
    )


def slow_carry(values: np.ndarray, season: int, block: int) -> np.ndarray:
    result = values.astype(np.float64)
    half = block // 2
    for place, sign in ((0, -1), (1, -1), (3, 1)):
        size = np.abs(result[:, place] - result[:, 2])
        ratio = size[half:block].mean() / size[:half].mean()
        power = np.log(ratio) / np.log(((half + 1 + block) / 2) / ((half + 1) / 2))
        power = min(1, max(0, power))
        share = min(1, 2 * power)
        for step in range(block, len(values)):
            first = step // block * block
            same = [s for s in range(first) if season > 1 and (step - s) % season == 0]
            end = size[first - min(8, block) : first].mean()
            before = size[same[-1]] * (first / (same[-1] + 1)) ** power if same else end
            floor = size[same[-1]] if same else size[first - block : first].mean()
            size[step] = max(floor, np.sqrt(size[step] ** 2 + share * before**2))
        result[:, place] = result[:, 2] + sign * size
    return result


@pytest.mark.parametrize("season", [1, 3, 8, 12, 40])
def test_bands_hold_the_share_of_the_errors_before_them_that_adds_up(season: int) -> None:
    rng = np.random.default_rng(season)
    growth = np.arange(1, 30)[:, None] ** rng.uniform(0, 1, (4, 1, 1))
    values = np.sort(rng.normal(0, 1, (4, 29, 4)) * growth).astype(np.float32)
    seasons = np.array([season, 1, season, 7])
    carried = carry_bands(values, LEVELS, seasons, 8)
    for row in range(4):
        slow = slow_carry(values[row], int(seasons[row]), 8)
        np.testing.assert_allclose(carried[row], slow, rtol=1e-5)
    np.testing.assert_array_equal(carried[:, :8], values[:, :8])
    kept = keep_bands(values, LEVELS, seasons, 8).astype(np.float64)
    slack = 1e-5 * np.abs(kept)
    assert (carried[..., :2] <= kept[..., :2] + slack[..., :2]).all()
    assert (carried[..., 3] >= kept[..., 3] - slack[..., 3]).all()


@pytest.mark.parametrize("block", [16, 64])
def test_a_random_walk_has_the_bands_of_its_whole_length(block: int) -> None:
    """A model that takes its median for what happened gives each block the bands of the first."""
    within = np.arange(3 * block) % block + 1
    own = np.sqrt(within)[:, None] * np.array([-1.28, -0.52, 0, 1.28])
    steps = np.arange(1, 3 * block + 1)
    truth = np.sqrt(steps)[:, None] * np.array([-1.28, -0.52, 0, 1.28])
    (carried,) = carry_bands(own[None].astype(np.float32), LEVELS, np.array([1]), block)
    ends = [block - 1, 2 * block - 1, 3 * block - 1]
    np.testing.assert_allclose(carried[ends], truth[ends], rtol=0.1)


def test_noise_around_a_season_keeps_its_bands() -> None:
    own = np.tile([[-1.0, -0.5, 0.0, 1.0], [-3.0, -2.0, 0.0, 3.0]], (12, 1))[None]
    (carried,) = carry_bands(own.astype(np.float32), LEVELS, np.array([2]), 8)
    np.testing.assert_array_equal(carried, own[0])


def test_bands_of_a_model_that_forecasts_single_steps_do_not_narrow() -> None:
    own = np.stack([np.array([-1.0, -0.5, 0.0, 1.0]) / n for n in range(1, 6)])[None]
    (carried,) = carry_bands(own.astype(np.float32), LEVELS, np.array([1]), 1)
    np.testing.assert_array_equal(carried, np.tile(own[0, :1], (5, 1)).astype(np.float32))


def test_a_trained_horizon_is_the_models_own_request() -> None:
    inner = NamedSteps()
    request = requested(8)
    for around in (BandedForecaster(inner, carry_bands), DilatedForecaster(inner)):
        np.testing.assert_array_equal(around.predict(request), NamedSteps().predict(request))
    assert inner.requests == [request, request]


def test_a_model_without_trained_levels_is_left_alone() -> None:
    naive = SeasonalNaive()
    request = requested(200)
    for name in get_args(LongHorizon):
        wrapped = Around(long_horizon=name).wrap(naive)
        np.testing.assert_array_equal(wrapped.predict(request), naive.predict(request))


@pytest.mark.parametrize("horizon", [9, 16, 20, 31])
def test_each_phase_is_asked_for_the_steps_that_are_whole_strides_ahead(horizon: int) -> None:
    """On a line, every direct pass continues the line: any step put elsewhere would be off it."""
    inner = NamedSteps()
    request = requested(horizon)
    got = DilatedForecaster(inner).predict(request)
    line = request.context[:, -1:] + np.arange(1, horizon + 1) * np.arange(1, 4)[:, None]
    np.testing.assert_allclose(got[..., 2], line, rtol=1e-6)
    stride = -(-horizon // 8)
    assert len(inner.requests) == 1 + stride
    assert sum(r.horizon for r in inner.requests[1:]) == horizon
    assert all(r.horizon <= 8 for r in inner.requests[1:])
    assert {int(r.seasons[0]) for r in inner.requests[1:]} == {5}  # no whole part of a stride


def test_a_context_shorter_than_a_stride_keeps_the_continued_forecast() -> None:
    inner = NamedSteps()
    request = requested(31, length=7)
    got = DilatedForecaster(inner).predict(request)
    np.testing.assert_array_equal(got, np.sort(NamedSteps().predict(request), axis=-1))
    assert all(np.isfinite(r.context).any(axis=1).all() for r in inner.requests)


def test_a_direct_pass_counts_as_a_pass() -> None:
    assert Around(long_horizon="dilated").passes(INFO, 8) == 1
    assert Around(long_horizon="dilated").passes(INFO, 17) == 4
    assert Around("auto", "dilated").passes(INFO, 17) == 16
    assert Around("flip").passes(INFO, 100) == 2


def test_the_fields_of_a_spec_name_what_was_done() -> None:
    for around in (Around(), Around("auto", "dilated"), Around("trend", "stock")):
        fields = {
            "enhance": None,
            "long_horizon": None,
            **around.fields,
            **around.long_fields(INFO),
        }
        assert Around.of_fields(**fields) == around
    assert Around().fields == {}
    assert Around().long_fields(SeasonalNaive().info) == {}
    with pytest.raises(ConfigError, match="'magic', which this release does not know"):
        Around.of_fields("magic-3", None)


def test_the_revision_of_long_horizons_is_part_of_their_specs() -> None:
    assert horizon.LONG_HORIZON_REVISIONS == {"bands": 2, "dilated": 1}
    assert horizon.LEAST_VALUES == 2


def test_a_forecast_that_is_continued_keeps_its_bands_at_every_season() -> None:
    request = replace(requested(20), seasons=np.array([0, 1, 2]))
    raw = np.sort(NamedSteps().predict(request), axis=-1)
    expected = keep_bands(raw, LEVELS, np.array([1, 1, 2]), 8)
    np.testing.assert_array_equal(
        BandedForecaster(NamedSteps(), keep_bands).predict(request), expected
    )
    assert not np.array_equal(expected, keep_bands(raw, LEVELS, np.array([2, 2, 2]), 8))
