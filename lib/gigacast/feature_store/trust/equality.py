"""Equality of two columns row by row, and what else tells them apart: differences and edits."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_CELLS = 1 << 20
"""Cells of the table of edits that are in memory at a time."""


def is_number(kind: pa.DataType) -> bool:
    """Return whether values of a type have differences."""
    return bool(pat.is_integer(kind) or pat.is_floating(kind) or pat.is_decimal(kind))


def is_list(kind: pa.DataType) -> bool:
    """Return whether values of a type are lists."""
    return bool(pat.is_list(kind) or pat.is_large_list(kind))


def valid(values: pa.Array) -> Bools:
    """Return the rows that are not null."""
    mask: Bools = pc.is_valid(values).to_numpy(zero_copy_only=False)
    return mask


def equal(left: pa.Array, right: pa.Array) -> Bools:
    """Return the rows whose values are equal; null equals null.

    Numbers are equal exactly, of whatever type. Maps are equal with the same entries in any order.

    Parameters
    ----------
    left, right : pyarrow.Array
        Columns of equal length.
    """
    if is_number(left.type) and is_number(right.type):
        both = _common(left, right)
    elif left.type != right.type and not (is_list(left.type) or pat.is_map(left.type)):
        both = left, right.cast(left.type)
    else:
        both = left, right
    if is_list(left.type) and is_list(right.type):
        return _equal_lists(left, right)
    if pat.is_map(left.type) and pat.is_map(right.type):
        return _equal_maps(left, right)
    if pat.is_nested(left.type) or pat.is_nested(right.type):
        return np.array([a == b for a, b in zip(left.to_pylist(), right.to_pylist(), strict=True)])
    return _with_nulls(pc.equal(*both), *both)


def _common(left: pa.Array, right: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return numbers in one type, without a change of any."""
    if left.type == right.type:
        return left, right
    if pat.is_integer(left.type) and pat.is_integer(right.type):
        return left.cast(pa.int64(), safe=False), right.cast(pa.int64(), safe=False)
    # Arrow refuses integers beyond 2**53 as floats; they are compared as floats all the same.
    return left.cast(pa.float64(), safe=False), right.cast(pa.float64(), safe=False)


def _with_nulls(same: pa.Array, left: pa.Array, right: pa.Array) -> Bools:
    known: Bools = pc.fill_null(same, False).to_numpy(zero_copy_only=False)
    both_null: Bools = ~valid(left) & ~valid(right)
    result: Bools = known | both_null
    return result


def _equal_lists(left: pa.Array, right: pa.Array) -> Bools:
    both = valid(left) & valid(right)
    same = ~valid(left) & ~valid(right)
    lengths = _lengths(left)
    chosen = np.flatnonzero(both & (lengths == _lengths(right)))
    rows = pa.array(chosen)
    items = equal(left.take(rows).flatten(), right.take(rows).flatten())
    same[chosen] = _all_of(items, lengths[chosen])
    return same


def _equal_maps(left: pa.Array, right: pa.Array) -> Bools:
    both = valid(left) & valid(right)
    same = ~valid(left) & ~valid(right)
    lengths = _lengths(left)
    chosen = np.flatnonzero(both & (lengths == _lengths(right)))
    entries = []
    for side in (left, right):
        mine = side.take(pa.array(chosen))
        rows = pa.array(np.repeat(np.arange(len(chosen)), lengths[chosen]))
        table = pa.table({"row": rows, "key": _entries(mine, "keys")})
        order = pc.sort_indices(table, [("row", "ascending"), ("key", "ascending")])
        entries.append([_entries(mine, part).take(order) for part in ("keys", "items")])
    (left_keys, left_items), (right_keys, right_items) = entries
    items = equal(left_keys, right_keys) & equal(left_items, right_items)
    same[chosen] = _all_of(items, lengths[chosen])
    return same


def _entries(maps: pa.MapArray, part: str) -> pa.Array:
    """Return the keys or items of the maps that are not null, one after the other."""
    start, stop = maps.offsets[0].as_py(), maps.offsets[-1].as_py()
    values: pa.Array = getattr(maps, part)
    return values.slice(start, stop - start)


