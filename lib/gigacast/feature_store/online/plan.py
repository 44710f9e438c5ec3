"""Steps from stored states to the features of a window, arranged once for all fetches."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from gigacast.feature_store.aggregation.container import ColumnAggregator
from gigacast.feature_store.aggregation.row_state import Part
from gigacast.feature_store.aggregation.scalar import Count, Total
from gigacast.feature_store.aggregation.value import Value, sane

Stored = Sequence[Any] | None
Streamed = Callable[[int], Any]
Step = Callable[[Stored, Streamed, dict[str, Value]], None]
"""Function of a window's stored states, the streamed states by unit, and the features to fill."""


def make_steps(
    units: Sequence[int], names: Sequence[str], parts: Sequence[Part], states: Mapping[int, Any]
) -> tuple[Step, ...]:
    """Return the steps that fill the features of a window.

    SUM, AVERAGE and COUNT of the same column are of one state: it is decoded and merged once.

    Parameters
    ----------
    units : sequence of int
        Places of the window's aggregations among `parts`, in the order in which they are stored.
    names : sequence of str
        Names of the features.
    parts : sequence of Part
        Aggregations of all windows.
    states : mapping of int to ColumnAggregator
        Aggregators by place.
    """
    steps: list[Step] = []
    shared: dict[str, dict[int, int]] = {}
    for place, unit in enumerate(units):
        if _is_plain(states[unit], (Total, Count)):
            shared.setdefault(parts[unit].column, {})[place] = unit
        else:
            steps.append(_alone(place, unit, names[place], states[unit]))
    for members in shared.values():
        totals = {p: u for p, u in members.items() if _is_plain(states[u], (Total,))}
        if totals:
            steps.append(_totals(members, totals, names, states))
        else:
            steps += [_alone(place, unit, names[place], states[unit]) for place, unit in
                      members.items()]  # fmt: skip
    return tuple(steps)


def _is_plain(aggregator: ColumnAggregator, kinds: tuple[type, ...]) -> bool:
    """Return whether the states of an aggregator are the operation's own, of some kinds."""
    return aggregator.is_plain and isinstance(aggregator.operation, kinds)


def _alone(place: int, unit: int, name: str, aggregator: ColumnAggregator) -> Step:
    decode, merge, finish = aggregator.direct()

    def step(stored: Stored, streamed: Streamed, features: dict[str, Value]) -> None:
        encoded = None if stored is None else stored[place]
        state = None if encoded is None else decode(encoded)
        more = streamed(unit)
        if more is not None:
            state = more if state is None else merge(state, more)
        if state is not None:
            features[name] = finish(state)

    return step


def _totals(
    members: Mapping[int, int],
    totals: Mapping[int, int],
    names: Sequence[str],
    states: Mapping[int, ColumnAggregator],
) -> Step:
    """Return the step of SUM, AVERAGE and COUNT over one column."""
    place, unit = next(iter(totals.items()))
    operations = {p: cast("Total", states[u].operation) for p, u in totals.items()}
    total_of = operations[place]
    decode, merge, add_up = total_of.decode, total_of.merge, total_of.add_up
    # A state has the number of its values, which is the count.
    counts = [names[p] for p in members if p not in totals]
    sums = [names[p] for p, operation in operations.items() if not operation.average]
    means = [names[p] for p, operation in operations.items() if operation.average]

    def step(stored: Stored, streamed: Streamed, features: dict[str, Value]) -> None:
        encoded = None if stored is None else stored[place]
        state = None if encoded is None else decode(encoded)
        more = streamed(unit)
        if more is not None:
            state = more if state is None else merge(state, more)
        if state is None or not state[0]:
            return
        for name in counts:
            features[name] = state[0]
        total = add_up(state)
        for name in sums:
            features[name] = sane(total)
        for name in means:
            features[name] = sane(float(total) / state[0])

    return step
