"""Quantile levels: tolerance, interpolation, extrapolation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigacast.errors import ConfigError, UnsupportedForecastError
from gigacast.forecasters import levels as levels_module
from gigacast.forecasters.levels import (
    LEVEL_TOLERANCE,
    check_levels,
    extrapolated_levels,
    find_level,
    has_levels_in_tails,
    interpolate_levels,
    mean_weights,
    normal_score,
    plan_levels,
    postprocess,
    round_half_up,
    same_level,
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
    edges = (0.1 - LEVEL_TOLERANCE, 0.9 + LEVEL_TOLERANCE)
    assert extrapolated_levels(edges, TENTHS) == ()
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


@pytest.mark.parametrize(
    ("levels", "base"),
    [
        ((0.05, 0.5), (0.1, 0.2, 0.5)),
        ((0.5, 0.95), (0.5, 0.8, 0.9)),
        ((0.05, 0.95), (0.1, 0.2, 0.8, 0.9)),
    ],
)
def test_each_tail_is_extrapolated_from_its_two_outermost_levels(levels, base):
    plan = plan_levels(levels, TENTHS, extrapolate=True)
    assert plan.base == base
    skewed = np.array([[0, 1, 2, 3, 4, 10, 20, 40, 80]], np.float32)
    below = 0 + (normal_score(0.05) - normal_score(0.2)) / (normal_score(0.1) - normal_score(0.2))
    above = 40 + 40 * (normal_score(0.95) - normal_score(0.8)) / (
        normal_score(0.9) - normal_score(0.8)
    )
    expected = {0.05: 1 - below, 0.5: 4, 0.95: above}
    assert plan.finish(skewed)[0] == pytest.approx([expected[n] for n in levels], abs=1e-4)


def test_two_trained_levels_are_enough_to_extrapolate_and_one_is_not():
    plan = plan_levels((0.05, 0.5), (0.25, 0.75), extrapolate=True)
    assert plan.base == (0.25, 0.5, 0.75)
    with pytest.raises(UnsupportedForecastError, match=r"0\.5 to 0\.5"):
        plan_levels((0.05, 0.5), (0.5,), extrapolate=True)


def test_levels_apart_by_the_tolerance_are_the_same():
    assert same_level(0.5, 0.5 + LEVEL_TOLERANCE / 2)
    assert same_level(0.5 + LEVEL_TOLERANCE / 2, 0.5)
    assert not same_level(0.5, 0.5 + 2 * LEVEL_TOLERANCE)
    assert not same_level(0.5 + 2 * LEVEL_TOLERANCE, 0.5)
    assert same_level(0.0, LEVEL_TOLERANCE)


@pytest.mark.parametrize("edge", [LEVEL_TOLERANCE, 1 - LEVEL_TOLERANCE])
def test_a_level_within_the_tolerance_of_an_end_is_refused(edge):
    with pytest.raises(ConfigError, match="strictly between"):
        check_levels((edge,))
    inner = edge + (LEVEL_TOLERANCE if edge < 0.5 else -LEVEL_TOLERANCE)
    check_levels((inner,))


def test_levels_closer_than_the_tolerance_are_not_distinct():
    with pytest.raises(ConfigError, match="distinct"):
        check_levels((0.5, 0.5 + LEVEL_TOLERANCE))
    check_levels((0.5, 0.5 + 3 * LEVEL_TOLERANCE))


def test_a_sorted_median_is_returned_without_extrapolation():
    plan = plan_levels((0.1, 0.9), TENTHS)
    assert plan.finish(np.arange(9, 0, -1, dtype=np.float32)[None]).tolist() == [[1, 9]]


def test_quantiles_are_sorted_and_neither_clipped_nor_rounded_unless_requested():
    raw = np.array([[2.5, -0.4, 1.0]], np.float32)
    assert postprocess(raw).tolist() == [[np.float32(-0.4), 1.0, 2.5]]
    assert postprocess(raw, non_negative=True).tolist() == [[0.0, 1.0, 2.5]]
    assert postprocess(raw, integer=True).tolist() == [[0.0, 1.0, 3.0]]
    assert raw.tolist() == [[2.5, np.float32(-0.4), 1.0]]


def test_halves_are_rounded_upwards_and_zero_has_no_sign():
    values = np.array([-1.5, -0.5, -0.2, 0.5, 1.5, 2.4, 8388609.0], np.float32)
    rounded = round_half_up(values)
    assert rounded.tolist() == [-1, 0, 0, 1, 2, 2, 8388609]
    assert not np.signbit(rounded[1:]).any()


def test_a_level_requested_within_a_tail_does_not_change_the_tail():
    skewed = np.array([[0, 1, 2, 3, 4, 10, 20, 40, 80]], np.float32)
    alone = plan_levels((0.05, 0.95), TENTHS, extrapolate=True).finish(skewed)[0]
    beside = plan_levels((0.05, 0.15, 0.85, 0.95), TENTHS, extrapolate=True).finish(skewed)[0]
    assert beside.tolist() == [alone[0], 0.5, 60.0, alone[1]]


@pytest.mark.parametrize(
    ("levels", "trained", "expected"),
    [
        ((0.05, 0.15), TENTHS, True),
        ((0.85, 0.95), TENTHS, True),
        ((0.05, 0.85), TENTHS, False),
        ((0.15, 0.95), TENTHS, False),
        ((0.05, 0.1, 0.2, 0.95), TENTHS, False),
        ((0.15, 0.85), TENTHS, False),
        ((0.05, 0.5), (0.25, 0.75), True),
        ((0.05, 0.5), (0.5,), False),
        ((0.05, 0.15), (), False),
    ],
)
def test_levels_within_a_tail_that_is_extrapolated_are_noticed(levels, trained, expected):
    assert has_levels_in_tails(levels, trained) == expected


def slow_mean(levels: tuple[float, ...], quantiles: list[float]) -> float:
    """The quantile function, summed over many levels."""
    scores = [normal_score(level) for level in levels]
    total, steps = 0.0, 20_000
    for n in range(steps):
        level = (n + 0.5) / steps
        if levels[0] <= level <= levels[-1]:
            total += float(np.interp(level, levels, quantiles))
            continue
        inner, outer = (1, 0) if level < levels[0] else (-2, -1)
        share = (normal_score(level) - scores[inner]) / (scores[outer] - scores[inner])
        total += quantiles[inner] + share * (quantiles[outer] - quantiles[inner])
    return total / steps


@pytest.mark.parametrize("levels", [(0.1, 0.3, 0.5, 0.9), (0.05, 0.5), (0.2, 0.4, 0.6, 0.7)])
def test_the_mean_is_that_of_the_distribution_which_quantiles_describe(levels):
    quantiles = [1.0, 4.0, 5.0, 11.0][: len(levels)]
    mean = float(np.array(quantiles) @ mean_weights(levels))
    assert mean == pytest.approx(slow_mean(levels, quantiles), abs=3e-3)


def test_means_add_up_and_are_the_median_of_it_alone():
    assert mean_weights((0.5,)).tolist() == [1.0]
    for levels in ((0.1, 0.9), (0.01, 0.5, 0.99), (0.3, 0.4, 0.45)):
        assert mean_weights(levels).sum() == pytest.approx(1)
    # Of a normal distribution, whatever its levels on either side.
    levels = (0.1, 0.25, 0.5, 0.75, 0.9)
    quantiles = 3 + 2 * np.array([normal_score(level) for level in levels])
    assert quantiles @ mean_weights(levels) == pytest.approx(3)


def test_levels_are_told_apart_from_a_millionth_on():
    assert levels_module.LEVEL_TOLERANCE == 1e-6
    assert levels_module.MEDIAN == 0.5
