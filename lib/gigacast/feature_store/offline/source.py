"""Sources of group-bys bound to their tables: the partitions of a scan, and their readings."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gigacast.core.digest import digest_value
from gigacast.errors import DataError
from gigacast.feature_store.definition.group_by import GroupBy
from gigacast.feature_store.definition.name import (
    PARTITION_COLUMN,
    TIME_COLUMN,
    longest_window_days,
    name_of,
    table_name,
)
from gigacast.feature_store.definition.source import Query, Source
from gigacast.feature_store.engine.engine import END_OF_DAY, KNOWN, REVERSE, TIME, DaySpan, Reading
from gigacast.feature_store.offline.day import shift
from gigacast.feature_store.table import Table, Tables
from gigacast.storage.store import ObjectMeta

Input = tuple[str, str, str, int]
"""Table, day, digest and bytes of a partition that is read."""
ANY_DAY = ""
"""Day of files outside folders of days: their rows say it."""


@dataclass
class Catalog:
    """The tables of a backfill and the files of their days, each listed once.

    Parameters
    ----------
    tables : Tables
    """

    tables: Tables
    _listed: dict[tuple[str, str], tuple[Table, Mapping[str, tuple[ObjectMeta, ...]]]] = field(
        default_factory=dict
    )

    def find(
        self, table: str, label: str, partition_column: str = PARTITION_COLUMN
    ) -> tuple[Table, Mapping[str, tuple[ObjectMeta, ...]]]:
        """Return a table and the files of each of its days.

        Raises
        ------
        DataNotFoundError
            If the table has no files; the message names the definition that reads it.
        """
        listed = self._listed.get((table, partition_column))
        if listed is None:
            place = self.tables.find(table)
            try:
                listed = place, place.partitions(partition_column)
            except DataError as error:
                raise type(error)(f"{label}: {error.message}", hint=error.hint) from error
            self._listed[table, partition_column] = listed
        return listed

    def forget(self) -> None:
        """List all tables again when they are next needed."""
        self._listed.clear()


def digest_files(table: Table, files: tuple[ObjectMeta, ...]) -> str:
    """Return the digest of a partition: its files' names and ETags."""
    # Names as well: a folder's ETags are sizes and times, which two files may share.
    return digest_value([[meta.key.removeprefix(table.prefix), meta.etag] for meta in files])


@dataclass(frozen=True)
class BoundTable:
    """A table as a query of a definition reads it.

    Parameters
    ----------
    name : str
        Table as the definition names it, with its sub-partitions.
    table : Table
    partitions : mapping of str to tuple of ObjectMeta
        Files by day, within the days of the query.
    query : Query
    label : str
        Definition that reads the table, for messages.
    """

    name: str
    table: Table
    partitions: Mapping[str, tuple[ObjectMeta, ...]]
    query: Query
    label: str

    @classmethod
    def of(cls, catalog: Catalog, name: str, query: Query, label: str) -> "BoundTable":
        """Return a table with the days that its query allows."""
        column = query.partition_column or PARTITION_COLUMN
        table, files = catalog.find(name, label, column)
        first, last = query.start_partition or "", query.end_partition or "9999-12-31"
        inside = {day: f for day, f in files.items() if not day or first <= day <= last}
        return cls(name, table, inside, query, label)

    @property
    def newest_first(self) -> list[str]:
        """Days, the newest first; files outside folders of days last."""
        return sorted(self.partitions, reverse=True)

    def days(self, first: str, last: str) -> list[str]:
        """Return the days from a first to a last one that have files, and `ANY_DAY` if it has."""
        return [day for day in self.partitions if not day or first <= day <= last]

    def digest(self, day: str) -> str:
        """Return the digest of the files of a day."""
        return digest_files(self.table, self.partitions[day])

    def input(self, day: str) -> Input:
        """Return a partition as a task lists it."""
        size = sum(meta.size_bytes for meta in self.partitions[day])
        return self.name, day, self.digest(day), size

    def reading(
        self,
        day: str,
        columns: Mapping[str, str] | None,
        times: Mapping[str, str],
        within: DaySpan | None = None,
    ) -> Reading:
        """Return the reading of a partition.

        Parameters
        ----------
        day : str
        columns : mapping of str to str, optional
            Expressions by name; all columns by default.
        times : mapping of str to str
            Expressions of times by name.
        within : DaySpan, optional
            Days of the rows, for files outside folders of days.
        """
        query = self.query
        if day == ANY_DAY and within is not None:
            first, last = query.start_partition or "", query.end_partition or "9999-12-31"
            within = DaySpan(max(first, within.first), min(last, within.last))
        return Reading(
            table=self.table,
            files=self.partitions[day],
            columns=columns,
            times=times,
            wheres=tuple(query.wheres or ()),
            setups=tuple(query.setups),
            days=within if day == ANY_DAY else None,
            partition_column=query.partition_column or PARTITION_COLUMN,
            place=query.place,
            label=self.label,
        )


