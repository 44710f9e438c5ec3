"""Forecast accuracy compared with data quality, by partition.

Losses are those of partitions whose actuals have arrived. A rank correlation shows which flaws of
the data go with worse forecasts. It proves no cause, and with few partitions it shows little.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gigacast.backtesting.evaluation.result import Uncompared
from gigacast.backtesting.evaluation.run import EvaluationJob, evaluate_forecasts
from gigacast.backtesting.leaderboard.result import plain
from gigacast.core.array import DoubleArray
from gigacast.job.file_job import FileJob
from gigacast.job.forecast_job import ForecastJob
from gigacast.quality.result import Judged, QualityReport
from gigacast.report.document import (
    Block,
    Cell,
    Column,
    Document,
    Items,
    Kind,
    Paragraph,
    Table,
    Tone,
    titled,
)
from gigacast.report.markdown import render_markdown
from gigacast.storage.opening import open_store

LOSSES = ("wql", "mase")
MEASURES = ("missing", "duplicates", "unordered", "gaps", "outliers", "noncompliant", "incomplete")
LEAST_PARTITIONS = 3
"""Minimum number of partitions for a rank correlation: any two correlate perfectly."""
_SHOWN_ROWS = 40
_SHOWN_FAILURES = 5
_COLUMNS = (
    Column("partition", Kind.KEY),
    Column("model", Kind.KEY, 1),
    Column("verdict"),
    *(
        Column(name, Kind.PERCENT, rank)
        for name, rank in zip(MEASURES, (2, 3, 5, 3, 4, 5, 5), strict=True)
    ),
    Column("WQL", Kind.NUMBER),
    Column("MASE", Kind.NUMBER),
)
_CORRELATION_COLUMNS = (
    Column("model", Kind.KEY),
    Column("measure"),
    Column("with WQL", Kind.NUMBER),
    Column("with MASE", Kind.NUMBER),
)


@dataclass(frozen=True, slots=True)
class Pair:
    """Data quality of a partition, and the losses of a model's forecasts of it."""

    partition: str
    model: str
    verdict: str
    shares: dict[str, float]
    losses: dict[str, float]


