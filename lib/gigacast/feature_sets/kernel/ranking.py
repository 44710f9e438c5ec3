"""How much features say of a target, and which to keep.

To be given rows of the training part only, with the target shifted from the future into the row.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from gigacast.core.array import DoubleArray, IntArray
from gigacast.errors import ConfigError

LEAST_ROWS = 3
_MOST_BINS = 32


@dataclass(frozen=True, slots=True)
class Rank:
    """One feature: how much it says, and on how many rows that was found."""

    name: str
    score: float
    rows: int


def pearson(x: DoubleArray, y: DoubleArray) -> float:
    """Return the size of Pearson's correlation, 0 to 1; 0 where one does not vary."""
    if len(x) < LEAST_ROWS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    x, y = x - x.mean(), y - y.mean()
    x, y = x / np.abs(x).max(), y / np.abs(y).max()
    return float(min(1.0, abs((x * y).sum()) / np.sqrt((x**2).sum() * (y**2).sum())))


def spearman(x: DoubleArray, y: DoubleArray) -> float:
    """Return the size of the correlation of ranks, 0 to 1: of anything monotonic."""
    return pearson(_ranks(x), _ranks(y))


def mutual_information(x: DoubleArray, y: DoubleArray) -> float:
    """Return the mutual information in nats: of any dependence; 0 for none.

    Both are cut at their quantiles into bins, as many as the cube root of the rows; of the plug-in
    estimate its bias is taken off (Miller 1955). What is left below zero is zero.
    """
    if len(x) < LEAST_ROWS:
        return 0.0
    bins = int(np.clip(round(len(x) ** (1 / 3)), 2, _MOST_BINS))
    one, other = _binned(x, bins), _binned(y, bins)
    joint = np.bincount(one * (bins + 1) + other, minlength=(bins + 1) ** 2).astype(np.float64)
    joint = joint.reshape(bins + 1, bins + 1) / len(x)
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    some = joint > 0
    expected = rows[:, None] * columns
    plain = float((joint[some] * np.log(joint[some] / expected[some])).sum())
    excess = (some.sum() - (rows > 0).sum() - (columns > 0).sum() + 1) / (2 * len(x))
    return max(0.0, plain - float(excess))


MEASURES: dict[str, Callable[[DoubleArray, DoubleArray], float]] = {
    "pearson": pearson,
    "spearman": spearman,
    "mutual_information": mutual_information,
}


def rank_features(
    features: Mapping[str, DoubleArray], target: DoubleArray, measure: str = "mutual_information"
) -> list[Rank]:
    """Return features by how much they say of a target, most first.

    Parameters
    ----------
    features : mapping of str to float64 [R]
        A row without a value of one does not count for it.
    target : float64 [R]
    measure : {"mutual_information", "pearson", "spearman"}

    Raises
    ------
    ConfigError
        When there is no such measure.
    """
    if measure not in MEASURES:
        raise ConfigError(f"{measure!r} is none of {', '.join(MEASURES)}")
    found = []
    for name, values in features.items():
        both = ~(np.isnan(values) | np.isnan(target))
        score = MEASURES[measure](values[both], target[both])
        found.append(Rank(name, score, int(both.sum())))
    return sorted(found, key=lambda rank: (-rank.score, rank.name))


def select_features(
    features: Mapping[str, DoubleArray],
    ranks: list[Rank],
    count: int | None = None,
    most_alike: float = 0.95,
) -> list[str]:
    """Return the best features, leaving out what a better one says already.

    Parameters
    ----------
    features : mapping of str to float64 [R]
    ranks : list of Rank
        Of these features, best first.
    count : int, optional
        At most so many.
    most_alike : float
        A feature whose rank correlation with a chosen one is greater is left out; 1 keeps all.
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
    """Return ranks from 0; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean: DoubleArray = (last - counts + last - 1) / 2
    return mean[place]


def _binned(values: DoubleArray, bins: int) -> IntArray:
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.searchsorted(edges, values, side="right").astype(np.int64)
