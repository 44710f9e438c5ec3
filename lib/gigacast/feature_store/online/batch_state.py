"""The value of a batch for an entity: states from each place where a window may begin.

A window's start moves in hops while a batch is served. For each place where it can be, the value
holds the state of the rows from there to the end of the batch, so that a fetch picks one and merges
none. No subtraction is needed, so every operation can be served so.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from gigacast.errors import DataError
from gigacast.feature_store.aggregation import codec
from gigacast.feature_store.aggregation.kernel import Rows
from gigacast.feature_store.aggregation.row_state import plain_values
from gigacast.feature_store.aggregation.timeline import code_keys, sort_rows
from gigacast.feature_store.aggregation.value import Value, pack, unpack
from gigacast.feature_store.definition.window_edge import BEGINNING, choose_hop, find_start
from gigacast.feature_store.online.features import Features, WindowGroup

FORMAT = 1


@dataclass(frozen=True)
class Span:
    """The times at which a batch answers.

    Parameters
    ----------
    end : int
        End of the batch: it holds the rows before. Epoch milliseconds.
    serving_ms : int
        Time after the end for which it is served.
    """

    end: int
    serving_ms: int

    @property
    def last(self) -> int:
        """Last time at which the batch answers."""
        return self.end + self.serving_ms

    def first_start(self, window_ms: int | None) -> int:
        """Return the first time that a window can hold."""
        return find_start(window_ms, self.end)

    def last_start(self, window_ms: int | None) -> int:
        """Return the last place where a window can begin."""
        return find_start(window_ms, self.last)


def build_batch(
    features: Features, rows: Rows, span: Span
) -> Iterator[tuple[tuple[Value, ...], bytes]]:
    """Yield the keys of entities and their values of a batch; rows after its end are left out.

    Parameters
    ----------
    features : Features
    rows : Rows
        Rows with the columns that the features name.
    span : Span
    """
    codes, _, count = code_keys(rows.keys, rows.keys)
    timeline = sort_rows(codes, rows.times, count)
    order, times = timeline.order, rows.times[timeline.order]
    table = rows.columns.take(order)
    columns = [plain_values(table[name]) for name in features.columns]
    keys = [plain_values(key.take(order)) for key in rows.keys]
    reverse = None if rows.reverse is None else rows.reverse[order].tolist()
    values = list(zip(*columns, strict=True)) if columns else [()] * len(order)
    edges = [*np.flatnonzero(np.diff(codes[order], prepend=-1)).tolist(), len(order)]
    for start, stop in pairwise(edges):
        signs = None if reverse is None else reverse[start:stop]
        history = _History(times[start:stop].tolist(), values[start:stop], signs)
        stored = _encode(features, history, span)
        if stored is not None:
            yield tuple(key[start] for key in keys), stored


@dataclass(frozen=True)
class _History:
    """Rows of an entity in order of time."""

    times: Sequence[int]
    values: Sequence[Sequence[Value]]
    reverse: Sequence[bool] | None


def _encode(features: Features, history: _History, span: Span) -> bytes | None:
    """Return the value of an entity; none if no window of the batch holds a row of it."""
    windows = [_suffixes(features, group, history, span) for group in features.groups]
    if not any(places for places, _ in windows):
        return None
    newest = history.times[bisect_left(history.times, span.end) - 1]
    return pack([FORMAT, newest, windows])


def _suffixes(
    features: Features, group: WindowGroup, history: _History, span: Span
) -> list[list[Any]]:
    """Return the places where the state of a window changes, and the state from each on."""
    aggregators = [features.state.aggregators[unit] for unit in group.units]
    parts = [features.units[unit] for unit in group.units]
    states: list[Any] = [None] * len(parts)
    places: list[int] = []
    encoded: list[bytes] = []
    first = span.first_start(group.window_ms)
    stop = bisect_left(history.times, span.end)
    start = bisect_left(history.times, first)
    # From the newest row back: each state is the next one with the rows of one place more.
    for n in range(stop - 1, start - 1, -1):
        row, time = features.row(history.values[n]), history.times[n]
        is_reverse = history.reverse is not None and history.reverse[n]
        for m, (aggregator, part) in enumerate(zip(aggregators, parts, strict=True)):
            step = aggregator.delete if is_reverse else aggregator.update
            bucket = None if part.bucket is None else row[part.bucket]
            states[m] = step(states[m], row[part.column], time, bucket)
        place = _place(time, group.window_ms, span)
        if n == start or _place(history.times[n - 1], group.window_ms, span) != place:
            places.append(place)
            encoded.append(
                codec.encode([a.encode(s) for a, s in zip(aggregators, states, strict=True)])
            )
    return [places[::-1], encoded[::-1]]


def _place(time: int, window_ms: int | None, span: Span) -> int:
    """Return the last place where a window can begin and hold a time."""
    if window_ms is None:
        return BEGINNING
    hop = choose_hop(window_ms)
    return min(time // hop * hop, span.last_start(window_ms))


class BatchValue:
    """The value of a batch for an entity, as it was stored.

    Parameters
    ----------
    stored : bytes, optional
        Without it the entity has no rows in the batch.

    Raises
    ------
    DataError
        If the bytes are damaged or of another format.
    """

    def __init__(self, stored: bytes | None) -> None:
        self.newest: int | None = None
        self._windows: Sequence[Any] | None = None
        if stored is None:
            return
        try:
            form, self.newest, self._windows = unpack(stored)
        except (ValueError, TypeError) as error:
            raise DataError(f"a stored batch value is damaged: {error}") from error
        if form != FORMAT:
            raise DataError(
                f"batch values of format {form} cannot be read",
                hint="upload the batch again with this release",
            )

    def stored(self, group: int, start: int) -> Sequence[Any] | None:
        """Return the encoded states of a window's units; None if no row is in it.

        Parameters
        ----------
        group : int
            Place of the window among `Features.groups`.
        start : int
            Start of the window, as `find_start` gives it.

        Raises
        ------
        DataError
            If the states are damaged or of another version.
        """
        if self._windows is None:
            return None
        places, encoded = self._windows[group]
        # Mostly a window is longer than the entity's history in it.
        place = 0 if places and start <= places[0] else bisect_left(places, start)
        return codec.decode(encoded[place]) if place < len(places) else None
