"""The features of an entity at a moment, of its batch value and its streamed days."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

from gigacast.feature_store.aggregation.value import Value
from gigacast.feature_store.definition.window_edge import find_start
from gigacast.feature_store.online.batch_state import BatchValue
from gigacast.feature_store.online.features import Features
from gigacast.feature_store.online.stream_state import DayValue


def answer(
    features: Features,
    batch: BatchValue,
    days: Sequence[DayValue],
    at: int,
    batch_end: int,
) -> dict[str, Value]:
    """Return the features of an entity at a moment, with the bits of a backfill.

    Parameters
    ----------
    features : Features
    batch : BatchValue
        Rows before the end of the batch.
    days : sequence of DayValue
        Days from the end of the batch on that have streamed rows.
    at : int
        Moment, epoch milliseconds, from the end of the batch on.
    batch_end : int

    Raises
    ------
    DataError
        If a stored value is damaged, or the moment cannot be answered exactly.
    """
    states: dict[int | None, Sequence[Any]] = {}
    streamed: dict[tuple[int, int], list[Any]] = {}
    for place, group in enumerate(features.groups):
        start = find_start(group.window_ms, at)
        own = batch.states(place, start)
        if days:
            # Windows that begin in the batch see the same streamed events; changes of entities
            # are held by their own time, which may be before.
            low = (max(start, batch_end), start if not days[0].merges else 0)
            if low not in streamed:
                streamed[low] = _streamed(features, days, start, max(start, batch_end), at)
            more = streamed[low]
            own = [
                features.state.aggregators[unit].merge(state, more[unit])
                for unit, state in zip(group.units, own, strict=True)
            ]
        states[group.window_ms] = own
    return features.finish(states)


def _streamed(
    features: Features, days: Sequence[DayValue], start: int, low: int, at: int
) -> list[Any]:
    parts = [day.states(low, at) if day.merges else day.known_states(start, at) for day in days]
    # Of a single day the states are taken as they are: merges leave both of their sides alone.
    return reduce(features.state.merge, parts)
