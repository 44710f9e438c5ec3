"""The task of a selection: the losses of a candidate on a partition, with what it forecast.

The output is that of a backtest with three columns more. A refresh takes the origins over that an
earlier output has, and judges only those that have come since.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from gigacast.backtesting.losses import losses_batch, losses_schema
from gigacast.backtesting.partition import BacktestSetup, PartitionBacktester, WindowLosses
from gigacast.core.array import AnyArray, IntArray, UintArray
from gigacast.core.column import to_arrow, to_numpy
from gigacast.core.partition.task import Task
from gigacast.core.series.batch import NO_TIME, SeriesBatch
from gigacast.core.series.holdout import HeldOut, hold_out
from gigacast.core.series.item_key import items_of
from gigacast.errors import NumberRangeError, ObjectNotFoundError
from gigacast.forecasters.forecaster import Forecaster
from gigacast.forecasters.seed import name_hashes
from gigacast.forecasting.prediction import item_fields
from gigacast.forecasting.worker import Tally
from gigacast.job.worker import Stopwatch
from gigacast.storage.parquet.read import read_table
from gigacast.storage.store import Store

ORIGIN_TIME = "origin_time"
ACTUALS, QUANTILES = "actuals", "quantiles"
_OWN = (ORIGIN_TIME, ACTUALS, QUANTILES)


@dataclass(frozen=True)
class EvidenceSetup(BacktestSetup):
    """A picklable recipe for the workers of a candidate.

    Parameters
    ----------
    refresh : bool
        Whether origins that are judged already keep their losses.
    """

    refresh: bool = False

    def __call__(self) -> "EvidenceWorker":
        """Load the model, once per process, and return the worker."""
        return EvidenceWorker(self, self.work.load())


@dataclass(frozen=True)
class Former:
    """The evidence of a partition that is there already.

    Parameters
    ----------
    table : pa.Table
        N rows.
    hashes : uint64 [N]
        Hash of the names of each row's series.
    origins : int64 [N]
    """

    table: pa.Table
    hashes: UintArray
    origins: IntArray

    def latest(self, batch: SeriesBatch) -> IntArray:
        """Return the latest origin of each series, [B]; `NO_TIME` of a new one."""
        hashes = name_hashes(batch.item_ids, batch.target_names)
        order = np.lexsort((self.origins, self.hashes))
        place = np.searchsorted(self.hashes[order], hashes, side="right") - 1
        row = order[np.maximum(place, 0)]
        is_known = (place >= 0) & (self.hashes[row] == hashes)
        return np.where(is_known, self.origins[row], NO_TIME)

    def kept(self, present: UintArray, added: UintArray, windows: int) -> pa.Table:
        """Return the rows of series that are still there, the latest ones up to a number.

        Parameters
        ----------
        present, added : uint64
            Hashes of the series of the partition, and of the rows that are new.
        windows : int
            Rows of a series, new ones included.
        """
        order = np.lexsort((-self.origins, self.hashes))
        hashes = self.hashes[order]
        first = np.searchsorted(hashes, hashes, side="left")
        rank = np.arange(len(order)) - first
        new = np.sort(added)
        number = np.searchsorted(new, hashes, "right") - np.searchsorted(new, hashes, "left")
        is_kept = (rank + number < windows) & np.isin(hashes, present)
        return self.table.take(to_arrow(np.sort(order[is_kept])))


def read_former(outputs: Store, key: str) -> Former | None:
    """Return the evidence at a key; ``None`` if there is none.

    Raises
    ------
    CorruptedFileError, StorageError
    """
    try:
        table = read_table(outputs, key)
    except ObjectNotFoundError:
        return None
    if not table.num_rows:
        return None
    return Former(table, hashes_of(table), np.asarray(to_numpy(table[ORIGIN_TIME]), np.int64))


def hashes_of(table: pa.Table) -> UintArray:
    """Return the hash of the names of each row's series, uint64 [N]."""
    items = items_of(table)
    if pa.types.is_dictionary(items.type):
        items = items.cast(items.type.value_type)
    targets = table["target_name"].cast(pa.string())
    return name_hashes(items.combine_chunks(), targets.combine_chunks())


@dataclass(frozen=True)
class KeptRows:
    """Rows of an earlier output, which are written again."""

    table: pa.Table


