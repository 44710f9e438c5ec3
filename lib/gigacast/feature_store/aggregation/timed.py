"""States of FIRST, LAST, FIRST_K and LAST_K.

Equal times are ordered by value: the order in which events arrive is not the same online and
offline, and this rule needs none.
"""

from heapq import merge as merge_sorted
from typing import Any

from gigacast.feature_store.aggregation.value import Value, canonical, rank

Event = tuple[int, Value]


def _order(event: Event) -> tuple[int, Any]:
    return event[0], rank(event[1])


class Ends:
    """The first or last events by (time, value), at most ``k``, nearest end first."""

    def __init__(self, k: int | None, *, newest: bool) -> None:
        self.single = k is None
        self.k = k or 1
        self.newest = newest

    def update(self, state: list[Event] | None, value: Value, time: int) -> list[Event]:
        """Return the state with a value more."""
        added = [(time, canonical(value))]
        return added if state is None else self.merge(state, added)

    def merge(self, left: list[Event], right: list[Event]) -> list[Event]:
        """Return the state of the values of both states."""
        first, second = (right, left) if self.newest else (left, right)
        # Mostly one state is of the past of the other, and no value has to be compared.
        for nearer, farther in ((first, second), (second, first)):
            edge, other = nearer[-1][0], farther[0][0]
            if edge > other if self.newest else edge < other:
                return [*nearer, *farther][: self.k]
        merged = merge_sorted(left, right, key=_order, reverse=self.newest)
        return [event for event, _ in zip(merged, range(self.k), strict=False)]

    def delete(self, state: list[Event] | None, value: Value, time: int) -> list[Event] | None:
        """Return the state as it is: the operation ignores deletes."""
        return state

    def finish(self, state: list[Event]) -> Value:
        """Return the feature."""
        return state[0][1] if self.single else [value for _, value in state]

    def encode(self, state: list[Event]) -> Any:
        """Return the state as msgpack holds it."""
        return [part for event in state for part in event]

    def decode(self, stored: Any) -> list[Event]:
        """Return the state of ``encode``."""
        return [
            (time, value if type(value) is int else canonical(value))
            for time, value in zip(stored[::2], stored[1::2], strict=True)
        ]
