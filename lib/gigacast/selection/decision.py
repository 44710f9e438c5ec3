"""The choice itself: the best model or mixture of each unit, where the evidence is enough.

A unit is a series or a segment. Its own choice must be better than that of the whole by a margin of
standard errors of the paired difference; else it gets the whole's. Rows are pairs of a series and
an origin. Clusters are the series of a unit, or the origins of a unit of one series: rows of a
series are much alike, and must not count as many.

References
----------
Caruana, Niculescu-Mizil, Crew and Ksikes (2004), Ensemble selection from libraries of models.
Breiman, Friedman, Olshen and Stone (1984), Classification and regression trees: one standard error.
"""

from dataclasses import dataclass, replace

import numpy as np

from gigacast.core.array import BoolArray, DoubleArray, FloatArray, IntArray
from gigacast.settings.command.selection import SelectMethod

ROUNDS = 16
"""Members of an ensemble, each of which may be taken again: the grain of its weights."""
LEAST_WEIGHT = 0.03
"""Smaller weights are left out: each member of a mixture costs its forecasts."""


@dataclass(frozen=True)
class Forecasts:
    """What the candidates forecast, for ensembles.

    Parameters
    ----------
    quantiles : float32 [M, R, H, Q]
    actuals : float32 [R, H]
        NaN where missing.
    levels : tuple of float
        Q levels.
    unit_loss : float64 [R]
        Factor that makes the loss of a row of its summed quantile losses.
    """

    quantiles: FloatArray
    actuals: FloatArray
    levels: tuple[float, ...]
    unit_loss: DoubleArray

    def take(self, rows: IntArray) -> "Forecasts":
        """Return the forecasts of some rows."""
        return Forecasts(
            self.quantiles[:, rows], self.actuals[rows], self.levels, self.unit_loss[rows]
        )

    def loss_of(self, quantiles: FloatArray) -> DoubleArray:
        """Return the loss of each row, [R], of quantiles [R, H, Q]."""
        levels = np.array(self.levels, np.float32)
        error = self.actuals[..., None] - quantiles
        pinball = np.maximum(levels * error, (levels - 1) * error)
        return np.nansum(pinball, axis=(1, 2), dtype=np.float64) * (2 * self.unit_loss)


@dataclass(frozen=True)
class Evidence:
    """Losses of M candidates in R rows of U units.

    Parameters
    ----------
    loss : float64 [M, R]
    unit, series, origin : int64 [R]
        Unit and series by number, and the time of the origin.
    units : int
    forecasts : Forecasts, optional
        For ensembles only.
    """

    loss: DoubleArray
    unit: IntArray
    series: IntArray
    origin: IntArray
    units: int
    forecasts: Forecasts | None = None

    def take(self, rows: IntArray) -> "Evidence":
        """Return the evidence of some rows, for the same units."""
        return Evidence(
            self.loss[:, rows],
            self.unit[rows],
            self.series[rows],
            self.origin[rows],
            self.units,
            self.forecasts.take(rows) if self.forecasts is not None else None,
        )

    def is_latest(self) -> BoolArray:
        """Return whether each row has the latest origin of its series, [R]."""
        latest = np.full(int(self.series.max(initial=-1)) + 1, np.iinfo(np.int64).min)
        np.maximum.at(latest, self.series, self.origin)
        is_latest: BoolArray = self.origin == latest[self.series]
        return is_latest

    def means(self, loss: DoubleArray) -> DoubleArray:
        """Return the mean of losses [R] in each unit, [U]; NaN without any."""
        return _mean(loss, self.unit, self.units)

    def loss_by(self, weights: DoubleArray) -> DoubleArray:
        """Return the loss of each row, [R], by the weights of its unit, [U, M]."""
        own = weights[self.unit]
        is_pure = (own > 0).sum(axis=1) == 1
        loss = np.asarray(self.loss[own.argmax(axis=1), np.arange(len(own))])
        rows = np.flatnonzero(~is_pure)
        if not len(rows):
            return loss
        assert self.forecasts is not None  # noqa: S101 - only ensembles have mixtures
        part = self.forecasts.take(rows)
        mixed = np.einsum("rm,mrhq->rhq", own[rows].astype(np.float32), part.quantiles)
        loss[rows] = part.loss_of(np.sort(mixed, axis=-1))
        return loss


@dataclass(frozen=True)
class Rules:
    """When a unit gets a choice of its own; see `SelectOptions`."""

    method: SelectMethod = "best"
    margin: float = 1.0
    least_windows: int = 3
    evidence: float = 20.0


