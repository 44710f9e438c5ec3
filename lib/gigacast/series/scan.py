"""The first pass over the sources, which reads the ids, and the timestamps if they are numbers.

The reader must know whether rows are contiguous (no item returns after another one) before it
returns the first series, because a returned series cannot be completed later. So the id column is
read once by itself, and its runs are kept for the second pass, as far as they fit into a small part
of the memory. Ids that rise all along cannot return. Others are remembered by a 64-bit hash for
each run; if two different ids collide, the rows only count as not contiguous, which costs speed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import IntArray, UintArray
from gigacast.core.column import text_column, to_numpy
from gigacast.core.time.number import NumberRange, number_range
from gigacast.errors import CorruptedFileError
from gigacast.series.columns import Layout, is_list_type
from gigacast.series.decode import find_runs, item_column
from gigacast.series.formats import Limits, OpenTable, read_batches
from gigacast.series.identity import hash_ids
from gigacast.series.timestamp import needs_range

_MOST_RISING_BYTES = 8 << 20
"""Ids that rise and are kept as they are; further ones are hashed."""
_RUNS_SHARE = 32  # 1/32 of the memory for the ids of all runs


class RunWatch:
    """Detects an item that returns after another one."""

    def __init__(self) -> None:
        self.contiguous = True
        self._last: pa.Scalar | None = None
        self._rising: list[pa.Array] = []
        self._rising_bytes = 0
        self._hashes: list[UintArray] = []
        self._count = 0
        self._check_at = 1 << 16

    def add(self, run_ids: pa.Array) -> None:
        """Add the ids of the next runs. Neighbours differ."""
        if not self.contiguous or len(run_ids) == 0:
            return
        # The first run may continue the last one of the batch before.
        continues = self._last is not None and run_ids[0].equals(self._last)
        before, new_ids = self._last, run_ids[1:] if continues else run_ids
        self._last = run_ids[len(run_ids) - 1]
        if not self._hashes and _rise(before, new_ids):
            self._keep_rising(new_ids)
            return
        self._hash_rising()
        self._add_hashes(new_ids)

    def settle(self) -> bool:
        """Compare all runs so far, and return whether every item had a single one."""
        if self.contiguous and len(self._hashes) > 1:
            hashes = np.sort(np.concatenate(self._hashes))
            self._hashes = [hashes]
            self.contiguous = not (hashes[1:] == hashes[:-1]).any()
        return self.contiguous

    def _keep_rising(self, ids: pa.Array) -> None:
        # Hashed only if a later id is not above all before, which is seldom.
        self._rising.append(ids)
        self._rising_bytes += int(ids.nbytes)
        if self._rising_bytes > _MOST_RISING_BYTES:
            self._hash_rising()

    def _hash_rising(self) -> None:
        for ids in self._rising:
            self._add_hashes(ids)
        self._rising = []

    def _add_hashes(self, ids: pa.Array) -> None:
        hashes = np.sort(hash_ids(ids))
        self._hashes.append(hashes)
        self._count += len(hashes)
        self.contiguous &= not (hashes[1:] == hashes[:-1]).any()
        # Unsorted sources are noticed early, without reading all ids. Doubling the interval keeps
        # the cost of sorting all hashes again in proportion.
        if self._count > self._check_at:
            self.settle()
            self._check_at = 2 * self._count


def _rise(before: pa.Scalar | None, ids: pa.Array) -> bool:
    """Return whether each id is above the one before it, and the first above another one."""
    if pa.types.is_decimal(ids.type):
        return False  # decimals of other digits may come
    if len(ids) and before is not None and not pc.greater(ids[0], before).as_py():
        return False
    return bool(to_numpy(pc.greater(ids[1:], ids[:-1])).all())


class Runs:
    """The runs of ids of a source, for one pass over its rows.

    Parameters
    ----------
    starts : int64 [N]
        First row of each run.
    ids : pa.Array [N]
        Id of each run; neighbours differ.
    rows : int
        Rows of the source.
    """

    def __init__(self, starts: IntArray, ids: pa.Array, rows: int) -> None:
        self._starts = starts
        self._ids = ids
        self._rows = rows
        self._place = 0

    def take(self, rows: int, name: str) -> tuple[IntArray, pa.Array]:
        """Return the starts and ids of the runs in the next rows, as `find_runs` would.

        Raises
        ------
        CorruptedFileError
            If the source has more rows than before.
        """
        first, stop = self._place, self._place + rows
        if stop > self._rows:
            raise CorruptedFileError(f"{name}: it changed while it was read", hint="read it again")
        low = int(np.searchsorted(self._starts, first, side="right")) - 1
        high = int(np.searchsorted(self._starts, stop, side="left"))
        self._place = stop
        return np.maximum(self._starts[low:high] - first, 0), self._ids[low:high]


class _RunNotes:
    """Collects the runs of a source while it is scanned."""

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes
        self._starts: list[IntArray] = []
        self._ids: list[pa.Array] = []
        self._rows = 0

    def add(self, starts: IntArray, ids: pa.Array, rows: int) -> None:
        """Add the runs of the next rows."""
        if self._left >= 0 and len(ids):
            # A run may go on from the batch before.
            continues = bool(self._ids) and ids[0].equals(self._ids[-1][-1])
            own = slice(1, None) if continues else slice(None)
            if len(new_ids := ids[own]):
                self._starts.append(starts[own] + self._rows)
                self._ids.append(new_ids)
            self._left -= 8 * len(new_ids) + int(new_ids.nbytes)
        self._rows += rows

    def drop(self) -> None:
        """Forget all: the rows of the source are not those of its runs."""
        self._left = -1

    def runs(self) -> Runs | None:
        """Return the runs; ``None`` if they did not fit."""
        if self._left < 0 or not self._ids:
            return None
        return Runs(np.concatenate(self._starts), pa.concat_arrays(self._ids), self._rows)


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
    runs : tuple of Runs or None
        Runs of each source; ``None`` if its ids have to be read again.
    """

    contiguous: bool
    numbers: NumberRange | None
    runs: tuple[Runs | None, ...]


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
    notes = [_RunNotes(limits.memory_bytes // _RUNS_SHARE // len(tables)) for _ in tables]
    for table, note in zip(tables, notes, strict=True):
        layout = table.layout
        by_number = _needs_numbers(_time_type(table), has_unit=has_unit)
        if layout.item_id is None:
            watch.add(text_column([item_id]))
        columns = [layout.item_id] if layout.item_id and watch.contiguous else []
        columns += [layout.timestamp] if by_number else []
        for batch in read_batches(table, columns, limits) if columns else ():
            if layout.item_id and watch.contiguous:
                watch.add(_run_ids(batch, layout, id_type, table.source.name, note))
            # The items are known not to be contiguous, and no unit is needed: nothing is left to
            # find.
            elif not by_number:
                break
            if by_number:
                numbers = _sum(numbers, number_range(_flat_times(batch, layout)))
    contiguous = watch.settle()
    # Rows in another order are sorted by the ids of each.
    runs = tuple(note.runs() if contiguous else None for note in notes)
    return Scan(contiguous, numbers, runs)


def _run_ids(
    batch: pa.RecordBatch, layout: Layout, id_type: pa.DataType, name: str, note: _RunNotes
) -> pa.Array:
    ids, keep = item_column(batch, layout, "")
    starts, run_ids = find_runs(ids, id_type, name)
    # Rows without an id are left out, and rows of lists are not the rows of runs.
    if keep is not None or layout.kind == "list":
        note.drop()
    note.add(starts, run_ids, batch.num_rows)
    return run_ids


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