@dataclass(frozen=True)
class Accuracy:
    """Quality and losses of all partitions, with rank correlations.

    Parameters
    ----------
    pairs : tuple of Pair
    correlations : mapping
        Rank correlations by model, measure and loss; NaN if there is none.
    failures : tuple of Uncompared
        Forecasts that could not be compared.
    """

    pairs: tuple[Pair, ...] = ()
    correlations: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    failures: tuple[Uncompared, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain values, ``None`` for NaN."""
        pairs = [
            {
                "partition": pair.partition,
                "model": pair.model,
                "verdict": pair.verdict,
                **plain(pair.shares),
                **plain(pair.losses),
            }
            for pair in self.pairs
        ]
        failures = [{"key": key, "message": message} for key, message in self.failures]
        correlations = plain(self.correlations)
        return {"partitions": pairs, "rank_correlations": correlations, "failures": failures}

    def to_document(self) -> Document:
        """Return the pairs and the correlations as a document; instead of empty tables a reason."""
        if not self.pairs:
            return Document((Paragraph(self._why_no_pairs(), Tone.WARNING),))
        pairs = Table(_COLUMNS, tuple(self._rows()), limit=_SHOWN_ROWS, rest="; --json lists all")
        blocks: list[Block] = [*titled("Forecast accuracy by partition", pairs)]
        rows = self._correlation_rows()
        if rows:
            title = "Rank correlation of flaws with losses (Spearman)"
            blocks += titled(title, Table(_CORRELATION_COLUMNS, tuple(rows)))
        elif all(math.isnan(pair.losses["wql"]) for pair in self.pairs):
            blocks.append(Paragraph("no finished forecast of these partitions has an actual yet"))
        else:
            blocks.append(Paragraph("too few partitions, or too alike, for a correlation"))
        return Document(tuple(blocks))

    def failed_comparisons(self) -> Document:
        """Return the first of the forecasts that could not be compared."""
        texts = (f"not compared: {key}: {message}" for key, message in self.failures)
        return Document((Items.of(texts, limit=_SHOWN_FAILURES),))

    def _why_no_pairs(self) -> str:
        if self.failures:
            return "no forecast could be compared: see the reasons above; --targets names columns"
        return "these partitions have no finished forecasts"

    def _rows(self) -> list[tuple[Cell, ...]]:
        """Return a row per pair, the worst forecasts first."""
        ordered = sorted(self.pairs, key=lambda pair: -_number(pair.losses["wql"]))
        return [
            (
                pair.partition,
                pair.model,
                pair.verdict,
                *(pair.shares.get(name) for name in MEASURES),
                *(pair.losses[name] for name in LOSSES),
            )
            for pair in ordered
        ]

    def _correlation_rows(self) -> list[tuple[Cell, ...]]:
        """Return a row per model and measure that varies."""
        return [
            (model, measure, *(by_loss[name] for name in LOSSES))
            for model, by_measure in self.correlations.items()
            for measure, by_loss in by_measure.items()
            if not all(math.isnan(value) for value in by_loss.values())
        ]

    def to_markdown(self) -> str:
        """Return the document as Markdown."""
        return render_markdown(self.to_document())


def _number(value: float) -> float:
    # NaN would leave the order undefined: undefined losses come last.
    return -math.inf if math.isnan(value) else value


def compare_accuracy(
    judged: Sequence[Judged], forecast: ForecastJob, dataset: str = ""
) -> Accuracy:
    """Evaluate the finished forecasts of a bucket and compare them with the data quality.

    Parameters
    ----------
    judged : sequence of Judged
        Partitions of a quality report.
    forecast : ForecastJob
        Job whose forecasts and actuals are compared.
    dataset : str
        Version of a dataset that was forecast; its partitions count if others have the same name.

    Raises
    ------
    DataNotFoundError
        If there are no finished forecasts.
    StorageError
    """
    evaluation = evaluate_forecasts(EvaluationJob(forecast, by_partition=True))
    of_dataset_last = sorted(judged, key=lambda entry: entry.partition.startswith(f"{dataset}/"))
    measured = {
        _short(entry.partition): entry for entry in of_dataset_last if entry.quality is not None
    }
    pairs = [
        Pair(
            partition,
            model,
            str(measured[partition].verdict),
            {name: measured[partition].shares[name] for name in _shares_of(measured[partition])},
            {name: float(getattr(figures, name)) for name in LOSSES},
        )
        for (model, partition), figures in evaluation.partitions.items()
        if partition in measured
    ]
    return Accuracy(tuple(pairs), correlate(pairs), tuple(evaluation.failures))


def report_accuracy(report: QualityReport, files: FileJob, forecast: ForecastJob) -> Accuracy:
    """Compare the forecasts of the measured partitions with their quality, and store the result.

    The files are stored beside the quality report; their names end with ``-accuracy``.

    Parameters
    ----------
    report : QualityReport
        Report of a run, with its location.
    files : FileJob
        Job of the run.
    forecast : ForecastJob
        Job whose forecasts are compared; of several versions of a dataset those of the latest,
        which `cleaned/latest/NAME` forecasts.

    Raises
    ------
    DataNotFoundError
        If there are no finished forecasts.
    StorageError
    """
    dataset = str(files.sources.refs[-1]) if files.sources.refs else ""
    if dataset:
        forecast = replace(forecast, inputs=files.outputs.child(dataset))
    compared = compare_accuracy(report.partitions, forecast, dataset)
    outputs = open_store(files.outputs)
    key = report.location.removeprefix(files.outputs.url.rstrip("/") + "/") + "-accuracy"
    plain_text = json.dumps(compared.to_json(), indent=1, ensure_ascii=False)
    outputs.put(f"{key}.json", plain_text.encode())
    outputs.put(f"{key}.md", compared.to_markdown().encode())
    return compared


def _short(partition: str) -> str:
    """Return the name of a partition in the forecasting job: without the folders of a dataset."""
    parts = partition.split("/")
    return "/".join(parts[3:]) if parts[0] in {"raw", "cleaned", "features"} else partition


def _shares_of(judged: Judged) -> list[str]:
    return [name for name in MEASURES if name in judged.shares]


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


def rank_correlation(x: DoubleArray, y: DoubleArray) -> float:
    """Return Spearman's rank correlation; NaN for too few pairs, or if either does not vary."""
    is_finite = np.isfinite(x) & np.isfinite(y)
    if is_finite.sum() < LEAST_PARTITIONS:
        return math.nan
    first, second = (_ranks(values[is_finite]) for values in (x, y))
    # numpy would divide by a deviation of zero.
    if min(float(np.ptp(first)), float(np.ptp(second))) == 0:
        return math.nan
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: DoubleArray) -> DoubleArray:
    """Return the rank of each value; equal values have the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    means: DoubleArray = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return means
