"""The result of a selection: which model was chosen where, and by how much it is better."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from gigacast.core.array import DoubleArray
from gigacast.core.lazy import shown_by
from gigacast.core.partition.task import Task
from gigacast.lake.model.manifest import ModelManifest
from gigacast.runtime.executor import Failure
from gigacast.selection.decision import Decision, Evidence
from gigacast.selection.gathering import Gathered


@dataclass(frozen=True)
class Published:
    """The version that a selection has published.

    Parameters
    ----------
    manifest : ModelManifest
    new : bool
        False if the same choice was published before.
    activated : bool
        Whether it became active, as the first of its name.
    """

    manifest: ModelManifest
    new: bool
    activated: bool


@dataclass(frozen=True)
class CandidateFigures:
    """How a candidate did.

    Parameters
    ----------
    model : str
    loss : float
        Mean loss.
    relative : float
        Loss over that of seasonal naive.
    lowest : int
        Units in which it has the lowest loss, whether or not by the margin.
    chosen : int
        Units that were given it alone.
    weight : float
        Its mean weight over units.
    """

    model: str
    loss: float
    relative: float
    lowest: int
    chosen: int
    weight: float


@dataclass(frozen=True)
class UnitFigures:
    """What was chosen for a unit, or for all series of one choice.

    Parameters
    ----------
    unit : str
        Segment; the number of series where each series has a choice of its own.
    forecasts : int
    model : str
        Model, or mixture of models.
    is_own : bool
        Whether it is another than the fallback's.
    gain : float
        Share by which its loss is lower than that of the best model overall.
    """

    unit: str
    forecasts: int
    model: str
    is_own: bool
    gain: float


@dataclass(frozen=True)
class SelectionResult:
    """The result of a selection.

    Parameters
    ----------
    published : Published
    switched : bool
        Whether the version was made active in place of another.
    candidates : tuple of CandidateFigures
        The lowest loss first.
    units : tuple of UnitFigures
    fallback : str
        Model of series without a choice of their own.
    metric, segment : str
    series, own : int
        Series with evidence, and units with a choice of their own.
    ahead : tuple of float, optional
        Mean losses at the latest origins by a choice from the earlier ones: of the portfolio, and
        of the best model overall.
    left_out : int
        Forecasts without a scale, or that not all candidates have made.
    run_ids : tuple of str
    computed, skipped : int
        Partitions times candidates, computed by this run and done before.
    failures : list of (str, Task, Failure)
    location : str
        URL of the report without its ending.
    """

    published: Published
    switched: bool
    candidates: tuple[CandidateFigures, ...]
    units: tuple[UnitFigures, ...]
    fallback: str
    metric: str
    segment: str
    series: int
    own: int
    ahead: tuple[float, float] | None
    left_out: int
    run_ids: tuple[str, ...]
    computed: int
    skipped: int
    failures: list[tuple[str, Task, Failure]]
    location: str = ""

    _repr_html_ = shown_by("gigacast.selection.document", "selection_html")

    @property
    def status(self) -> str:
        """``completed``, or ``failed`` when some partition failed."""
        return "failed" if self.failures else "completed"

    @property
    def name(self) -> str:
        """Name and version of the portfolio."""
        manifest = self.published.manifest
        return f"{manifest.model}/{manifest.version}"

    def to_table(self) -> pa.Table:
        """Return what was chosen, a row for each unit."""
        return pa.Table.from_pylist([asdict(unit) for unit in self.units], schema=_UNITS)

    def to_json(self) -> dict[str, Any]:
        """Return the values of ``--json``; NaN becomes null."""
        return {
            "status": self.status,
            "model": self.published.manifest.model,
            "version": self.published.manifest.version,
            "digest": self.published.manifest.digest,
            "new": self.published.new,
            "active": self.published.activated or self.switched,
            "fallback": self.fallback,
            "metric": self.metric,
            "segment": self.segment,
            "series": self.series,
            "own": self.own,
            "ahead": list(self.ahead) if self.ahead is not None else None,
            "left_out": self.left_out,
            "candidates": [_plain(asdict(entry)) for entry in self.candidates],
            "units": [_plain(asdict(entry)) for entry in self.units],
            "runs": list(self.run_ids),
            "computed": self.computed,
            "skipped": self.skipped,
            "location": self.location or None,
            "failures": [
                {"model": m, "partition": t.partition, "error": f.error, "message": f.message}
                for m, t, f in self.failures
            ],
        }


_UNITS = pa.schema(
    [
        ("unit", pa.string()),
        ("forecasts", pa.int64()),
        ("model", pa.string()),
        ("is_own", pa.bool_()),
        ("gain", pa.float64()),
    ]
)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in values.items()
    }


def candidate_figures(
    names: Sequence[str], evidence: Evidence, decision: Decision, baseline: int
) -> tuple[CandidateFigures, ...]:
    """Return how each candidate did, the lowest loss first."""
    loss = evidence.loss.mean(axis=1)
    by_unit = np.stack([evidence.means(row) for row in evidence.loss])
    present = ~np.isnan(by_unit[0])
    lowest = by_unit[:, present].argmin(axis=0)
    rows = [
        CandidateFigures(
            model=name,
            loss=float(loss[place]),
            relative=_ratio(loss[place], loss[baseline]),
            lowest=int((lowest == place).sum()),
            chosen=int((decision.weights[:, place] == 1).sum()),
            weight=float(decision.weights[:, place].mean()),
        )
        for place, name in enumerate(names)
    ]
    return tuple(sorted(rows, key=lambda row: row.loss))


def unit_figures(
    names: Sequence[str], gathered: Gathered, decision: Decision
) -> tuple[UnitFigures, ...]:
    """Return what was chosen: for each segment, or for all series of each choice together."""
    evidence = gathered.evidence
    own = evidence.loss_by(decision.weights)
    former = evidence.loss[decision.single]
    groups, labels = evidence.unit, gathered.labels
    weights, is_own = decision.weights, decision.is_own
    if not labels:
        weights, place, series = np.unique(
            decision.weights, axis=0, return_inverse=True, return_counts=True
        )
        groups = place.ravel()[evidence.unit]
        labels = tuple(f"{count:,} series" for count in series)
        is_own = (weights != decision.whole).any(axis=1)
    count = np.bincount(groups, minlength=len(labels))
    totals = [np.bincount(groups, loss, minlength=len(labels)) for loss in (own, former)]
    rows = [
        UnitFigures(
            unit=label,
            forecasts=int(count[place]),
            model=mixture_text(names, weights[place]),
            is_own=bool(is_own[place]),
            gain=1 - _ratio(totals[0][place], totals[1][place]),
        )
        for place, label in enumerate(labels)
    ]
    return tuple(sorted(rows, key=lambda row: (-row.forecasts, row.unit)))


def mixture_text(names: Sequence[str], weights: DoubleArray) -> str:
    """Return a mixture for people: the model, or models with their shares, the largest first."""
    order = np.argsort(-weights, kind="stable")
    used = [int(place) for place in order if weights[place] > 0]
    if len(used) == 1:
        return names[used[0]]
    return ", ".join(f"{weights[place]:.0%} {names[place]}" for place in used)


def _ratio(value: float, base: float) -> float:
    return float(value / base) if base > 0 else math.nan
