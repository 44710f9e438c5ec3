"""The first pass over the sources, which reads the ids, and the timestamps if they are numbers.

The reader must know whether rows are contiguous (no item returns after another one) before it
returns the first series, because a returned series cannot be completed later. So the id column is
read once by itself. Of a dictionary-encoded column only the runs are examined, which costs a few
percent of the reading (benchmarks/read_series.py, "reader, scan only"). Each run is remembered by a
64-bit hash. If two different ids collide, the rows only count as not contiguous, which costs speed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from gigacast.core.array import UintArray
from gigacast.core.column import text_column
from gigacast.core.time.number import NumberRange, number_range
from gigacast.series.columns import Layout, is_list_type
from gigacast.series.decode import find_runs, item_column
from gigacast.series.formats import Limits, OpenTable, read_batches
from gigacast.series.identity import hash_ids
from gigacast.series.timestamp import needs_range


class RunWatch:
    """Detects an item that returns after another one."""

    def __init__(self) -> None:
        self.contiguous = True
        self._last: pa.Scalar | None = None
        self._hashes: list[UintArray] = []
        self._count = 0
        self._check_at = 1 << 16

    def add(self, run_ids: pa.Array) -> None:
        """Add the ids of the next runs. Neighbours differ."""
        if not self.contiguous or len(run_ids) == 0:
            return
        # The first run may continue the last one of the batch before.
        new_ids = run_ids[1:] if run_ids[0] == self._last else run_ids
        self._last = run_ids[len(run_ids) - 1]
        hashes = np.sort(hash_ids(new_ids))
        self._hashes.append(hashes)
        self._count += len(hashes)
        self.contiguous = not (hashes[1:] == hashes[:-1]).any()
        # Unsorted sources are noticed early, without reading all ids. Doubling the interval keeps
        # the cost of sorting all hashes again in proportion.
        if self._count > self._check_at:
            self.settle()
            self._check_at = 2 * self._count

    def settle(self) -> bool:
        """Compare all runs so far, and return whether every item had a single one."""
        if self.contiguous and len(self._hashes) > 1:
            hashes = np.sort(np.concatenate(self._hashes))
            self._hashes = [hashes]
            self.contiguous = not (hashes[1:] == hashes[:-1]).any()
        return self.contiguous


@dataclass(frozen=True, slots=True)
class Scan:
    """Result of the first pass.

    Parameters
    ----------
    contiguous : bool
        Whether the rows of every item follow each other, over all sources.
    numbers : NumberRange or None
        Evidence for the unit of timestamps that are numbers; ``None`` if there are none, or it is
        not needed.
    """

    contiguous: bool
    numbers: NumberRange | None


def scan(
    tables: Sequence[OpenTable],
    id_type: pa.DataType,
    item_id: str,
    limits: Limits,
    *,
    has_unit: bool,
) -> Scan:
    """Read the id columns of all sources, and the timestamps whose unit must be found."""
    watch = RunWatch()
    numbers: NumberRange | None = None
    for table in tables:
        layout = table.layout
        by_number = _needs_numbers(_time_type(table), has_unit=has_unit)
        if layout.item_id is None:
            watch.add(text_column([item_id]))
        columns = [layout.item_id] if layout.item_id and watch.contiguous else []
        columns += [layout.timestamp] if by_number else []
        for batch in read_batches(table, columns, limits) if columns else ():
            if layout.item_id and watch.contiguous:
                watch.add(_run_ids(batch, layout, id_type, table.source.name))
            # The items are known not to be contiguous, and no unit is needed: nothing is left to
            # find.
            elif not by_number:
                break
            if by_number:
                numbers = _sum(numbers, number_range(_flat_times(batch, layout)))
    return Scan(watch.settle(), numbers)


def _run_ids(batch: pa.RecordBatch, layout: Layout, id_type: pa.DataType, name: str) -> pa.Array:
    ids, _ = item_column(batch, layout, "")
    return find_runs(ids, id_type, name)[1]


def _time_type(table: OpenTable) -> pa.DataType:
    kind = table.schema.field(table.layout.timestamp).type
    return kind.value_type if is_list_type(kind) else kind


def _flat_times(batch: pa.RecordBatch, layout: Layout) -> pa.Array:
    column = batch.column(layout.timestamp)
    return column.flatten() if is_list_type(column.type) else column


def _needs_numbers(kind: pa.DataType, *, has_unit: bool) -> bool:
    # With a given unit only floats are read: fractions decide the type of the forecasts' times.
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return needs_range(kind) and (not has_unit or pa.types.is_floating(kind))


def _sum(numbers: NumberRange | None, more: NumberRange | None) -> NumberRange | None:
    if numbers is None or more is None:
        return numbers or more
    return numbers + more
