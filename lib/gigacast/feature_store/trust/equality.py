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


def equal(first: pa.Array, second: pa.Array) -> Bools:
    """Return the rows whose values are equal; null equals null.

    Numbers are equal exactly, of whatever type. Maps are equal with the same entries in any order.

    Parameters
    ----------
    left, right : pyarrow.Array
        Columns of equal length.
    """
    if is_number(first.type) and is_number(second.type):
        both = _common(first, second)
    elif first.type != second.type and not (is_list(first.type) or pat.is_map(first.type)):
        both = first, second.cast(first.type)
    else:
        both = first, second
    if is_list(first.type) and is_list(second.type):
        return _equal_lists(first, second)
    if pat.is_map(first.type) and pat.is_map(second.type):
        return _equal_maps(first, second)
    if pat.is_nested(first.type) or pat.is_nested(second.type):
        pairs = zip(first.to_pylist(), second.to_pylist(), strict=True)
        return np.array([a == b for a, b in pairs])
    return _with_nulls(pc.equal(*both), *both)


def _common(first: pa.Array, second: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return numbers in one type, without a change of any."""
    if first.type == second.type:
        return first, second
    if pat.is_integer(first.type) and pat.is_integer(second.type):
        return first.cast(pa.int64(), safe=False), second.cast(pa.int64(), safe=False)
    # Arrow refuses integers beyond 2**53 as floats; they are compared as floats all the same.
    return first.cast(pa.float64(), safe=False), second.cast(pa.float64(), safe=False)


def _with_nulls(same: pa.Array, first: pa.Array, second: pa.Array) -> Bools:
    filled: Bools = pc.fill_null(same, False).to_numpy(zero_copy_only=False)
    both_null: Bools = ~valid(first) & ~valid(second)
    result: Bools = filled | both_null
    return result


def _equal_lists(first: pa.Array, second: pa.Array) -> Bools:
    both = valid(first) & valid(second)
    same = ~valid(first) & ~valid(second)
    lengths = _lengths(first)
    chosen = np.flatnonzero(both & (lengths == _lengths(second)))
    rows = pa.array(chosen)
    items = equal(first.take(rows).flatten(), second.take(rows).flatten())
    same[chosen] = _all_of(items, lengths[chosen])
    return same


def _equal_maps(first: pa.Array, second: pa.Array) -> Bools:
    both = valid(first) & valid(second)
    same = ~valid(first) & ~valid(second)
    lengths = _lengths(first)
    chosen = np.flatnonzero(both & (lengths == _lengths(second)))
    entries = []
    for side in (first, second):
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


def symmetric_errors(first: Floats, second: Floats) -> Floats:
    """Return the difference over the mean size of each pair, 0 for two zeros: terms of sMAPE."""
    size = np.abs(first) + np.abs(second)
    terms: Floats = np.zeros_like(size)
    np.divide(2 * np.abs(first - second), size, out=terms, where=size != 0)
    return terms


def edits(first: pa.Array, second: pa.Array) -> tuple[Ints, Ints]:
    """Return the insertions and deletions that make each right list the left one.

    There is no replacement: what is not in the longest common subsequence is inserted or deleted.
    Null counts as an empty list.
    """
    n, m = _lengths(first), _lengths(second)
    common = np.zeros(len(n), np.int64)
    same = equal(first, second)
    common[same] = n[same]
    remaining = np.flatnonzero(~same & (n > 0) & (m > 0))
    codes = _codes(first, second)
    # Rows of similar length together, so that padding is small.
    remaining = remaining[np.argsort(m[remaining], kind="stable")]
    start = 0
    while start < len(remaining):
        width = int(m[remaining[start:]].max()) + 1
        rows = remaining[start : start + max(1, _CELLS // width)]
        common[rows] = _common_lengths(codes, n, m, rows)
        start += len(rows)
    return n - common, m - common


def _codes(first: pa.Array, second: pa.Array) -> tuple[Ints, Ints]:
    """Return a number for each item of both sides, equal for equal items."""
    items = [side.flatten() for side in (first, second)]
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
    first = _padded(codes[0], n, rows, -1)
    second = _padded(codes[1], m, rows, -2)
    best = np.zeros((len(rows), second.shape[1] + 1), np.int64)
    for place in range(first.shape[1]):
        # With an item more of the left list: it follows a shorter match, or is left out.
        match = np.where(second == first[:, place : place + 1], best[:, :-1] + 1, 0)
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
