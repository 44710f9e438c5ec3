"""Scores and kinds of anomalies: numpy functions over N series of H steps.

The score of a value is its distance from the median in standard deviations of the forecast, on the
side on which it is. The forecast's own quantiles give the deviations, so a score has no unit: a
series in other units has the same scores.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from statistics import NormalDist

import numpy as np

from gigacast.core.array import BoolArray, ByteArray, DoubleArray, IntArray, RealArray
from gigacast.forecasters.metric import intervals_of

MAX_SCORE = 100.0
"""Largest score: of a value that a forecast without any doubt did not expect."""
_LEAST_DEVIATION = 1e-3
"""Least standard deviation, as a share of the median's mean distance from the base: forecasts of
constant series have none, and rounding would be an anomaly."""
_LEAST_OF_CONSTANT = 1e-3
"""Least standard deviation after a history that never changed, absolute: a model's forecasts of
zeros are dust around 1e-7, of which no share says how much is nothing."""
_RARE = 0.05
"""Share of zeros in the history below which zeros are sudden."""
_FLAT = 0.1
"""Share of the usual change from step to step below which a sensor is flat."""


class Kind(IntEnum):
    """Kind of an anomaly; the names are those of the dataset."""

    SPIKE = 1
    LEVEL_SHIFT = 2
    ZEROS = 3
    STUCK = 4
    FLAT = 5

    @property
    def label(self) -> str:
        """Name in tables."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits beyond which values are anomalies.

    Parameters
    ----------
    level : float
        Share of values that the band of the expected holds, as 0.99.
    shift_steps : int
        Steps in a row on one side of the band that are a level shift.
    stuck_steps : int
        Equal values in a row that are those of a stuck sensor, if the history has no such run.
    flat_steps : int
        Steps in a row with nearly no change that are those of a flat sensor.
    """

    level: float = 0.99
    shift_steps: int = 5
    stuck_steps: int = 6
    flat_steps: int = 8

    @property
    def score(self) -> float:
        """Score of the border of the band."""
        return NormalDist().inv_cdf(0.5 + self.level / 2)


@dataclass(frozen=True, slots=True)
class History:
    """What is usual for N series.

    Parameters
    ----------
    repeats : int64 [N]
        Longest run of equal values; 0 without a value.
    change : float64 [N]
        Mean absolute change from step to step; NaN without one.
    zeros : float64 [N]
        Share of values that are zero; NaN without a value.
    """

    repeats: IntArray
    change: DoubleArray
    zeros: DoubleArray

    @classmethod
    def unknown(cls, count: int) -> "History":
        """Return the history of series of which nothing is known: nothing is unusual for them."""
        nothing = np.full(count, np.nan)
        return cls(np.full(count, np.iinfo(np.int64).max // 4), nothing, nothing.copy())


@dataclass(frozen=True, slots=True)
class Compared:
    """Values and the forecasts that they are compared with: N series of H steps.

    Parameters
    ----------
    actual, median : float [N, H]
        NaN if missing.
    quantiles : float [N, H, Q]
    levels : sequence of float
        Q quantile levels, two at least.
    bases : float64 [N], optional
        Levels beside which float32 loses the steps of a series, see `gigacast.core.series.base`;
        0 of all series by default.
    """

    actual: RealArray
    median: RealArray
    quantiles: RealArray
    levels: Sequence[float]
    bases: DoubleArray | None = None

    @property
    def is_wide(self) -> bool:
        """Whether float32 loses steps of the values."""
        return self.median.dtype == np.float64

    @property
    def band(self) -> tuple[int, int]:
        """Indices of the levels whose interval is the widest."""
        intervals = intervals_of(self.levels)
        if intervals:
            return intervals[0]
        order = sorted(range(len(self.levels)), key=lambda index: self.levels[index])
        return order[0], order[-1]


@dataclass(frozen=True, slots=True)
class Found:
    """Anomalies of N series of H steps.

    Parameters
    ----------
    score : float64 [N, H]
        Standard deviations from the median, below 0 under it; NaN without a value.
    kind : int8 [N, H]
        `Kind`; 0 for values that are no anomaly.
    run : int64 [N, H]
        Anomalies in a row that a value is one of; 0 for other values.
    """

    score: DoubleArray
    kind: ByteArray
    run: IntArray

    @property
    def is_anomaly(self) -> BoolArray:
        """Whether each value is an anomaly, [N, H]."""
        anomalous: BoolArray = self.kind > 0
        return anomalous


def find_anomalies(compared: Compared, history: History, limits: Limits = Limits()) -> Found:
    """Return scores and kinds of values.

    Of several kinds that apply, the first counts: zeros, stuck, flat, level shift, spike.
    """
    y = np.asarray(compared.actual, np.float64)
    constant = np.where(history.change == 0, _LEAST_OF_CONSTANT, 0.0)
    score = score_values(compared, constant)
    out = np.abs(np.nan_to_num(score)) >= limits.score
    side = np.where(out, np.sign(np.nan_to_num(score)), 0.0)
    out_runs = run_lengths(side)
    equal_runs = run_lengths(np.where(np.isfinite(y), y, np.nan))
    flat = _flat(y, history, limits.flat_steps)
    least = np.maximum(limits.stuck_steps, 2 * history.repeats)[:, None]
    kind = np.zeros(y.shape, np.int8)
    run = np.where(out, out_runs, 0)
    kind[out] = Kind.SPIKE
    kind[out & (out_runs >= limits.shift_steps)] = Kind.LEVEL_SHIFT
    kind[flat] = Kind.FLAT
    stuck = (equal_runs >= least) & (y != 0)
    kind[stuck] = Kind.STUCK
    kind[out & (y == 0) & (score < 0) & (history.zeros < _RARE)[:, None]] = Kind.ZEROS
    run = np.where(kind == Kind.FLAT, run_lengths(np.where(flat, 1.0, np.nan)), run)
    return Found(score, kind, np.where(kind == Kind.STUCK, equal_runs, run))


def score_values(compared: Compared, floor: DoubleArray | None = None) -> DoubleArray:
    """Return the distance of values from the median in standard deviations, [N, H].

    The widest central interval gives the deviation of each side as that of a normal distribution
    with these quantiles. NaN where a value or a quantile is missing.

    Parameters
    ----------
    compared : Compared
    floor : float64 [N], optional
        Least standard deviation of each series; 0 by default.
    """
    numbers = (compared.actual, compared.median, compared.quantiles)
    y, m, q = (np.asarray(values, np.float64) for values in numbers)
    low, high = compared.band
    levels, normal = compared.levels, NormalDist()
    above = (q[..., high] - m) / normal.inv_cdf(levels[high])
    below = (m - q[..., low]) / -normal.inv_cdf(levels[low])
    # A meter at 1.7e9 that grows by 60 a step is judged as it would be at 0.
    apart = m if compared.bases is None else m - compared.bases[:, None]
    size = np.abs(np.where(np.isfinite(m), apart, 0.0)).sum(axis=1)
    counts = np.maximum(np.isfinite(m).sum(axis=1), 1)
    least = _LEAST_DEVIATION * (size / counts)[:, None]
    if floor is not None:
        least = np.maximum(least, floor[:, None])
    distance = y - m
    deviation = np.maximum(np.where(distance >= 0, above, below), least)
    score = np.where(distance == 0, 0.0, np.copysign(MAX_SCORE, distance))
    np.divide(distance, deviation, out=score, where=(deviation > 0) & (distance != 0))
    answered = (
        np.isfinite(y) & np.isfinite(m) & np.isfinite(q[..., low]) & np.isfinite(q[..., high])
    )
    return np.where(answered, np.clip(score, -MAX_SCORE, MAX_SCORE), np.nan)


def run_lengths(values: RealArray) -> IntArray:
    """Return the length of the run of equal values that each value is in, [N, H].

    NaN is in no run: its length is 0. Runs end with their series.
    """
    count, steps = values.shape
    if not values.size:
        return np.zeros(values.shape, np.int64)
    begins = np.ones((count, steps), np.bool_)
    begins[:, 1:] = values[:, 1:] != values[:, :-1]  # NaN differs from NaN
    number = np.cumsum(begins.ravel()) - 1
    lengths = np.bincount(number)[number].reshape(values.shape)
    return np.where(np.isnan(values), 0, lengths).astype(np.int64)


def _flat(y: DoubleArray, history: History, steps: int) -> BoolArray:
    """Return which values are in a row of ``steps`` values that hardly differ from the last one."""
    flat = np.zeros(y.shape, np.bool_)
    if y.shape[1] < steps:
        return flat
    change = np.abs(np.diff(y, axis=1))
    windows = np.lib.stride_tricks.sliding_window_view(change, steps - 1, axis=1).max(axis=2)
    # Without any change a sensor is stuck, and not only flat.
    quiet = (windows > 0) & (windows < _FLAT * history.change[:, None])
    for shift in range(steps):  # over the steps of a row, not over series
        flat[:, shift : shift + quiet.shape[1]] |= quiet
    return flat


def describe_history(values: RealArray, offsets: IntArray) -> History:
    """Return what is usual for series.

    Parameters
    ----------
    values : float [sum of T_n]
        Concatenated histories; NaN if missing.
    offsets : int64 [N + 1]
        History n is ``values[offsets[n]:offsets[n + 1]]``.
    """
    count = len(offsets) - 1
    y = np.asarray(values, np.float64)
    owner = np.repeat(np.arange(count), np.diff(offsets))
    finite = np.isfinite(y)
    same_series = owner[1:] == owner[:-1]
    begins = np.ones(len(y), np.bool_)
    begins[1:] = ~same_series | (y[1:] != y[:-1])
    repeats = np.zeros(count, np.int64)
    if len(y):
        lengths = np.bincount(np.cumsum(begins) - 1)
        starts = np.flatnonzero(begins)
        valid = finite[starts]
        np.maximum.at(repeats, owner[starts[valid]], lengths[valid])
    change = np.abs(np.diff(y))
    counted = same_series & np.isfinite(change)
    owners = owner[1:][counted]
    total = np.bincount(owners, change[counted], minlength=count)
    return History(
        repeats,
        _ratio(total, np.bincount(owners, minlength=count)),
        _ratio(
            np.bincount(owner[finite & (y == 0)], minlength=count),
            np.bincount(owner[finite], minlength=count),
        ),
    )


def _ratio(above: DoubleArray | IntArray, below: IntArray) -> DoubleArray:
    undefined: DoubleArray = np.full(len(above), np.nan)
    return np.divide(above, below, out=undefined, where=below > 0)


def central_share(score: DoubleArray) -> DoubleArray:
    """Return the share of a normal distribution nearer to its median than each score.

    Abramowitz and Stegun 7.1.26; the error is below 2e-7.
    """
    x = np.abs(score) / math.sqrt(2)
    t = 1 / (1 + 0.3275911 * x)
    poly = t * (
        0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))
    )
    share: DoubleArray = np.maximum(1 - poly * np.exp(-x * x), 0.0)
    return share
