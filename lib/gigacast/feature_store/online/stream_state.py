"""The value of a stream for an entity and a day: its events, and states of five minutes.

Events are kept as they are, so that any past moment is answered to the millisecond. If an entity
has many in a day, all but the newest are merged into states of five minutes; a moment within such
five minutes is refused rather than answered a little wrong.
"""

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gigacast.errors import DataError, MomentNotServedError
from gigacast.feature_store.aggregation import codec
from gigacast.feature_store.aggregation.value import Value, pack, unpack
from gigacast.feature_store.definition.window_edge import FIVE_MINUTES
from gigacast.feature_store.online.features import Features

FORMAT = 1
MAX_ROWS = 256
"""Events of a day that an entity may have before older ones are merged. A value with as many takes
about 10 KB, and is read and written at each event."""
KEPT_MS = 2 * FIVE_MINUTES
"""Time before the newest event whose events are never merged."""


class StreamRow(NamedTuple):
    """An event, or the change of an entity.

    Parameters
    ----------
    known_at : int
        Time from which it is known: that of a mutation, or of the event itself.
    time : int
        Time of the row, by which windows hold it.
    reverse : bool
        Whether it takes a former row back.
    values : sequence of Value
        Values of `Features.columns`.
    """

    known_at: int
    time: int
    reverse: bool
    values: Sequence[Value]


