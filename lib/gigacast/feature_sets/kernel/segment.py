"""Rows put in the order of item and time, and back.

Functions of features take R values in this order and ``offsets`` [N + 1]: item ``n`` has the rows
``offsets[n]`` to ``offsets[n + 1]``.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import AnyArray, DoubleArray, IntArray
from gigacast.core.column import to_arrow, to_numpy
from gigacast.errors import SchemaError


@dataclass(frozen=True, slots=True)
class Segments:
    """R rows of N items.

    Parameters
    ----------
    order : int64 [R]
        Where the rows stand in the table: of the items in turn, each in the order of time. Rows of
        one item and time keep the table's order.
    offsets : int64 [N + 1]
    times : int64 [R]
        In this order.
    """

    order: IntArray
    offsets: IntArray
    times: IntArray

    def __len__(self) -> int:
        return len(self.order)

    @classmethod
    def of_table(cls, table: pa.Table, time_column: str, item_column: str | None) -> "Segments":
        """Return the rows of a table by item and time.

        Raises
        ------
        SchemaError
            When a column is missing, or times are missing or of no comparable type.
        """
        for name in (time_column, item_column):
            if name is not None and name not in table.column_names:
                names = ", ".join(table.column_names)
                raise SchemaError(f"there is no column {name!r}", hint=f"there are {names}")
        times = _times_of(table, time_column)
        codes = np.zeros(table.num_rows, np.int64)
        if item_column is not None:
            codes = _codes_of(table.column(item_column))
        order = np.lexsort((times, codes))
        ordered = codes[order]
        starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)])
        return cls(order, np.append(starts, len(order)).astype(np.int64), times[order])

    def gather(self, values: AnyArray) -> AnyArray:
        """Return a column of the table in this order."""
        return values[self.order]

    def scatter(self, values: DoubleArray) -> DoubleArray:
        """Return values in this order as a column of the table."""
        column = np.empty_like(values)
        column[self.order] = values
        return column

    def starts(self) -> IntArray:
        """Return the first row of each row's item, [R]."""
        return np.repeat(self.offsets[:-1], np.diff(self.offsets))


def _times_of(table: pa.Table, name: str) -> IntArray:
    column = table.column(name)
    kind = column.type
    if column.null_count:
        raise SchemaError(
            f"{column.null_count} rows have no {name!r}", hint="clean the data before"
        )
    if pa.types.is_date(kind):
        column = column.cast(pa.timestamp("us"))
    if not (pa.types.is_timestamp(column.type) or pa.types.is_integer(kind)):
        raise SchemaError(
            f"column {name!r} of type {kind} holds no times", hint="publish it as timestamps"
        )
    found: IntArray = to_numpy(column.cast(pa.int64()))
    return found


def _codes_of(column: pa.ChunkedArray) -> IntArray:
    """Return a number for each item, in the order of the items' own order."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    encoded = column.combine_chunks().dictionary_encode()
    ranks = np.empty(len(encoded.dictionary) + 1, np.int64)
    order = to_numpy(pc.sort_indices(encoded.dictionary).cast(pa.int64()))
    ranks[order] = np.arange(len(order))
    ranks[-1] = len(order)  # rows without an item are one
    codes: IntArray = ranks[to_numpy(pc.fill_null(encoded.indices.cast(pa.int64()), len(order)))]
    return codes


def column_values(table: pa.Table, name: str) -> DoubleArray:
    """Return a column as float64 [R]; missing and infinite values are NaN.

    Whole numbers that no float holds become the nearest one.

    Raises
    ------
    SchemaError
        When it is missing or holds no numbers.
    """
    if name not in table.column_names:
        hint = f"there are {', '.join(table.column_names)}"
        raise SchemaError(f"there is no column {name!r}", hint=hint)
    column = table.column(name)
    kind = column.type
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise SchemaError(f"column {name!r} of type {kind} holds no numbers")
    values = to_numpy(pc.fill_null(column.cast(pa.float64(), safe=False), np.nan)).astype(
        np.float64
    )
    values[np.isinf(values)] = np.nan
    return values


def value_column(values: DoubleArray) -> pa.Array:
    """Return values as a column: NaN is missing."""
    return to_arrow(np.ascontiguousarray(values), np.isnan(values))
