"""The left side of a join: its days, the span of times in each, and its rows."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gigacast.core.digest import digest_value
from gigacast.core.problem import Source as Origin
from gigacast.core.record import read_value
from gigacast.core.sealed import decode_sealed, seal_json
from gigacast.errors import CorruptedFileError, ObjectNotFoundError, SchemaError
from gigacast.feature_store.definition.join import Join
from gigacast.feature_store.definition.json import to_json
from gigacast.feature_store.definition.name import PARTITION_COLUMN, TIME_COLUMN, name_of
from gigacast.feature_store.definition.source import Source
from gigacast.feature_store.engine.engine import END_OF_DAY, TIME, DaySpan, Engine, Reading
from gigacast.feature_store.offline.day import day_of
from gigacast.feature_store.offline.source import ANY_DAY, BoundTable, Catalog
from gigacast.lake.feature_layout import survey_key
from gigacast.storage.store import Store

_DAY = "#day"
_Span = tuple[int | None, int | None, int | None]
"""First and last time of a day, and its rows, as a survey stores them."""


@dataclass(frozen=True)
class LeftDay:
    """A partition of the left side.

    Parameters
    ----------
    day : str
    first, last : int or None
        Earliest and latest time of its rows, in epoch milliseconds; None without rows.
    rows : int
    """

    day: str
    first: int | None
    last: int | None
    rows: int


@dataclass(frozen=True)
class Left:
    """Rows whose features are wanted.

    Parameters
    ----------
    day : str
        Partition of the rows.
    rows : pyarrow.Table
        Columns of the left side, without the day.
    times : array of int64, shape (rows,), optional
        Epoch milliseconds; none for entities, whose features are those of the end of the day.
    timed : array of bool, shape (rows,)
        Rows that have a time; the others get no features.
    """

    day: str
    rows: pa.Table
    times: NDArray[np.int64] | None
    timed: NDArray[np.bool_]


@dataclass(frozen=True)
class LeftSide:
    """The left side of a join, and its table.

    Parameters
    ----------
    source : Source
    bound : BoundTable
    time : str
        Expression of the time of a row.
    """

    source: Source
    bound: BoundTable
    time: str

    @classmethod
    def of(cls, catalog: Catalog, join: Join) -> "LeftSide":
        """Return the left side of a join with its table.

        Raises
        ------
        DataNotFoundError
            If the table has no files.
        """
        label = f"join {name_of(join)}: the left side"
        bound = BoundTable.of(catalog, join.left.tables[0], join.left.query, label)
        return cls(join.left, bound, join.left.query.time_column or END_OF_DAY)

    def reading(self, group: str, day: str) -> Reading:
        """Return the reading of a day in a group of files: a folder, or `ANY_DAY`."""
        within = DaySpan(day, day)
        return self.bound.reading(group, self.source.query.selects, {TIME: self.time}, within)

    def groups(self, day: str) -> list[str]:
        """Return the groups of files that may have rows of a day."""
        return [group for group in (ANY_DAY, day) if group in self.bound.partitions]

    def read(self, engine: Engine, day: str) -> Left:
        """Return the rows of a day."""
        tables = [engine.rows(self.reading(group, day)) for group in self.groups(day)]
        rows = pa.concat_tables(tables, promote_options="default")
        column = self.bound.query.partition_column or PARTITION_COLUMN
        times = rows[TIME]
        hidden = {TIME, column, PARTITION_COLUMN, TIME_COLUMN} if self._has_time else {
            TIME, column, PARTITION_COLUMN,
        }  # fmt: skip
        plain = rows.select([name for name in rows.column_names if name not in hidden])
        if self._has_time:
            plain = plain.append_column(TIME_COLUMN, times)
        timed = pc.is_valid(times).to_numpy()
        ms = pc.fill_null(times, 0).to_numpy()
        if not self.source.is_events:
            return Left(day, plain, None, np.ones(len(timed), np.bool_))
        return Left(day, plain, ms, timed)

    @property
    def _has_time(self) -> bool:
        return self.source.is_events and self.source.query.time_column is not None

    def survey(self, engine: Engine, store: Store, within: DaySpan) -> list[LeftDay]:
        """Return the days of the left side, each with the span of its times.

        Files are read once: what they hold is kept in the store, by their versions.

        Parameters
        ----------
        engine : Engine
        store : Store
            Store that holds ``feature_store/``.
        within : DaySpan
            First and last day.
        """
        days: dict[str, LeftDay] = {}
        digest = digest_value([to_json(self.source), self.bound.name, self.time])
        for group in self.bound.partitions:
            if group and group not in within:
                continue
            key = survey_key(digest, self.bound.digest(group))
            surveyed = _read_survey(store, key)
            if surveyed is None:
                surveyed = self._survey_group(engine, group)
                store.put(key, seal_json(surveyed))
            for day, (first, last, rows) in surveyed.items():
                if day in within:
                    days[day] = _merge(days.get(day), LeftDay(day, first, last, rows or 0))
        return [days[day] for day in sorted(days)]

    def _survey_group(self, engine: Engine, group: str) -> dict[str, list[int | None]]:
        """Return the first time, last time and number of rows of each day of some files."""
        column = self.bound.query.partition_column or PARTITION_COLUMN
        reading = self.bound.reading(group, {}, {TIME: self.time}, None)
        if (
            group == ANY_DAY
            and column
            in engine.schema(self.bound.reading(group, None, {TIME: self.time}, None)).names
        ):
            columns = {_DAY: f"CAST(`{column}` AS STRING)"}
            reading = self.bound.reading(group, columns, {TIME: self.time}, None)
        rows = engine.rows(reading)
        times = rows[TIME]
        if group:
            days = pa.repeat(group, rows.num_rows)
        elif _DAY in rows.column_names:
            days = rows[_DAY]
        else:
            days = pc.strftime(times.cast(pa.timestamp("ms")), format="%Y-%m-%d")
        table = pa.table({"day": days, "time": times}).filter(pc.is_valid(days))
        spans = table.group_by("day").aggregate([("time", "min_max"), ("day", "count")])
        matches = {
            row["day"]: [row["time_min_max"]["min"], row["time_min_max"]["max"], row["day_count"]]
            for row in spans.to_pylist()
        }
        return matches if matches or not group else {group: [None, None, 0]}


def _read_survey(store: Store, key: str) -> Mapping[str, list[int | None]] | None:
    """Return a stored survey; ``None`` if there is none, or a damaged one, which is replaced."""
    origin = Origin(key, CorruptedFileError, "no survey of a left side")
    try:
        spans = read_value(dict[str, _Span], decode_sealed(store.get(key), origin), origin)
    except (ObjectNotFoundError, CorruptedFileError):
        return None
    return {day: list(span) for day, span in spans.items()}


def _merge(earlier: LeftDay | None, later: LeftDay) -> LeftDay:
    if earlier is None:
        return later
    firsts = [time for time in (earlier.first, later.first) if time is not None]
    lasts = [time for time in (earlier.last, later.last) if time is not None]
    return LeftDay(
        later.day, min(firsts, default=None), max(lasts, default=None), earlier.rows + later.rows
    )


def dates_of(day: LeftDay) -> DaySpan | None:
    """Return the days of the earliest and latest row; None without rows that have a time."""
    if day.first is None or day.last is None:
        return None
    try:
        return DaySpan(day_of(day.first), day_of(day.last))
    except SchemaError as error:
        raise SchemaError(
            f"the left side at {day.day}: {error.message}", hint=error.hint
        ) from error
