"""Quantile levels: comparison with a tolerance, interpolation, extrapolation, post-processing.

A model is trained for a grid of levels. Quantiles on the grid are used directly. Between two grid
levels they are interpolated linearly. Levels outside the grid raise an error, or on request are
extrapolated along the normal distribution through the two outermost trained levels and marked in
the output. They are never clamped to the nearest trained level, which would understate the spread.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from statistics import NormalDist

import numpy as np

from gigacast.core.array import DoubleArray, FloatArray
from gigacast.errors import ConfigError, UnsupportedForecastError

LEVEL_TOLERANCE = 1e-6
"""Levels closer than this are equal, so that 0.1 + 0.2 is the level 0.3 despite float rounding."""

MEDIAN = 0.5


def same_level(first: float, second: float) -> bool:
    """Return whether two levels are equal except for rounding."""
    return abs(first - second) <= LEVEL_TOLERANCE


def find_level(level: float, levels: tuple[float, ...]) -> int | None:
    """Return the index of a level in a tuple, or None if it is missing."""
    return next((n for n, entry in enumerate(levels) if same_level(level, entry)), None)


def check_levels(levels: tuple[float, ...]) -> None:
    """Check that levels are ascending, distinct and strictly between 0 and 1.

    Raises
    ------
    ConfigError
        If not; the message names the level and the rule.
    """
    if not levels:
        raise ConfigError("quantiles: at least one quantile level is needed")
    for level in levels:
        if not LEVEL_TOLERANCE < level < 1 - LEVEL_TOLERANCE:
            raise ConfigError(f"quantiles: {level} is not strictly between 0 and 1")
    for lower, upper in pairwise(levels):
        if upper <= lower + LEVEL_TOLERANCE:
            raise ConfigError(f"quantiles: {lower}, {upper} are not ascending and distinct")


def union_levels(*groups: tuple[float, ...]) -> tuple[float, ...]:
    """Return the distinct levels of several tuples in ascending order."""
    merged: list[float] = []
    for level in sorted(level for group in groups for level in group):
        if not merged or not same_level(merged[-1], level):
            merged.append(level)
    return tuple(merged)


def extrapolated_levels(levels: tuple[float, ...], trained: tuple[float, ...]) -> tuple[float, ...]:
    """Return the levels outside the trained range, which are marked in outputs.

    Parameters
    ----------
    levels : tuple of float
        Requested levels.
    trained : tuple of float
        `ForecasterInfo.levels`; empty if the forecaster gives any level directly.
    """
    if not trained:
        return ()
    low, high = min(trained) - LEVEL_TOLERANCE, max(trained) + LEVEL_TOLERANCE
    return tuple(level for level in levels if not low <= level <= high)


def interpolate_levels(
    values: FloatArray, trained: tuple[float, ...], levels: tuple[float, ...]
) -> FloatArray:
    """Return quantiles at levels within the trained range, interpolated linearly.

    Parameters
    ----------
    values : float32 [..., K]
        Quantiles at the trained levels.
    trained : tuple of float
        The K trained levels, ascending; their distances may differ.
    levels : tuple of float
        The Q requested levels.

    Returns
    -------
    float32 [..., Q]

    Raises
    ------
    UnsupportedForecastError
        If a level is outside the trained range.
    """
    outside = extrapolated_levels(levels, trained)
    if outside:
        raise _outside_error(outside, trained)
    columns = _columns_of(levels, trained)
    # Selecting columns keeps the model's own numbers; the product would round them.
    if len(columns) == len(levels):
        return values[..., columns]
    return values @ _weights(trained, levels)


@lru_cache(maxsize=64)
def _columns_of(levels: tuple[float, ...], trained: tuple[float, ...]) -> list[int]:
    """Return the places of the levels that are trained ones."""
    places = (find_level(level, trained) for level in levels)
    return [place for place in places if place is not None]


def select_levels(
    values: FloatArray, levels: tuple[float, ...], wanted: tuple[float, ...]
) -> FloatArray:
    """Return quantiles at some of their levels, [..., W], of those at all, [..., Q].

    Every wanted level must be among the levels.
    """
    return np.ascontiguousarray(values[..., [_place(level, levels) for level in wanted]])


@dataclass(frozen=True, slots=True)
class LevelPlan:
    """Steps from a forecaster's quantiles to the requested levels.

    Parameters
    ----------
    requested : tuple of float
        The W requested levels, ascending.
    trained : tuple of float
        `ForecasterInfo.levels`; empty if the forecaster gives any level directly.
    base : tuple of float
        The A levels within the trained range from which all requested ones are computed.
    """

    requested: tuple[float, ...]
    trained: tuple[float, ...]
    base: tuple[float, ...]

    @property
    def model_levels(self) -> tuple[float, ...]:
        """The M levels to request from the forecaster: all trained ones if there are any."""
        return self.trained or self.base

    def finish(self, raw: FloatArray) -> FloatArray:
        """Return the requested quantiles, [..., W], of the forecaster's, [..., M]."""
        if not self.trained:
            return raw
        # Sorted before levels are selected: crossing quantiles then give the same median whatever
        # other levels are requested beside it.
        values = interpolate_levels(ascending(raw), self.trained, self.base)
        if self.requested == self.base:
            return values
        columns = [self._column(values, level) for level in self.requested]
        return np.stack(columns, axis=-1)

    def _column(self, values: FloatArray, level: float) -> FloatArray:
        """Return the quantile of a level, [...]: one of the base levels, or extrapolated.

        A quantile of a normal distribution is linear in the standard normal's quantile, so the line
        through the two outermost trained levels is continued on that scale.
        """
        position = find_level(level, self.base)
        if position is not None:
            return values[..., position]
        # By the trained levels, not by the outermost of the base: a level that is requested between
        # them must not change the tail.
        inner, outer = _tail(level, self.trained)
        lower, upper = (values[..., _place(entry, self.base)] for entry in (inner, outer))
        score, score_inner = normal_score(level), normal_score(inner)
        share = (score - score_inner) / (normal_score(outer) - score_inner)
        return lower + np.float32(share) * (upper - lower)


