"""States of COUNT, SUM, AVERAGE, MIN and MAX."""

import math
from typing import Any

from gigacast.feature_store.aggregation.exact import UNIT, lengthen, scale, shorten, to_units
from gigacast.feature_store.aggregation.value import NAN, Value, canonical, rank


class Count:
    """Number of values; deletes count down."""

    def update(self, state: int | None, value: Value, time: int) -> int | None:
        """Return the state with a value more."""
        return ((state or 0) + 1) or None

    def delete(self, state: int | None, value: Value, time: int) -> int | None:
        """Return the state with a value less."""
        return ((state or 0) - 1) or None

    def merge(self, left: int, right: int) -> int | None:
        """Return the state of the values of both states."""
        return (left + right) or None

    def finish(self, state: int) -> int:
        """Return the feature."""
        return state

    def encode(self, state: int) -> Any:
        """Return the state as msgpack holds it."""
        return state

    def decode(self, stored: Any) -> int:
        """Return the state of ``encode``."""
        return int(stored)


Totals = tuple[int, int, int, int, int]
_BEYOND = (math.inf, -math.inf)


class Total:
    """Exact sum and number of values; the state of SUM and AVERAGE.

    A state is (n, sum, NaNs, infinities, negative infinities). The sum is an integer: of the values
    themselves for integer columns, else in units of 2**-1074. The number is kept for SUM too: a sum
    of which all values were deleted is no sum, not zero.
    """

    def __init__(self, *, whole: bool, average: bool) -> None:
        self.whole = whole
        self.average = average

    def _of(self, value: Value) -> Totals:
        if self.whole:
            return 1, int(value), 0, 0, 0
        if not math.isfinite(value):
            return 1, 0, int(math.isnan(value)), int(value == math.inf), int(value == -math.inf)
        return 1, to_units(float(value)), 0, 0, 0

    def update(self, state: Totals | None, value: Value, time: int) -> Totals | None:
        """Return the state with a value more."""
        added = self._of(value)
        return added if state is None else self.merge(state, added)

    def delete(self, state: Totals | None, value: Value, time: int) -> Totals | None:
        """Return the state with a value less."""
        n, total, nans, ups, downs = self._of(value)
        removed = (-n, -total, -nans, -ups, -downs)
        return removed if state is None else self.merge(state, removed)

    def merge(self, left: Totals, right: Totals) -> Totals | None:
        """Return the state of the values of both states."""
        n, total = left[0] + right[0], left[1] + right[1]
        # Written out: with two loops less a merge takes a third of the time.
        nans, ups, downs = left[2] + right[2], left[3] + right[3], left[4] + right[4]
        # A state without any content is absent, so that a delete undoes to the last byte.
        return (n, total, nans, ups, downs) if (n or total or nans or ups or downs) else None

    def finish(self, state: Totals) -> Value:
        """Return the feature."""
        if state[0] == 0:
            return None
        total = self.add_up(state)
        if not self.average or total in _BEYOND or total != total:  # noqa: PLR0124 (true for NaN)
            return total
        # The rounded sum divided by n, rather than the exact quotient: the vectorised kernel does
        # the same two roundings.
        return float(total) / state[0]

    def add_up(self, state: Totals) -> int | float:
        """Return the rounded sum of the values."""
        if self.whole:
            return state[1]
        _, total, nans, ups, downs = state
        if nans or (ups and downs):
            return NAN
        if ups or downs:
            return math.inf if ups else -math.inf
        return scale(total, -UNIT)

    def encode(self, state: Totals) -> Any:
        """Return the state as msgpack holds it."""
        n, total, *rest = state
        stored: list[Any] = [n, *([_fit(total)] if self.whole else shorten(total))]
        return [*stored, *rest] if any(rest) else stored

    def decode(self, stored: Any) -> Totals:
        """Return the state of ``encode``."""
        if self.whole:
            n, total, *rest = stored
            # Mostly it is a number already, and a call would take longer than the rest.
            total = total if type(total) is int else _unfit(total)
        else:
            n, zeros, mantissa, *rest = stored
            total = lengthen(zeros, mantissa)
        if not rest:
            return n, total, 0, 0, 0
        nans, ups, downs = rest
        return n, total, nans, ups, downs


def _fit(total: int) -> int | bytes:
    # msgpack holds integers of 64 bits; longer ones are bytes.
    if -(1 << 63) <= total < 1 << 63:
        return total
    return total.to_bytes(total.bit_length() // 8 + 1, "little", signed=True)


def _unfit(stored: int | bytes) -> int:
    return int.from_bytes(stored, "little", signed=True) if isinstance(stored, bytes) else stored


class Extreme:
    """Least or greatest value; NaN is greater than every number."""

    def __init__(self, *, greatest: bool) -> None:
        self.greatest = greatest

    def update(self, state: Value, value: Value, time: int) -> Value:
        """Return the state with a value more."""
        value = canonical(value)
        return value if state is None else self.merge(state, value)

    def merge(self, left: Value, right: Value) -> Value:
        """Return the state of the values of both states."""
        return right if (rank(right) > rank(left)) == self.greatest else left

    def delete(self, state: Value, value: Value, time: int) -> Value:
        """Return the state as it is: the operation ignores deletes."""
        return state

    def finish(self, state: Value) -> Value:
        """Return the feature."""
        return state

    def encode(self, state: Value) -> Any:
        """Return the state as msgpack holds it."""
        return state

    def decode(self, stored: Any) -> Value:
        """Return the state of ``encode``."""
        return canonical(stored)
