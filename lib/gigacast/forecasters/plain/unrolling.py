"""Horizons longer than one pass, as `network.unrolling` continues them in torch."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gigacast.core.array import FloatArray
from gigacast.forecasters.levels import LEVEL_TOLERANCE


@dataclass(frozen=True, slots=True)
class ArrayUnrolling:
    """Forecasts of a Bolt beyond its trained horizon, from K continued quantiles.

    Parameters
    ----------
    levels : tuple of float
        K trained levels.
    context_length, prediction_length : int
        Maximum context and trained horizon of the model.
    """

    levels: tuple[float, ...]
    context_length: int
    prediction_length: int

    def forecast(
        self, context: FloatArray, horizon: int, one_pass: Callable[[FloatArray], FloatArray]
    ) -> FloatArray:
        """Return raw quantiles at the trained levels, float32 [B, K, H].

        Parameters
        ----------
        context : float32 [B, T]
            NaN for missing values.
        horizon : int
            Steps to forecast, H.
        one_pass : callable
            Computes [B, K, prediction_length] for contexts, [B, T].
        """
        rows, count = len(context), len(self.levels)
        parts = [one_pass(context)]
        paths = np.repeat(context[:, None, :], count, axis=1)
        for _ in range(self.prediction_length, horizon, self.prediction_length):
            paths = np.concatenate([paths, parts[-1]], axis=2)[..., -self.context_length :]
            raw = one_pass(paths.reshape(rows * count, -1))
            parts.append(self._reduce(raw.reshape(rows, count * count, self.prediction_length)))
        return np.concatenate(parts, axis=2)[..., :horizon]

    def _reduce(self, paths: FloatArray) -> FloatArray:
        """Return quantiles, [B, K, P], over the quantiles of the continued paths, [B, K * K, P]."""
        # Evenly spaced levels, as in all published Bolts, represent equal probabilities: their
        # paths are equally likely samples, and the faster reduction applies.
        if is_even(self.levels):
            return empirical_quantiles(paths, self.levels)
        masses = level_masses(self.levels)
        return weighted_quantiles(paths, np.outer(masses, masses).ravel(), self.levels)


def empirical_quantiles(samples: FloatArray, levels: tuple[float, ...]) -> FloatArray:
    """Return quantiles of equally likely samples, float32 [B, S, H] to [B, Q, H].

    Interpolates linearly between order statistics.
    """
    ordered = np.sort(samples, axis=1)
    ranks = np.array(levels) * (samples.shape[1] - 1)
    # A rank that is whole except for rounding selects a sample itself, as level 0.1 of 11 samples.
    ranks = np.where(np.abs(ranks - ranks.round()) < LEVEL_TOLERANCE, ranks.round(), ranks)
    lower = np.floor(ranks).astype(np.int64)
    upper = np.minimum(lower + 1, samples.shape[1] - 1)
    return _between(ordered[:, lower], ordered[:, upper], (ranks - lower)[None, :, None])


def weighted_quantiles(
    samples: FloatArray, weights: FloatArray, levels: tuple[float, ...]
) -> FloatArray:
    """Return quantiles of weighted samples, float32 [B, S, H] to [B, Q, H].

    The rule of Chronos: the distribution function rises at each ordered sample to the sum of the
    weights so far, and is linear between; below the first and above the last sample it is flat.
    """
    columns = samples.transpose(0, 2, 1).reshape(-1, samples.shape[1])
    order = np.argsort(columns, axis=1, kind="stable")
    ordered = np.take_along_axis(columns, order, axis=1)
    reached = np.cumsum((weights / weights.sum())[order], axis=1).clip(max=1.0)
    results = np.empty((len(columns), len(levels)), np.float32)
    picks = np.arange(len(columns))
    for place, level in enumerate(levels):
        upper = np.minimum((reached < level).sum(axis=1), samples.shape[1] - 1)
        lower = np.maximum(upper - 1, 0)
        span = reached[picks, upper] - reached[picks, lower]
        share = (level - reached[picks, lower]) / np.where(span > 0, span, 1.0)
        low, high = ordered[picks, lower], ordered[picks, upper]
        results[:, place] = _between(low, high, np.clip(share, 0.0, 1.0))
    return results.reshape(len(samples), -1, len(levels)).transpose(0, 2, 1)


def is_even(levels: tuple[float, ...]) -> bool:
    """Return whether all levels represent the same probability, as 0.1, 0.2, ..., 0.9 do."""
    masses = level_masses(levels)
    return bool(np.abs(masses - masses.mean()).max() < LEVEL_TOLERANCE)


def level_masses(levels: tuple[float, ...]) -> FloatArray:
    """Return the probability that each level represents, [Q]: half the way to both neighbours."""
    edges = np.array([0.0, *levels, 1.0])
    mass = (edges[2:] - edges[:-2]) / 2
    masses: FloatArray = mass / mass.sum()
    return masses


def _between(low: FloatArray, high: FloatArray, share: FloatArray) -> FloatArray:
    weight = share.astype(np.float32)
    # From the nearer end, so that a share of 1 gives the upper sample itself.
    between: FloatArray = np.where(
        weight < 0.5, low + weight * (high - low), high - (high - low) * (1 - weight)
    )
    return between
