"""Edges of a window: the hop by its length, and the half-open span of times that it holds.

Nothing else computes them, so that backfill, upload, fetch and streams cannot disagree.
"""

from collections.abc import Callable
from typing import overload

import numpy as np
from numpy.typing import NDArray

FIVE_MINUTES = 300_000
HOUR = 3_600_000
DAY = 86_400_000
# Before every time that can be written in milliseconds: the start of a window without length.
BEGINNING = -(1 << 62)


def choose_hop(length_ms: int) -> int:
    """Return the step, in milliseconds, by which the start of a window moves.

    A day for windows of 12 days and more, an hour for 12 hours and more, else five minutes. Source:
    Chronon's ``FiveMinuteResolution`` (``>=``; the comment in its thrift file says ``>``).
    """
    if length_ms >= 12 * DAY:
        return DAY
    return HOUR if length_ms >= 12 * HOUR else FIVE_MINUTES


@overload
def find_start(length_ms: int | None, at: int) -> int: ...
@overload
def find_start(length_ms: int | None, at: NDArray[np.int64]) -> NDArray[np.int64]: ...
def find_start(length_ms: int | None, at: int | NDArray[np.int64]) -> int | NDArray[np.int64]:
    """Return the first time, inclusive, that a window holds for a query at ``at``.

    The window is ``[floor(at - length, hop), at)``: an event at the time of the query is outside.
    Times are epoch milliseconds; the floor counts from the epoch, in UTC.

    Parameters
    ----------
    length_ms : int or None
        Length of the window in milliseconds; none for all time.
    at : int or array of int64
        Times of the queries.
    """
    if length_ms is None:
        return BEGINNING if isinstance(at, int) else np.full(at.shape, BEGINNING, np.int64)
    hop = choose_hop(length_ms)
    return (at - length_ms) // hop * hop


def start_finder(length_ms: int | None) -> Callable[[int], int]:
    """Return `find_start` for windows of one length, for many single queries."""
    if length_ms is None:
        return lambda at: BEGINNING
    length, hop = length_ms, choose_hop(length_ms)
    return lambda at: (at - length) // hop * hop


def contains(length_ms: int | None, at: int, time: int) -> bool:
    """Return whether the window of a query at ``at`` holds an event at ``time``."""
    return find_start(length_ms, at) <= time < at
