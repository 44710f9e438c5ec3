"""Items of similar length as the rows of matrices, and matrices cut into blocks."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gigacast.core.array import BoolArray, DoubleArray, IntArray

CHUNK_ROWS = 1 << 16
"""Values of a matrix: the memory of a kernel does not grow with the table."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """S items of similar length, or a stretch of them, as a matrix.

    Parameters
    ----------
    rows : int64 [S, L]
        Row of each place; the item's first row where the item is shorter.
    inside : bool [S, L]
        Places that have a row.
    lead : int
        Number of first places that repeat the stretch before. They are read, and not written back.
    """

    rows: IntArray
    inside: BoolArray
    lead: int = 0

    def take(self, values: DoubleArray, filler: float = np.nan) -> DoubleArray:
        """Return values [R] as a matrix [S, L]."""
        return np.where(self.inside, values[self.rows], filler)

    def put(self, matrix: DoubleArray, into: DoubleArray) -> None:
        """Write a matrix [S, L] to its rows of ``into``, [R]."""
        own = np.s_[:, self.lead : self.rows.shape[1]]
        inside = self.inside[own]
        into[self.rows[own][inside]] = matrix[own][inside]


def buckets(offsets: IntArray, multiple: int = 1, *, complete: bool = True) -> Iterator[Bucket]:
    """Yield all items in matrices of at most about `CHUNK_ROWS` values.

    Items are grouped by powers of two of their length, so that padding at most doubles the values.
    L is a multiple of ``multiple``, or the length of shorter items, whose windows are no longer.
    Unless ``complete``, items longer than a chunk come in stretches. Each stretch begins with the
    last ``multiple`` places of the stretch before, which its first windows need.
    """
    lengths = np.diff(offsets)
    sizes = np.zeros(len(lengths), np.int64)
    filled = lengths > 0
    sizes[filled] = np.ceil(np.log2(lengths[filled])).astype(np.int64)
    for size in np.unique(sizes[filled]):
        chosen = np.flatnonzero(filled & (sizes == size))
        longest = int(lengths[chosen].max())
        width = min(multiple, longest)
        length = -(-longest // width) * width
        at_once = max(1, CHUNK_ROWS // length)
        # A recurrence needs whole items; windows only need the stretch before.
        span = length if complete else max(width, CHUNK_ROWS // width * width)
        for first in range(0, len(chosen), at_once):
            part = chosen[first : first + at_once]
            for start in range(0, length, span):
                lead = width if start else 0
                place = np.arange(start - lead, min(start + span, length))
                inside = place < lengths[part][:, None]
                # Places without a row read the item's first row: a valid index, masked later.
                rows = np.where(inside, offsets[part][:, None] + place, offsets[part][:, None])
                yield Bucket(rows, inside, lead)


def block_width(bucket: Bucket, window: int) -> int:
    """Return W, the rows of a block: the window's, or all rows if they are fewer."""
    return min(window, int(bucket.rows.shape[1]))


def blocks_of(matrix: DoubleArray, width: int) -> DoubleArray:
    """Return a matrix [S, L] as blocks [S, L / W, W]."""
    return matrix.reshape(matrix.shape[0], -1, width)


def end_before(ends: DoubleArray, empty: float) -> DoubleArray:
    """Return the part of each place's window that is in the block before, [S, B, W].

    The window that ends at place p of a block includes the places from p + 1 of the block before.

    Parameters
    ----------
    ends : float64 [S, B, W]
        Value of the end of each block, from each place on.
    empty : float
        Value of a part without places.
    """
    before = np.full_like(ends, empty)
    before[:, 1:, :-1] = ends[:, :-1, 1:]
    return before
