"""Better forecasts of the same model: contexts that are easier for it, and several passes.

A recipe is a number of passes over the model, whose quantiles are averaged. Each may remove the
trend from a context and add it to the forecast, forecast differences to the season before, or turn
the series upside down. `zeros` changes the quantiles of demand that is mostly zero. `auto` chooses
a recipe for each series by its season, and leaves a pass over differences out of the mean if the
model itself is less sure of them than of the series. Steps shorter than a day have a week beside
their day: of differences to the day and to the week before, those count of which it is surer.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Self

import numpy as np

from gigacast.core.array import BoolArray, DoubleArray, FloatArray, IntArray
from gigacast.core.series.forecast import ForecastRequest
from gigacast.forecasters.around.change import (
    Windows,
    count_differences,
    find_slopes,
    from_differences,
    seasonal_differences,
    with_trend,
    without_trend,
)
from gigacast.forecasters.around.demand import with_zeros
from gigacast.forecasters.forecaster import Forecaster, ForecasterInfo, PendingForecast, start
from gigacast.forecasters.levels import MEDIAN, find_level, select_levels, union_levels

Enhancement = Literal["seasonal_difference", "trend", "flip", "zeros", "auto"]
Change = Literal["none", "trend", "seasonal_difference"]
ENHANCEMENT_REVISIONS: Mapping[str, int] = {"auto": 3}
"""Part of the spec of enhanced forecasts, 1 by default. Raise it when their numbers change."""
WIDEST = 1.2
"""Band of forecasts of differences over that of passes without a change, above which `auto` leaves
differences out. Chosen on synthetic series, see benchmarks/auto_rule.py."""
BAND = (0.1, 0.9)
"""Levels of these bands."""
LEAST_DIFFERENCES = 4
"""Values that have another a season before them, which a series needs to be changed."""
HOURS = 24
"""Seasons that are a multiple of it are days of hours, or of parts of them."""
WEEK = 7
"""Days whose differences are tried as well."""


class Pass(NamedTuple):
    """One pass over the model.

    Parameters
    ----------
    change : {"none", "trend", "seasonal_difference"}
    flipped : bool
        Whether the changed series is turned upside down.
    lag : int
        Seasons that differences go back.
    """

    change: Change = "none"
    flipped: bool = False
    lag: int = 1


Recipe = tuple[Pass, ...]
PLAIN: Recipe = (Pass(),)
RECIPES: Mapping[str, Recipe] = {
    "seasonal_difference": (Pass("seasonal_difference"),),
    "trend": (Pass("trend"),),
    "flip": (Pass(), Pass(flipped=True)),
    "zeros": PLAIN,
}
BOTH_WAYS: Recipe = RECIPES["flip"]
AUTO: Sequence[tuple[int, Recipe]] = (
    (4, (Pass("trend"), Pass("seasonal_difference"))),
    (sys.maxsize, (*BOTH_WAYS, Pass("seasonal_difference"))),
)
"""Recipes of ``auto``, each with the longest season that it is for: shortest first. Quarters and
years mostly have a trend, which a model bends back to the mean; longer seasons gain from the mean
of unlike passes. Chosen by measurement, see docs/benchmarks.md."""
WEEKLY: Recipe = (*AUTO[-1][1], Pass("seasonal_difference", lag=WEEK))
"""Recipe of ``auto`` for days of hours with two weeks of them. In both recipes with differences
behind two other passes, the surest of these is in the mean, or none."""
_JUDGED = len(BOTH_WAYS)
"""Passes before differences that are judged."""


def recipe_of(enhancement: Enhancement, season: int) -> Recipe:
    """Return the recipe of a series that is long enough."""
    if enhancement != "auto":
        return RECIPES[enhancement]
    return next(recipe for longest, recipe in AUTO if season <= longest)


def short_recipe(enhancement: Enhancement) -> Recipe:
    """Return the recipe of a series that is too short for that of its season."""
    return BOTH_WAYS if enhancement == "auto" else PLAIN


def count_passes(enhancement: Enhancement | None) -> int:
    """Return the number of passes over the model that a series takes at most."""
    if enhancement is None:
        return 1
    return len(WEEKLY) if enhancement == "auto" else len(RECIPES[enhancement])


class EnhancedForecaster:
    """A `StartingForecaster` that changes contexts before another one, and quantiles after it.

    Series with fewer than `LEAST_DIFFERENCES` values that have another a season before them, and
    for ``auto`` fewer than a season of such values, keep their trend and are not differenced. Rows
    of a group are changed alike: what depends linearly on a covariate does so in differences and
    without trends, too.

    Parameters
    ----------
    inner : Forecaster
    enhancement : {"seasonal_difference", "trend", "flip", "zeros", "auto"}
        ``zeros`` changes quantiles alone, see `demand`.
    """

    def __init__(self, inner: Forecaster, enhancement: Enhancement) -> None:
        self._inner = inner
        self._enhancement = enhancement
        self.short = 0
        """Groups of all forecasts so far that were too short to be changed."""

    @property
    def info(self) -> ForecasterInfo:
        """Identity and limits of the forecaster whose forecasts are enhanced."""
        return self._inner.info

    def predict(self, request: ForecastRequest) -> FloatArray:
        """Forecast one batch; see `Forecaster.predict`."""
        return self.start(request)()

    def start(self, request: ForecastRequest) -> PendingForecast:
        """Start all passes over a batch; see `StartingForecaster.start`."""
        request_of_all = replace(
            request,
            context=request.context[:, -self.info.context_length :],
            seasons=np.maximum(request.seasons, 1),
            levels=self._levels(request.levels),
        )
        recipes, codes, short = self._recipes(request_of_all)
        rounds = [
            _Round.start(self._inner, request_of_all, recipes, codes, number)
            for number in range(max(len(recipes[code]) for code in np.unique(codes)))
        ]

        def finish() -> FloatArray:
            quantiles = _mean_of(rounds, request_of_all)
            if self._enhancement == "zeros":
                quantiles, _ = with_zeros(quantiles, request_of_all.context, request_of_all.levels)
            self.short += short
            return select_levels(quantiles, request_of_all.levels, request.levels)

        return finish

    def _levels(self, levels: tuple[float, ...]) -> tuple[float, ...]:
        """Return levels with the median, those of the band, and as many above it as below."""
        band: tuple[float, ...] = ()
        if self._enhancement == "auto":
            trained = self.info.levels
            # A model that was trained for fewer levels is judged by its outermost ones.
            band = (max(BAND[0], trained[0]), min(BAND[1], trained[-1])) if trained else BAND
        return union_levels(_needed_levels(levels), _needed_levels(band))

    def _recipes(self, request: ForecastRequest) -> tuple[list[Recipe], IntArray, int]:
        """Return recipes, the place of each row's among them, and the number of short groups."""
        seasons, codes = np.unique(request.seasons, return_inverse=True)
        recipes = [recipe_of(self._enhancement, int(season)) for season in seasons]
        changes = np.array([any(step.change != "none" for step in recipe) for recipe in recipes])
        # The first row of a group is a target; what its covariates lack does not matter.
        first = slice(None, None, request.group_size)
        seasons = request.seasons[first]
        counts = count_differences(request.context[first], seasons)
        least = np.maximum(seasons, LEAST_DIFFERENCES)
        is_short = counts < (least if self._enhancement == "auto" else LEAST_DIFFERENCES)
        is_short &= changes[codes[first]]
        is_weekly = ~is_short & self._has_weeks(request.context[first], seasons)
        size = request.group_size
        codes = np.where(np.repeat(is_short, size), len(recipes), codes)
        codes = np.where(np.repeat(is_weekly, size), len(recipes) + 1, codes)
        own = len(is_short) - request.spare // size
        return [*recipes, short_recipe(self._enhancement), WEEKLY], codes, int(is_short[:own].sum())

    def _has_weeks(self, context: FloatArray, seasons: IntArray) -> BoolArray:
        """Return which rows have two weeks of days, so that each phase has a difference."""
        weeks = WEEK * seasons
        has_weeks: BoolArray = (seasons % HOURS == 0) & (context.shape[1] >= 2 * weeks)
        has_weeks &= self._enhancement == "auto"
        rows = np.flatnonzero(has_weeks)
        has_weeks[rows] = count_differences(context[rows], weeks[rows]) >= weeks[rows]
        return has_weeks