class EvidenceWorker(PartitionBacktester):
    """Judges one candidate on one partition per call."""

    job = "select"

    def __init__(self, setup: EvidenceSetup, forecaster: Forecaster) -> None:
        super().__init__(setup, forecaster)
        self._refresh = setup.refresh
        self._former: Former | None = None

    def _results(
        self, task: Task, batches: Iterable[SeriesBatch], watch: Stopwatch, tally: Tally
    ) -> Iterator[Any]:
        # `_rows` and `_schema` take the rows of an earlier output as well.
        self._former = read_former(self._outputs, task.output_key) if self._refresh else None
        present: list[UintArray] = []
        added: list[UintArray] = []

        def noted(each: Iterable[SeriesBatch]) -> Iterator[SeriesBatch]:
            for batch in each:
                present.append(name_hashes(batch.item_ids, batch.target_names))
                yield batch

        for result in super()._results(task, noted(batches), watch, tally):
            added.append(name_hashes(result.contexts.item_ids, result.contexts.target_names))
            yield result
        if self._former is not None and present:
            new = np.concatenate([np.zeros(0, np.uint64), *added])
            rows = self._former.kept(np.concatenate(present), new, self._windows.count)
            if rows.num_rows:
                yield KeptRows(rows)

    def _splits(self, series: SeriesBatch, horizon: int) -> Iterator[tuple[int, HeldOut]]:
        if self._former is None or not len(series):
            yield from super()._splits(series, horizon)
            return
        since = series.steps_since(self._former.latest(series))
        step = self._windows.step or horizon
        # Series that have grown by as many steps have the same new origins.
        for steps in np.unique(since):
            rows = np.flatnonzero(since == steps)
            part = series.take(rows)
            if steps < 0:
                yield from (_of_all(split, rows) for split in super()._splits(part, horizon))
                continue
            # Those that have grown too little are judged, by the origins that are there.
            yield 0, HeldOut(rows, part.take(rows[:0]), np.zeros((0, horizon), np.float32))
            new = max(0, int(steps) - horizon) // step
            for count in range(new, max(0, new - self._windows.count), -1):
                later = int(steps) - horizon - count * step
                split = hold_out(part, horizon, later=later)
                yield _of_all((new - count, split), rows)

    def _schema(self, task: Task, first: WindowLosses | KeptRows | None) -> pa.Schema:
        if isinstance(first, KeptRows):
            return first.table.schema.with_metadata(self._metadata(task))
        names = self._setup.job.method.columns.items
        schema = losses_schema(
            item_fields(first.contexts if first is not None else None, names),
            first.contexts.timestamp_type if first is not None else pa.timestamp("us"),
            self._setup.job.method.levels,
            self._metadata(task),
        )
        lists = pa.list_(self._number_of(first))
        kinds = (pa.int64(), lists, lists)
        own = [pa.field(name, kind) for name, kind in zip(_OWN, kinds, strict=True)]
        return pa.schema([*schema, *own], metadata=schema.metadata)

    def _number_of(self, first: WindowLosses | None) -> pa.DataType:
        """Return the type of actual values and quantiles: doubles if float loses their steps."""
        former = self._former
        if former is not None and has_doubles(former.table):
            return pa.float64()
        is_wide = first is not None and _is_wide(first)
        return pa.float64() if is_wide else pa.float32()

    def _rows(self, result: WindowLosses | KeptRows, schema: pa.Schema) -> pa.RecordBatch:
        if isinstance(result, KeptRows):
            table = result.table.select(schema.names).cast(schema).combine_chunks()
            return table.to_batches()[0]
        own = pa.schema(list(schema)[: -len(_OWN)], metadata=schema.metadata)
        rows = losses_batch(result.contexts, result.losses, result.reasons, result.window, own)
        assert result.actuals is not None and result.quantiles is not None  # noqa: S101, PT018
        number = schema.field(ACTUALS).type.value_type
        if _is_wide(result) and not pa.types.is_float64(number):
            raise NumberRangeError(
                "the numbers are float, which loses steps of the actual values",
                hint="write the numbers of the file as doubles",
            )
        columns = [
            *rows.columns,
            to_arrow(result.contexts.last_timestamps),
            _as_lists(result.actuals, number),
            _as_lists(result.quantiles, number),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=schema)

    def _metadata(self, task: Task) -> dict[str, str]:
        return {**super()._metadata(task), "gigacast.job": "select"}


def _of_all(entry: tuple[int, HeldOut], rows: IntArray) -> tuple[int, HeldOut]:
    """Return a window whose rows are those of the whole batch."""
    window, split = entry
    return window, replace(split, rows=rows[split.rows])


def _is_wide(result: WindowLosses) -> bool:
    return result.actuals is not None and result.actuals.dtype == np.float64


def has_doubles(table: pa.Table) -> bool:
    """Return whether evidence has numbers whose steps float32 would lose."""
    return bool(pa.types.is_float64(table.schema.field(ACTUALS).type.value_type))


def _as_lists(values: AnyArray, number: pa.DataType) -> pa.Array:
    width = int(np.prod(values.shape[1:]))
    offsets = to_arrow(np.arange(len(values) + 1, dtype=np.int32) * np.int32(width))
    flat = np.ascontiguousarray(values, number.to_pandas_dtype()).ravel()
    return pa.ListArray.from_arrays(offsets, to_arrow(flat))
