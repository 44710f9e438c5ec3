"""Scores and kinds of anomalies, against slow loops and laws."""

import itertools
import math
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigacast.anomalies import kernel
from gigacast.anomalies.kernel import (
    MAX_SCORE,
    Compared,
    History,
    Kind,
    Limits,
    central_share,
    describe_history,
    find_anomalies,
    run_lengths,
    score_values,
)

LEVELS = (0.1, 0.5, 0.9)
STEPS = 16
USUAL = History(np.array([1]), np.array([1.0]), np.array([0.0]))


def compared(actual: Any, width: float = 1.0) -> Compared:
    """Return values beside a forecast of 10 whose 80% interval is ``width`` wide on each side."""
    y = np.asarray(actual, np.float64)[None]
    median = np.full(y.shape, 10.0)
    return Compared(y, median, median[..., None] + np.array([-width, 0, width]), LEVELS)


def wave(count: int = STEPS) -> np.ndarray[Any, Any]:
    return 10 + 0.5 * np.sin(np.arange(count) * 1.3)


def kinds(actual: Any, history: History = USUAL) -> list[int]:
    return find_anomalies(compared(actual), history).kind[0].tolist()


def test_the_border_of_an_interval_has_the_deviations_of_its_level() -> None:
    z = NormalDist().inv_cdf(0.9)
    scores = score_values(compared([11.0, 9.0, 10.0, 12.0, np.nan]))[0]
    assert scores[:4] == pytest.approx([z, -z, 0.0, 2 * z])
    assert math.isnan(scores[4])


def test_each_side_has_its_own_deviation() -> None:
    y = np.array([[12.0, 8.0]])
    median = np.full((1, 2), 10.0)
    quantiles = np.broadcast_to(np.array([6.0, 10.0, 11.0]), (1, 2, 3))
    above, below = score_values(Compared(y, median, quantiles, LEVELS))[0]
    assert above / -below == pytest.approx(4)


def test_a_forecast_without_doubt_gives_the_largest_score_and_rounding_none() -> None:
    zeros = np.zeros((1, 3))
    quantiles = np.zeros((1, 3, 3))
    dead = Compared(np.array([[0.0, 1e-9, -2.0]]), zeros, quantiles, LEVELS)
    assert score_values(dead)[0].tolist() == [0.0, MAX_SCORE, -MAX_SCORE]
    assert not np.any(kinds(np.full(4, 10 + 1e-6)))
    assert abs(score_values(compared([10 + 1e-6], width=0.0))[0, 0]) < 1e-3


def test_the_least_deviation_is_a_share_of_the_distance_from_a_base() -> None:
    near = compared([10.02, 9.97, 10.0], width=0.0)
    level = 1.7e9
    far = Compared(
        near.actual + level, near.median + level, near.quantiles + level, LEVELS, np.array([level])
    )
    np.testing.assert_allclose(score_values(near), [[2, -3, 0]], rtol=1e-6)
    np.testing.assert_allclose(score_values(far), score_values(near), rtol=1e-4)
    assert np.abs(score_values(replace(far, bases=None))).max() < 1e-4


def test_a_value_far_from_its_forecast_is_a_spike() -> None:
    actual = wave()
    actual[5] = 30
    assert kinds(actual) == [Kind.SPIKE if n == 5 else 0 for n in range(STEPS)]


def test_several_on_one_side_are_a_level_shift_and_on_both_sides_spikes() -> None:
    shifted = wave()
    shifted[8:] += 8
    assert kinds(shifted) == [0] * 8 + [Kind.LEVEL_SHIFT] * 8
    torn = wave()
    torn[8:] += np.where(np.arange(8) % 2, 8, -8)
    assert kinds(torn) == [0] * 8 + [Kind.SPIKE] * 8


