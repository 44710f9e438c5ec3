"""Ranking of features by their dependence on a target, and selection of the best.

Callers pass rows of the training part only, with the target shifted from the future into each row.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from gigacast.core.array import DoubleArray, IntArray
from gigacast.errors import ConfigError

LEAST_ROWS = 3
"""Rows that a score needs: any two points are on a line, which would be a perfect correlation."""

_MAX_BINS = 32
"""Maximum bins of a column in the joint histogram of two columns."""


@dataclass(frozen=True, slots=True)
class Rank:
    """A feature, its score, and the number of rows the score is from."""

    name: str
    score: float
    rows: int


def pearson(x: DoubleArray, y: DoubleArray) -> float:
    """Return the absolute value of Pearson's correlation, 0 to 1; 0 if either does not vary."""
    if len(x) < LEAST_ROWS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    x, y = x - x.mean(), y - y.mean()
    # Scaled before squaring, so that very large and very small values do not over- or underflow.
    x, y = x / np.abs(x).max(), y / np.abs(y).max()
    return float(min(1.0, abs((x * y).sum()) / np.sqrt((x**2).sum() * (y**2).sum())))


def spearman(x: DoubleArray, y: DoubleArray) -> float:
    """Return the absolute value of the rank correlation, 0 to 1: for monotonic dependence."""
    return pearson(_ranks(x), _ranks(y))


def mutual_information(x: DoubleArray, y: DoubleArray) -> float:
    """Return the mutual information in nats, for any dependence; 0 for none.

    Both are binned at their quantiles, with as many bins as the cube root of the rows. The bias of
    the plug-in estimate is subtracted (Miller 1955); negative results are 0.
    """
    if len(x) < LEAST_ROWS:
        return 0.0
    # The cube root of the rows: more bins would find dependence in noise, fewer would miss it.
    bins = int(np.clip(round(len(x) ** (1 / 3)), 2, _MAX_BINS))
    joint = np.bincount(
        _binned(x, bins) * (bins + 1) + _binned(y, bins), minlength=(bins + 1) ** 2
    ).astype(np.float64)
    joint = joint.reshape(bins + 1, bins + 1) / len(x)
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    filled = joint > 0
    expected = rows[:, None] * columns
    estimate = float((joint[filled] * np.log(joint[filled] / expected[filled])).sum())
    # Miller and Madow's correction: without it independent columns seem dependent in small samples.
    bias = (filled.sum() - (rows > 0).sum() - (columns > 0).sum() + 1) / (2 * len(x))
    return max(0.0, estimate - float(bias))


MEASURES: dict[str, Callable[[DoubleArray, DoubleArray], float]] = {
    "pearson": pearson,
    "spearman": spearman,
    "mutual_information": mutual_information,
}


def rank_features(
    features: Mapping[str, DoubleArray], target: DoubleArray, measure: str = "mutual_information"
) -> list[Rank]:
    """Return the ranks of features by their dependence on a target, best first.

    Parameters
    ----------
    features : mapping of str to float64 [R]
        Features; a missing value leaves the row out for this feature.
    target : float64 [R]
    measure : {"mutual_information", "pearson", "spearman"}

    Raises
    ------
    ConfigError
        If there is no such measure.
    """
    if measure not in MEASURES:
        raise ConfigError(f"{measure!r} is none of {', '.join(MEASURES)}")
    ranks = []
    for name, values in features.items():
        both = ~(np.isnan(values) | np.isnan(target))
        score = MEASURES[measure](values[both], target[both])
        ranks.append(Rank(name, score, int(both.sum())))
    return sorted(ranks, key=lambda rank: (-rank.score, rank.name))


def select_features(
    features: Mapping[str, DoubleArray],
    ranks: list[Rank],
    count: int | None = None,
    most_alike: float = 0.95,
) -> list[str]:
    """Return the best features, without those that are nearly the same as a better feature.

    Parameters
    ----------
    features : mapping of str to float64 [R]
    ranks : list of Rank
        Ranks of these features, best first.
    count : int, optional
        Maximum number of features; no limit by default.
    most_alike : float
        Rank correlation with a chosen feature above which a feature is left out; 1 keeps all.
    """
    chosen: list[str] = []
    for rank in ranks:
        if count is not None and len(chosen) >= count:
            break
        if rank.score > 0 and not any(
            _alike(features[rank.name], features[name]) > most_alike for name in chosen
        ):
            chosen.append(rank.name)
    return chosen


def _alike(x: DoubleArray, y: DoubleArray) -> float:
    both = ~(np.isnan(x) | np.isnan(y))
    return spearman(x[both], y[both])


def _ranks(values: DoubleArray) -> DoubleArray:
    """Return ranks from 0; equal values have the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean: DoubleArray = (last - counts + last - 1) / 2
    return mean[place]


def _binned(values: DoubleArray, bins: int) -> IntArray:
    # Quantiles of repeated values coincide; fewer bins remain.
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.searchsorted(edges, values, side="right").astype(np.int64)
