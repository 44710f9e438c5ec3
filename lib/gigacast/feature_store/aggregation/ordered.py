"""State of TOP_K and BOTTOM_K."""

from heapq import merge as merge_sorted
from typing import Any

from gigacast.feature_store.aggregation.value import Value, canonical, rank


class Best:
    """The greatest or least values, at most ``k``, best first; duplicates are kept."""

    def __init__(self, k: int, *, greatest: bool) -> None:
        self.k = k
        self.greatest = greatest

    def update(self, state: list[Value] | None, value: Value, time: int) -> list[Value]:
        """Return the state with a value more."""
        added = [canonical(value)]
        return added if state is None else self.merge(state, added)

    def merge(self, left: list[Value], right: list[Value]) -> list[Value]:
        """Return the state of the values of both states."""
        merged = merge_sorted(left, right, key=rank, reverse=self.greatest)
        return [value for value, _ in zip(merged, range(self.k), strict=False)]

    def delete(self, state: list[Value] | None, value: Value, time: int) -> list[Value] | None:
        """Return the state as it is: the operation ignores deletes."""
        return state

    def finish(self, state: list[Value]) -> list[Value]:
        """Return the feature."""
        return list(state)

    def encode(self, state: list[Value]) -> Any:
        """Return the state as msgpack holds it."""
        return state

    def decode(self, stored: Any) -> list[Value]:
        """Return the state of ``encode``."""
        return [canonical(value) for value in stored]
