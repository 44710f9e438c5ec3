"""The figures, against plain loops that follow their definitions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.forecasters import metric
from gigacast.forecasters.metric import (
    add_up,
    figures_of,
    interval_name,
    intervals_of,
    measure,
    seasonal_error,
    skill,
)

LEVELS = (0.1, 0.5, 0.9)
NAN = float("nan")


def example(seed: int, n: int = 7, h: int = 5):
    rng = np.random.default_rng(seed)
    actual = rng.normal(10, 5, (n, h))
    actual[rng.random((n, h)) < 0.2] = np.nan
    quantiles = np.sort(rng.normal(10, 5, (n, h, len(LEVELS))), axis=2)
    scale = rng.uniform(0.5, 2, n)
    scale[rng.random(n) < 0.2] = np.nan
    return actual, quantiles[:, :, 1], quantiles, scale


def summarise(losses, groups=None, count=1):
    return figures_of(add_up(losses, groups, count))


def oracle(actual, median, quantiles, scale):
    """Follow the definitions, step by step."""
    mase, sql, smape, squares, excess, magnitude, steps = [], [], [], [], 0.0, 0.0, 0
    pinball, below = [0.0] * len(LEVELS), [0] * len(LEVELS)
    undefined = forecasts = inside = 0
    for n in range(len(actual)):
        errors, relative, losses = [], [], []
        for t in range(actual.shape[1]):
            y, m = float(actual[n, t]), float(median[n, t])
            if math.isnan(y):
                continue
            errors.append(abs(y - m))
            relative.append(0.0 if y == m == 0 else 2 * abs(y - m) / (abs(y) + abs(m)))
            squares.append((y - m) ** 2)
            excess += m - y
            magnitude += abs(y)
            steps += 1
            inside += float(quantiles[n, t, 0]) <= y <= float(quantiles[n, t, 2])
            for k, level in enumerate(LEVELS):
                q = float(quantiles[n, t, k])
                loss = 2 * (level * (y - q) if y > q else (1 - level) * (q - y))
                pinball[k] += loss
                losses.append(loss)
                below[k] += y <= q
        if not errors:
            continue
        forecasts += 1
        smape.append(sum(relative) / len(relative))
        if math.isnan(scale[n]):
            undefined += 1
            continue
        mase.append(sum(errors) / len(errors) / scale[n])
        sql.append(sum(losses) / len(losses) / scale[n])

    def mean(values):
        return sum(values) / len(values) if values else NAN

    return {
        "forecasts": forecasts,
        "steps": steps,
        "undefined": undefined,
        "mase": mean(mase),
        "sql": mean(sql),
        "smape": mean(smape),
        "rmse": math.sqrt(mean(squares)) if squares else NAN,
        "bias": excess / magnitude if magnitude else NAN,
        "wql": mean([p / magnitude for p in pinball]) if magnitude else NAN,
        "coverage": tuple(b / steps for b in below) if steps else (NAN,) * len(LEVELS),
        "intervals": (inside / steps if steps else NAN,),
    }


@given(st.integers(0, 10_000))
def test_every_metric_equals_its_definition(seed):
    actual, median, quantiles, scale = example(seed)
    (figures,) = summarise(measure(actual, median, quantiles, LEVELS, scale))
    for name, expected in oracle(actual, median, quantiles, scale).items():
        assert getattr(figures, name) == pytest.approx(expected, nan_ok=True), name


@given(st.integers(0, 10_000))
def test_a_groups_figures_depend_on_its_own_forecasts_only(seed):
    actual, median, quantiles, scale = example(seed, n=12)
    losses = measure(actual, median, quantiles, LEVELS, scale)
    groups = np.random.default_rng(seed).integers(0, 4, 12)
    together = summarise(losses, groups, 5)
    for group in range(5):
        rows = np.flatnonzero(groups == group)
        (alone,) = summarise(losses.take(rows))
        for name in type(alone).__slots__:
            assert getattr(together[group], name) == pytest.approx(
                getattr(alone, name), nan_ok=True
            ), name


@given(st.integers(0, 10_000), st.integers(0, 12))
def test_sums_over_partitions_are_those_of_the_whole(seed, cut):
    actual, median, quantiles, scale = example(seed, n=12)
    losses = measure(actual, median, quantiles, LEVELS, scale)
    parts = [add_up(losses.take(rows)) for rows in np.split(np.arange(12), [cut])]
    (total,), (joined,) = summarise(losses), figures_of(parts[1] + parts[0])
    for name in type(total).__slots__:
        assert getattr(joined, name) == pytest.approx(getattr(total, name), nan_ok=True), name


def test_a_perfect_forecast_has_no_loss_and_covers_itself():
    actual = np.array([[1.0, 2.0, 3.0]])
    quantiles = np.repeat(actual[..., None], 3, axis=2)
    (figures,) = summarise(measure(actual, actual, quantiles, LEVELS, np.array([1.0])))
    assert (figures.mase, figures.wql, figures.sql, figures.rmse) == (0, 0, 0, 0)
    assert (figures.smape, figures.bias, figures.coverage) == (0, 0, (1, 1, 1))


def test_intervals_are_pairs_of_levels_around_the_median():
    nine = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    assert intervals_of(nine) == [(0, 8), (1, 7), (2, 6), (3, 5)]
    assert [interval_name(nine, interval) for interval in intervals_of(nine)] == [
        "80%",
        "60%",
        "40%",
        "20%",
    ]
    assert intervals_of((0.9, 0.5, 0.1, 0.3)) == [(2, 0)]
    assert intervals_of((0.5, 0.9)) == []


def test_an_actual_on_the_edge_of_an_interval_is_within():
    counts = np.array([[0.0, 0.0, 3.0, 9.0]])
    quantiles = np.broadcast_to([0.0, 1.0, 3.0], (1, 4, 3))
    (figures,) = summarise(measure(counts, quantiles[:, :, 1], quantiles, LEVELS, np.ones(1)))
    assert figures.coverage == (0.5, 0.5, 0.75)
    assert figures.intervals == (0.75,)


def test_levels_without_a_pair_have_no_intervals():
    quantiles = np.ones((2, 3, 1))
    (figures,) = summarise(measure(np.ones((2, 3)), np.ones((2, 3)), quantiles, (0.5,), np.ones(2)))
    assert figures.intervals == ()


def test_zeros_forecast_as_zeros_are_no_error():
    zeros = np.zeros((1, 4))
    (figures,) = summarise(measure(zeros, zeros, np.zeros((1, 4, 3)), LEVELS, np.array([NAN])))
    assert (figures.smape, figures.rmse, figures.undefined) == (0, 0, 1)
    assert math.isnan(figures.wql)
    assert math.isnan(figures.mase)
    assert math.isnan(figures.bias)


def test_steps_without_a_forecast_are_counted():
    actual = np.ones((2, 2))
    median = np.array([[1.0, NAN], [NAN, NAN]])
    quantiles = np.repeat(median[..., None], 3, axis=2)
    (figures,) = summarise(measure(actual, median, quantiles, LEVELS, np.ones(2)))
    assert (figures.forecasts, figures.steps, figures.missed) == (1, 1, 3)


def test_figures_without_any_forecast_are_undefined():
    empty = measure(np.empty((0, 3)), np.empty((0, 3)), np.empty((0, 3, 3)), LEVELS, np.empty(0))
    (figures,) = summarise(empty)
    assert figures.forecasts == 0
    assert math.isnan(figures.wql)


def slow_seasonal_error(series, season):
    changes = [
        abs(series[t] - series[t - season])
        for t in range(season, len(series))
        if math.isfinite(series[t]) and math.isfinite(series[t - season])
    ]
    total = sum(changes)
    return total / len(changes) if changes and total > 0 else NAN


@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from([0.0, 1.0, 2.5, -3.0, NAN]), max_size=12), st.integers(1, 5)
        ),
        max_size=6,
    )
)
def test_the_seasonal_error_is_the_mean_absolute_seasonal_difference(cases):
    values = np.array([v for series, _ in cases for v in series], np.float32)
    offsets = np.cumsum([0, *(len(series) for series, _ in cases)])
    seasons = np.array([season for _, season in cases], np.int64)
    errors = seasonal_error(values, offsets, seasons)
    assert errors.tolist() == pytest.approx(
        [slow_seasonal_error(series, season) for series, season in cases], nan_ok=True
    )


def test_skill_is_one_minus_the_geometric_mean_of_relative_errors():
    assert skill([1, 2], [2, 1]) == pytest.approx(0)
    assert skill([0.5, 0.5], [1, 1]) == pytest.approx(0.5)
    assert skill([1, NAN, 3], [2, 1, 0]) == pytest.approx(0.5)
    assert math.isnan(skill([1], [NAN]))


def test_a_single_relative_error_is_clipped():
    assert skill([0, 1], [1, 1]) == pytest.approx(1 - math.sqrt(0.01))
    assert skill([1e9, 1], [1, 1]) == pytest.approx(1 - math.sqrt(100))


def test_skills_are_cut_at_a_hundredfold():
    assert metric.CLIP == (0.01, 100)
