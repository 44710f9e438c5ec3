"""Partitions of a plain month as rows: tasks, and partitions that are done, made when asked for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import overload

import numpy as np
import pyarrow as pa

from gigacast.core.array import IntArray
from gigacast.core.column import to_arrow
from gigacast.core.partition.name import Format
from gigacast.core.partition.task import InputObject, Task
from gigacast.core.time.month import Month
from gigacast.lake.layout import RECEIPT_INPUT
from gigacast.lake.plan.discovery import Partition
from gigacast.lake.plan.plain import cut
from gigacast.storage.listed import Listed
from gigacast.storage.store import ObjectMeta


@dataclass(frozen=True, slots=True)
class DoneEntry:
    """A partition that is done: its task, its output as listed, and the key of its receipt."""

    task: Task
    output: ObjectMeta
    receipt_key: str


@dataclass(frozen=True, slots=True)
class TaskRows:
    """N partitions of a month, in columns of the fields of `Task`.

    Parameters
    ----------
    month : Month
    extension : {"parquet", "csv", "json"}
    objects : Listed
        The input of each.
    partitions, output_keys : StringArray [N]
    symbols, timeframes : StringArray [N], optional
    horizons : int64 [N]
    spec_ids : mapping of int to str
        Id of the spec of each horizon.
    """

    month: Month
    extension: Format
    objects: Listed
    partitions: pa.StringArray
    output_keys: pa.StringArray
    symbols: pa.StringArray | None
    timeframes: pa.StringArray | None
    horizons: IntArray
    spec_ids: Mapping[int, str]

    def __len__(self) -> int:
        return len(self.horizons)

    def take(self, rows: IntArray) -> "TaskRows":
        """Return some rows, in ascending order."""
        if len(rows) == len(self):
            return self
        places = to_arrow(rows)
        return TaskRows(
            self.month,
            self.extension,
            self.objects.take(rows),
            self.partitions.take(places),
            self.output_keys.take(places),
            None if self.symbols is None else self.symbols.take(places),
            None if self.timeframes is None else self.timeframes.take(places),
            self.horizons[rows],
            self.spec_ids,
        )

    def tasks(self, stale_receipts: Sequence[tuple[str, ...]] = ()) -> list[Task]:
        """Return the tasks, with the receipts of each that its own replaces; none by default."""
        objects = self.objects
        columns = (objects.keys.to_pylist(), objects.etags.to_pylist(), objects.sizes.tolist())
        horizons = self.horizons.tolist()
        return list(
            map(
                Task,
                self.partitions.to_pylist(),
                repeat(str(self.month)),
                zip(map(InputObject, *columns, repeat(self.extension))),
                repeat(1),
                horizons,
                map(self.spec_ids.__getitem__, horizons),
                self.output_keys.to_pylist(),
                repeat(None) if self.symbols is None else self.symbols.to_pylist(),
                repeat(None) if self.timeframes is None else self.timeframes.to_pylist(),
                stale_receipts or repeat(()),
            )
        )


class DoneRows(Sequence[DoneEntry]):
    """Partitions of a month that are done. Millions cost no object unless they are asked for.

    Parameters
    ----------
    rows : TaskRows
    outputs : Listed
        The output of each.
    receipt_keys : StringArray [N]
    """

    def __init__(self, rows: TaskRows, outputs: Listed, receipt_keys: pa.StringArray) -> None:
        self.rows = rows
        self.outputs = outputs
        self.receipt_keys = receipt_keys

    @property
    def partitions(self) -> pa.StringArray:
        """Names of the partitions, [N]."""
        return self.rows.partitions

    @property
    def input_ids(self) -> pa.StringArray:
        """Ids of the inputs, [N], as the keys of the receipts name them."""
        return cut(self.receipt_keys, *RECEIPT_INPUT)

    def by_spec(self) -> Iterator[tuple[str, "DoneRows"]]:
        """Yield the rows of each spec with its id."""
        horizons = self.rows.horizons
        for horizon in np.unique(horizons).tolist():
            yield self.rows.spec_ids[horizon], self.take(np.flatnonzero(horizons == horizon))

    def take(self, rows: IntArray) -> "DoneRows":
        """Return some rows."""
        receipt_keys = self.receipt_keys.take(to_arrow(rows))
        return DoneRows(self.rows.take(rows), self.outputs.take(rows), receipt_keys)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[DoneEntry]:
        receipts = self.receipt_keys.to_pylist()
        return map(DoneEntry, self.rows.tasks(), self.outputs.entries(), receipts)

    @overload
    def __getitem__(self, at: int) -> DoneEntry: ...
    @overload
    def __getitem__(self, at: slice) -> "DoneRows": ...
    def __getitem__(self, at: int | slice) -> "DoneEntry | DoneRows":
        rows = np.arange(len(self))[at]
        if isinstance(at, slice):
            return self.take(rows)
        return next(iter(self.take(np.array([rows]))))


def task_of(
    partition: Partition,
    horizon: int,
    spec_id: str,
    output_key: str,
    stale_receipts: tuple[str, ...] = (),
) -> Task:
    """Return the task of a partition."""
    name = partition.name
    return Task(
        partition=name.partition,
        month=str(name.month),
        inputs=partition.inputs,
        own=len(partition.inputs) - partition.context,
        horizon=horizon,
        spec=spec_id,
        output_key=output_key,
        symbol=name.symbol,
        timeframe=name.timeframe,
        stale_receipts=stale_receipts,
    )
