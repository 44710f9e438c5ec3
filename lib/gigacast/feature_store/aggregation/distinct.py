"""State of UNIQUE_COUNT and BOUNDED_UNIQUE_COUNT."""

from heapq import merge as merge_sorted
from itertools import groupby, islice
from typing import Any

from gigacast.feature_store.aggregation.value import Value, canonical, rank


class Distinct:
    """The distinct values in order, at most ``k`` of them.

    A bounded set keeps the least values rather than the first: then the state, and not its size
    alone, is independent of the order.
    """

    def __init__(self, k: int | None) -> None:
        self.k = k

    def update(self, state: list[Value] | None, value: Value, time: int) -> list[Value]:
        """Return the state with a value more."""
        added = [canonical(value)]
        return added if state is None else self.merge(state, added)

    def merge(self, left: list[Value], right: list[Value]) -> list[Value]:
        """Return the state of the values of both states."""
        merged = merge_sorted(left, right, key=rank)
        distinct = (next(equal) for _, equal in groupby(merged, key=rank))
        return list(islice(distinct, self.k))

    def delete(self, state: list[Value] | None, value: Value, time: int) -> list[Value] | None:
        """Return the state as it is: the operation ignores deletes."""
        return state

    def finish(self, state: list[Value]) -> int:
        """Return the feature."""
        return len(state)

    def encode(self, state: list[Value]) -> Any:
        """Return the state as msgpack holds it."""
        return state

    def decode(self, stored: Any) -> list[Value]:
        """Return the state of ``encode``."""
        return [canonical(value) for value in stored]