@dataclass(frozen=True, slots=True)
class _Round:
    """One pass of each row that has another, started.

    Parameters
    ----------
    rows : int64 [R]
    windows : Windows
        Rows of the request, unchanged.
    is_difference : bool [R]
        Rows that are forecast in differences.
    lags : int64 [R]
        Steps that differences go back.
    slopes : float64 [R]
        Trends that were removed; 0 where none was.
    signs : float64 [R]
        -1 for rows that were turned upside down, else 1.
    pending : callable
    """

    rows: IntArray
    windows: Windows
    is_difference: BoolArray
    lags: IntArray
    slopes: DoubleArray
    signs: DoubleArray
    pending: PendingForecast

    @classmethod
    def start(
        cls,
        inner: Forecaster,
        request: ForecastRequest,
        recipes: Sequence[Recipe],
        codes: IntArray,
        number: int,
    ) -> Self:
        """Start the pass of a number of all rows that have so many."""
        lengths = np.array([len(recipe) for recipe in recipes])
        rows = np.flatnonzero(lengths[codes] > number)
        passes = [recipe[number] if len(recipe) > number else Pass() for recipe in recipes]
        changes = np.array([step.change for step in passes])[codes[rows]]
        signs = np.array([-1.0 if step.flipped else 1.0 for step in passes])[codes[rows]]
        windows = _windows_of(request, rows)
        lags = np.array([step.lag for step in passes])[codes[rows]] * windows.seasons
        slopes = np.zeros(len(rows))
        is_trend = np.flatnonzero(changes == "trend")
        slopes[is_trend] = find_slopes(windows.context[is_trend], windows.seasons[is_trend])
        changed = without_trend(windows, slopes)
        is_difference = changes == "seasonal_difference"
        if is_difference.any():
            apart = seasonal_differences(windows._replace(seasons=lags))
            changed = _where(is_difference, apart, changed)
        own = _request_of(changed, signs, request, rows)
        # Which rows have a pass depends on the others; the shape of a call must not.
        pending = start(inner, _filled_up(own, len(request.context)) if request.exact else own)
        return cls(rows, windows, is_difference, lags, slopes, signs, pending)

    def finish(self, levels: tuple[float, ...]) -> DoubleArray:
        """Wait for the pass and return quantiles of the unchanged rows, [R, H, Q]."""
        raw = np.sort(self.pending()[: len(self.rows)].astype(np.float64), axis=-1)
        # Upside down, the smallest quantile is the greatest: levels are as many on either side.
        quantiles = np.where((self.signs < 0)[:, None, None], -raw[..., ::-1], raw)
        values = with_trend(quantiles, self.slopes)
        rows = np.flatnonzero(self.is_difference)
        if len(rows):
            windows = Windows(self.windows.context[rows], None, self.lags[rows])
            median = quantiles[rows][..., find_level(MEDIAN, levels)]
            values[rows] = from_differences(quantiles[rows], median, windows)
        return values


