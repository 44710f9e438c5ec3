"""Forecast accuracy beside the quality of the data it was made from.

Partition by partition: what was measured of the data, and how far the forecasts made of it were
off, where actuals have come. A rank correlation says which flaws go with worse forecasts; it says
nothing of causes, and with few partitions little at all.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gigacast.backtesting.evaluation.run import EvaluationJob, evaluate_forecasts
from gigacast.backtesting.leaderboard.result import figure_text, markdown_table, plain
from gigacast.core.array import DoubleArray
from gigacast.job.forecast_job import ForecastJob
from gigacast.quality.result import Judged, percent

LOSSES = ("wql", "mase")
MEASURES = ("missing", "duplicates", "unordered", "gaps", "outliers", "noncompliant", "incomplete")
LEAST_PARTITIONS = 3
"""Below this there is no correlation worth a number."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One partition: how good its data is, and how good a model's forecasts of it were."""

    partition: str
    model: str
    verdict: str
    shares: dict[str, float]
    losses: dict[str, float]


@dataclass(frozen=True)
class Accuracy:
    """All pairs, and by model, measure and loss the rank correlation; NaN where there is none.

    ``failures`` are forecasts that could not be compared, each with its reason.
    """

    pairs: tuple[Pair, ...] = ()
    correlations: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    failures: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values: NaN is null."""
        pairs = [
            {
                "partition": one.partition,
                "model": one.model,
                "verdict": one.verdict,
                **plain(one.shares),
                **plain(one.losses),
            }
            for one in self.pairs
        ]
        failures = [{"key": key, "message": message} for key, message in self.failures]
        correlations = plain(self.correlations)
        return {"partitions": pairs, "rank_correlations": correlations, "failures": failures}

    def rows(self) -> list[list[str]]:
        """Return a line for each pair, the worst forecasts first."""
        ordered = sorted(self.pairs, key=lambda one: -_number(one.losses["wql"]))
        return [
            [
                one.partition,
                one.model,
                one.verdict,
                *(percent(one.shares.get(name)) for name in MEASURES),
                *(figure_text(one.losses[name]) for name in LOSSES),
            ]
            for one in ordered
        ]

    def correlation_rows(self) -> list[list[str]]:
        """Return a line for each model and measure that varies."""
        return [
            [model, measure, *(figure_text(by_loss[name]) for name in LOSSES)]
            for model, by_measure in self.correlations.items()
            for measure, by_loss in by_measure.items()
            if not all(math.isnan(value) for value in by_loss.values())
        ]

    def to_markdown(self) -> str:
        """Return it for people."""
        parts = [
            "## Forecast accuracy by partition",
            markdown_table(ACCURACY_HEAD, self.rows()),
            "## Rank correlation of flaws with losses (Spearman)",
            markdown_table(CORRELATION_HEAD, self.correlation_rows()),
        ]
        return "\n\n".join(parts) + "\n"


ACCURACY_HEAD = ["partition", "model", "verdict", *MEASURES, "WQL", "MASE"]
CORRELATION_HEAD = ["model", "measure", "with WQL", "with MASE"]


def _number(value: float) -> float:
    return -math.inf if math.isnan(value) else value


def compare_accuracy(judged: Sequence[Judged], forecast: ForecastJob) -> Accuracy:
    """Evaluate the finished forecasts of a bucket beside the quality of its partitions.

    Parameters
    ----------
    judged : sequence of Judged
        Of a quality report over the same partitions.
    forecast : ForecastJob
        Where the forecasts and their actuals are.

    Raises
    ------
    DataNotFoundError
        When there are no finished forecasts.
    StorageError
    """
    found = evaluate_forecasts(EvaluationJob(forecast, by_partition=True))
    known = {_short(one.partition): one for one in judged if one.quality is not None}
    pairs = [
        Pair(
            partition,
            model,
            str(known[partition].verdict),
            {name: known[partition].shares[name] for name in _shares_of(known[partition])},
            {name: float(getattr(figures, name)) for name in LOSSES},
        )
        for (model, partition), figures in found.partitions.items()
        if partition in known
    ]
    return Accuracy(tuple(pairs), correlate(pairs), tuple(found.failures))


def _short(partition: str) -> str:
    """Return a partition as the forecasting job calls it: files of a dataset without its name."""
    parts = partition.split("/")
    return "/".join(parts[3:]) if parts[0] in {"raw", "cleaned", "features"} else partition


def _shares_of(one: Judged) -> list[str]:
    return [name for name in MEASURES if name in one.shares]


def correlate(pairs: Sequence[Pair]) -> dict[str, dict[str, dict[str, float]]]:
    """Return Spearman's rank correlation of every measure with every loss, by model."""
    result: dict[str, dict[str, dict[str, float]]] = {}
    for model in dict.fromkeys(pair.model for pair in pairs):
        own = [pair for pair in pairs if pair.model == model]
        result[model] = {
            measure: {
                loss: rank_correlation(
                    np.array([pair.shares.get(measure, np.nan) for pair in own]),
                    np.array([pair.losses[loss] for pair in own]),
                )
                for loss in LOSSES
            }
            for measure in MEASURES
        }
    return result


def rank_correlation(one: DoubleArray, other: DoubleArray) -> float:
    """Return Spearman's rank correlation; NaN for too few pairs, or where one does not vary."""
    known = np.isfinite(one) & np.isfinite(other)
    if known.sum() < LEAST_PARTITIONS:
        return math.nan
    first, second = (_ranks(values[known]) for values in (one, other))
    if min(float(np.ptp(first)), float(np.ptp(second))) == 0:
        return math.nan
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: DoubleArray) -> DoubleArray:
    """Return the rank of each value; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    means: DoubleArray = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return means
