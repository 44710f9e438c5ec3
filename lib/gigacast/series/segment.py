"""Reductions over the segments of a flat array.

A ragged value is a flat array and offsets: segment ``n`` is ``flat[offsets[n]:offsets[n + 1]]``.
``np.ufunc.reduceat`` gives a wrong value for empty segments; these functions give a stated one.
"""

import numpy as np

from gigacast.core.array import AnyArray, BoolArray, IntArray


def offsets_of(lengths: IntArray | BoolArray) -> IntArray:
    """Return the offsets of segments with these lengths: int64 [N + 1]."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def offsets_without(gone: BoolArray, offsets: IntArray) -> IntArray:
    """Return the offsets of segments when some elements, few of them, are gone."""
    found: IntArray = offsets - np.searchsorted(np.flatnonzero(gone), offsets)
    return found


def reduce_segments(ufunc: np.ufunc, flat: AnyArray, offsets: IntArray, empty: int) -> AnyArray:
    """Reduce each segment by a ufunc; ``empty`` for those without elements."""
    starts = offsets[:-1]
    filled = offsets[1:] > starts
    if filled.all():
        return ufunc.reduceat(flat, starts) if len(starts) else flat[:0]
    reduced = np.full(len(starts), empty, flat.dtype)
    if filled.any():
        reduced[filled] = ufunc.reduceat(flat, starts[filled])
    return reduced


def count_segments(flags: BoolArray, offsets: IntArray) -> IntArray:
    """Count the true flags of each segment."""
    counts: IntArray = np.diff(offsets_of(flags)[offsets])
    return counts


def all_segments(flags: BoolArray, offsets: IntArray) -> BoolArray:
    """Tell which segments have only true flags (empty ones do)."""
    reduced: BoolArray = reduce_segments(np.logical_and, flags, offsets, 1)
    return reduced


def spread(per_segment: AnyArray, offsets: IntArray) -> AnyArray:
    """Repeat each segment's value over its elements."""
    return np.repeat(per_segment, np.diff(offsets))


def take_ranges(starts: IntArray, lengths: IntArray) -> IntArray:
    """Return the positions of ranges, one after the other: int64 [sum of lengths]."""
    offsets = offsets_of(lengths)
    positions = np.arange(offsets[-1], dtype=np.int64)
    positions += np.repeat(starts - offsets[:-1], lengths)
    return positions


def sort_order(groups: IntArray, times: IntArray) -> IntArray:
    """Return the order that sorts rows by group, then time; equal rows in any order.

    Two unstable sorts of 64-bit keys, which numpy does with vector instructions, instead of a
    stable lexsort: the second key holds the group and the rank in time. Groups are below 2**31,
    rows below 2**32.
    """
    by_time = np.argsort(times)
    keys = groups[by_time] << 32
    keys |= np.arange(len(keys), dtype=np.int64)
    keys.sort()
    keys &= 0xFFFFFFFF
    order: IntArray = by_time[keys]
    return order
