"""Which features say something: known answers, and what is said twice is left out."""

import numpy as np
import pytest

from gigacast.errors import ConfigError
from gigacast.feature_sets.kernel.ranking import (
    MEASURES,
    mutual_information,
    pearson,
    rank_features,
    select_features,
    spearman,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=4000)
NOISE = RNG.normal(size=4000)


def test_each_measure_detects_the_dependence_it_is_made_for() -> None:
    assert pearson(X, 3 * X + 1) == pytest.approx(1)
    assert pearson(X, -X) == pytest.approx(1)
    assert spearman(X, np.exp(X)) == pytest.approx(1)
    assert pearson(X, np.exp(X)) < 0.9
    assert mutual_information(X, X**2) > 0.5
    assert spearman(X, X**2) < 0.1
    for measure in MEASURES.values():
        assert measure(X, NOISE) < 0.05
        assert measure(X, np.ones(4000)) == 0
        assert measure(X[:2], X[:2]) == 0


def test_mutual_information_of_a_known_joint_is_found() -> None:
    # Two normal variables of correlation r share -ln(1 - r^2) / 2 nats.
    y = 0.8 * X + 0.6 * NOISE
    assert mutual_information(X, y) == pytest.approx(-np.log(1 - 0.64) / 2, rel=0.1)


def test_ties_share_a_rank() -> None:
    slow = [0, 1.5, 1.5, 3]
    x = np.array([1.0, 2.0, 2.0, 9.0])
    expected = abs(np.corrcoef(slow, [0, 1, 2, 3])[0, 1])
    assert spearman(x, np.arange(4.0)) == pytest.approx(expected)


@pytest.mark.parametrize("measure", MEASURES)
def test_features_are_ranked_by_their_dependence_on_the_target(measure: str) -> None:
    target = X + 0.1 * NOISE
    features = {"noise": NOISE, "weak": X + 2 * RNG.normal(size=4000), "strong": X}
    ranks = rank_features(features, target, measure)
    assert [rank.name for rank in ranks][:2] == ["strong", "weak"]
    assert all(rank.rows == 4000 for rank in ranks)


def test_rows_without_a_value_do_not_count() -> None:
    holes = np.where(np.arange(4000) % 2 == 0, np.nan, X)
    (rank,) = rank_features({"x": holes}, X, "pearson")
    assert (rank.rows, rank.score) == (2000, pytest.approx(1))


def test_a_feature_that_nearly_equals_a_better_one_is_left_out() -> None:
    target = X + 0.1 * NOISE
    features = {"x": X, "double": 2 * X + 1e-6 * NOISE, "noisy": X + NOISE, "flat": X * 0}
    ranks = rank_features(features, target, "spearman")
    assert select_features(features, ranks) in (["x", "noisy"], ["double", "noisy"])
    assert len(select_features(features, ranks, most_alike=1.0)) == 3
    assert len(select_features(features, ranks, count=1)) == 1


def test_an_unknown_measure_is_refused() -> None:
    with pytest.raises(ConfigError, match="none of pearson, spearman, mutual_information"):
        rank_features({}, X, "chance")