def plan_levels(
    levels: tuple[float, ...], trained: tuple[float, ...], *, extrapolate: bool = False
) -> LevelPlan:
    """Plan how to compute quantile levels from those a forecaster is trained for.

    Parameters
    ----------
    levels : tuple of float
        Requested levels, ascending.
    trained : tuple of float
        `ForecasterInfo.levels`; empty if the forecaster gives any level directly.
    extrapolate : bool
        Extend the distribution beyond the trained range instead of raising an error.

    Raises
    ------
    UnsupportedForecastError
        If a level is outside the trained range and ``extrapolate`` is not set.
    """
    outside = extrapolated_levels(levels, trained)
    if not outside:
        return LevelPlan(levels, trained, levels)
    # The normal distribution is fitted through two trained levels, so one is not enough.
    if not extrapolate or len(trained) < 2:
        raise _outside_error(outside, trained)
    grid = tuple(sorted(trained))
    inside = tuple(level for level in levels if level not in outside)
    lower = grid[:2] if outside[0] < grid[0] else ()
    upper = grid[-2:] if outside[-1] > grid[-1] else ()
    return LevelPlan(levels, trained, union_levels(inside, lower, upper))


def has_levels_in_tails(levels: tuple[float, ...], trained: tuple[float, ...]) -> bool:
    """Return whether levels are extrapolated beside some between the two levels of their tail."""
    if len(trained) < 2:
        return False
    tails = [sorted(_tail(level, trained)) for level in extrapolated_levels(levels, trained)]
    return any(
        low < level < high and not (same_level(level, low) or same_level(level, high))
        for low, high in tails
        for level in levels
    )


