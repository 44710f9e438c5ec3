"""Figures of stored forecasts: sums over the scores of partitions, and the worst series."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.backtesting.evaluation.join import Forecasts
from gigacast.backtesting.evaluation.partition import Reading, reach_of
from gigacast.backtesting.evaluation.plan import ScorePlanner
from gigacast.backtesting.evaluation.result import (
    BY,
    ORIGIN,
    SEGMENT,
    Evaluation,
    FigureKey,
    Uncompared,
    WorstSeries,
)
from gigacast.backtesting.evaluation.score import group_sums, levels_of, read_sums
from gigacast.backtesting.leaderboard.breakdown import Segmenter
from gigacast.core.array import DoubleArray
from gigacast.core.column import to_numpy
from gigacast.core.partition.name import month_of_folder
from gigacast.core.partition.task import Task
from gigacast.core.series.item_key import items_of
from gigacast.errors import (
    CorruptedFileError,
    DataError,
    DataNotFoundError,
    ObjectNotFoundError,
)
from gigacast.forecasters.metric import Sums, add_up, figures_of, measure
from gigacast.forecasting.read import Generation
from gigacast.job.forecast_job import ForecastJob
from gigacast.lake.layout import scores_prefix
from gigacast.lake.plan.origin import UNKNOWN
from gigacast.lake.plan.receipt import Receipt
from gigacast.storage.parquet.read import read_table
from gigacast.storage.store import Store


@dataclass(frozen=True)
class FigureRequest:
    """The figures to compute beside those that are always computed.

    Parameters
    ----------
    job : ForecastJob
        Says how a column of the input is read.
    by_partition : bool
    worst : int
        Number of series with the largest errors.
    segment : str, optional
        Property by which figures are grouped.
    """

    job: ForecastJob
    by_partition: bool = False
    worst: int = 0
    segment: str | None = None

    def segmenter(self, reading: Reading) -> Segmenter | None:
        """Return what assigns series of these inputs to segments; ``None`` without a property."""
        if self.segment is None:
            return None
        method = reading.job.method
        return Segmenter(self.segment, reading.inputs, method.columns, method.csv)


class Collector:
    """Adds up the scores of partitions."""

    def __init__(
        self,
        outputs: Store,
        names: dict[Generation, str],
        request: FigureRequest,
        planner: ScorePlanner,
    ) -> None:
        self.evaluation = Evaluation()
        self._planner = planner
        # Forecasts of two specs may have been made of other columns, or of other inputs.
        self._segmenter = cache(lambda generation: request.segmenter(planner.reading(generation)))
        self._outputs = outputs
        self._names = names
        self._request = request
        self._sums: dict[str, dict[FigureKey, Sums]] = {by: {} for by in (*BY, ORIGIN, SEGMENT)}
        self._of_partitions: dict[FigureKey, Sums] = {}
        self._worst: list[WorstSeries] = []

    def add_new(self, task: Task, receipt: Receipt) -> None:
        """Remember a partition that this run has done."""
        self._planner.result.done.append((task, str(receipt.output["key"])))
        self.evaluation.conflicts += receipt.repairs.get("conflicts", 0)

    def add(self, task: Task, key: str) -> None:
        """Add the scores of a partition."""
        try:
            table = read_table(self._outputs, key)
        # Derived and damaged or gone: the next evaluation makes them anew.
        except (CorruptedFileError, ObjectNotFoundError) as error:
            self.evaluation.failures.append(Uncompared(key, error.message))
            return
        if not table.num_rows:
            return
        name, levels = self._name_of(task), levels_of(table)
        partition = task.partition
        self.evaluation.levels[name] = levels
        month = partition_month(partition)
        for origin, _, sums, expected in _groups(table, "origin", levels):
            self.evaluation.steps += expected
            self.evaluation.matched += int(sums.steps[0] + sums.missed[0])
            _add_to(self._sums["version"], FigureKey(name, "all"), sums)
            _add_to(self._sums["month"], FigureKey(name, month), sums)
            _add_to(self._sums[ORIGIN], FigureKey(name, origin), sums)
            if self._request.by_partition:
                _add_to(self._of_partitions, FigureKey(name, partition), sums)
        for _, step, sums, _ in _groups(table, "step", levels):
            _add_to(self._sums["step"], FigureKey(name, str(step)), sums)
        if self._request.worst:
            self._add_worst(name, partition, table)
        segmenter = self._segmenter(self._generation_of(task))
        if segmenter is not None:
            self._add_segments(segmenter, task, table, levels)

    def _generation_of(self, task: Task) -> Generation:
        return self._planner.result.generations[task.output_key]

    def _name_of(self, task: Task) -> str:
        return self._names[self._generation_of(task)]

    def _add_segments(
        self, segmenter: Segmenter, task: Task, table: pa.Table, levels: tuple[float, ...]
    ) -> None:
        rows = table.filter(pc.equal(table["kind"], "series"))
        if not rows.num_rows:
            return
        try:
            labels, codes = segmenter.label(rows, self._planner.own(task))
        except DataError as error:
            self.evaluation.failures.append(Uncompared(task.output_key, error.message))
            return
        sums = group_sums(read_sums(rows, levels), codes, len(labels))
        for place, label in enumerate(labels):
            own = sums.take(np.array([place]))
            _add_to(self._sums[SEGMENT], FigureKey(self._name_of(task), label), own)

    def _add_worst(self, name: str, partition: str, table: pa.Table) -> None:
        for item, target, sums in worst_of(table, self._request.worst):
            figures = figures_of(sums)[0]
            self._worst.append(WorstSeries(name, partition, item, target, figures))
        self._worst = sorted(self._worst, key=_by_error)[: self._request.worst]

    def finish(self) -> None:
        """Compute the figures of the sums."""
        result = self.evaluation
        for by, sums in self._sums.items():
            result.figures[by] = {
                key: figures_of(total)[0] for key, total in sorted(sums.items(), key=_order)
            }
        # Of forecasts of earlier releases alone nobody can say from when they are.
        if all(origin == UNKNOWN for _, origin in result.figures[ORIGIN]):
            del result.figures[ORIGIN]
        else:
            result.figures[ORIGIN] = {
                FigureKey(model, origin_name(origin)): figures
                for (model, origin), figures in result.figures[ORIGIN].items()
            }
        if self._request.segment is None:
            del result.figures[SEGMENT]
        result.partitions = {
            key: figures_of(sums)[0] for key, sums in sorted(self._of_partitions.items())
        }
        result.worst = self._worst


def worst_of(table: pa.Table, count: int) -> list[tuple[str, str, Sums]]:
    """Return item, target and sums of the series in scores with the largest MASE.

    Series without a scale, as constant ones, are left out: nobody can say how large an error is.
    """
    rows = table.filter(pc.equal(table["kind"], "series"))
    if not rows.num_rows:
        return []
    items = items_of(rows).cast(pa.string())
    names = pc.binary_join_element_wise(items, rows["target_name"], pa.scalar("\0"))
    encoded = names.combine_chunks().dictionary_encode()
    codes = to_numpy(encoded.indices).astype(np.int64)
    sums = group_sums(read_sums(rows, levels_of(table)), codes, len(encoded.dictionary))
    scaled = sums.forecasts - sums.undefined
    defined = np.flatnonzero(scaled > 0)
    order = np.argsort(-sums.mase[defined] / scaled[defined], kind="stable")
    chosen = defined[order][:count]
    pairs = [str(encoded.dictionary[int(row)]).partition("\0") for row in chosen]
    return [
        (item, target, sums.take(np.array([row])))
        for (item, _, target), row in zip(pairs, chosen, strict=True)
    ]


def worst_items(outputs: Store, output_key: str, count: int) -> list[str]:
    """Return the items of a forecast's partition with the largest errors, the worst first.

    Raises
    ------
    DataNotFoundError
        When the partition is not evaluated yet, or no actual has come.
    """
    listed = [e for page in outputs.list(scores_prefix(output_key)) for e in page]
    scores = [entry for entry in listed if reach_of(entry.key)]
    latest = max(scores, key=lambda entry: (entry.modified_ns, entry.key), default=None)
    worst = worst_of(read_table(outputs, latest), count) if latest is not None else []
    if not worst:
        raise DataNotFoundError(
            f"{output_key}: no error of a series is known", hint="run `gigacast evaluate` first"
        )
    return list(dict.fromkeys(item for item, _, _ in worst))


def _by_error(series: WorstSeries) -> tuple[float, str, str, str]:
    return -series.figures.mase, series.model, series.partition, series.item


def _groups(
    table: pa.Table, kind: str, levels: tuple[float, ...]
) -> Iterator[tuple[str, int, Sums, int]]:
    """Yield origin, step, sums and expected steps of the rows of a kind."""
    rows = table.filter(pc.equal(table["kind"], kind))
    sums = read_sums(rows, levels)
    origins, steps = rows["origin"].to_pylist(), rows["step"].to_pylist()
    expected = rows["expected"].to_pylist()
    for n, origin in enumerate(origins):
        yield origin, steps[n], sums.take(np.array([n])), int(expected[n])


def origin_name(cutoff: str) -> str:
    """Return a cutoff in a key as people write it: ``2024-01-31``, ``2024-01-31 09:30``, ``17``."""
    day, mark, clock = cutoff.partition("T")
    if not mark:
        return str(int(cutoff)) if cutoff.isdecimal() else "unknown"
    hours = f"{clock[:2]}:{clock[2:4]}" + (f":{clock[4:6]}" if clock[4:] != "00" else "")
    return day if clock == "000000" else f"{day} {hours}"


def partition_month(partition: str) -> str:
    """Return the month of a partition as figures name it."""
    return str(month_of_folder(partition.rpartition("/")[0]))


def _add_to(totals: dict[FigureKey, Sums], key: FigureKey, sums: Sums) -> None:
    totals[key] = totals[key] + sums if key in totals else sums


@dataclass(frozen=True)
class PartSums:
    """Sums over some series of a file."""

    levels: tuple[float, ...]
    steps: int
    matched: int
    all_steps: Sums
    by_step: list[Sums]

    @classmethod
    def of(
        cls,
        forecasts: Forecasts,
        actual: np.ndarray[Any, Any],
        scales: DoubleArray,
    ) -> "PartSums":
        """Compare forecasts with their actuals, [N, H], over all steps and step by step."""

        def compare(at: slice) -> Sums:
            median, quantiles = forecasts.median[:, at], forecasts.quantiles[:, at]
            return add_up(measure(actual[:, at], median, quantiles, forecasts.levels, scales))

        return cls(
            levels=forecasts.levels,
            steps=actual.size,
            matched=int(np.isfinite(actual).sum()),
            all_steps=compare(slice(None)),
            by_step=[compare(slice(step, step + 1)) for step in range(actual.shape[1])],
        )


def _order(entry: tuple[FigureKey, Sums]) -> tuple[str, int, str]:
    # Steps in the order of numbers: as texts, 10 would come before 2.
    (model, label), _ = entry
    return model, int(label) if label.isdigit() else 0, label
