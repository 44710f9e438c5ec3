"""Frequencies stated by the data, a column beside the targets.

Lists with a ``start`` may say their frequency row by row. It travels with the rows as one more
column of numbers, packed so that the same frequency is the same number everywhere; where rows of
one item disagree the greatest number wins, whatever their order.
"""

import numpy as np

from gigacast.core.array import IntArray, RealArray
from gigacast.core.time.frequency import Frequency, Kind

_KINDS: tuple[Kind, ...] = ("fixed", "steps", "business", "months")
_COUNT_BITS, _DAY_BITS = 45, 5
_COUNT_MASK, _DAY_MASK = (1 << _COUNT_BITS) - 1, (1 << _DAY_BITS) - 1


def pack_frequency(frequency: Frequency) -> float:
    """Return a number that float64 holds exactly."""
    kind = _KINDS.index(frequency.kind)
    count = min(frequency.count, _COUNT_MASK)
    return float(((kind << _DAY_BITS | (frequency.day or 0)) << _COUNT_BITS) | count)


def unpack_frequency(number: float) -> Frequency:
    """Return the frequency that was packed."""
    bits = int(number)
    day = bits >> _COUNT_BITS & _DAY_MASK
    kind = _KINDS[bits >> _COUNT_BITS + _DAY_BITS]
    return Frequency(kind, bits & _COUNT_MASK, day or None)


def unpack_distinct(
    numbers: RealArray,
) -> tuple[tuple[Frequency, ...], IntArray]:
    """Return the distinct frequencies of an array of numbers, and each one's index; no NaN."""
    distinct, codes = np.unique(numbers, return_inverse=True)
    return tuple(unpack_frequency(number) for number in distinct.tolist()), codes.astype(np.int64)