def postprocess(
    quantiles: FloatArray, *, non_negative: bool = False, integer: bool = False
) -> FloatArray:
    """Make quantiles monotone; clip and round them on request.

    Parameters
    ----------
    quantiles : float32 or float64 [..., Q]
        Quantiles in ascending order of their levels; NaN rows stay NaN.
    non_negative : bool
        Replace values below zero by zero.
    integer : bool
        Round to whole numbers, halves upwards.

    Returns
    -------
    float32 or float64 [..., Q]
        Ascending along Q: clipping and rounding keep the order of the sorted values.
    """
    result = ascending(quantiles)
    if non_negative:
        result = np.maximum(result, np.float32(0))
    return round_half_up(result) if integer else result


def ascending(values: FloatArray) -> FloatArray:
    """Return values, [..., Q], in ascending order along Q; the same array if they are already."""
    # Quantiles seldom cross: to look for those that do takes a tenth of the time of sorting all.
    count = values.shape[-1]
    flat = values.reshape(-1)
    is_out_of_order = np.empty(flat.shape, np.bool_)
    # NaN is in no order: those rows are sorted, which puts it last.
    np.greater_equal(flat[1:], flat[:-1], out=is_out_of_order[1:])
    np.logical_not(is_out_of_order[1:], out=is_out_of_order[1:])
    is_out_of_order[::count] = False
    if not is_out_of_order.any():
        return values
    rows = np.unique(np.flatnonzero(is_out_of_order) // count)
    if len(rows) * 4 > len(flat) // count:
        return np.sort(values, axis=-1)
    ordered = values.reshape(-1, count).copy()
    ordered[rows] = np.sort(ordered[rows], axis=-1)
    return ordered.reshape(values.shape)


def round_half_up(values: FloatArray) -> FloatArray:
    """Return values rounded to whole numbers, halves upwards."""
    # In float64, because in float32 adding a half to a large value is not exact. The added zero
    # turns -0.0 into 0.0.
    return (np.floor(values.astype(np.float64) + 0.5) + 0.0).astype(values.dtype)


def mean_weights(levels: tuple[float, ...]) -> DoubleArray:
    """Return the weights of quantiles whose weighted sum is the mean, [Q]; they add up to 1.

    The quantile function is linear between levels. Beyond the outermost it follows the normal
    distribution through the two outermost, as extrapolated levels do.
    """
    grid = np.array(levels, np.float64)
    if len(grid) == 1:
        return np.ones(1)
    weights = np.zeros(len(grid))
    weights[:-1] += np.diff(grid) / 2
    weights[1:] += np.diff(grid) / 2
    for inner, outer, side, mass in ((1, 0, -1, grid[0]), (-2, -1, 1, 1 - grid[-1])):
        low, high = normal_score(grid[inner]), normal_score(grid[outer])
        # The mean score of a tail is the density at its border over its mass.
        density = np.exp(-(high**2) / 2) / np.sqrt(2 * np.pi)
        share = (side * density / mass - low) / (high - low)
        weights[outer] += mass * share
        weights[inner] += mass * (1 - share)
    return weights


def normal_score(level: float) -> float:
    """Return the quantile of the standard normal distribution."""
    return NormalDist().inv_cdf(level)


def _tail(level: float, trained: tuple[float, ...]) -> tuple[float, float]:
    """Return the two trained levels, inner and outer, from which a level outside is computed."""
    grid = sorted(trained)
    return (grid[1], grid[0]) if level < grid[0] else (grid[-2], grid[-1])


def _place(level: float, levels: tuple[float, ...]) -> int:
    place = find_level(level, levels)
    assert place is not None  # noqa: S101 - callers put the levels that they need among them
    return place


def _weights(trained: tuple[float, ...], levels: tuple[float, ...]) -> FloatArray:
    """Return the matrix [K, Q] that interpolates linearly between trained levels."""
    basis = np.eye(len(trained))
    columns = [np.interp(levels, trained, row) for row in basis]
    return np.stack(columns).astype(np.float32)


def _outside_error(
    outside: tuple[float, ...], trained: tuple[float, ...]
) -> UnsupportedForecastError:
    return UnsupportedForecastError(
        f"quantile levels {', '.join(map(str, outside))} are outside the range the model was "
        f"trained for, {min(trained)} to {max(trained)}",
        hint="request levels within it, or set extrapolate_levels to extrapolate and mark them",
    )