@dataclass(frozen=True)
class Decision:
    """The weights of each unit.

    Parameters
    ----------
    whole : float64 [M]
        Weights of the fallback.
    weights : float64 [U, M]
        Weights of each unit; the fallback's where it has no choice of its own.
    is_own : bool [U]
    single : int
        Best candidate overall.
    """

    whole: DoubleArray
    weights: DoubleArray
    is_own: BoolArray
    single: int


def decide(evidence: Evidence, rules: Rules) -> Decision:
    """Choose for every unit.

    Parameters
    ----------
    evidence : Evidence
        Of at least one row.
    rules : Rules
    """
    single = int(np.argmin(evidence.loss.mean(axis=1)))
    one_hot = np.eye(len(evidence.loss))
    if rules.method == "best":
        sums = np.stack([evidence.means(row) for row in evidence.loss], axis=1)
        best = np.where(np.isnan(sums), np.inf, sums).argmin(axis=1)
        is_own = _is_better(evidence, evidence.loss[single], evidence.loss_by(one_hot[best]), rules)
        is_own &= best != single
        chosen = np.where(is_own, best, single)
        return Decision(one_hot[single], one_hot[chosen], is_own, single)
    overall = _overall_ensemble(evidence, rules, single)
    if evidence.units == 1:
        return Decision(overall, overall[None], np.zeros(1, np.bool_), single)
    own = _drawn_to(overall, _greedy(evidence), evidence, rules)
    is_own = _is_better(
        evidence, _loss_of_all(evidence, overall), _crossed(evidence, overall, rules), rules
    )
    return Decision(overall, np.where(is_own[:, None], own, overall), is_own, single)


def check_ahead(evidence: Evidence, rules: Rules) -> tuple[DoubleArray, float] | None:
    """Return the losses of a decision by all but the latest origins, at these.

    Returns
    -------
    tuple of (float64 [M], float), optional
        Mean losses of the candidates and of the decision; ``None`` with one origin per series.
    """
    is_latest = evidence.is_latest()
    if is_latest.all():
        return None
    earlier, latest = (
        evidence.take(np.flatnonzero(~is_latest)),
        evidence.take(np.flatnonzero(is_latest)),
    )
    fewer = replace(rules, least_windows=max(1, rules.least_windows - 1))
    decision = decide(earlier, fewer)
    return latest.loss.mean(axis=1), float(latest.loss_by(decision.weights).mean())


# -- ensembles -------------------------------------------------------------------------------------


def _overall_ensemble(evidence: Evidence, rules: Rules, single: int) -> DoubleArray:
    """Return the weights of the whole: of an ensemble, if it is better than the best candidate."""
    joined = replace(evidence, unit=np.zeros_like(evidence.unit), units=1)
    alone = np.eye(len(evidence.loss))[single]
    crossed = _crossed(joined, alone, replace(rules, evidence=0.0))
    is_better = _is_better(joined, evidence.loss[single], crossed, rules)[0]
    weights: DoubleArray = _rounded(_greedy(joined))[0] if is_better else alone
    return weights


def _loss_of_all(evidence: Evidence, weights: DoubleArray) -> DoubleArray:
    return evidence.loss_by(np.broadcast_to(weights, (evidence.units, len(weights))))


def _crossed(evidence: Evidence, overall: DoubleArray, rules: Rules) -> DoubleArray:
    """Return the loss of each row, [R], by weights that were found on the other half."""
    half = _halves(evidence)
    loss = np.empty(len(half))
    for side in (0, 1):
        basis, judged = np.flatnonzero(half != side), np.flatnonzero(half == side)
        part = evidence.take(basis)
        own = _greedy(part) if len(basis) else np.full((evidence.units, len(overall)), np.nan)
        weights = _drawn_to(overall, own, part, rules)
        loss[judged] = evidence.take(judged).loss_by(weights)
    return loss


def _halves(evidence: Evidence) -> IntArray:
    """Return the half of each row, 0 or 1 [R]: of the series of a unit, or of its origins."""
    order = np.lexsort((evidence.origin, evidence.series))
    rank = np.empty(len(order), np.int64)
    starts = np.concatenate([[True], np.diff(evidence.series[order]) != 0])
    begins = np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))
    rank[order] = np.arange(len(order)) - begins
    return np.where(_has_several(evidence), evidence.series, rank) % 2


