"""Least and greatest of ranges of rows, from tables over spans of doubled length."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigacast.feature_store.aggregation.limbs import Ranges


def extreme_of_ranges(
    choose: Callable[..., Any], values: NDArray[np.int64], ranges: Ranges
) -> NDArray[np.int64]:
    """Return the least or greatest value of ranges that are not empty.

    A range is covered by two spans of the greatest power of two within it. They may overlap, since
    a value that is seen twice changes nothing. One table is in memory at a time.

    Parameters
    ----------
    choose : ufunc
        ``np.minimum`` or ``np.maximum``.
    values : array of int64, shape (rows,)
        Values.
    ranges : Ranges
        Ranges of rows.
    """
    result = np.empty(len(ranges), np.int64)
    level = np.frexp((ranges.stop - ranges.start).astype(np.float64))[1] - 1
    order = np.argsort(level.astype(np.int8), kind="stable")
    cuts = np.searchsorted(level[order], np.arange(int(level.max(initial=-1)) + 2))
    table = values
    for depth in range(len(cuts) - 1):
        half = 1 << depth
        chosen = order[cuts[depth] : cuts[depth + 1]]
        if len(chosen):
            result[chosen] = choose(table[ranges.start[chosen]], table[ranges.stop[chosen] - half])
        if depth + 2 < len(cuts):
            table = choose(table[:-half], table[half:])
    return result
