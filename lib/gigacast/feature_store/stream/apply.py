"""The application of a stream to served features: each record once, whatever is read again.

A value holds, with its events, the position of the last applied record of each partition. It is
written only if nobody wrote it since it was read. So a record that comes again, after a restart or
from a second writer, is known by its position and left out.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gigacast.errors import DataError, DataNotFoundError, StorageError, UnknownSchemaError
from gigacast.feature_store.aggregation.row_state import parts_of
from gigacast.feature_store.aggregation.value import pack, unpack
from gigacast.feature_store.definition.name import parse_name
from gigacast.feature_store.online.features import Features
from gigacast.feature_store.online.freshness import SAMPLES, Freshness
from gigacast.feature_store.online.key import (
    DAY_MS,
    day_of,
    freshness_key,
    group_by_key,
    key_digest,
    position_key,
    stream_prefix,
)
from gigacast.feature_store.online.serving import STATES, ServedGroupBy, decode_group_by
from gigacast.feature_store.online.store import OnlineStore, Versioned
from gigacast.feature_store.online.stream_state import DayValue, StreamRow
from gigacast.feature_store.stream.decode import Decoder
from gigacast.feature_store.stream.encoding import Parsers, text_parser
from gigacast.feature_store.stream.stream import Record, is_after

KEPT_DAYS = 5
"""Days after the end of serving for which a streamed value stays, in stores that delete by time."""
Rows = Sequence[tuple[Record, StreamRow]]
_ATTEMPTS = 100
_MARK = ":"  # between a mark and a partition, in whose names no stream has it


@dataclass
class StreamCounts:
    """What became of the records of a stream.

    Parameters
    ----------
    read : int
        All records.
    applied : int
    repeated : int
        Applied before.
    before_batch : int
        Of a time that the served batch holds.
    filtered : int
        Left out by the source's conditions, or without a key.
    garbage : int
        Records that are none of the source; `samples` has the first reasons.
    conflicts : int
        Writes that were done again, since another writer was first.
    newest : int
        Time of the newest applied event, epoch milliseconds.
    samples : list of str
    lag_ms : int, optional
        Time from the newest event of the last records to their application.
    """

    read: int = 0
    applied: int = 0
    repeated: int = 0
    before_batch: int = 0
    filtered: int = 0
    garbage: int = 0
    conflicts: int = 0
    newest: int = 0
    samples: list[str] = field(default_factory=list)
    lag_ms: int | None = None


class StreamApplier:
    """Applies the records of a topic to a group-by.

    Parameters
    ----------
    store : OnlineStore
    name : str
        Name of the group-by.
    stream : str
        Name of the topic, by which its positions are kept.
    clock : function
        Returns the time, epoch seconds.
    parsers : Parsers
        Form of the records, by the parameters of the topic; text by default.

    Attributes
    ----------
    counts : StreamCounts
    waiting : sequence of Record
        Records that the last call of `apply` left, for want of their schema.

    Raises
    ------
    DataNotFoundError
        If nothing is uploaded, or the group-by is not streamed.
    """

    def __init__(
        self,
        store: OnlineStore,
        name: str,
        stream: str,
        clock: Callable[[], float] = time.time,
        parsers: Parsers = text_parser,
    ) -> None:
        self._store = store
        self._parsers = parsers
        self._name = parse_name(name)
        self._stream = stream
        self._clock = clock
        self.counts = StreamCounts()
        self.waiting: Sequence[Record] = ()
        self._garbage: list[str] = []
        self._pointer = b""
        self.served: ServedGroupBy
        self.refresh()

    def refresh(self) -> bool:
        """Read what is served, and return whether the stream must be read from other positions.

        That is so if another definition is served: its values begin without any event.
        """
        stored = self._store.get_many([group_by_key(self._name)])[0]
        if stored is not None and stored.value == self._pointer:
            return False
        served = decode_group_by(stored, self._name)
        if served.form != STATES or served.group_by.topic is None:
            raise DataNotFoundError(
                f"group-by {self._name}: has no topic, or sees rows up to midnight only",
                hint="give its source a topic and compile it again",
            )
        if any(source.joinSource for source in served.group_by.sources):
            raise DataNotFoundError(
                f"group-by {self._name}: its source is a join, whose features are no events",
                hint="upload it more often; its topic cannot be applied",
            )
        is_other = bool(self._pointer) and served.batch.digest != self.served.batch.digest
        features = Features(parts_of(served.group_by), served.schema)
        self._decoder = Decoder(served, features.columns, self._parsers)
        # After all that may fail: what is served is read again at the next attempt.
        self._pointer = stored.value if stored else b""
        self.served, self._features = served, features
        return is_other

    def positions(self, mark: str = "") -> dict[str, str]:
        """Return the positions up to which all records are applied, by partition.

        Parameters
        ----------
        mark : str
            Mark under which they were noted; see `apply`.
        """
        stored = self._store.get_many([self._position_key])[0]
        applied: Mapping[str, str] = {} if stored is None else unpack(stored.value)
        marked = {name: name.rpartition(_MARK) for name in applied}
        return {place: applied[name] for name, (own, _, place) in marked.items() if own == mark}

    def apply(self, records: Sequence[Record], mark: str = "") -> None:
        """Apply records, each partition's in its order, and note their positions.

        Parameters
        ----------
        records : sequence of Record
        mark : str
            Word under which positions are noted: of a reader that keeps its own, as one that reads
            the past of a stream whose present is applied by others.

        Raises
        ------
        UnknownSchemaError
            If records wait for their schema: they and those behind them are `waiting`; all others
            are applied.
        StorageError
            If the store cannot be written. The records can be applied again.
        """
        changes: dict[tuple[int, str], list[tuple[Record, StreamRow]]] = defaultdict(list)
        self._garbage.clear()
        read: list[Record] = []
        waiting: list[Record] = []
        missing_schemas: dict[str, UnknownSchemaError] = {}
        for record in records:
            try:
                change = None if record.partition in missing_schemas else self._decode(record)
            except UnknownSchemaError as unknown:
                missing_schemas[record.partition] = unknown
            if record.partition in missing_schemas:
                # Those behind it wait, too: each partition is applied in its order.
                waiting.append(record)
                continue
            read.append(record)
            if change is not None:
                (day, digest), row = change
                changes[day, digest].append((record, row))
        self.waiting = waiting
        self._write(changes)
        newest = max((row.known_at for rows in changes.values() for _, row in rows), default=0)
        reason = next((error.message for error in missing_schemas.values()), "")
        if self.advance(read, mark) or reason:
            self._note(newest, reason)
        for error in missing_schemas.values():
            raise error

    def _write(self, changes: Mapping[tuple[int, str], Rows]) -> None:
        """Write the rows of entities and days."""
        keys = list(changes)
        # All values at once first; only those that another writer changed are read again.
        names = [self._value_key(day, digest) for day, digest in keys]
        stored = self._store.get_many(names) if names else []
        for key, name, value in zip(keys, names, stored, strict=True):
            self._change(key[0], name, changes[key], value)

    def _decode(self, record: Record) -> tuple[tuple[int, str], StreamRow] | None:
        try:
            decoded = self._decoder.decode(record.value)
            self.counts.read += 1
        except DataError as error:
            self.counts.read += 1
            self.counts.garbage += 1
            sample = f"{record.partition}:{record.position}: {error.message[:200]}"
            self._garbage.append(sample)
            if len(self.counts.samples) < SAMPLES:
                self.counts.samples.append(sample)
            return None
        if decoded is None or None in decoded.keys:
            self.counts.filtered += 1
            return None
        day = day_of(decoded.row.known_at)
        if day < self.served.batch.end:
            self.counts.before_batch += 1
            return None
        return (day, key_digest(decoded.keys)), decoded.row

    def _change(self, day: int, name: str, rows: Rows, value: Versioned | None) -> None:
        """Write the rows of an entity and day into its value, as often as another is first."""
        stored = value
        for _ in range(_ATTEMPTS):
            if self._try_change(day, name, rows, stored):
                return
            self.counts.conflicts += 1
            stored = self._store.get_many([name])[0]
        raise StorageError(
            f"online store: {name} was changed by others {_ATTEMPTS} times in a row",
            hint="run fewer writers of the same group-by",
        )

    def _try_change(self, day: int, name: str, rows: Rows, stored: Versioned | None) -> bool:
        merges = not self.served.has_mutations
        state = (
            DayValue(self._features, day, merges)
            if stored is None
            else DayValue.decode(self._features, day, stored.value, merges=merges)
        )
        repeated = 0
        for record, row in rows:
            if is_after(record.position, state.positions.get(record.partition)):
                state.add(row)
                state.positions[record.partition] = record.position
            else:
                repeated += 1
        if repeated < len(rows):
            now = self._clock()
            state.written_ms = int(now * 1000)
            # Counted from now: a replay of old events must not write values that are gone at once;
            # and from the newest event, so that a clock that is late takes none away.
            kept_ms = self.served.batch.serving_ms + KEPT_DAYS * DAY_MS
            expires_at = (max(state.written_ms, state.newest) + kept_ms) // 1000
            version = stored.version if stored else None
            if not self._store.put_if(name, version, state.encode(), expires_at):
                return False
            self.counts.newest = max(self.counts.newest, state.newest)
        self.counts.repeated += repeated
        self.counts.applied += len(rows) - repeated
        return True

    def _note(self, newest: int, waits_for: str) -> None:
        """Note the state of the stream. Of two writers at once the last one's counts."""
        key = freshness_key(self._name, self.served.batch.digest)
        stored = self._store.get_many([key])[0]
        former = Freshness(self._stream) if stored is None else Freshness.decode(stored.value, key)
        now = int(self._clock() * 1000)
        state = former.advanced(
            newest, now, len(self._garbage), self._garbage[-SAMPLES:], waits_for
        )
        self.counts.lag_ms = state.lag_ms
        self._store.put_many([(key, state.encode())])

    def advance(self, records: Sequence[Record], mark: str = "") -> bool:
        """Note the positions of applied records, and return whether any is new.

        Those of another writer stay if they are later.
        """
        start = f"{mark}{_MARK}" if mark else ""
        last = {f"{start}{record.partition}": record.position for record in records}
        while True:
            stored = self._store.get_many([self._position_key])[0]
            applied: Mapping[str, str] = {} if stored is None else unpack(stored.value)
            later = {n: p for n, p in last.items() if is_after(p, applied.get(n))}
            if not later:
                return False
            version = stored.version if stored else None
            if self._store.put_if(self._position_key, version, pack({**applied, **later})):
                return True

    @property
    def _position_key(self) -> str:
        return position_key(self._name, self.served.batch.digest, self._stream)

    def _value_key(self, day: int, digest: str) -> str:
        return f"{stream_prefix(self._name, self.served.batch.digest, day)}{digest}"