def test_sudden_zeros_have_a_name_and_usual_ones_are_judged_as_other_values() -> None:
    actual = wave()
    actual[4:7] = 0
    assert kinds(actual)[4:7] == [Kind.ZEROS] * 3
    often = History(np.array([9]), np.array([1.0]), np.array([0.5]))
    assert kinds(actual, often)[4:7] == [Kind.SPIKE] * 3


def test_a_stuck_sensor_is_found_within_the_band() -> None:
    actual = wave()
    actual[6:13] = 10.25
    anomalies = find_anomalies(compared(actual), USUAL)
    assert anomalies.kind[0].tolist() == [0] * 6 + [Kind.STUCK] * 7 + [0] * 3
    assert anomalies.run[0, 6:13].tolist() == [7] * 7


def test_equal_values_are_nothing_unusual_for_a_series_that_has_many() -> None:
    patient = History(np.array([4]), np.array([1.0]), np.array([0.0]))
    actual = wave()
    actual[6:13] = 10.25
    assert not any(kinds(actual, patient))
    assert not any(kinds(actual, History.unknown(1)))


def test_a_sensor_that_hardly_moves_is_flat() -> None:
    actual = wave()
    actual[4:14] = 10.2 + 0.01 * (np.arange(10) % 2)
    marks = kinds(actual)
    assert marks[4:14] == [Kind.FLAT] * 10
    assert not any(marks[:4])


def test_a_missing_value_is_no_anomaly_and_ends_a_run() -> None:
    actual = wave()
    actual[2:12] += 8
    actual[6] = np.nan
    anomalies = find_anomalies(compared(actual), USUAL)
    assert anomalies.kind[0, 6] == 0
    assert anomalies.run[0, 2:12].tolist() == [4, 4, 4, 4, 0, 5, 5, 5, 5, 5]


def test_a_wider_band_holds_what_a_narrower_one_does() -> None:
    rng = np.random.default_rng(1)
    values = compared(10 + rng.normal(0, 2, 200))
    narrow, wide = (
        find_anomalies(values, USUAL, Limits(level=level)).kind > 0 for level in (0.9, 0.999)
    )
    assert wide.sum() < narrow.sum()
    assert not (wide & ~narrow).any()


values = st.lists(
    st.one_of(st.sampled_from([0.0, 5.0, 10.0, math.nan]), st.floats(-100, 100)),
    min_size=1,
    max_size=24,
)


def slow_runs(row: list[float]) -> list[int]:
    lengths = []
    for place, value in enumerate(row):
        start = end = place
        while start and row[start - 1] == value:
            start -= 1
        while end + 1 < len(row) and row[end + 1] == value:
            end += 1
        lengths.append(0 if math.isnan(value) else end - start + 1)
    return lengths


@given(rows=st.lists(values, min_size=1, max_size=4))
def test_runs_are_those_of_a_slow_count(rows: list[list[float]]) -> None:
    width = min(map(len, rows))
    matrix = np.array([row[:width] for row in rows])
    assert run_lengths(matrix).tolist() == [slow_runs(row[:width]) for row in rows]


@given(rows=st.lists(values, min_size=1, max_size=4))
def test_histories_are_those_of_a_slow_count(rows: list[list[float]]) -> None:
    offsets = np.cumsum([0, *map(len, rows)])
    history = describe_history(np.concatenate([np.array(row) for row in rows]), offsets)
    for n, row in enumerate(rows):
        present = [v for v in row if not math.isnan(v)]
        changes = [abs(b - a) for a, b in itertools.pairwise(row)]
        changes = [change for change in changes if not math.isnan(change)]
        assert history.repeats[n] == max(slow_runs(row), default=0)
        expected = sum(changes) / len(changes) if changes else math.nan
        assert history.change[n] == pytest.approx(expected, nan_ok=True)
        share = present.count(0.0) / len(present) if present else math.nan
        assert history.zeros[n] == pytest.approx(share, nan_ok=True)


