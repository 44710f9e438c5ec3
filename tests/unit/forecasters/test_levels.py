"""Quantile levels: tolerance, interpolation, extrapolation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigacast.errors import ConfigError, UnsupportedForecastError
from gigacast.forecasters.levels import (
    check_levels,
    extrapolated_levels,
    find_level,
    interpolate_levels,
    normal_score,
    plan_levels,
    union_levels,
)

TENTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
UNEVEN = (0.01, 0.05, 0.1, 0.5, 0.95)


def test_a_level_is_found_despite_float_rounding():
    assert 0.1 + 0.2 != 0.3
    assert find_level(0.1 + 0.2, TENTHS) == 2


def test_levels_written_in_float32_are_found():
    assert [find_level(float(np.float32(level)), TENTHS) for level in TENTHS] == list(range(9))


def test_an_unknown_level_is_not_found():
    assert find_level(0.25, TENTHS) is None


def test_a_union_has_each_level_once_in_order():
    assert union_levels((0.1 + 0.2, 0.9), (0.3, 0.5)) == (0.3, 0.5, 0.9)


@pytest.mark.parametrize(
    ("levels", "complaint"),
    [
        ((), "at least one"),
        ((0.0, 0.5), "0.0"),
        ((0.5, 1.0), "1.0"),
        ((0.5, 0.4), "ascending"),
        ((0.3, 0.1 + 0.2), "distinct"),
        ((float("nan"),), "nan"),
    ],
)
def test_wrong_levels_are_refused_and_named(levels: tuple[float, ...], complaint: str):
    with pytest.raises(ConfigError, match=complaint):
        check_levels(levels)


def test_trained_levels_are_returned_unchanged():
    values = np.random.default_rng(0).normal(size=(2, 3, 9)).astype(np.float32)
    chosen = interpolate_levels(values, TENTHS, (0.1, 0.1 + 0.2, 0.9))
    assert np.array_equal(chosen, values[..., [0, 2, 8]])


def test_levels_between_trained_ones_are_interpolated_linearly():
    values = np.array([[0.0, 4.0, 10.0, 20.0, 100.0]], np.float32)
    assert interpolate_levels(values, UNEVEN, (0.03, 0.3, 0.5))[0] == pytest.approx([2, 15, 20])


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 0.95), min_size=1, max_size=5, unique=True).map(sorted))
def test_interpolation_equals_a_loop_over_numpys(levels: list[float]):
    values = np.random.default_rng(1).normal(size=(4, 5)).astype(np.float32)
    expected = [np.interp(levels, UNEVEN, row) for row in values]
    assert interpolate_levels(values, UNEVEN, tuple(levels)) == pytest.approx(
        np.array(expected), abs=1e-4
    )


def test_levels_outside_the_trained_range_are_refused_by_name():
    values = np.zeros((1, 9), np.float32)
    with pytest.raises(UnsupportedForecastError, match=r"0\.05, 0\.95 .* 0\.1 to 0\.9"):
        interpolate_levels(values, TENTHS, (0.05, 0.5, 0.95))
    with pytest.raises(UnsupportedForecastError, match="extrapolate_levels"):
        plan_levels((0.05, 0.5), TENTHS)


def test_extrapolated_levels_are_those_outside_the_trained_range():
    assert extrapolated_levels((0.05, 0.1, 0.5, 0.95), TENTHS) == (0.05, 0.95)
    assert extrapolated_levels((0.1 - 1e-9, 0.9 + 1e-9), TENTHS) == ()
    assert extrapolated_levels((0.001, 0.999), ()) == ()


def test_extrapolation_recovers_the_tails_of_a_normal_distribution():
    requested = (0.01, 0.5, 0.975)
    plan = plan_levels(requested, TENTHS, extrapolate=True)
    normal = np.array([[3 + 2 * normal_score(level) for level in plan.model_levels]], np.float32)
    expected = [3 + 2 * normal_score(level) for level in requested]
    assert plan.finish(normal)[0] == pytest.approx(expected, abs=1e-4)
    assert extrapolated_levels(plan.requested, plan.trained) == (0.01, 0.975)


def test_levels_within_the_trained_range_are_computed_from_no_further_level():
    plan = plan_levels((0.15, 0.5), TENTHS, extrapolate=True)
    assert plan.base == (0.15, 0.5)
    assert plan.model_levels == TENTHS


def test_crossing_quantiles_give_the_same_median_whatever_else_is_requested():
    crossing = np.array([[9, 8, 7, 6, 5, 4, 3, 2, 1]], np.float32)
    crossing[0, 4] = 20
    medians = [
        plan_levels(levels, TENTHS).finish(crossing)[0, levels.index(0.5)]
        for levels in ((0.5,), (0.1, 0.5), TENTHS)
    ]
    assert medians == [6, 6, 6]


def test_a_model_without_trained_levels_computes_the_requested_ones():
    plan = plan_levels((0.001, 0.999), ())
    assert plan.model_levels == (0.001, 0.999)
    raw = np.array([[2, 1]], np.float32)
    assert plan.finish(raw).tolist() == [[2, 1]]