@dataclass(frozen=True)
class BoundSource:
    """A source of a group-by, and its tables.

    Parameters
    ----------
    group_by : GroupBy
    source : Source
    main : BoundTable
        Events, snapshots, or the output of a join.
    mutations : BoundTable, optional
        Changes of entities.
    """

    group_by: GroupBy
    source: Source
    main: BoundTable
    mutations: BoundTable | None = None

    @classmethod
    def of(cls, catalog: Catalog, group_by: GroupBy, source: Source) -> "BoundSource":
        """Return a source with its tables.

        Raises
        ------
        DataNotFoundError
            If a table has no files.
        """
        label = f"group-by {name_of(group_by)}"
        names = source.tables
        if source.joinSource is not None:
            names = (table_name(source.joinSource.join),)  # type: ignore[arg-type]
        main, *more = [BoundTable.of(catalog, name, source.query, label) for name in names]
        return cls(group_by, source, main, more[0] if more else None)

    @property
    def columns(self) -> dict[str, str]:
        """Expressions of the columns that the features are made of."""
        selects = self.group_by.selects_of(self.source)
        parts = self.group_by.aggregations
        if parts is None:
            return {n: text for n, text in selects.items() if n != PARTITION_COLUMN}
        used = [*self.group_by.keys, *(part.input_column for part in parts)]
        used += [bucket for part in parts for bucket in part.buckets or ()]
        return {name: selects[name] for name in dict.fromkeys(used) if name is not None}

    @property
    def time(self) -> str:
        """Expression of the time of a row; without one rows count at the end of their day."""
        implied = TIME_COLUMN if self.source.joinSource is not None else END_OF_DAY
        return self.source.query.time_column or implied

    def rows(self, day: str, within: DaySpan | None = None) -> Reading:
        """Return the reading of a day of the events, snapshots or parent join."""
        return self.main.reading(day, self.columns, {TIME: self.time}, within)

    def changes(self, day: str, within: DaySpan) -> Reading:
        """Return the reading of a day of the mutations."""
        assert self.mutations is not None  # noqa: S101 - the caller has seen that it is there
        query = self.source.query
        columns = {**self.columns, REVERSE: query.reversal_column or "is_before"}
        known_from = query.mutation_time_column or "mutation_ts"
        return self.mutations.reading(day, columns, {TIME: self.time, KNOWN: known_from}, within)

    @property
    def is_cumulative(self) -> bool:
        """Whether each day holds all events up to it."""
        return self.source.events is not None and self.source.events.isCumulative

    def scanned_days(self, first: str, last: str) -> list[str]:
        """Return the partitions that queries of some days see.

        Parameters
        ----------
        first, last : str
            Days of the earliest and latest query, for which the source's day is not later.
        """
        if not self.source.is_events:
            return [day for day in (ANY_DAY, last) if day in self.main.partitions]
        if self.is_cumulative:
            return self._cumulative_days(last)
        return self.main.days(oldest_day(self.group_by, first), last)

    def _cumulative_days(self, last: str) -> list[str]:
        """Return the first partition that holds all events up to a day, else the newest."""
        days = sorted(day for day in self.main.partitions if day)
        later = [day for day in days if day >= last]
        return [later[0] if later else days[-1]] if days else [*self.main.partitions]


def oldest_day(group_by: GroupBy, first: str) -> str:
    """Return the oldest partition that queries of a day see; "" for the whole past."""
    parts = group_by.aggregations or ()
    if any(not part.windows for part in parts):
        return ""
    # A day more than the window: its start is rounded down, by up to a day.
    return shift(first, -1 - longest_window_days(parts))
