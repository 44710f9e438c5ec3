"""State of VARIANCE, SKEW and KURTOSIS: exact sums of powers."""

import math
from typing import Any

from gigacast.feature_store.aggregation.exact import (
    UNIT,
    kurtosis,
    lengthen,
    shorten,
    skew,
    to_units,
    variance,
)
from gigacast.feature_store.aggregation.value import NAN, Value

Powers = tuple[int, ...]


class Moment:
    """Moments of the population, from exact sums of the powers 1 to ``power``.

    A state is (n, values that are not finite, sums). The sum of power p is in units of
    2**(-1074 p). Chan's formulas on (n, mean, M2, ...) are shorter, but depend on the order.
    """

    def __init__(self, power: int) -> None:
        self.power = power

    def update(self, state: Powers | None, value: Value, time: int) -> Powers:
        """Return the state with a value more."""
        if isinstance(value, float) and not math.isfinite(value):
            added = (1, 1, *(0,) * self.power)
        else:
            units = to_units(value)
            added = (1, 0, *(units**power for power in range(1, self.power + 1)))
        return added if state is None else self.merge(state, added)

    def merge(self, left: Powers, right: Powers) -> Powers:
        """Return the state of the values of both states."""
        return tuple(a + b for a, b in zip(left, right, strict=True))

    def delete(self, state: Powers | None, value: Value, time: int) -> Powers | None:
        """Return the state as it is: the operation ignores deletes."""
        return state

    def finish(self, state: Powers) -> float | None:
        """Return the feature."""
        n, strange, *sums = state
        if strange:
            return NAN
        if self.power == 2:
            return variance(n, sums, -UNIT)
        return skew(n, sums) if self.power == 3 else kurtosis(n, sums)

    def encode(self, state: Powers) -> Any:
        """Return the state as msgpack holds it."""
        n, strange, *sums = state
        return [n, strange, *(part for total in sums for part in shorten(total))]

    def decode(self, stored: Any) -> Powers:
        """Return the state of ``encode``."""
        n, strange, *parts = stored
        pairs = zip(parts[::2], parts[1::2], strict=True)
        return (n, strange, *(lengthen(zeros, mantissa) for zeros, mantissa in pairs))
