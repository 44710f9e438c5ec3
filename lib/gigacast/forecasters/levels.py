"""Quantile levels: compared with a tolerance, interpolated between trained ones, never clamped.

A model is trained for a grid of levels. Levels on the grid are taken as they are, levels between
two of them interpolated linearly, levels outside refused, or on request extended along the normal
distribution through the two outermost trained levels, and then marked.
"""

from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

import numpy as np

from gigacast.core.array import FloatArray
from gigacast.errors import ConfigError, UnsupportedForecastError

LEVEL_TOLERANCE = 1e-6
"""Levels closer than this are the same level: 0.1 + 0.2 is 0.3."""

MEDIAN = 0.5


def same_level(left: float, right: float) -> bool:
    """Tell whether two levels are the same but for rounding."""
    return abs(left - right) <= LEVEL_TOLERANCE


def find_level(level: float, levels: tuple[float, ...]) -> int | None:
    """Return the place of a level in a tuple, or None."""
    return next((n for n, other in enumerate(levels) if same_level(level, other)), None)


def check_levels(levels: tuple[float, ...]) -> None:
    """Refuse levels that are not ascending, distinct and strictly between 0 and 1.

    Raises
    ------
    ConfigError
        Naming the level and the rule it breaks.
    """
    if not levels:
        raise ConfigError("levels: at least one quantile level is needed")
    for level in levels:
        if not LEVEL_TOLERANCE < level < 1 - LEVEL_TOLERANCE:
            raise ConfigError(f"levels: {level} does not lie strictly between 0 and 1")
    for lower, upper in pairwise(levels):
        if upper <= lower + LEVEL_TOLERANCE:
            raise ConfigError(f"levels: {lower}, {upper} are not ascending and distinct")


def union_levels(*groups: tuple[float, ...]) -> tuple[float, ...]:
    """Return the distinct levels of several tuples in ascending order."""
    merged: list[float] = []
    for level in sorted(level for group in groups for level in group):
        if not merged or not same_level(merged[-1], level):
            merged.append(level)
    return tuple(merged)


def extrapolated_levels(levels: tuple[float, ...], trained: tuple[float, ...]) -> tuple[float, ...]:
    """Return the levels that lie outside the trained range: the ones to mark in outputs.

    Parameters
    ----------
    levels : tuple of float
        The levels asked for.
    trained : tuple of float
        `ForecasterInfo.levels`; empty when any level is as good.
    """
    if not trained:
        return ()
    low, high = min(trained) - LEVEL_TOLERANCE, max(trained) + LEVEL_TOLERANCE
    return tuple(level for level in levels if not low <= level <= high)


def interpolate_levels(
    values: FloatArray, trained: tuple[float, ...], levels: tuple[float, ...]
) -> FloatArray:
    """Return quantiles at any levels within the trained range.

    Parameters
    ----------
    values : float32 [..., K]
        Quantiles at the trained levels.
    trained : tuple of float
        The K trained levels, ascending; their distances may differ.
    levels : tuple of float
        The Q levels wanted.

    Returns
    -------
    float32 [..., Q]

    Raises
    ------
    UnsupportedForecastError
        When a level lies outside the trained range.
    """
    outside = extrapolated_levels(levels, trained)
    if outside:
        raise _outside_error(outside, trained)
    found = (find_level(level, trained) for level in levels)
    places = [place for place in found if place is not None]
    if len(places) == len(levels):
        return values[..., places]
    return values @ _weights(trained, levels)


@dataclass(frozen=True, slots=True)
class LevelPlan:
    """Which levels to ask a forecaster for, so that the wanted ones can be made from them.

    Parameters
    ----------
    wanted : tuple of float
        The W levels wanted, ascending.
    asked : tuple of float
        The A levels to ask for, all of them within the trained range.
    extrapolated : tuple of float
        The wanted levels that are extended beyond the trained range.
    """

    wanted: tuple[float, ...]
    asked: tuple[float, ...]
    extrapolated: tuple[float, ...]

    def finish(self, values: FloatArray) -> FloatArray:
        """Turn quantiles at the asked levels, [..., A], into the wanted ones, [..., W]."""
        if self.wanted == self.asked:
            return values
        columns = [_column(values, self.asked, level) for level in self.wanted]
        return np.stack(columns, axis=-1)


def plan_levels(
    levels: tuple[float, ...], trained: tuple[float, ...], *, extrapolate: bool = False
) -> LevelPlan:
    """Plan how to get levels from a forecaster trained for ``trained``.

    Parameters
    ----------
    levels : tuple of float
        The levels wanted, ascending.
    trained : tuple of float
        `ForecasterInfo.levels`; empty when any level is as good.
    extrapolate : bool
        Extend the distribution beyond the trained range instead of refusing.

    Raises
    ------
    UnsupportedForecastError
        When a level lies outside the trained range and ``extrapolate`` is not set.
    """
    outside = extrapolated_levels(levels, trained)
    if not outside:
        return LevelPlan(levels, levels, ())
    if not extrapolate or len(trained) < 2:
        raise _outside_error(outside, trained)
    grid = tuple(sorted(trained))
    inside = tuple(level for level in levels if level not in outside)
    lower = grid[:2] if outside[0] < grid[0] else ()
    upper = grid[-2:] if outside[-1] > grid[-1] else ()
    return LevelPlan(levels, union_levels(inside, lower, upper), outside)


def normal_score(level: float) -> float:
    """Return the quantile of the standard normal distribution."""
    return NormalDist().inv_cdf(level)


def _column(values: FloatArray, asked: tuple[float, ...], level: float) -> FloatArray:
    place = find_level(level, asked)
    if place is not None:
        return values[..., place]
    inner, outer = (1, 0) if level < asked[0] else (-2, -1)
    score, score_inner = normal_score(level), normal_score(asked[inner])
    share = (score - score_inner) / (normal_score(asked[outer]) - score_inner)
    return values[..., inner] + np.float32(share) * (values[..., outer] - values[..., inner])


def _weights(trained: tuple[float, ...], levels: tuple[float, ...]) -> FloatArray:
    """Return the matrix [K, Q] that interpolates linearly between trained levels."""
    basis = np.eye(len(trained))
    columns = [np.interp(levels, trained, row) for row in basis]
    return np.stack(columns).astype(np.float32)


def _outside_error(
    outside: tuple[float, ...], trained: tuple[float, ...]
) -> UnsupportedForecastError:
    return UnsupportedForecastError(
        f"quantile levels {', '.join(map(str, outside))} lie outside the range the model was "
        f"trained for, {min(trained)} to {max(trained)}",
        hint="ask for levels within it, or set extrapolate_levels to have them extended and marked",
    )
