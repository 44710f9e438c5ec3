"""Features of a group-by at the rows of a left side, point in time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gigacast.core.digest import digest_value
from gigacast.errors import SchemaError
from gigacast.feature_store.aggregation.kernel import Queries, Rows
from gigacast.feature_store.aggregation.mutation import aggregate_known
from gigacast.feature_store.aggregation.row_state import parts_of
from gigacast.feature_store.definition.group_by import Accuracy, GroupBy
from gigacast.feature_store.definition.json import semantic_digest
from gigacast.feature_store.definition.name import (
    aggregated_columns,
    name_of,
)
from gigacast.feature_store.definition.window_edge import DAY
from gigacast.feature_store.engine.engine import (
    KNOWN,
    REVERSE,
    TIME,
    DaySpan,
    Engine,
    Partition,
    Reading,
    Scan,
)
from gigacast.feature_store.engine.match import fit, match_type
from gigacast.feature_store.offline.day import day_of, days_between, end_of, midnights, shift
from gigacast.feature_store.offline.left import Left, LeftDay, dates_of
from gigacast.feature_store.offline.source import BoundSource, Catalog, Input, oldest_day
from gigacast.lake.feature_layout import tile_key

TILE_FORMAT = 1
"""Part of the keys of tiles. Raise it when the same rows start to give other tiles."""
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class _Question:
    """Rows of the left side that see the same partitions.

    Parameters
    ----------
    places : array of int64
        Rows.
    at : array of int64
        Time of the query of each.
    first, last : str
        Days of the source at the earliest and latest query.
    """

    places: Ints
    at: Ints
    first: str
    last: str


@dataclass(frozen=True)
class PartView:
    """A group-by as the rows of a left side see it.

    Parameters
    ----------
    group_by : GroupBy
    sources : tuple of BoundSource
    left_is_events : bool
    """

    group_by: GroupBy
    sources: tuple[BoundSource, ...]
    left_is_events: bool

    @classmethod
    def of(cls, catalog: Catalog, group_by: GroupBy, *, left_is_events: bool) -> "PartView":
        """Return a group-by with its tables.

        Raises
        ------
        DataNotFoundError
            If a table has no files.
        """
        sources = tuple(BoundSource.of(catalog, group_by, source) for source in group_by.sources)
        return cls(group_by, sources, left_is_events)

    @property
    def is_temporal(self) -> bool:
        """Whether rows are seen up to the millisecond. Rows of entities see whole days."""
        return self.left_is_events and self.group_by.used_accuracy == Accuracy.TEMPORAL

    @property
    def _sees_same_day(self) -> bool:
        return not self.left_is_events or (self.is_temporal and self.group_by.is_events)

    def inputs(self, day: LeftDay) -> Iterator[Input]:
        """Yield each partition that a left partition sees."""
        span = self._seen_span(day)
        if span is None:
            return
        for source in self.sources:
            yield from map(source.main.input, _seen_days(source, span.first, span.last))
            changes = source.mutations
            if changes is not None and self.is_temporal:
                later = changes.days(shift(span.first, 1), shift(span.last, 1))
                yield from map(changes.input, later)

    def tiles(
        self, engine: Engine, days: Sequence[LeftDay]
    ) -> Iterator[tuple[Partition, Scan, bool]]:
        """Yield the partitions that tiles can stand for when some days are computed.

        With each is its scan, and whether some of the days see a part of it.
        """
        spans = [span for day in days if (span := self._seen_span(day)) is not None]
        if not spans or not self.group_by.is_events or self.group_by.aggregations is None:
            return
        first, last = _bounds(spans)
        schema = self.schema(engine, first, last)
        scan = Scan(tuple(self.group_by.keys), schema)
        opened = (
            {day for span in spans for day in days_between(span.first, span.last)}
            if self.is_temporal
            else ()
        )
        for source in self.sources:
            for day in _seen_days(source, first, last) if not source.is_cumulative else ():
                # Of the last day rows up to the millisecond are seen, which a tile cannot tell.
                if day and (day < last or not self.is_temporal):
                    yield (
                        self._partition(source, day, schema),
                        scan,
                        self.is_temporal and day in opened,
                    )

    def gaps(self, days: Sequence[LeftDay]) -> Iterator[tuple[str, list[str]]]:
        """Yield each table with the days that some left partitions see and it does not have.

        Days before the first and after the last of a table are none that it lacks.
        """
        spans = [span for day in days if (span := self._seen_span(day)) is not None]
        for source in self.sources if spans else ():
            present = {day for day in source.main.partitions if day}
            if not present or source.is_cumulative:
                continue
            first, last = _bounds(spans)
            if source.source.is_events:
                first = oldest_day(self.group_by, first)
            first, last = max(first, min(present)), min(last, max(present))
            visible = days_between(first, last) if first <= last else []
            yield source.main.name, [day for day in visible if day not in present]

    def _seen_span(self, day: LeftDay) -> DaySpan | None:
        """Return the days of the source at the earliest and latest row of a left partition."""
        dates = dates_of(day) if self.left_is_events else DaySpan(day.day, day.day)
        if dates is None or self._sees_same_day:
            return dates
        return DaySpan(shift(dates.first, -1), shift(dates.last, -1))

    def schema(self, engine: Engine, first: str, last: str) -> pa.Schema:
        """Return the columns of the rows that queries of some days see, of the newest of them."""
        source = self.sources[0]
        visible = _seen_days(source, first, last)
        # Without any, the oldest files have the types: later ones must not change them.
        oldest = sorted(source.main.partitions)[0]
        day = max(visible) if visible else oldest
        return engine.schema(source.rows(day))

    def features(self, engine: Engine, base: Left, keys: Sequence[str]) -> pa.Table:
        """Return the features before derivations: a row per row of the left side.

        Parameters
        ----------
        engine : Engine
        base : Left
        keys : sequence of str
            Columns of the left side that are the group-by's keys, in their order.

        Raises
        ------
        SchemaError, DataError, ConfigError
            With the name of the group-by.
        """
        missing = [key for key in keys if key not in base.rows.column_names]
        if missing:
            raise SchemaError(
                f"group-by {name_of(self.group_by)}: the left side has no column {missing[0]}, "
                "which is a key",
                hint=f"it has {', '.join(base.rows.column_names[:12])}; see key_mapping",
            )
        columns = [base.rows[key] for key in keys]
        tables, places = [], []
        for question in self._questions(base):
            chosen = pa.array(question.places)
            tables.append(self._answer(engine, [key.take(chosen) for key in columns], question))
            places.append(question.places)
        if not tables:
            day = base.day if self._sees_same_day else shift(base.day, -1)
            question = _Question(np.empty(0, np.int64), np.empty(0, np.int64), day, day)
            tables.append(self._answer(engine, [key.slice(0, 0) for key in columns], question))
            places.append(question.places)
        answers = pa.concat_tables(tables)
        back = np.full(base.rows.num_rows, -1, np.int64)
        order = np.concatenate(places)
        back[order] = np.arange(len(order))
        return answers.take(pa.array(back, mask=back < 0))

    def keys(self, engine: Engine, day: str) -> pa.Table:
        """Return the keys that have rows until the end of a day, each once and without nulls."""
        at = np.array([end_of(day)])
        question = _Question(np.zeros(1, np.int64), at, day, day)
        schema = self.schema(engine, day, day)
        scan = self._scan(question, schema)
        if self.group_by.aggregations is None:
            readings = (*(part.reading for part in scan.ended), *scan.open)
            scan = replace(scan, ended=(), open=readings, open_tiles=())
        keys = engine.keys(scan, parts_of(self.group_by))
        valid = np.ones(keys.num_rows, np.bool_)
        for column in keys.columns:
            valid &= pc.is_valid(column).to_numpy()
        return keys.filter(pa.array(valid))

    def _questions(self, base: Left) -> Iterator[_Question]:
        places = np.flatnonzero(base.timed)
        if not len(places):
            return
        if base.times is None:
            at = np.full(len(places), end_of(base.day))
            yield _Question(places, at, base.day, base.day)
            return
        times = base.times[places]
        if self._sees_same_day:
            yield _Question(places, times, day_of(int(times.min())), day_of(int(times.max())))
            return
        dates = midnights(times)
        for date in np.unique(dates):
            mine = dates == date
            before = shift(day_of(int(date)), -1)
            at = times[mine] if self.is_temporal else dates[mine]
            yield _Question(places[mine], at, before, before)

    def _answer(
        self, engine: Engine, keys: Sequence[pa.ChunkedArray], question: _Question
    ) -> pa.Table:
        if self.group_by.aggregations is None:
            return self._look_up(engine, keys, question.last)
        schema = self.schema(engine, question.first, question.last)
        queries = Queries([match_type(key, key.type) for key in keys], question.at)
        has_changes = any(source.mutations is not None for source in self.sources)
        if self.is_temporal and has_changes:
            return self._answer_known(engine, queries, question, schema)
        scan = self._scan(question, schema)
        return engine.aggregate(queries, scan, parts_of(self.group_by))

    def _scan(self, question: _Question, schema: pa.Schema) -> Scan:
        earliest = int(question.at.min()) if len(question.at) else end_of(question.last)
        ended: list[Partition] = []
        opened: list[Reading] = []
        later: list[Partition] = []
        for source in self.sources:
            for day in _seen_days(source, question.first, question.last):
                is_tile = source.source.is_events and not source.is_cumulative
                if day and is_tile and end_of(day) <= earliest:
                    ended.append(self._partition(source, day, schema))
                    continue
                opened.append(source.rows(day, self._within(source, question)))
                if day and is_tile:
                    later.append(self._partition(source, day, schema))
        keys = tuple(self.group_by.keys)
        return Scan(keys, schema, tuple(ended), tuple(opened), tuple(later))

    def _within(self, source: BoundSource, question: _Question) -> DaySpan:
        """Return the days of rows in files outside folders of days."""
        if not source.source.is_events:
            return DaySpan(question.last, question.last)
        return DaySpan(oldest_day(self.group_by, question.first), question.last)

    def _partition(self, source: BoundSource, day: str, schema: pa.Schema) -> Partition:
        values = [self._digest, self.sources.index(source), str(schema), day, TILE_FORMAT]
        key = tile_key(name_of(self.group_by), digest_value(values), source.main.digest(day))
        return Partition(source.rows(day), key, end_of(day))

    @cached_property
    def _digest(self) -> str:
        return semantic_digest(self.group_by)

    def _look_up(self, engine: Engine, keys: Sequence[pa.ChunkedArray], day: str) -> pa.Table:
        """Return the columns of the snapshot of a day, whose columns are the features."""
        schema = self.schema(engine, day, day)
        span = DaySpan(day, day)
        tables = [
            fit(engine.rows(source.rows(visible, span)), schema, name_of(self.group_by))
            for source in self.sources
            for visible in _seen_days(source, day, day)
        ]
        snapshot = pa.concat_tables(tables) if tables else schema.empty_table()
        names = list(self.group_by.keys)
        base = pa.table(list(keys), names=names)
        rows = engine.join(base, snapshot, [(name, name) for name in names])
        return rows.select(list(aggregated_columns(self.group_by)))

    def _answer_known(
        self, engine: Engine, queries: Queries, question: _Question, schema: pa.Schema
    ) -> pa.Table:
        """Return features of the snapshot before a day and of the changes since then."""
        label = f"group-by {name_of(self.group_by)}"
        today = shift(question.last, 1)
        until = day_of(int(queries.times.max())) if len(queries.times) else today
        midnight = end_of(question.last)
        tables, known_from, back = [], [], []
        for source in self.sources:
            for day in _seen_days(source, question.first, question.last):
                rows = source.rows(day, DaySpan(question.last, question.last))
                snapshot = fit(engine.rows(rows), schema, label)
                tables.append(snapshot)
                known_from.append(np.full(snapshot.num_rows, midnight - DAY))
                back.append(np.zeros(snapshot.num_rows, np.bool_))
            for day in source.mutations.days(today, until) if source.mutations else ():
                changes = engine.rows(source.changes(day, DaySpan(today, until)))
                changes = changes.filter(pc.greater_equal(changes[KNOWN], pa.scalar(midnight)))
                tables.append(fit(changes, schema, label))
                known_from.append(changes[KNOWN].to_numpy())
                back.append(pc.fill_null(changes[REVERSE], False).to_numpy())
        table = pa.concat_tables(tables) if tables else schema.empty_table()
        rows_ = Rows(
            [match_type(table[key], table[key].type) for key in self.group_by.keys],
            pc.fill_null(table[TIME], 0).to_numpy(),
            table.combine_chunks(),
            np.concatenate(back) if back else np.empty(0, np.bool_),
        )
        seen_from = np.concatenate(known_from) if known_from else np.empty(0, np.int64)
        matched = Queries(
            [match_type(key, own.type) for key, own in zip(queries.keys, rows_.keys, strict=True)],
            queries.times,
        )
        return aggregate_known(matched, rows_, seen_from, parts_of(self.group_by))


def _bounds(spans: Sequence[DaySpan]) -> tuple[str, str]:
    return min(span.first for span in spans), max(span.last for span in spans)


def _seen_days(source: BoundSource, first: str, last: str) -> list[str]:
    """Return the partitions of events, or the snapshots, that queries of some days see."""
    if source.source.is_events:
        return source.scanned_days(first, last)
    return source.main.days(first, last)
