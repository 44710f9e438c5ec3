"""The choice of a model or mixture for each unit."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gigacast.core.array import DoubleArray, FloatArray
from gigacast.selection import decision
from gigacast.selection.decision import (
    LEAST_WEIGHT,
    ROUNDS,
    Decision,
    Evidence,
    Forecasts,
    Rules,
    check_ahead,
    decide,
)

LEVELS = (0.1, 0.5, 0.9)


def rows_of(units: int, series: int, origins: int) -> dict[str, Any]:
    """Units of some series each, and origins of each series."""
    unit, number, origin = np.meshgrid(
        np.arange(units), np.arange(series), np.arange(origins), indexing="ij"
    )
    return {
        "unit": unit.ravel(),
        "series": (unit * series + number).ravel(),
        "origin": origin.ravel() * 7,
        "units": units,
    }


def losses(rows: dict[str, Any], means: list[list[float]], noise: float, seed: int = 0) -> Evidence:
    """Losses of models whose means in each unit are given, [M][U]; the noise is shared."""
    rng = np.random.default_rng(seed)
    shared = 1 + rng.random(len(rows["unit"]))
    own = noise * rng.normal(size=(len(means), len(rows["unit"])))
    return Evidence(np.array(means)[:, rows["unit"]] * shared + own, **rows)


def by_hand(evidence: Evidence, rules: Rules) -> tuple[int, list[int]]:
    """The slow obvious oracle of the best model of each unit."""
    models = range(len(evidence.loss))
    single = min(models, key=lambda m: np.mean(evidence.loss[m]))
    chosen = []
    for unit in range(evidence.units):
        rows = np.flatnonzero(evidence.unit == unit)
        best = min(models, key=lambda m: np.mean(evidence.loss[m, rows]))
        gain = evidence.loss[single, rows] - evidence.loss[best, rows]
        names = set(evidence.series[rows].tolist())
        if len(names) > 1:
            gain = np.array([gain[evidence.series[rows] == name].mean() for name in sorted(names)])
        windows = max(int((evidence.series[rows] == name).sum()) for name in names)
        error = np.std(gain, ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.inf
        enough = windows >= rules.least_windows and len(gain) > 1
        is_better = enough and gain.mean() > 0 and gain.mean() > rules.margin * error
        chosen.append(best if is_better else single)
    return single, chosen


@pytest.mark.parametrize(("series", "origins"), [(1, 4), (5, 3), (2, 1)])
@pytest.mark.parametrize("margin", [0.0, 1.0, 3.0])
def test_the_best_model_of_each_unit_is_that_of_a_plain_loop(
    series: int, origins: int, margin: float
) -> None:
    rng = np.random.default_rng(1)
    means = rng.uniform(0.8, 1.2, (3, 20)).tolist()
    evidence = losses(rows_of(20, series, origins), means, 0.2)
    for least in (1, 3):
        rules = Rules(margin=margin, least_windows=least)
        decision = decide(evidence, rules)
        single, chosen = by_hand(evidence, rules)
        assert decision.single == single
        assert decision.weights.argmax(axis=1).tolist() == chosen
        assert decision.is_own.tolist() == [model != single for model in chosen]


def test_a_choice_does_not_depend_on_the_order_of_rows_or_on_other_units() -> None:
    means = [[1.0, 0.5, 1.0], [0.6, 1.0, 0.9]]
    evidence = losses(rows_of(3, 4, 4), means, 0.05)
    decided = decide(evidence, Rules())
    order = np.random.default_rng(3).permutation(len(evidence.unit))
    np.testing.assert_array_equal(decide(evidence.take(order), Rules()).weights, decided.weights)


@pytest.mark.parametrize("origins", [1, 2])
def test_thin_evidence_gets_the_best_model_overall(origins: int) -> None:
    evidence = losses(rows_of(2, 1, origins), [[1.0, 0.2], [0.5, 0.9]], 0.01)
    decision = decide(evidence, Rules(least_windows=3))
    assert not decision.is_own.any()
    assert (decision.weights == decision.whole).all()


def test_noise_alone_seldom_moves_a_series_off_the_best_model() -> None:
    # Two equally good models: by chance one is better on each series.
    evidence = losses(rows_of(400, 1, 4), [[1.0] * 400, [1.0] * 400], 0.3)
    share = {
        margin: decide(evidence, Rules(margin=margin)).is_own.mean() for margin in (0.0, 1.0, 3.0)
    }
    assert share[0.0] > 0.4
    assert share[1.0] < 0.25
    assert share[3.0] < 0.05


def test_a_choice_is_checked_at_origins_that_it_has_not_seen() -> None:
    evidence = losses(rows_of(30, 1, 5), [[1.0] * 15 + [0.5] * 15, [0.5] * 15 + [1.0] * 15], 0.02)
    checked = check_ahead(evidence, Rules())
    assert checked is not None
    latest = evidence.take(np.flatnonzero(evidence.origin == 28))
    np.testing.assert_allclose(checked[0], latest.loss.mean(axis=1))
    # The right model of each unit.
    assert checked[1] == pytest.approx(latest.loss.min(axis=0).mean())
    assert check_ahead(losses(rows_of(3, 1, 1), [[1.0] * 3, [0.5] * 3], 0.0), Rules()) is None


# -- ensembles -------------------------------------------------------------------------------------


def forecasts(biases: list[list[float]], rows: dict[str, Any], seed: int = 0) -> Evidence:
    """Models that are off by their bias in each unit, [M][U], and alike in all else."""
    rng = np.random.default_rng(seed)
    actuals = rng.normal(0, 1, (len(rows["unit"]), 4)).astype(np.float32)
    actuals[0, 2] = np.nan
    spread = np.array([-1.3, 0, 1.3], np.float32)
    shift = np.array(biases, np.float32)[:, rows["unit"]]
    noise = 0.05 * rng.normal(size=(*shift.shape, 4, 1)).astype(np.float32)
    quantiles = shift[..., None, None] + noise + spread
    forecast = Forecasts(quantiles, actuals, LEVELS, np.full(len(actuals), 1 / 12))
    return Evidence(np.stack([forecast.loss_of(q) for q in quantiles]), **rows, forecasts=forecast)


def pinball(actual: float, quantiles: FloatArray) -> float:
    return sum(
        2 * abs((actual - q) * (float(actual <= q) - level))
        for q, level in zip(quantiles, LEVELS, strict=True)
    )


def test_the_loss_of_a_mixture_is_that_of_a_plain_loop() -> None:
    rows = rows_of(2, 2, 2)
    evidence = forecasts([[0.0, 1.0], [0.5, -1.0]], rows)
    weights = np.array([[0.3, 0.7], [1.0, 0.0]])
    mixture_loss = evidence.loss_by(weights)
    forecast = evidence.forecasts
    assert forecast is not None
    for row, unit in enumerate(evidence.unit):
        mixed = np.sort(np.tensordot(weights[unit], forecast.quantiles[:, row], 1), axis=-1)
        steps = [t for t in range(4) if np.isfinite(forecast.actuals[row, t])]
        expected = sum(pinball(float(forecast.actuals[row, t]), mixed[t]) for t in steps) / 12
        assert mixture_loss[row] == pytest.approx(expected, rel=1e-5)


def greedy_by_hand(evidence: Evidence) -> DoubleArray:
    """Caruana's selection with replacement, one unit, by a plain loop."""
    forecast = evidence.forecasts
    assert forecast is not None
    members: list[int] = []
    best, lowest = [], np.inf
    for _ in range(ROUNDS):
        reached = []
        for model in range(len(evidence.loss)):
            mean = forecast.quantiles[[*members, model]].mean(axis=0)
            reached.append(forecast.loss_of(mean).mean())
        members.append(int(np.argmin(reached)))
        if min(reached) < lowest * (1 - 1e-6):
            best, lowest = list(members), min(reached)
    return np.bincount(best, minlength=len(evidence.loss)) / len(best)