def _mean_of(rounds: Sequence[_Round], request: ForecastRequest) -> FloatArray:
    """Return the mean quantiles of the passes of each row, float32 [B, H, Q].

    Of passes that are judged, the one with the narrowest band is in it if that is narrow enough.
    """
    shape = (len(request.context), request.horizon, len(request.levels))
    total, count = np.zeros(shape), np.zeros(len(request.context))
    # A row on which the model failed is not finite, and the caller treats it so.
    with np.errstate(invalid="ignore", over="ignore"):
        for started in rounds[:_JUDGED]:
            total[started.rows] += started.finish(request.levels)
            count[started.rows] += 1
        if len(rounds) > _JUDGED:
            rows, values, bands = _narrowest(rounds[_JUDGED:], request.levels)
            plain_bands = _bands(total[rows] / count[rows, None, None], request.levels)
            is_sure = ~(bands > WIDEST * plain_bands)
            total[rows[is_sure]] += values[is_sure]
            count[rows[is_sure]] += 1
        return (total / count[:, None, None]).astype(np.float32)


def _narrowest(
    rounds: Sequence[_Round], levels: tuple[float, ...]
) -> tuple[IntArray, DoubleArray, DoubleArray]:
    """Return the rows of the first of some passes, and quantiles and band of the surest, [R]."""
    first = rounds[0]
    values = first.finish(levels)
    bands = _bands(values, levels)
    for later in rounds[1:]:
        # Whoever has a later pass has the ones before.
        places = np.searchsorted(first.rows, later.rows)
        own = later.finish(levels)
        own_bands = _bands(own, levels)
        is_narrower = own_bands < bands[places]
        values[places[is_narrower]] = own[is_narrower]
        bands[places[is_narrower]] = own_bands[is_narrower]
    return first.rows, values, bands


def _bands(quantiles: DoubleArray, levels: tuple[float, ...]) -> DoubleArray:
    """Return the mean width of the band of each row, [B]."""
    low, high = (find_level(max(min(q, levels[-1]), levels[0]), levels) for q in BAND)
    width: DoubleArray = (quantiles[..., high] - quantiles[..., low]).mean(axis=1)
    return width


def _needed_levels(levels: tuple[float, ...]) -> tuple[float, ...]:
    """Return levels with the median, and as many above it as below."""
    return union_levels(levels, tuple(1 - level for level in levels), (MEDIAN,))


def _windows_of(request: ForecastRequest, rows: IntArray) -> Windows:
    future = request.future
    return Windows(
        request.context[rows].astype(np.float64),
        None if future is None else future[rows].astype(np.float64),
        request.seasons[rows],
    )


def _where(mask: BoolArray, chosen: Windows, others: Windows) -> Windows:
    """Return the windows of some rows, and others of the rest."""
    future = others.future
    if chosen.future is not None and future is not None:
        future = np.where(mask[:, None], chosen.future, future)
    return others._replace(
        context=np.where(mask[:, None], chosen.context, others.context), future=future
    )


def _filled_up(request: ForecastRequest, count: int) -> ForecastRequest:
    """Return a request with copies of its last group up to a number of rows."""
    own, size = len(request.context), request.group_size
    places = np.arange(count)
    places[own:] = own - size + (places[own:] - own) % size
    return request.take(places) if count > own else request


def _request_of(
    windows: Windows, signs: DoubleArray, request: ForecastRequest, rows: IntArray
) -> ForecastRequest:
    """Return the request for a pass over changed windows."""
    future = windows.future
    with np.errstate(over="ignore"):
        return replace(
            request,
            context=(windows.context * signs[:, None]).astype(np.float32),
            seasons=windows.seasons,
            seeds=request.seeds[rows],
            frequencies=None if request.frequencies is None else request.frequencies[rows],
            future=None if future is None else (future * signs[:, None]).astype(np.float32),
        )
