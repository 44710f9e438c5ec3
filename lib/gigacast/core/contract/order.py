"""The order of rows over batches: rows out of order, and keys that the order proves unique.

The greatest row so far is carried from batch to batch, so the result does not depend on how rows
are cut into batches. Rows with a missing value in a column of the order are ignored.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import BoolArray, IntArray
from gigacast.core.column import to_arrow, to_numpy
from gigacast.core.contract.cast import plain_type


class OrderWatch:
    """Checks the order of rows in batches.

    Parameters
    ----------
    columns : sequence of str
        Columns of the order, the most significant first.

    Attributes
    ----------
    strictly : bool
        Whether each row so far was above all rows before it, with no value missing. Then no two
        rows are equal.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        self.strictly = True
        self._greatest: pa.Table | None = None

    def add(self, rows: pa.RecordBatch) -> BoolArray | None:
        """Add the next rows; return a mask of those below an earlier row, ``None`` without any."""
        keys = _plain_keys(rows, self.columns)
        complete = _complete(keys)
        if complete is not None:
            self.strictly = False
            keys = keys.filter(to_arrow(complete))
        if not keys.num_rows:
            return None
        head = self._greatest
        table = keys if head is None else pa.concat_tables([head.cast(keys.schema), keys])
        # Sorted rows are the usual case: comparing neighbours is cheaper than ranking all rows.
        below, equal = _steps(table)
        if not (below.any() or equal.any()):
            self._greatest = table.slice(table.num_rows - 1)
            return None
        self.strictly = False
        if not below.any():
            self._greatest = table.slice(table.num_rows - 1)
            return None
        return self._find_back(table, 0 if head is None else 1, complete)

    def _find_back(self, table: pa.Table, skipped: int, complete: BoolArray | None) -> BoolArray:
        ranks = _ranks(table)
        highest = np.maximum.accumulate(ranks)
        self._greatest = table.slice(int(np.argmax(ranks)), 1)
        back = (ranks < highest)[skipped:]
        if complete is None:
            return back
        mask = np.zeros(len(complete), bool)
        mask[complete] = back
        return mask


def _plain_keys(rows: pa.RecordBatch, columns: Sequence[str]) -> pa.Table:
    arrays = [rows.column(name) for name in columns]
    return pa.table([a.cast(plain_type(a.type)) for a in arrays], names=list(columns))


def _complete(keys: pa.Table) -> BoolArray | None:
    """Return a mask of the rows with all values; ``None`` when all have them."""
    incomplete: Any = None
    for column in keys.columns:
        missing = pc.is_null(column, nan_is_null=True)
        if pc.any(missing).as_py():
            incomplete = missing if incomplete is None else pc.or_(incomplete, missing)
    return None if incomplete is None else ~to_numpy(incomplete)


def _steps(keys: pa.Table) -> tuple[BoolArray, BoolArray]:
    """Return masks of the rows below, and of those equal to, the row right before them."""
    rows = keys.num_rows
    below, equal = np.zeros(rows - 1, bool), np.ones(rows - 1, bool)
    for column in keys.columns:
        values = column.combine_chunks()
        before, after = values.slice(0, rows - 1), values.slice(1)
        below |= equal & to_numpy(pc.less(after, before))
        equal &= to_numpy(pc.equal(after, before))
        if not equal.any():
            break
    return below, equal


def _ranks(keys: pa.Table) -> IntArray:
    """Return the rank of each row; equal rows have the same rank."""
    ranks = np.zeros(keys.num_rows, np.int64)
    for column in keys.columns:
        own = to_numpy(pc.rank(column, sort_keys="ascending", tiebreaker="dense")).astype(np.int64)
        # Numbered anew after each column: the product over many columns would overflow.
        ranks = np.unique(ranks * (len(own) + 1) + own, return_inverse=True)[1]
    return ranks