def ensemble(rows: Evidence, **rules: Any) -> Decision:
    return decide(rows, Rules(method="ensemble", **rules))


def test_weights_of_the_whole_are_those_of_a_plain_loop() -> None:
    evidence = forecasts([[0.8], [-0.6], [2.5]], rows_of(1, 12, 3))
    decision = ensemble(evidence)
    expected = greedy_by_hand(evidence)
    np.testing.assert_allclose(decision.whole, expected, atol=1e-4)
    assert 0.3 < decision.whole[0] < 0.6
    assert decision.whole[2] == 0
    assert decision.weights.tolist() == [decision.whole.tolist()]


def test_greedy_weights_are_shares_of_whole_rounds_and_a_perfect_member_has_all() -> None:
    evidence = forecasts([[0.7, 0.0], [-0.6, 2.0], [0.1, 3.0]], rows_of(2, 7, 3))
    weights = decision._greedy(evidence)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-12)
    assert weights[1].tolist() == [1, 0, 0]


def test_weights_of_a_segment_are_drawn_to_the_whole_by_its_number_of_series() -> None:
    rows = rows_of(2, 10, 4)
    evidence = forecasts([[0.0, 1.2], [1.2, 0.0]], rows)
    own = ensemble(evidence, evidence=0.0)
    assert own.is_own.all()
    assert own.weights[0, 0] > 0.85
    assert own.weights[1, 1] > 0.85
    halfway = ensemble(evidence, evidence=10.0)
    np.testing.assert_allclose(halfway.weights, (own.weights + own.whole) / 2, atol=0.02)
    assert (ensemble(evidence, evidence=1e9).weights == own.whole).all()
    # Few windows, or a margin that nothing reaches.
    for rules in ({"least_windows": 5}, {"margin": 1e6}):
        assert not ensemble(evidence, evidence=0.0, **rules).is_own.any()


