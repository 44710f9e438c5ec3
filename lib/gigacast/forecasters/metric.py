"""Accuracy of forecasts.

`measure` compares actuals and forecasts and returns sums per series, `Losses`. `add_up` adds them
up by group, `Sums`, and `figures_of` computes the figures. `Losses` and `Sums` can be stored and
added, so that figures over any number of partitions need the memory of one partition. Undefined
figures are NaN.

=========  ===================================================================================
figure     definition
=========  ===================================================================================
WQL        mean over levels of summed quantile loss over summed absolute actuals
           (Gasthaus et al. 2019; ``mean_weighted_sum_quantile_loss`` of GluonTS, WQL of fev)
SQL        mean over series of the mean quantile loss in units of the seasonal error (fev)
MASE       mean over series of the median's mean absolute error in units of the seasonal error
           (Hyndman and Koehler 2006)
RMSE       root of the mean squared error of the median, over all steps
sMAPE      mean over series of the mean of 2 |y - m| / (|y| + |m|); 0 where both are 0 (M4)
bias       summed (median - actual) over summed absolute actuals; positive if forecasts are too high
coverage   share of actuals at or below each quantile: a calibrated level covers itself
           (``Coverage`` of GluonTS)
intervals  share of actuals within each central interval, its ends included (see `intervals_of`)
=========  ===================================================================================

The quantile loss is ``2 |(y - q) (1[y <= q] - level)|``. The seasonal error of a series is the mean
absolute seasonal difference of its context. It is undefined for a context that is constant or not
longer than a season; such series are counted as undefined and left out of MASE and SQL.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from gigacast.core.array import AnyArray, DoubleArray, IntArray, RealArray
from gigacast.forecasters.levels import MEDIAN, same_level

CLIP = (0.01, 100.0)
"""Bounds of relative errors, so that a single one does not decide the mean; as in fev."""


@dataclass(frozen=True, slots=True)
class Losses:
    """Sums over the steps of N forecasts at Q levels.

    Parameters
    ----------
    steps : int64 [N]
        Steps with an actual and a finite forecast.
    missed : int64 [N]
        Steps with an actual but without a finite forecast. They are counted, because a model must
        not look better by giving no forecast for difficult steps.
    scale : float64 [N]
        Seasonal error of the context; NaN if undefined.
    magnitude, error, square, relative, excess : float64 [N]
        Sums of |y|, |y - m|, (y - m)^2, 2 |y - m| / (|y| + |m|) and m - y; m is the median.
    quantile : float64 [N, Q]
        Sums of the quantile loss.
    below : int64 [N, Q]
        Steps whose actual was at or below the quantile.
    inside : int64 [N, P]
        Steps whose actual was within each of the P intervals, see `intervals_of`.
    """

    steps: IntArray
    missed: IntArray
    scale: DoubleArray
    magnitude: DoubleArray
    error: DoubleArray
    square: DoubleArray
    relative: DoubleArray
    excess: DoubleArray
    quantile: DoubleArray
    below: IntArray
    inside: IntArray

    def __len__(self) -> int:
        return len(self.steps)

    def take(self, rows: IntArray) -> "Losses":
        """Return the losses of the forecasts with the given indices."""
        return Losses(*(getattr(self, field.name)[rows] for field in fields(self)))


class Interval(NamedTuple):
    """The indices of the two levels between which an interval is."""

    low: int
    high: int


def intervals_of(levels: Sequence[float]) -> list[Interval]:
    """Return the central intervals: those of levels equally far from the median.

    The widest interval comes first. The levels 0.1, 0.5 and 0.9 give the single interval (0, 2).
    """
    order = sorted(range(len(levels)), key=lambda index: levels[index])
    return [
        Interval(low, high)
        for low in order
        for high in order
        if levels[low] < MEDIAN and same_level(levels[low], 1 - levels[high])
    ]


def interval_name(levels: Sequence[float], interval: Interval) -> str:
    """Return the name of an interval: its nominal share of actuals, such as ``80%``."""
    return f"{100 * (levels[interval.high] - levels[interval.low]):.4g}%"


def measure(
    actual: RealArray,
    median: RealArray,
    quantiles: RealArray,
    levels: Sequence[float],
    scale: DoubleArray,
) -> Losses:
    """Compare forecasts with actuals.

    Parameters
    ----------
    actual, median : float [N, H]
        NaN if missing.
    quantiles : float [N, H, Q]
    levels : sequence of float
        Q quantile levels.
    scale : float64 [N]
        Result of `seasonal_error`.
    """
    # Float64, because these sums are added up over millions of steps.
    y, m, q = (np.asarray(values, np.float64) for values in (actual, median, quantiles))
    observed = np.isfinite(y)
    answered = observed & np.isfinite(m) & np.isfinite(q).all(axis=2)
    # Zeros add nothing to any sum, so that the sums below need no mask.
    y, m = np.where(answered, y, 0.0), np.where(answered, m, 0.0)
    q = np.where(answered[..., None], q, 0.0)
    below = y[..., None] <= q
    inside = [(q[..., low] <= y) & below[..., high] for low, high in intervals_of(levels)]
    error = np.abs(y - m)
    size = np.abs(y) + np.abs(m)
    # A zero that is forecast as zero is no error.
    relative = np.divide(2 * error, size, out=np.zeros_like(size), where=size > 0)
    return Losses(
        steps=answered.sum(axis=1),
        missed=(observed & ~answered).sum(axis=1),
        scale=np.asarray(scale, np.float64),
        magnitude=np.abs(y).sum(axis=1),
        error=error.sum(axis=1),
        square=np.square(y - m).sum(axis=1),
        relative=relative.sum(axis=1),
        excess=(m - y).sum(axis=1),
        quantile=quantile_loss(y, q, np.asarray(levels, np.float64)).sum(axis=1),
        below=(below & answered[..., None]).sum(axis=1),
        inside=_columns([(within & answered).sum(axis=1) for within in inside], len(y)),
    )


def _columns(columns: Sequence[AnyArray], rows: int) -> AnyArray:
    """Return columns side by side, [N, P]; P may be 0, which ``np.stack`` refuses."""
    return np.stack(columns, axis=1) if columns else np.zeros((rows, 0), np.int64)


def quantile_loss(actual: DoubleArray, quantiles: DoubleArray, levels: DoubleArray) -> DoubleArray:
    """Return ``2 |(y - q) (1[y <= q] - level)|``, [N, H, Q]; NaN for missing actuals.

    Parameters
    ----------
    actual : float64 [N, H]
    quantiles : float64 [N, H, Q]
    levels : float64 [Q]
    """
    y = actual[..., None]
    # Twice the pinball loss: at the median it is the absolute error.
    loss: DoubleArray = 2 * np.abs((y - quantiles) * ((y <= quantiles) - levels))
    return loss


def seasonal_error(values: RealArray, offsets: IntArray, seasons: IntArray) -> DoubleArray:
    """Return the mean absolute seasonal difference of each context, [N]; NaN if undefined.

    Parameters
    ----------
    values : float [sum of T_n]
        Concatenated contexts; NaN if missing.
    offsets : int64 [N + 1]
        Context n is ``values[offsets[n]:offsets[n + 1]]``.
    seasons : int64 [N]
        Steps of a season, at least 1.
    """
    scales = np.full(len(offsets) - 1, np.nan)
    if not len(scales):
        return scales
    steps = np.arange(len(values))
    series = np.repeat(np.arange(len(scales)), np.diff(offsets))
    # Only steps that have a step one season earlier in the same series; a difference across two
    # series would mean nothing.
    within = steps - offsets[:-1][series]
    late = np.flatnonzero(within >= seasons[series])
    change = np.abs(values[late].astype(np.float64) - values[late - seasons[series[late]]])
    finite = np.isfinite(change)
    owner = series[late][finite]
    total = np.bincount(owner, change[finite], minlength=len(scales))
    count = np.bincount(owner, minlength=len(scales))
    defined = (count > 0) & (total > 0)
    scales[defined] = total[defined] / count[defined]
    return scales


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums from which the figures of G groups are computed; can be added over partitions.

    Parameters
    ----------
    forecasts, steps, missed, undefined : float64 [G]
        Counts, see `Figures`.
    mase, sql, smape : float64 [G]
        Sums over forecasts.
    magnitude, square, excess : float64 [G]
        Sums over steps.
    quantile, below : float64 [G, Q]
        Sums over steps.
    inside : float64 [G, P]
        Sums over steps.
    """

    forecasts: DoubleArray
    steps: DoubleArray
    missed: DoubleArray
    undefined: DoubleArray
    mase: DoubleArray
    sql: DoubleArray
    smape: DoubleArray
    magnitude: DoubleArray
    square: DoubleArray
    excess: DoubleArray
    quantile: DoubleArray
    below: DoubleArray
    inside: DoubleArray

    def __add__(self, other: "Sums") -> "Sums":
        """Return the sums of two partitions, group by group."""
        names = [field.name for field in fields(self)]
        return Sums(*(getattr(self, name) + getattr(other, name) for name in names))

    def take(self, rows: IntArray) -> "Sums":
        """Return the sums of the groups with the given indices."""
        return Sums(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of a group of forecasts; NaN if undefined.

    Parameters
    ----------
    forecasts, steps, missed : int
        Number of forecasts with at least one compared step, number of compared steps, and number
        of steps with an actual but without a forecast.
    undefined : int
        Number of forecasts without a scale, which MASE and SQL leave out.
    mase, wql, sql, rmse, smape, bias : float
        Definitions in the module's table.
    coverage : tuple of float
        Share of actuals at or below the quantile of each level.
    intervals : tuple of float
        Share of actuals within each interval, see `intervals_of`.
    """

    forecasts: int
    steps: int
    missed: int
    undefined: int
    mase: float
    wql: float
    sql: float
    rmse: float
    smape: float
    bias: float
    coverage: tuple[float, ...]
    intervals: tuple[float, ...]


def add_up(losses: Losses, groups: IntArray | None = None, count: int = 1) -> Sums:
    """Add up the losses of each group of forecasts.

    Parameters
    ----------
    losses : Losses
        Losses of N forecasts.
    groups : int64 [N], optional
        Group of each forecast, 0 to ``count - 1``; a single group by default.
    count : int
        Number of groups, G.
    """
    code = np.zeros(len(losses), np.int64) if groups is None else groups

    def total(values: AnyArray) -> DoubleArray:
        weights = np.asarray(values, np.float64)
        return np.bincount(code, weights, minlength=count).astype(np.float64)

    answered = losses.steps > 0
    scaled = answered & np.isfinite(losses.scale)
    # Each forecast counts once in MASE, SQL and sMAPE, whatever its number of steps.
    steps = np.maximum(losses.steps, 1)
    unit = np.where(scaled, losses.scale, 1.0) * steps

    def totals(values: AnyArray) -> DoubleArray:
        return _columns([total(column) for column in values.T], count)

    return Sums(
        forecasts=total(answered),
        steps=total(losses.steps),
        missed=total(losses.missed),
        undefined=total(answered & ~scaled),
        mase=total(np.where(scaled, losses.error / unit, 0)),
        sql=total(np.where(scaled, losses.quantile.mean(axis=1) / unit, 0)),
        smape=total(losses.relative / steps),
        magnitude=total(losses.magnitude),
        square=total(losses.square),
        excess=total(losses.excess),
        quantile=totals(losses.quantile),
        below=totals(losses.below),
        inside=totals(losses.inside),
    )


def figures_of(sums: Sums) -> list[Figures]:
    """Return the figures of each group."""
    scaled = sums.forecasts - sums.undefined
    mase, sql = _ratio(sums.mase, scaled), _ratio(sums.sql, scaled)
    smape, bias = _ratio(sums.smape, sums.forecasts), _ratio(sums.excess, sums.magnitude)
    wql = _ratio(sums.quantile.mean(axis=1), sums.magnitude)
    # The root is taken last: sums of squares can be added over partitions, roots cannot.
    rmse = np.sqrt(_ratio(sums.square, sums.steps))
    coverage = [_ratio(column, sums.steps) for column in sums.below.T]
    intervals = [_ratio(column, sums.steps) for column in sums.inside.T]
    return [
        Figures(
            forecasts=int(sums.forecasts[g]),
            steps=int(sums.steps[g]),
            missed=int(sums.missed[g]),
            undefined=int(sums.undefined[g]),
            mase=float(mase[g]),
            wql=float(wql[g]),
            sql=float(sql[g]),
            rmse=float(rmse[g]),
            smape=float(smape[g]),
            bias=float(bias[g]),
            coverage=tuple(float(column[g]) for column in coverage),
            intervals=tuple(float(column[g]) for column in intervals),
        )
        for g in range(len(sums.steps))
    ]


def _ratio(above: DoubleArray, below: DoubleArray) -> DoubleArray:
    undefined: DoubleArray = np.full(len(above), np.nan)
    return np.divide(above, below, out=undefined, where=below > 0)


def skill(errors: Sequence[float], baseline: Sequence[float]) -> float:
    """Return 1 minus the geometric mean of the clipped errors relative to a baseline.

    0 is as good as the baseline, 1 is perfect. Pairs with an undefined error or a baseline error of
    0 are left out; NaN without any pair. As ``skill_score`` of fev (Shchur et al. 2025).
    """
    ours, base = np.asarray(errors, np.float64), np.asarray(baseline, np.float64)
    valid = np.isfinite(ours) & np.isfinite(base) & (base > 0)
    if not valid.any():
        return float("nan")
    relative = np.clip(ours[valid] / base[valid], *CLIP)
    return float(1 - np.exp(np.log(relative).mean()))
