"""Changes around a model: against loops over single series, and the laws that they promise."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from gigacast.core.series.forecast import ForecastRequest
from gigacast.forecasters.around import enhancement as module
from gigacast.forecasters.around.enhancement import (
    AUTO,
    RECIPES,
    WEEKLY,
    EnhancedForecaster,
    Enhancement,
    Pass,
    count_passes,
    recipe_of,
    short_recipe,
)
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.forecasters.naive import SeasonalNaive

LEVELS = (0.1, 0.4, 0.5, 0.8)
NAN = float("nan")
H = 11


@dataclass
class MeanForecaster:
    """Bends every series back to its mean: what enhancements are for. It keeps its requests."""

    info: ForecasterInfo = field(default_factory=lambda: SeasonalNaive().info)
    requests: list[ForecastRequest] = field(default_factory=list)

    def predict(self, request: ForecastRequest) -> np.ndarray:
        self.requests.append(request)
        context = request.context.astype(np.float64)
        middle = np.nanmean(context, axis=1)[:, None, None]
        last = _last(context)[:, None, None]
        spread = np.nanstd(context, axis=1)[:, None, None]
        weight = 0.7 ** np.arange(1, request.horizon + 1)[:, None]
        # Askew, so that upper and lower quantiles can't be mistaken for one another.
        askew = np.array([q - 0.5 + 0.2 * q**2 - 0.05 for q in request.levels])
        return (middle + weight * (last - middle) + spread * askew).astype(np.float32)


def _last(context: np.ndarray) -> np.ndarray:
    return np.array([row[np.isfinite(row)][-1] for row in context])


def series(n: int, steps: int, season: int, *, gaps: bool = False) -> np.ndarray:
    rng = np.random.default_rng([n, steps, season])
    t = np.arange(steps)
    values = rng.normal(5, 3) + rng.normal(0, 0.5) * t + 2 * np.sin(2 * np.pi * t / season)
    values += rng.normal(0, 0.3, steps)
    if gaps:
        values[rng.random(steps - 1).argsort()[: steps // 6]] = NAN
    return values.astype(np.float32)


def request(
    rows: list[np.ndarray], seasons: list[int], *, pad: int = 0, levels: tuple[float, ...] = LEVELS
) -> ForecastRequest:
    length = max(map(len, rows)) + pad
    context = np.full((len(rows), length), NAN, np.float32)
    for place, row in enumerate(rows):
        context[place, length - len(row) :] = row
    return ForecastRequest(
        context, H, levels, np.array(seasons), np.arange(len(rows), dtype=np.uint64)
    )


PANEL = [
    (series(n, steps, m, gaps=gaps), m)
    for n, (steps, m, gaps) in enumerate(
        [
            (40, 1, False),
            (61, 4, False),
            (50, 7, True),
            (70, 12, True),
            (17, 12, False),
            (9, 4, True),
            (5, 7, False),
            (1, 1, False),
            (2, 1, False),
            (90, 24, True),
        ]
    )
]


def slow(enhancement: Enhancement, values: np.ndarray, season: int) -> np.ndarray:
    """One series, step by step, [H, Q]."""
    row = values.astype(np.float64)
    pairs = [row[t] - row[t - season] for t in range(season, len(row))]
    count = sum(np.isfinite(pair) for pair in pairs)
    recipe = recipe_of(enhancement, season)
    least = max(4, season) if enhancement == "auto" else 4
    if count < least and any(step.change != "none" for step in recipe):
        recipe = short_recipe(enhancement)
    return np.mean([_slow_pass(step, row, season) for step in recipe], axis=0)


def _slow_pass(way: Pass, row: np.ndarray, season: int) -> np.ndarray:
    changed, slope = row.copy(), 0.0
    if way.change == "trend":
        recent = row[-9 * season :]
        steps = [recent[t] - recent[t - season] for t in range(season, len(recent))]
        finite = sorted(step for step in steps if np.isfinite(step))
        slope = float(np.median(finite)) / season
        changed = np.array([v - slope * (t - len(row) + 1) for t, v in enumerate(row)])
    if way.change == "seasonal_difference":
        changed = np.full(len(row), NAN)
        for t in range(season, len(row)):
            changed[t] = row[t] - row[t - season]
    sign = -1 if way.flipped else 1
    symmetric = (0.1, 0.2, 0.4, 0.5, 0.6, 0.8, 0.9)
    (raw,) = MeanForecaster().predict(request([sign * changed], [season], levels=symmetric))
    named = {}
    for place, level in enumerate(symmetric):
        named[level if sign > 0 else round(1 - level, 9)] = sign * raw[:, place].astype(float)
    result = np.empty((H, len(LEVELS)))
    middles: list[float] = []
    squares: list[list[float]] = []
    for step in range(H):
        median = named[0.5][step]
        apart = [named[level][step] - median for level in LEVELS]
        if way.change == "seasonal_difference":
            before = step - season
            if before >= 0:
                middles.append(middles[before] + median)
                sums = [s + a * a for s, a in zip(squares[before], apart, strict=True)]
            else:
                phase = [v for t, v in enumerate(row) if (t - len(row) - step) % season == 0]
                values = [v for v in phase if np.isfinite(v)]
                last = values[-1] if values else row[np.isfinite(row)][-1]
                middles.append(last + median)
                sums = [a * a for a in apart]
            squares.append(sums)
            result[step] = [
                middles[step] + np.sign(a) * np.sqrt(s) for a, s in zip(apart, sums, strict=True)
            ]
        else:
            result[step] = [median + a + slope * (step + 1) for a in apart]
    return result


@pytest.mark.parametrize("enhancement", ["seasonal_difference", "trend", "flip", "auto"])
def test_a_batch_is_what_a_loop_over_its_series_gives(enhancement: Enhancement) -> None:
    rows, seasons = zip(*PANEL, strict=True)
    got = EnhancedForecaster(MeanForecaster(), enhancement).predict(
        request(list(rows), list(seasons), pad=13)
    )
    for place, (row, season) in enumerate(PANEL):
        expected = slow(enhancement, row, season)
        np.testing.assert_allclose(got[place], expected, rtol=1e-4, atol=1e-4, err_msg=str(place))


@pytest.mark.parametrize("enhancement", ["seasonal_difference", "trend", "flip", "zeros", "auto"])
def test_no_series_depends_on_its_batch(enhancement: Enhancement) -> None:
    enhanced = EnhancedForecaster(SeasonalNaive(), enhancement)
    rows, seasons = zip(*PANEL, strict=True)
    together = enhanced.predict(request(list(rows), list(seasons), pad=5))
    for place, (row, season) in enumerate(PANEL):
        alone = enhanced.predict(request([row], [season]))
        np.testing.assert_array_equal(together[place], alone[0])


def test_a_line_in_a_series_is_a_line_in_its_forecast() -> None:
    enhanced = EnhancedForecaster(MeanForecaster(), "trend")
    row, season = PANEL[1]
    line = (0.75 * np.arange(len(row) + H) + 3).astype(np.float32)
    plain = enhanced.predict(request([row], [season]))[0]
    rising = enhanced.predict(request([row + line[: len(row)]], [season]))[0]
    np.testing.assert_allclose(rising - plain, line[len(row) :, None].repeat(4, 1), rtol=1e-4)


def test_a_season_that_repeats_is_in_the_forecast_of_differences() -> None:
    enhanced = EnhancedForecaster(MeanForecaster(), "seasonal_difference")
    row, season = PANEL[3]
    pattern = np.resize(np.random.default_rng(0).normal(0, 20, season), len(row) + H)
    plain = enhanced.predict(request([row], [season]))[0]
    seasonal = enhanced.predict(request([row + pattern[: len(row)]], [season]))[0]
    expected = pattern[len(row) :, None].repeat(4, 1)
    np.testing.assert_allclose(seasonal - plain, expected, atol=1e-3)


def test_a_series_upside_down_has_its_forecast_upside_down() -> None:
    enhanced = EnhancedForecaster(MeanForecaster(), "flip")
    row, season = PANEL[0]
    levels = (0.1, 0.3, 0.5, 0.7, 0.9)
    upright = enhanced.predict(request([row], [season], levels=levels))[0]
    turned = enhanced.predict(request([-row], [season], levels=levels))[0]
    np.testing.assert_allclose(turned, -upright[:, ::-1], rtol=1e-6)


def test_series_without_enough_seasons_are_counted() -> None:
    rows, seasons = zip(*PANEL, strict=True)
    counts = {}
    for enhancement in ("seasonal_difference", "trend", "flip", "auto"):
        enhanced = EnhancedForecaster(MeanForecaster(), enhancement)
        enhanced.predict(request(list(rows), list(seasons)))
        counts[enhancement] = enhanced.short
    assert counts == {"seasonal_difference": 3, "trend": 3, "flip": 0, "auto": 4}


@pytest.mark.parametrize("size", [1, 2])
def test_exact_calls_have_one_shape_and_rows_that_fill_them_are_not_counted(size: int) -> None:
    """Which rows have another pass depends on their neighbours: rounding must not."""
    rows, seasons = zip(*PANEL, strict=True)
    query = request(list(rows), list(seasons))
    query = replace(query, group_size=size, future=np.zeros((len(rows), H), np.float32))
    inner = MeanForecaster()
    enhanced = EnhancedForecaster(inner, "auto")
    values = enhanced.predict(replace(query, exact=True, spare=2 * size))
    plain = EnhancedForecaster(MeanForecaster(), "auto")
    np.testing.assert_array_equal(values, plain.predict(query))
    assert {r.context.shape for r in inner.requests} == {query.context.shape}
    assert len(inner.requests) == 3
    own = EnhancedForecaster(MeanForecaster(), "auto")
    own.predict(query.take(np.arange(len(rows) - 2 * size)))
    assert own.short == enhanced.short < plain.short


def test_the_rows_of_a_group_are_changed_by_the_season_of_its_target() -> None:
    """Of a target that is twice its covariate, the changed one is twice the changed covariate."""
    inner = MeanForecaster()
    covariate = np.append(series(3, 40, 4), series(4, H, 4))
    rows = [2 * covariate[:40], covariate[:40]]
    plain_request = request(rows, [4, 4])
    future = np.stack([np.full(H, NAN), covariate[40:]]).astype(np.float32)
    EnhancedForecaster(inner, "seasonal_difference").predict(
        replace(plain_request, group_size=2, future=future)
    )
    (changed,) = inner.requests
    assert (changed.group_size, changed.future is not None) == (2, True)
    np.testing.assert_allclose(changed.context[0], 2 * changed.context[1], rtol=1e-5)
    assert changed.future is not None
    expected = covariate[40:] - covariate[36 : 36 + H]
    np.testing.assert_allclose(changed.future[1], expected, rtol=1e-5)
    assert np.isnan(changed.future[0]).all()


def test_a_row_on_which_the_model_fails_is_not_finite() -> None:
    @dataclass
    class Failing(MeanForecaster):
        def predict(self, request: ForecastRequest) -> np.ndarray:
            values = super().predict(request)
            values[0] = [NAN, np.inf, -np.inf, 0, 0, 0, 0][: values.shape[2]]
            return values

    rows, seasons = zip(*PANEL[:3], strict=True)
    for enhancement in ("seasonal_difference", "trend", "flip"):
        plain_request = request(list(rows), list(seasons))
        values = EnhancedForecaster(Failing(), enhancement).predict(plain_request)
        assert np.isfinite(values).all(axis=(1, 2)).tolist() == [False, True, True]


def test_the_passes_are_those_of_the_longest_recipe() -> None:
    assert [count_passes(None), *(count_passes(name) for name in RECIPES)] == [1, 1, 1, 2, 1]
    assert count_passes("auto") == len(WEEKLY) == 1 + max(len(recipe) for _, recipe in AUTO) == 4


@pytest.mark.parametrize("levels", [LEVELS, (0.3, 0.5)])
def test_auto_leaves_out_differences_of_which_the_model_is_less_sure(
    levels: tuple[float, ...],
) -> None:
    rng = np.random.default_rng(5)
    t = np.arange(84)
    # The spread of differences of noise is 1.4 times its own; a season that stays adds nothing.
    settled = rng.normal(size=84).astype(np.float32)
    moving = (5 * np.sin(2 * np.pi * t / 12) + 0.1 * rng.normal(size=84)).astype(np.float32)
    batch = request([settled, moving], [12, 12], levels=levels)
    auto, flip, difference = (
        EnhancedForecaster(MeanForecaster(), name).predict(batch).astype(np.float64)
        for name in ("auto", "flip", "seasonal_difference")
    )
    np.testing.assert_allclose(auto[0], flip[0], rtol=1e-6)
    np.testing.assert_allclose(auto[1], (2 * flip[1] + difference[1]) / 3, rtol=1e-5, atol=1e-5)


def test_auto_takes_the_differences_to_the_week_before_where_these_are_surer() -> None:
    rng = np.random.default_rng(6)
    t = np.arange(24 * 20)
    day = 5 * np.sin(2 * np.pi * t / 24)
    drift = rng.normal(0, 1, len(t) // 24).cumsum().repeat(24)
    weekly = day + 20 * (t // 24 % 7 >= 5) + 0.1 * rng.normal(size=len(t))
    # Differences to the day before are free of its level, those to the week before are not.
    daily = day + drift + 0.1 * rng.normal(size=len(t))
    short = weekly[-24 * 13 :]
    batch = request([weekly, daily, short], [24, 24, 24])
    inner = MeanForecaster()
    auto = EnhancedForecaster(inner, "auto").predict(batch)
    assert [len(asked.context) for asked in inner.requests] == [3, 3, 3, 2], "two have two weeks"
    flip, by_day = (predicted(name, batch) for name in ("flip", "seasonal_difference"))
    by_week = predicted("seasonal_difference", replace(batch, seasons=7 * batch.seasons))
    for row, difference in enumerate((by_week, by_day)):
        mean = (2 * flip[row].astype(float) + difference[row]) / 3
        np.testing.assert_allclose(auto[row], mean, rtol=1e-5, atol=1e-4)
    alone = predicted("auto", request([short], [24]))
    np.testing.assert_array_equal(alone[0], auto[2])


def predicted(enhancement: Enhancement, batch: ForecastRequest) -> np.ndarray:
    return EnhancedForecaster(MeanForecaster(), enhancement).predict(batch)


@pytest.mark.parametrize(
    ("trained", "expected"),
    [
        ((), {0.1, 0.3, 0.5, 0.7, 0.9}),
        ((0.05, 0.1, 0.5, 0.9, 0.95), {0.1, 0.3, 0.5, 0.7, 0.9}),
        ((0.2, 0.5, 0.8), {0.2, 0.3, 0.5, 0.7, 0.8}),
        ((0.01, 0.5, 0.6), {0.1, 0.3, 0.4, 0.5, 0.6, 0.7, 0.9}),
    ],
)
def test_auto_asks_for_the_band_as_far_as_a_model_is_trained_for_it(
    trained: tuple[float, ...], expected: set[float]
) -> None:
    inner = MeanForecaster(replace(SeasonalNaive().info, levels=trained))
    enhanced = EnhancedForecaster(inner, "auto")
    enhanced.predict(request([PANEL[0][0]], [1], levels=(0.3, 0.5)))
    assert {round(level, 6) for level in inner.requests[0].levels} == expected
    plain = MeanForecaster()
    EnhancedForecaster(plain, "flip").predict(request([PANEL[0][0]], [1], levels=(0.3, 0.5)))
    assert {round(level, 6) for level in plain.requests[0].levels} == {0.3, 0.5, 0.7}


@pytest.mark.parametrize("season", [1, 4, 5, 12, 168, 8766])
def test_a_recipe_is_that_of_the_season(season: int) -> None:
    first, second = (recipe for _, recipe in AUTO)
    assert recipe_of("auto", season) == (first if season <= 4 else second)
    assert [step.change for step in first] == ["trend", "seasonal_difference"]
    assert [step.flipped for step in second] == [False, True, False]
    for name, recipe in RECIPES.items():
        assert recipe_of(name, season) == recipe


def test_the_numbers_that_decide_a_recipe_stay_what_they_are() -> None:
    assert module.ENHANCEMENT_REVISIONS == {"auto": 3}
    assert (module.WIDEST, module.BAND) == (1.2, (0.1, 0.9))
    assert module.LEAST_DIFFERENCES == 4


def test_auto_turns_short_series_both_ways_and_no_other_enhancement_does() -> None:
    assert short_recipe("auto") == module.BOTH_WAYS
    assert {short_recipe(name) for name in ("trend", "flip", "seasonal_difference")} == {
        module.PLAIN
    }
