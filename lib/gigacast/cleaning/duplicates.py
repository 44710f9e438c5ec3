"""Conflicting duplicates: rows with the same series and time but different values.

Dropping a row that was sent twice loses nothing. Dropping a conflicting row may lose data: often
such rows belong to several items whose column was not named. So they are counted separately, and if
there are many, a search looks for the columns that distinguish them.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import BoolArray, CodeArray, IntArray
from gigacast.core.column import to_arrow, to_floats, to_numpy
from gigacast.core.contract.cast import plain_type
from gigacast.quality.file import Keys, PartitionFile
from gigacast.series.apart import LEAST_ROWS_EACH, columns_apart
from gigacast.series.timestamp import is_text

_MANY = 0.05  # share of conflicting rows above which columns are searched
_SAMPLED_TIMES = 200


@dataclass(frozen=True)
class Repeats:
    """Conflicting duplicates of a partition.

    Parameters
    ----------
    conflicting : int
        Number of rows whose values differ from those of the row before with the same series and
        time.
    apart : tuple of str
        Up to three columns that distinguish these rows; empty if none do.
    """

    conflicting: int = 0
    apart: tuple[str, ...] = ()


def find_repeats(file: PartitionFile, keys: Keys) -> Repeats:
    """Compare the rows that repeat a key with the rows before them.

    Parameters
    ----------
    file : PartitionFile
    keys : Keys
        Keys with their original times: rows that share a grid point repeat it on purpose.
    """
    rows = np.flatnonzero(keys.arranged.repeated)
    if not len(rows):
        return Repeats()
    order = keys.arranged.order
    repeating, preceding = (rows, rows - 1) if order is None else (order[rows], order[rows - 1])
    differs = np.zeros(len(rows), np.bool_)
    for name in file.measured:
        if not differs.all() and not pa.types.is_nested(file.schema.field(name).type):
            differs |= _differs(file.column(name), repeating, preceding)
    conflicting = int(np.count_nonzero(differs))
    # Few conflicts are worth no search.
    if conflicting <= file.rows * _MANY:
        return Repeats(conflicting)
    return Repeats(conflicting, _columns_apart(file, keys))


def _differs(column: pa.ChunkedArray, repeating: IntArray, preceding: IntArray) -> BoolArray:
    # Codes of unified dictionaries are compared instead of texts.
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    if pa.types.is_null(column.type):
        return np.zeros(len(repeating), np.bool_)
    values, former_values = (
        column.take(to_arrow(rows)).combine_chunks() for rows in (repeating, preceding)
    )
    if pa.types.is_dictionary(values.type):
        values, former_values = values.indices, former_values.indices
    if pa.types.is_float32(values.type) or pa.types.is_float64(values.type):
        x, y = to_floats(values), to_floats(former_values)
        # NaN is unequal to itself, but two missing values are no conflict.
        changed: BoolArray = (x != y) & ~(np.isnan(x) & np.isnan(y))
        return changed
    unequal = pc.fill_null(pc.not_equal(values, former_values), False)
    differs: BoolArray = to_numpy(unequal) | to_numpy(
        pc.xor(values.is_null(), former_values.is_null())
    )
    return differs


def _columns_apart(file: PartitionFile, keys: Keys) -> tuple[str, ...]:
    """Return the columns with which few rows still share their series and time.

    A sample of the times suffices.
    """
    arranged = keys.arranged
    shared = np.unique(arranged.times[arranged.repeated])[:_SAMPLED_TIMES]
    rows = np.flatnonzero(np.isin(keys.times, shared))
    times = keys.times[rows]
    if keys.codes is not None:
        # A time is shared by all series. Rows are only alike if they are of the same one.
        series = keys.codes[rows].astype(np.int64)
        times = np.unique(times, return_inverse=True)[1] * (int(series.max()) + 2) + series + 1
    candidates = {
        name: codes
        for name in file.measured
        if _may_name_items(file.schema.field(name).type)
        and (codes := _codes(file, name, rows)) is not None
    }
    return columns_apart(candidates, times)


def _may_name_items(kind: pa.DataType) -> bool:
    plain = plain_type(kind)
    return is_text(plain) or bool(pa.types.is_integer(plain))


def _codes(file: PartitionFile, name: str, rows: IntArray) -> CodeArray | None:
    codes, values = file.codes(name)
    may_be_items = 1 < len(values) <= file.rows // LEAST_ROWS_EACH
    return codes[rows] if may_be_items else None
