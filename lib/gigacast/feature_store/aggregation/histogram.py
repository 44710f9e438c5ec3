"""State of HISTOGRAM, exact."""

from typing import Any

from gigacast.feature_store.aggregation.value import Value, canonical, rank

Counts = dict[Value, int]


def most_frequent(counts: Counts, k: int | None) -> Counts:
    """Return the ``k`` most frequent values, ties by value; all without ``k``."""
    present = [(value, n) for value, n in counts.items() if n > 0]
    ordered = sorted(present, key=lambda item: (-item[1], rank(item[0])))
    return dict(ordered[:k])


def add(left: Counts, right: Counts) -> Counts:
    """Return the sum of two tables of counts, without zeros."""
    total = dict(left)
    for value, n in right.items():
        total[value] = total.get(value, 0) + n
        if not total[value]:
            del total[value]
    return total


def flatten(counts: Counts) -> list[Any]:
    """Return values and counts in turn, in order of value: equal tables have equal bytes."""
    return [part for value in sorted(counts, key=rank) for part in (value, counts[value])]


def unflatten(stored: list[Any]) -> Counts:
    """Return the table of counts that ``flatten`` stored."""
    pairs = zip(stored[::2], stored[1::2], strict=True)
    return {canonical(value): n for value, n in pairs}


class Histogram:
    """Number of each value; below zero within a tile that holds a delete alone."""

    def __init__(self, k: int | None) -> None:
        self.k = k

    def update(self, state: Counts | None, value: Value, time: int) -> Counts | None:
        """Return the state with a value more."""
        return add(state or {}, {canonical(value): 1}) or None

    def delete(self, state: Counts | None, value: Value, time: int) -> Counts | None:
        """Return the state with a value less."""
        return add(state or {}, {canonical(value): -1}) or None

    def merge(self, left: Counts, right: Counts) -> Counts | None:
        """Return the state of the values of both states."""
        return add(left, right) or None

    def finish(self, state: Counts) -> Counts | None:
        """Return the feature."""
        return most_frequent(state, self.k) or None

    def encode(self, state: Counts) -> Any:
        """Return the state as msgpack holds it."""
        return flatten(state)

    def decode(self, stored: Any) -> Counts:
        """Return the state of ``encode``."""
        return unflatten(stored)