def _all_of(items: Bools, lengths: Ints) -> Bools:
    """Return whether all items of each row are true, the rows' items one after the other."""
    ends = np.cumsum(lengths)
    total = np.concatenate([[0], np.cumsum(items)])
    result: Bools = total[ends] - total[ends - lengths] == lengths
    return result


def _lengths(values: pa.Array) -> Ints:
    """Return the lengths of lists or maps; 0 for null."""
    if pat.is_map(values.type):
        lengths: Ints = np.where(valid(values), np.diff(values.offsets.to_numpy()), 0)
        return lengths
    counted: Ints = pc.fill_null(pc.list_value_length(values), 0).to_numpy().astype(np.int64)
    return counted


def lengths_of(values: pa.Array) -> Ints:
    """Return the lengths of lists; 0 for null."""
    return _lengths(values)


def as_floats(values: pa.Array) -> Floats:
    """Return numbers as floats, NaN for null."""
    numbers: Floats = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return numbers


def symmetric_errors(left: Floats, right: Floats) -> Floats:
    """Return the difference over the mean size of each pair, 0 for two zeros: terms of sMAPE."""
    size = np.abs(left) + np.abs(right)
    terms: Floats = np.zeros_like(size)
    np.divide(2 * np.abs(left - right), size, out=terms, where=size != 0)
    return terms


def edits(left: pa.Array, right: pa.Array) -> tuple[Ints, Ints]:
    """Return the insertions and deletions that make each right list the left one.

    There is no replacement: what is not in the longest common subsequence is inserted or deleted.
    Null counts as an empty list.
    """
    n, m = _lengths(left), _lengths(right)
    common = np.zeros(len(n), np.int64)
    same = equal(left, right)
    common[same] = n[same]
    rest = np.flatnonzero(~same & (n > 0) & (m > 0))
    codes = _codes(left, right)
    # Rows of similar length together, so that padding is small.
    rest = rest[np.argsort(m[rest], kind="stable")]
    start = 0
    while start < len(rest):
        width = int(m[rest[start:]].max()) + 1
        rows = rest[start : start + max(1, _CELLS // width)]
        common[rows] = _common_lengths(codes, n, m, rows)
        start += len(rows)
    return n - common, m - common


def _codes(left: pa.Array, right: pa.Array) -> tuple[Ints, Ints]:
    """Return a number for each item of both sides, equal for equal items."""
    items = [side.flatten() for side in (left, right)]
    kind = items[0].type
    if pat.is_nested(kind):
        texts: list[Any] = [pa.array(list(map(repr, side.to_pylist()))) for side in items]
        items = texts
    else:
        items[1] = items[1].cast(kind)
    both = pa.concat_arrays(items)
    codes = both.dictionary_encode(null_encoding="encode").indices.to_numpy().astype(np.int64)
    return codes[: len(items[0])], codes[len(items[0]) :]


def _common_lengths(codes: tuple[Ints, Ints], n: Ints, m: Ints, rows: Ints) -> Ints:
    """Return the lengths of the longest common subsequences of some rows' lists."""
    left = _padded(codes[0], n, rows, -1)
    right = _padded(codes[1], m, rows, -2)
    best = np.zeros((len(rows), right.shape[1] + 1), np.int64)
    for place in range(left.shape[1]):
        # With an item more of the left list: it follows a shorter match, or is left out.
        match = np.where(right == left[:, place : place + 1], best[:, :-1] + 1, 0)
        best[:, 1:] = np.maximum.accumulate(np.maximum(best[:, 1:], match), axis=1)
    result: Ints = best[:, -1]
    return result


def _padded(codes: Ints, lengths: Ints, rows: Ints, empty: int) -> Ints:
    starts = np.cumsum(lengths) - lengths
    width = int(lengths[rows].max())
    places = np.arange(width)
    inside = places < lengths[rows][:, None]
    index = np.where(inside, starts[rows][:, None] + places, 0)
    padded: Ints = np.where(inside, codes[index], empty)
    return padded
