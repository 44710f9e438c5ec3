"""Items side by side as matrices, these cut into blocks."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gigacast.core.array import BoolArray, DoubleArray, IntArray

CHUNK_ROWS = 1 << 16
"""Rows worked on at once: what a kernel holds for itself does not grow with the table."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Items of about one length, or a stretch of them, as a matrix.

    Parameters
    ----------
    rows : int64 [S, L]
        The row of each place; that of the item's first where the item is shorter.
    inside : bool [S, L]
        Where there is a row.
    lead : int
        Places at the beginning that belong to the stretch before, and are not written back.
    """

    rows: IntArray
    inside: BoolArray
    lead: int = 0

    def take(self, values: DoubleArray, filler: float = np.nan) -> DoubleArray:
        """Return values [R] as a matrix [S, L]."""
        return np.where(self.inside, values[self.rows], filler)

    def put(self, matrix: DoubleArray, into: DoubleArray) -> None:
        """Write a matrix back to its rows."""
        own = np.s_[:, self.lead : self.rows.shape[1]]
        inside = self.inside[own]
        into[self.rows[own][inside]] = matrix[own][inside]


def buckets(offsets: IntArray, multiple: int = 1, *, whole: bool = True) -> Iterator[Bucket]:
    """Divide items by length, at most doubling what is held, and at most `CHUNK_ROWS` at once.

    L is a ``multiple`` where it is more; shorter items get an L of their own length: no window of
    theirs is longer. Longer items than a chunk come in stretches, each led by one multiple of the
    stretch before, unless they are wanted ``whole``.
    """
    lengths = np.diff(offsets)
    sizes = np.zeros(len(lengths), np.int64)
    some = lengths > 0
    sizes[some] = np.ceil(np.log2(lengths[some])).astype(np.int64)
    for size in np.unique(sizes[some]):
        chosen = np.flatnonzero(some & (sizes == size))
        longest = int(lengths[chosen].max())
        width = min(multiple, longest)
        length = -(-longest // width) * width
        at_once = max(1, CHUNK_ROWS // length)
        span = length if whole else max(width, CHUNK_ROWS // width * width)
        for first in range(0, len(chosen), at_once):
            part = chosen[first : first + at_once]
            for start in range(0, length, span):
                lead = width if start else 0
                place = np.arange(start - lead, min(start + span, length))
                inside = place < lengths[part][:, None]
                rows = np.where(inside, offsets[part][:, None] + place, offsets[part][:, None])
                yield Bucket(rows, inside, lead)


def block_width(bucket: Bucket, window: int) -> int:
    """Return W, the rows of a block: a window's, or all that there are."""
    return min(window, int(bucket.rows.shape[1]))


def blocks_of(matrix: DoubleArray, width: int) -> DoubleArray:
    """Return a matrix [S, L] as blocks [S, L / W, W]."""
    return matrix.reshape(matrix.shape[0], -1, width)


def end_before(ends: DoubleArray, nothing: float) -> DoubleArray:
    """Return, for each place, what of its window lies in the block before, [S, B, W].

    A window that ends at place p of a block has there the places from p + 1 on.
    """
    before = np.full_like(ends, nothing)
    before[:, 1:, :-1] = ends[:, :-1, 1:]
    return before