def random_series(seed: int, count: int = 6) -> tuple[Compared, History]:
    rng = np.random.default_rng(seed)
    actual = np.round(rng.normal(10, 3, (count, STEPS)), 1)
    actual[rng.random(actual.shape) < 0.1] = 0
    actual[0, 4:12] = actual[0, 4]
    actual[rng.random(actual.shape) < 0.05] = np.nan
    median = rng.normal(10, 1, (count, STEPS))
    spread = np.sort(rng.normal(0, 1, (count, STEPS, 3)), axis=2)
    past = rng.normal(10, 3, count * 30)
    return (
        Compared(actual, median, median[..., None] + spread, LEVELS),
        describe_history(past, np.arange(count + 1) * 30),
    )


@given(seed=st.integers(0, 10_000), order=st.permutations(range(6)))
@settings(max_examples=40)
def test_the_order_of_series_changes_nothing(seed: int, order: list[int]) -> None:
    series, history = random_series(seed)
    ordered = find_anomalies(series, history)
    shuffled = find_anomalies(
        Compared(series.actual[order], series.median[order], series.quantiles[order], LEVELS),
        History(history.repeats[order], history.change[order], history.zeros[order]),
    )
    for name in ("score", "kind", "run"):
        np.testing.assert_array_equal(getattr(ordered, name)[order], getattr(shuffled, name))


@given(seed=st.integers(0, 10_000), power=st.integers(-30, 30))
@settings(max_examples=40)
def test_a_series_in_other_units_has_the_same_anomalies(seed: int, power: int) -> None:
    series, history = random_series(seed)
    factor = 2.0**power
    scaled = find_anomalies(
        Compared(series.actual * factor, series.median * factor, series.quantiles * factor, LEVELS),
        History(history.repeats, history.change * factor, history.zeros),
    )
    own = find_anomalies(series, history)
    for name in ("score", "kind", "run"):
        np.testing.assert_array_equal(getattr(own, name), getattr(scaled, name))


@given(st.floats(-8, 8))
def test_the_share_nearer_to_the_median_is_that_of_a_normal_distribution(score: float) -> None:
    expected = math.erf(abs(score) / math.sqrt(2))
    assert central_share(np.array([score]))[0] == pytest.approx(expected, abs=2e-7)


def test_dust_around_a_history_of_zeros_is_no_anomaly_and_a_sale_is_one() -> None:
    actual = np.array([[0.0, 0.0, 5.0, 0.0]])
    median = np.full((1, 4), 2e-7)
    quantiles = np.stack([median - 1e-8, median, median + 1e-8], axis=2)
    compared = Compared(actual, median, quantiles, (0.1, 0.5, 0.9))
    zeros = History(np.array([60]), np.array([0.0]), np.array([1.0]))
    assert find_anomalies(compared, zeros).kind[0].tolist() == [0, 0, Kind.SPIKE, 0]
    # Values that are small by nature are not dust.
    small = History(np.array([1]), np.array([1e-7]), np.array([0.0]))
    assert find_anomalies(compared, small).is_anomaly.all()


@pytest.mark.parametrize(("count", "expected"), [(5, 0), (6, Kind.STUCK)])
def test_a_sensor_is_stuck_from_the_limit_on(count: int, expected: int) -> None:
    actual = wave()
    actual[4 : 4 + count] = 10.25
    assert Limits().stuck_steps == 6
    assert kinds(actual) == [0] * 4 + [expected] * count + [0] * (STEPS - 4 - count)


def test_the_numbers_that_decide_a_score_stay_what_they_are() -> None:
    assert kernel.MAX_SCORE == 100
    assert (kernel._LEAST_DEVIATION, kernel._LEAST_OF_CONSTANT) == (0.001, 0.001)
    assert (kernel._RARE, kernel._FLAT) == (0.05, 0.1)


def test_kinds_have_the_names_and_numbers_of_the_dataset() -> None:
    assert {kind.label: int(kind) for kind in Kind} == {
        "spike": 1,
        "level_shift": 2,
        "zeros": 3,
        "stuck": 4,
        "flat": 5,
    }
