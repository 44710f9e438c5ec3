"""The task of a search in stored forecasts: compare those of a partition with what has come since.

It is that of an evaluation with another comparison: forecasts and actuals are read in the same way.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.anomalies.job import AnomalyJob
from gigacast.anomalies.kernel import Compared, History, Limits, describe_history
from gigacast.anomalies.panel import PANELS, dump_panels, worst_panels
from gigacast.anomalies.table import detect, schema_of
from gigacast.backtesting.evaluation.join import match
from gigacast.backtesting.evaluation.partition import (
    PartitionScorer,
    PartitionWork,
    is_forecast,
)
from gigacast.backtesting.evaluation.score import ScoredPart
from gigacast.core.array import DoubleArray, FloatArray, IntArray, RealArray
from gigacast.core.column import to_arrow
from gigacast.core.partition.task import InputObject, Task
from gigacast.core.series.item_key import items_of
from gigacast.core.time.month import Month
from gigacast.forecasting.prediction import CUTOFF, item_fields
from gigacast.forecasting.rows import ALL, LATEST
from gigacast.job.receipt import Work, new_receipt
from gigacast.job.worker import Stopwatch, inputs_pinned
from gigacast.lake.layout import anomalies_key
from gigacast.lake.plan.receipt import Receipt, write_receipt
from gigacast.storage.parquet.writer import table_bytes

SEARCH = "gigacast.search"
"""Entry of the metadata of a dataset of anomalies: how it was searched, and the counts."""

REVISION = 2
"""Raise it when the same values and limits start to give others: all is searched again then."""


@dataclass(frozen=True)
class SearchSetup:
    """A picklable recipe for the workers of a search.

    Parameters
    ----------
    search : AnomalyJob
    run_id : str
    """

    search: AnomalyJob
    run_id: str

    def __call__(self) -> "PartitionSearcher":
        """Open the stores."""
        return PartitionSearcher(self.search, self.run_id)


@dataclass
class _Findings:
    """What was found in the parts of a partition so far."""

    tables: list[pa.Table] = field(default_factory=list)
    panels: list[dict[str, Any]] = field(default_factory=list)
    series: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    values: int = 0
    compared: int = 0

    def count(self, names: pa.Table, actual: FloatArray) -> None:
        """Count the series of a part, and their values."""
        columns = [items_of(names).cast(pa.string()), names["target_name"].cast(pa.string())]
        own = pc.binary_join_element_wise(*columns, pa.scalar("\0"))
        self.series = pc.unique(pa.concat_arrays([self.series, *own.chunks]))
        self.values += actual.size
        self.compared += int(np.isfinite(actual).sum())


class PartitionSearcher(PartitionScorer):
    """Searches the forecasts of one partition per call."""

    def __init__(self, search: AnomalyJob, run_id: str) -> None:
        super().__init__(search.forecast, run_id)
        self._search, self._limits = search, search.limits

    def __call__(self, task: Task) -> Receipt:
        """Write the anomalies of a partition, then the receipt that names what was compared.

        Raises
        ------
        InputChangedError, DataError, StorageError
        """
        watch, work, findings = Stopwatch(), PartitionWork(task), _Findings()
        with watch.measure("total"), inputs_pinned(task):
            for part in self._parts(work):
                self._compare(work, part, findings)
            finished = self._read(work)
        table = self._table(work, findings)
        key = anomalies_key(task.output_key, self._search.origin)
        content = table_bytes(table)
        etag = self._outputs.put_unless_equal(key, content)
        output = {"key": key, "etag": etag, "size_bytes": len(content), "rows": table.num_rows}
        report = Work(
            job="anomalies",
            run_id=self._run_id,
            rows=findings.values,
            series=len(findings.series),
            seconds=watch.rounded(),
            repairs={"conflicts": work.conflicts} if work.conflicts else {},
        )
        done = replace(finished, output_key=key)
        receipt = new_receipt(done, output, report)
        write_receipt(self._outputs, done, receipt, etag)
        return receipt

    def _chosen(self, task: Task) -> Sequence[InputObject]:
        """Return the forecasts of the chosen origin; the current one is the first of a task."""
        entries = [*filter(is_forecast, task.inputs)]
        if self._search.origin in {LATEST, ALL}:
            return entries
        # The current forecast may be of that day; if not, the one that is kept is.
        is_current = self._label_of(entries[0]).startswith(self._search.origin)
        return entries[:1] if is_current else entries[1:]

    def _compare(self, work: PartitionWork, part: ScoredPart, findings: _Findings) -> None:
        assert work.actuals is not None  # noqa: S101 - `_open` found them
        rows = np.flatnonzero(work.seen.new(part.series))
        forecasts, place = part.forecasts, (work.month, work.lineage, work.items)
        work.widen(work.actuals.reach(forecasts, work.month))
        arrived, conflicts = work.actuals.find(forecasts, *place)
        work.conflicts += conflicts
        actual = match(forecasts, arrived)[rows]
        before = _Before.of(work, part, place)
        quantiles = forecasts.quantiles[rows]
        bases = _bases_of(quantiles, before.bases[rows])
        median = forecasts.median[rows]
        compared = Compared(actual, median, quantiles, forecasts.levels, bases)
        histories = before.history(rows)
        keys = _keys(part, rows)
        anomalies = detect(keys, compared, histories, self._limits)
        findings.tables.append(_last_cutoff(anomalies))
        findings.count(part.series.take(to_arrow(rows)), actual)
        findings.panels += worst_panels(anomalies, keys, compared)

    def _table(self, work: PartitionWork, findings: _Findings) -> pa.Table:
        """Return the anomalies of all parts, with how they were searched for."""
        tables = findings.tables
        if not tables:
            keys = [*item_fields(None, ()), pa.field("timestamp", pa.timestamp("us"))]
            schema = schema_of(pa.schema([*keys, pa.field("target_name", pa.string())]))
            tables = [schema.empty_table()]
        # Several parts may have ids of several types.
        table = pa.concat_tables(tables, promote_options="permissive")
        reach = work.reach or (work.month, work.month)
        search = {
            **searched(self._limits, self._search.origin),
            "reach": [str(month) for month in reach],
            "series": len(findings.series),
            "values": findings.values,
            "compared": findings.compared,
            "origins": len(work.labels),
        }
        metadata = {SEARCH: json.dumps(search), PANELS: dump_panels(findings.panels)}
        return table.replace_schema_metadata({**(table.schema.metadata or {}), **metadata})


def searched(limits: Limits, origin: str) -> dict[str, Any]:
    """Return how anomalies are searched for, as their dataset says it."""
    return {"limits": str(limits), "origin": origin, "revision": REVISION}


def _keys(part: ScoredPart, rows: IntArray) -> pa.Table:
    """Return items, time, target and cutoff of each step of the chosen series."""
    horizon = part.forecasts.median.shape[1]
    owner = to_arrow(np.repeat(rows, horizon))
    steps = to_arrow((rows[:, None] * horizon + np.arange(horizon)).ravel())
    names = part.series.take(owner)
    items = [name for name in names.column_names if name not in {"target_name", CUTOFF}]
    columns = {name: names[name] for name in items}
    columns |= {"timestamp": part.times.take(steps), "target_name": names["target_name"]}
    return pa.table({**columns, CUTOFF: names[CUTOFF]}).replace_schema_metadata(
        part.series.schema.metadata
    )


def _last_cutoff(anomalies: pa.Table) -> pa.Table:
    """Return anomalies with their cutoff as the last column, as forecasts have it."""
    names = [name for name in anomalies.column_names if name != CUTOFF]
    return anomalies.select([*names, CUTOFF])


@dataclass(frozen=True, slots=True)
class _Before:
    """What was usual for N series before each forecast; nothing is unusual for unknown ones.

    The values that are compared must not count: a sensor that is stuck now would be one that often
    is.

    Parameters
    ----------
    usual : History
    bases : float64 [N]
        See `Compared`.
    """

    usual: History
    bases: DoubleArray

    @classmethod
    def of(
        cls, work: PartitionWork, part: ScoredPart, place: tuple[Month, str, tuple[str, ...]]
    ) -> "_Before":
        """Read the series of forecasts as they were before these."""
        assert work.actuals is not None  # noqa: S101 - `_open` found them
        usual = History.unknown(len(part.labels))
        bases = np.zeros(len(part.labels))
        for before in work.actuals.contexts(part.forecasts, *place):
            if before.series.bases is not None:
                bases[before.rows] = before.series.bases
            own = describe_history(before.values, before.series.offsets)
            has_values = own.repeats > 0
            for name in ("repeats", "change", "zeros"):
                getattr(usual, name)[before.rows[has_values]] = getattr(own, name)[has_values]
        return cls(usual, bases)

    def history(self, rows: IntArray) -> History:
        """Return what was usual for some of the series."""
        usual = self.usual
        return History(usual.repeats[rows], usual.change[rows], usual.zeros[rows])


def _bases_of(quantiles: RealArray, bases: DoubleArray) -> DoubleArray | None:
    """Return the bases of forecasts whose steps were kept; ``None`` without any, [N].

    An earlier release rounded forecasts of large numbers, and what it rounded is no anomaly.
    """
    if quantiles.dtype != np.float64 or not bases.any():
        return None
    is_rounded = (quantiles == quantiles.astype(np.float32)) | np.isnan(quantiles)
    return np.where(is_rounded.all(axis=(1, 2)), 0.0, bases)
