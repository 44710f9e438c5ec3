"""Figures of two columns side by side, by hour: how many rows differ, and by how much."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gigacast.feature_store.trust.equality import (
    Bools,
    Floats,
    Ints,
    as_floats,
    edits,
    equal,
    is_list,
    is_number,
    lengths_of,
    symmetric_errors,
    valid,
)

LEVELS = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
"""Levels of the percentiles: of n values in order the one at ``min(int(level * n), n - 1)``."""
_PERCENTILES = pa.list_(pa.float64())
COUNTS = ("total", "failed", "both_null", "left_null", "right_null", "mismatch", "mismatch_length")
SPREADS = (
    *("left_minus_right", "left", "right"),
    *("edit_insert", "edit_delete", "left_length", "right_length"),
)
SCHEMA = pa.schema(
    [
        pa.field("hour", pa.int64(), nullable=False),
        pa.field("feature", pa.string(), nullable=False),
        *(pa.field(name, pa.int64(), nullable=False) for name in COUNTS),
        pa.field("smape", pa.float64()),
        *(pa.field(f"{name}_percentiles", _PERCENTILES) for name in SPREADS),
    ]
)
"""Columns of figures: a row per hour and feature. The left side is what was served."""


@dataclass(frozen=True)
class Pair:
    """A column on both sides.

    Parameters
    ----------
    name : str
    left, right : pyarrow.Array
    inside : array of bool, optional
        Rows whose left value is within the bounds of a sketch. Without it both sides must be equal.
    failed : array of bool, optional
        Rows without an answer, which are counted and not compared.
    """

    name: str
    left: pa.Array
    right: pa.Array
    inside: Bools | None = None
    failed: Bools | None = None

    def mismatches(self) -> Bools:
        """Return the rows that have values on both sides, which differ or are out of bounds."""
        both = valid(self.left) & valid(self.right)
        same = equal(self.left, self.right) if self.inside is None else self.inside
        result: Bools = both & ~same
        return result


def figures_by_hour(hours: Ints, pairs: Sequence[Pair]) -> pa.Table:
    """Return the figures of columns, a row per hour and column.

    Parameters
    ----------
    hours : array of int64, shape (rows,)
        Start of each row's hour, epoch milliseconds.
    pairs : sequence of Pair
        Columns of as many rows.
    """
    starts, codes = np.unique(hours, return_inverse=True)
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
    for pair in pairs:
        columns["hour"] += starts.tolist()
        columns["feature"] += [pair.name] * len(starts)
        for name, values in _figures(pair, codes, len(starts)).items():
            columns[name] += values
    return pa.table({name: pa.array(columns[name], SCHEMA.field(name).type) for name in columns},
                    schema=SCHEMA)  # fmt: skip


def _figures(pair: Pair, codes: Ints, count: int) -> Mapping[str, list[Any]]:
    failed = np.zeros(len(codes), np.bool_) if pair.failed is None else pair.failed
    answered = ~failed
    left, right = valid(pair.left) & answered, valid(pair.right) & answered
    both = left & right
    masks = {
        "total": np.ones(len(codes), np.bool_),
        "failed": failed,
        "both_null": answered & ~left & ~right,
        "left_null": ~left & right,
        "right_null": left & ~right,
        "mismatch": pair.mismatches() & answered,
        "mismatch_length": np.zeros(len(codes), np.bool_),
    }
    spreads: Mapping[str, tuple[Floats, Bools]] = {}
    smape: list[float | None] = [None] * count
    if is_number(pair.left.type) and is_number(pair.right.type):
        values = as_floats(pair.left), as_floats(pair.right)
        spreads = {
            "left_minus_right": (values[0] - values[1], both),
            "left": (values[0], left),
            "right": (values[1], right),
        }
        smape = _means(symmetric_errors(*values), both, codes, count)
    elif is_list(pair.left.type) and is_list(pair.right.type):
        masks["mismatch_length"] = both & (lengths_of(pair.left) != lengths_of(pair.right))
        spreads = _list_spreads(pair, answered, left, right)
    return {
        **{
            name: np.bincount(codes[mask], minlength=count).tolist() for name, mask in masks.items()
        },
        "smape": smape,
        **{
            f"{name}_percentiles": percentiles_by(*spreads[name], codes, count)
            if name in spreads
            else [None] * count
            for name in SPREADS
        },
    }


def _list_spreads(
    pair: Pair, answered: Bools, left: Bools, right: Bools
) -> Mapping[str, tuple[Floats, Bools]]:
    """Return edits and lengths of lists, and the rows in which each of them counts."""
    insert, delete = edits(pair.left, pair.right)
    return {
        "edit_insert": (insert.astype(np.float64), answered),
        "edit_delete": (delete.astype(np.float64), answered),
        "left_length": (lengths_of(pair.left).astype(np.float64), left),
        "right_length": (lengths_of(pair.right).astype(np.float64), right),
    }


def _means(values: Floats, mask: Bools, codes: Ints, count: int) -> list[float | None]:
    sizes = np.bincount(codes[mask], minlength=count)
    sums = np.bincount(codes[mask], values[mask], minlength=count)
    return [float(s / n) if n else None for s, n in zip(sums, sizes, strict=True)]


def percentiles_by(
    values: Floats,
    mask: Bools,
    codes: Ints,
    count: int,
    levels: Sequence[float] = LEVELS,
) -> list[list[float] | None]:
    """Return the percentiles of each group's values; None for a group without any.

    Parameters
    ----------
    values : array of float64, shape (rows,)
    mask : array of bool, shape (rows,)
        Rows that count.
    codes : array of int64, shape (rows,)
        Number of each row's group.
    count : int
        Number of groups.
    levels : sequence of float
    """
    chosen, groups = values[mask], codes[mask]
    ordered = chosen[np.lexsort((chosen, groups))]
    sizes = np.bincount(groups, minlength=count)
    starts = np.cumsum(sizes) - sizes
    result: list[list[float] | None] = []
    for start, size in zip(starts.tolist(), sizes.tolist(), strict=True):
        places: NDArray[np.int64] = np.minimum((np.array(levels) * size).astype(np.int64), size - 1)
        result.append(ordered[start + places].tolist() if size else None)
    return result