def _greedy(evidence: Evidence) -> DoubleArray:
    """Return weights of each unit, [U, M], by which members are added that help most.

    Of all rounds the one with the lowest loss counts. Units without rows have NaN.
    """
    forecasts = evidence.forecasts
    assert forecasts is not None  # noqa: S101 - ensembles have them
    members, rows = len(evidence.loss), np.arange(len(evidence.unit))
    total = np.zeros(forecasts.quantiles.shape[1:], np.float32)
    counts = np.zeros((evidence.units, members))
    best = np.full((evidence.units, members), np.nan)
    lowest = np.full(evidence.units, np.inf)
    for size in range(1, ROUNDS + 1):
        share = np.float32(1 / size)
        losses = np.stack(
            [
                evidence.means(forecasts.loss_of((total + own) * share))
                for own in forecasts.quantiles
            ],
            axis=1,
        )
        losses = np.where(np.isnan(losses), np.inf, losses)
        pick = losses.argmin(axis=1)
        counts[np.arange(evidence.units), pick] += 1
        total += forecasts.quantiles[pick[evidence.unit], rows]
        reached = losses.min(axis=1)
        # Not where rounding alone is better: fewer members cost less.
        is_better = reached < lowest * (1 - 1e-6)
        best[is_better] = counts[is_better] / size
        lowest = np.where(is_better, reached, lowest)
    return best


def _drawn_to(
    overall: DoubleArray, own: DoubleArray, evidence: Evidence, rules: Rules
) -> DoubleArray:
    """Return the weights of units, drawn to the whole's where there are few series; [U, M]."""
    number = np.bincount(_pairs(evidence)[0], minlength=evidence.units)
    trust = (number / np.maximum(number + rules.evidence, 1e-9))[:, None]
    mixed = np.where(np.isnan(own), overall, trust * np.nan_to_num(own) + (1 - trust) * overall)
    return _rounded(mixed)


def _rounded(weights: DoubleArray) -> DoubleArray:
    """Return weights, [U, M], of four digits and without small ones; each row adds up to 1."""
    rounded = np.where(weights < LEAST_WEIGHT, 0.0, weights)
    rounded = np.round(rounded / rounded.sum(axis=1, keepdims=True), 4)
    rows = np.arange(len(rounded))
    largest = rounded.argmax(axis=1)
    rounded[rows, largest] += 1 - rounded.sum(axis=1)
    digits: DoubleArray = np.round(rounded, 4)
    return digits


# -- paired differences ----------------------------------------------------------------------------


def _is_better(
    evidence: Evidence, former: DoubleArray, own: DoubleArray, rules: Rules
) -> BoolArray:
    """Return whether the losses of a unit's own choice are lower by the margin, bool [U]."""
    unit, cluster = _pairs(evidence)
    gain = _mean(former - own, cluster, len(unit))
    count = np.bincount(unit, minlength=evidence.units)
    mean = _mean(gain, unit, evidence.units)
    spread = _mean((gain - mean[unit]) ** 2, unit, evidence.units)
    error = np.sqrt(spread / np.maximum(count - 1, 1))
    enough = (count >= 2) & (_windows(evidence) >= rules.least_windows)
    with np.errstate(invalid="ignore"):
        better: BoolArray = enough & (mean > 0) & (mean > rules.margin * error)
    return better


def _pairs(evidence: Evidence) -> tuple[IntArray, IntArray]:
    """Return the unit of each cluster, and the cluster of each row [R]."""
    several = _has_several(evidence)
    own = np.where(several, evidence.series, evidence.origin)
    pairs = np.stack([evidence.unit, own], axis=1)
    distinct, cluster = np.unique(pairs, axis=0, return_inverse=True)
    return distinct[:, 0], cluster.ravel()


def _has_several(evidence: Evidence) -> BoolArray:
    """Return whether the unit of each row has several series, [R]."""
    pairs = np.unique(np.stack([evidence.unit, evidence.series], axis=1), axis=0)
    several: BoolArray = (np.bincount(pairs[:, 0], minlength=evidence.units) > 1)[evidence.unit]
    return several


def _windows(evidence: Evidence) -> IntArray:
    """Return the windows origins that a series of each unit has, [U]."""
    pairs = np.stack([evidence.unit, evidence.series], axis=1)
    distinct, counts = np.unique(pairs, axis=0, return_counts=True)
    windows = np.zeros(evidence.units, np.int64)
    np.maximum.at(windows, distinct[:, 0], counts)
    return windows


def _mean(values: DoubleArray, groups: IntArray, count: int) -> DoubleArray:
    total = np.bincount(groups, values, minlength=count)
    number = np.bincount(groups, minlength=count)
    mean: DoubleArray = np.full(count, np.nan)
    np.divide(total, number, out=mean, where=number > 0)
    return mean
