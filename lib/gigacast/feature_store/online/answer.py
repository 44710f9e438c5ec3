"""The features of an entity at a moment, of its batch value and its streamed days."""

from collections.abc import Sequence
from functools import reduce

from gigacast.feature_store.aggregation.value import Value
from gigacast.feature_store.online.batch_state import BatchValue
from gigacast.feature_store.online.features import Features
from gigacast.feature_store.online.plan import Streamed
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
    values = features.empty.copy()
    more: Streamed = _nothing
    seen: int | None = None
    merges = bool(days) and days[0].merges
    for place, group in enumerate(features.groups):
        start = group.start(at)
        if days:
            # Windows that begin in the batch see the same streamed events; changes of entities
            # are held by their own time, which may be before.
            low = start if start > batch_end else batch_end
            first = low if merges else start
            if first != seen:
                more, seen = _streamed(features, days, start, low, at), first
        stored = batch.stored(place, start)
        for step in group.steps:
            step(stored, more, values)
    return values


def _nothing(unit: int) -> None:
    """Return the state of no events."""


def _streamed(
    features: Features, days: Sequence[DayValue], start: int, low: int, at: int
) -> Streamed:
    """Return the function of the streamed states of a window, by unit."""
    if len(days) == 1 and days[0].merges and days[0].is_within(low, at):
        return days[0].total_state
    parts = [day.states(low, at) if day.merges else day.known_states(start, at) for day in days]
    # Of a single day the states are taken as they are: merges leave both of their sides alone.
    return reduce(features.state.merge, parts).__getitem__