def test_a_mixture_that_is_no_better_gives_way_to_the_best_model() -> None:
    evidence = forecasts([[0.0], [0.0]], rows_of(1, 2, 2))
    assert sorted(ensemble(evidence, margin=3.0).whole) == [0, 1]


def test_weights_have_four_digits_and_add_up_to_one() -> None:
    evidence = forecasts([[0.7, 0.5, 0.1], [-0.6, -0.5, 1], [0.1, 3, 0]], rows_of(3, 7, 3))
    weights = ensemble(evidence, evidence=3.0, margin=0.0).weights
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-9)
    np.testing.assert_array_equal(weights, np.round(weights, 4))
    assert weights[weights > 0].min() >= LEAST_WEIGHT


def test_a_mixture_that_helps_only_where_it_was_found_gives_way_to_the_best_model() -> None:
    # Each model is right for one half of the series, so that a half says nothing of the other.
    evidence = forecasts([[0.0, 1.2] * 10, [1.2, 0.0] * 10], rows_of(20, 1, 3))
    evidence = replace(evidence, unit=np.zeros_like(evidence.unit), units=1)
    assert sorted(ensemble(evidence).whole) == [0, 1]


def test_the_numbers_that_decide_a_choice_stay_what_they_are():
    assert (decision.ROUNDS, decision.LEAST_WEIGHT) == (16, 0.03)


def test_small_weights_are_left_out_and_digits_go_to_the_largest():
    weights = np.array([[0.03, 0.97, 0.0], [0.029, 0.5, 0.471], [1 / 3, 1 / 3, 1 / 3]])
    rounded = decision._rounded(weights)
    np.testing.assert_array_equal(
        rounded, [[0.03, 0.97, 0], [0, 0.5149, 0.4851], [0.3334, 0.3333, 0.3333]]
    )


def test_weights_are_drawn_by_the_number_of_clusters():
    rows = rows_of(2, 3, 2)
    evidence = Evidence(np.zeros((2, 12)), **rows)
    own, whole = np.array([[1.0, 0.0], [np.nan, np.nan]]), np.array([0.5, 0.5])
    for strength in (0.0, 1.0, 6.0):
        drawn = decision._drawn_to(whole, own, evidence, Rules(evidence=strength))
        trust = 3 / (3 + strength)
        expected = np.round([[trust + (1 - trust) / 2, (1 - trust) / 2], [0.5, 0.5]], 4)
        np.testing.assert_allclose(drawn, np.where(expected < LEAST_WEIGHT, 0, expected), atol=1e-4)


def test_halves_are_of_the_series_of_a_unit_or_of_its_origins():
    several = Evidence(np.zeros((1, 12)), **rows_of(1, 4, 3))
    assert decision._halves(several).tolist() == [0] * 3 + [1] * 3 + [0] * 3 + [1] * 3
    single = Evidence(np.zeros((1, 8)), **rows_of(2, 1, 4))
    assert decision._halves(single).tolist() == [0, 1, 0, 1] * 2
    assert decision._windows(several).tolist() == [3]
    assert decision._windows(single).tolist() == [4, 4]
    units, clusters = decision._pairs(several)
    assert (units.tolist(), clusters.tolist()) == ([0] * 4, [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3)
    units, clusters = decision._pairs(single)
    assert (units.tolist(), clusters.tolist()) == ([0] * 4 + [1] * 4, [*range(8)])


def test_groups_without_a_value_have_no_mean():
    mean = decision._mean(np.array([1.0, 3.0, 8.0]), np.array([0, 0, 2]), 4)
    np.testing.assert_array_equal(mean, [2, np.nan, 8, np.nan])
