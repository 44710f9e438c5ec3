"""Summaries of a column's values that can be merged, and distances of two of them.

A summary has the values at equally spaced ranks, all values where they are few. It has the same
bytes each time, and ranks are right to ``1 / (2 * POINTS)`` after any number of merges. A KLL
sketch, as Chronon has, is random, and less exact at the same size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gigacast.feature_store.trust.equality import Floats

POINTS = 1024
"""Values of a summary at most."""
EDGES = 64
"""Quantiles of each side between whose values shares are compared."""
EPSILON = 1e-6
"""Share of a bin without values: its logarithm must exist."""


@dataclass(frozen=True)
class Summary:
    """Values with equal weights, sorted.

    Parameters
    ----------
    values : array of float64
        Sorted.
    weights : array of float64
        Rows that each value stands for.
    """

    values: Floats
    weights: Floats

    @classmethod
    def of(cls, points: Sequence[float], count: int) -> "Summary":
        """Return the summary of points that `points_of` gave for a number of rows."""
        values = np.array(points, np.float64)
        weight = count / len(values) if len(values) else 0.0
        return cls(values, np.full(len(values), weight))

    @classmethod
    def merged(cls, parts: Sequence["Summary"]) -> "Summary":
        """Return the summary of the values of several."""
        values = np.concatenate([part.values for part in parts] or [np.empty(0)])
        weights = np.concatenate([part.weights for part in parts] or [np.empty(0)])
        order = np.argsort(values, kind="stable")
        return cls(values[order], weights[order])

    @property
    def count(self) -> float:
        """Number of rows."""
        return float(self.weights.sum())

    def shares_up_to(self, edges: Floats) -> Floats:
        """Return the share of rows whose value is at most each edge."""
        sums = np.concatenate([[0.0], np.cumsum(self.weights)])
        shares: Floats = sums[np.searchsorted(self.values, edges, side="right")] / self.count
        return shares

    def quantiles(self, count: int) -> Floats:
        """Return the values at equally spaced ranks."""
        levels = (np.arange(count) + 0.5) / count * self.count
        places = np.searchsorted(np.cumsum(self.weights), levels, side="left")
        chosen: Floats = self.values[np.minimum(places, len(self.values) - 1)]
        return chosen


def points_of(ordered: Floats) -> list[float]:
    """Return the points of a summary.

    Parameters
    ----------
    ordered : array of float64
        All values, sorted.
    """
    if len(ordered) > POINTS:
        ordered = ordered[((np.arange(POINTS) + 0.5) / POINTS * len(ordered)).astype(np.int64)]
    points: list[float] = ordered.tolist()
    return points


def stability_index(first: Summary, second: Summary) -> float:
    """Return the population stability index (PSI) of two columns.

    The bins are between the quantiles of both sides. Below 0.1 is usually called no change, above
    0.25 a large one.
    """
    edges = np.unique(np.concatenate([first.quantiles(EDGES), second.quantiles(EDGES)]))
    shares = []
    for side in (first, second):
        up_to = np.concatenate([[0.0], side.shares_up_to(edges), [1.0]])
        shares.append(np.maximum(np.diff(up_to), EPSILON))
    return float(((shares[0] - shares[1]) * np.log(shares[0] / shares[1])).sum())


def largest_distance(first: Summary, second: Summary) -> float:
    """Return the largest difference of the shares up to any value: the L-infinity distance."""
    edges = np.union1d(first.values, second.values)
    return float(np.abs(first.shares_up_to(edges) - second.shares_up_to(edges)).max())