@dataclass(slots=True)
class DayValue:
    """The events of an entity on a day.

    Parameters
    ----------
    features : Features
    start : int
        Start of the day, epoch milliseconds.
    merges : bool
        Whether older events are merged into states. Changes of entities have two times, and five
        minutes have one: they are never merged.
    positions : dict of str to str
        Position of the last applied event by partition of the stream.
    count : int
        Number of events.
    newest : int
        Time from which the newest is known.
    written_ms : int
        Time of the last write.
    total : list
        States of all events. Those of a stored value are decoded when they are first used.
    tiles : dict of int to list
        States of merged events by the start of their five minutes.
    rows : list of StreamRow
        Events that are not merged, sorted.
    encoded : list
        States of all events as they are stored, where they are not yet decoded.
    details : bytes
        Tiles and rows as they are stored, until they are needed.
    """

    features: Features
    start: int
    merges: bool = True
    positions: dict[str, str] = field(default_factory=dict)
    count: int = 0
    newest: int = 0
    written_ms: int = 0
    total: list[Any] = field(default_factory=list)
    tiles: dict[int, list[Any]] = field(default_factory=dict)
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    encoded: list[Any] = field(default_factory=list)
    details: bytes = b""

    def __post_init__(self) -> None:
        if not self.total:
            self.total = self.features.state.empty()

    def add(self, row: StreamRow) -> None:
        """Add an event."""
        self._load()
        self.count += 1
        self.newest = max(self.newest, row.known_at)
        self.total = self._step(self.total, row)
        tile = row.known_at // FIVE_MINUTES * FIVE_MINUTES
        if tile in self.tiles:
            self.tiles[tile] = self._step(self.tiles[tile], row)
        else:
            # Sorted by time alone: values may have no order among each other.
            insort(self.rows, tuple(row), key=lambda r: (r[0], r[1]))
        self._merge_old()

    def states(self, low: int, high: int) -> list[Any]:
        """Return the states of the events of ``[low, high)``.

        Parameters
        ----------
        low, high : int
            ``low`` is a multiple of five minutes.

        Raises
        ------
        MomentNotServedError
            If ``high`` is within five minutes whose events were merged.
        """
        if self.is_within(low, high):
            return [self.total_state(unit) for unit in range(len(self.total))]
        self._load()
        states = self.features.state.empty()
        for tile, merged in self.tiles.items():
            if low <= tile and tile + FIVE_MINUTES <= high:
                states = self.features.state.merge(states, merged)
            elif tile < high < tile + FIVE_MINUTES:
                raise MomentNotServedError(
                    f"{self.count} events of this key on that day: those of past moments are "
                    "kept in steps of five minutes",
                    hint="ask for a time at the end of five minutes, or for the present",
                )
        start = bisect_left(self.rows, low, key=lambda r: r[0])
        stop = bisect_left(self.rows, high, key=lambda r: r[0])
        for row in self.rows[start:stop]:
            states = self._step(states, StreamRow(*row))
        return states

    def is_within(self, low: int, high: int) -> bool:
        """Return whether all events are of ``[low, high)``."""
        return low <= self.start and high > self.newest

    def total_state(self, unit: int) -> Any:
        """Return the state of all events of one aggregation."""
        state = self.total[unit]
        if state is None and self.encoded and self.encoded[unit] is not None:
            state = self.total[unit] = self.features.decoders[unit](self.encoded[unit])
            self.encoded[unit] = None
        return state

    def known_states(self, start: int, at: int) -> list[Any]:
        """Return the states of the changes known before a moment, with times from ``start``."""
        self._load()
        states = self.features.state.empty()
        for row in self.rows:
            if row[0] < at and start <= row[1] < at:
                states = self._step(states, StreamRow(*row))
        return states

    def encode(self) -> bytes:
        """Return the bytes of the value."""
        self._load()
        state = self.features.state
        tiles = [[tile, state.encode(self.tiles[tile])] for tile in sorted(self.tiles)]
        fields = [self.positions, self.count, self.newest, self.written_ms]
        # Merged states and events as bytes of their own: a fetch of the present reads neither.
        details = pack([tiles, self.rows])
        return pack([FORMAT, *fields, state.encode(self.total), details])

    @classmethod
    def decode(
        cls, features: Features, start: int, stored: bytes, *, merges: bool = True
    ) -> "DayValue":
        """Return the value of bytes.

        Raises
        ------
        DataError
            If the bytes are damaged or of another format.
        """
        try:
            form, positions, count, newest, written_ms, total, details = unpack(stored)
            if form != FORMAT:
                raise DataError(
                    f"streamed values of format {form} cannot be read",
                    hint="apply the stream again with this release",
                )
            encoded = codec.decode(total)
            empty = features.state.empty()
            value = cls(
                features, start, merges, positions, count, newest, written_ms, empty, {}, [],
                encoded, details,
            )  # fmt: skip
        except (ValueError, TypeError) as error:
            raise DataError(f"a stored stream value is damaged: {error}") from error
        return value

    def _load(self) -> None:
        """Read the stored tiles and rows, once.

        Raises
        ------
        DataError
            If the bytes are damaged.
        """
        if not self.details:
            return
        for unit in range(len(self.encoded)):
            self.total_state(unit)
        try:
            tiles, rows = unpack(self.details)
            self.tiles = {tile: self.features.state.decode(states) for tile, states in tiles}
            self.rows = [*map(tuple, rows)]
        except (ValueError, TypeError) as error:
            raise DataError(f"a stored stream value is damaged: {error}") from error
        self.details = b""

    def _step(self, states: Sequence[Any], row: StreamRow) -> list[Any]:
        values: Mapping[str, Value] = self.features.row(row.values)
        step = self.features.state.delete if row.reverse else self.features.state.update
        return step(states, values, row.time)

    def _merge_old(self) -> None:
        """Merge the events of older five minutes, if there are many events.

        Number and newest time only grow, so which are merged does not depend on the order in which
        events came.
        """
        if self.count <= MAX_ROWS or not self.merges:
            return
        oldest = (self.newest - KEPT_MS) // FIVE_MINUTES * FIVE_MINUTES
        stop = bisect_left(self.rows, oldest, key=lambda r: r[0])
        for row in self.rows[:stop]:
            tile = row[0] // FIVE_MINUTES * FIVE_MINUTES
            states = self.tiles.get(tile) or self.features.state.empty()
            self.tiles[tile] = self._step(states, StreamRow(*row))
        del self.rows[:stop]
