"""Rows whose series and time came before, but that say something else.

To drop a row that was sent twice loses nothing. To drop one that says something else may: often the
rows are of many items whose column nobody named. So these are counted apart, and where there are
many it is asked which columns tell them apart.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import BoolArray, CodeArray, IntArray
from gigacast.core.column import to_arrow, to_floats, to_numpy
from gigacast.core.contract.cast import plain_type
from gigacast.quality.columns import arrange
from gigacast.quality.file import Keys, PartitionFile
from gigacast.series.timestamp import is_text

_MANY = 0.05
_TIMES_LOOKED_AT = 200
_MOST_CANDIDATES = 6
_LEAST_ROWS_EACH = 4
_STILL_TOGETHER = 0.1


@dataclass(frozen=True)
class Repeats:
    """What was found.

    Parameters
    ----------
    conflicting : int
        Rows with other values than the one before them of the same series and time.
    apart : tuple of str
        The columns, one or two, that tell these rows apart; none where none does.
    """

    conflicting: int = 0
    apart: tuple[str, ...] = ()


def find_repeats(file: PartitionFile, keys: Keys) -> Repeats:
    """Compare the rows that repeat a key with those before them.

    Parameters
    ----------
    file : PartitionFile
    keys : Keys
        As the rows came: times that are moved to a grid later repeat on purpose.
    """
    rows = np.flatnonzero(keys.arranged.repeated)
    if not len(rows):
        return Repeats()
    order = keys.arranged.order
    here, before = (rows, rows - 1) if order is None else (order[rows], order[rows - 1])
    differs = np.zeros(len(rows), np.bool_)
    for name in file.measured:
        if not differs.all() and not pa.types.is_nested(file.schema.field(name).type):
            differs |= _differs(file.column(name), here, before)
    conflicting = int(np.count_nonzero(differs))
    if conflicting <= file.rows * _MANY or file.item_id is not None:
        return Repeats(conflicting)
    return Repeats(conflicting, _columns_apart(file, keys))


def _differs(column: pa.ChunkedArray, here: IntArray, before: IntArray) -> BoolArray:
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    if pa.types.is_null(column.type):
        return np.zeros(len(here), np.bool_)
    one, other = (column.take(to_arrow(rows)).combine_chunks() for rows in (here, before))
    if pa.types.is_dictionary(one.type):
        one, other = one.indices, other.indices
    if pa.types.is_float32(one.type) or pa.types.is_float64(one.type):
        left, right = to_floats(one), to_floats(other)
        changed: BoolArray = (left != right) & ~(np.isnan(left) & np.isnan(right))
        return changed
    unequal = pc.fill_null(pc.not_equal(one, other), False)
    differs: BoolArray = to_numpy(unequal) | to_numpy(pc.xor(one.is_null(), other.is_null()))
    return differs


def _columns_apart(file: PartitionFile, keys: Keys) -> tuple[str, ...]:
    """Return the fewest-valued column, or pair, with which few rows still share their time."""
    arranged = keys.arranged
    shared = np.unique(arranged.times[arranged.repeated])[:_TIMES_LOOKED_AT]
    rows = np.flatnonzero(np.isin(keys.times, shared))
    times = keys.times[rows]
    together = int(np.count_nonzero(arrange(None, times).repeated))
    found = {
        name: codes
        for name in file.measured
        if _may_name_items(file.schema.field(name).type)
        and (codes := _codes(file, name, rows)) is not None
    }
    fewest = sorted(found, key=lambda name: int(found[name].max()))[:_MOST_CANDIDATES]
    for columns in (*((one,) for one in fewest), *combinations(fewest, 2)):
        left = np.count_nonzero(arrange(_joined([found[one] for one in columns]), times).repeated)
        if left <= together * _STILL_TOGETHER:
            return columns
    return ()


def _may_name_items(kind: pa.DataType) -> bool:
    plain = plain_type(kind)
    return is_text(plain) or bool(pa.types.is_integer(plain))


def _codes(file: PartitionFile, name: str, rows: IntArray) -> CodeArray | None:
    codes, values = file.codes(name)
    items = 1 < len(values) <= file.rows // _LEAST_ROWS_EACH
    return codes[rows] if items else None


def _joined(codes: list[CodeArray]) -> CodeArray:
    """Return a number for each combination."""
    total: IntArray = codes[0].astype(np.int64)
    for more in codes[1:]:
        total = total * (int(more.max()) + 1) + more
    return np.unique(total, return_inverse=True)[1].astype(np.int32)
