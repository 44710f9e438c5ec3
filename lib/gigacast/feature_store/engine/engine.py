"""The interface of all engines, and what they read: partitions of tables through a query."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from gigacast.feature_store.aggregation.kernel import Queries
from gigacast.feature_store.aggregation.row_state import Part
from gigacast.feature_store.definition.name import PARTITION_COLUMN
from gigacast.feature_store.definition.place import Place
from gigacast.feature_store.table import Table
from gigacast.storage.store import ObjectMeta

TIME, KNOWN, REVERSE = "#at", "#known", "#back"
"""Columns that a reading adds: times of rows and of mutations, and reversals."""
END_OF_DAY = ""
"""In place of the expression of a time: the last millisecond of a row's day."""


@dataclass(frozen=True)
class DaySpan:
    """Days from a first to a last one, both included.

    Parameters
    ----------
    first, last : str
        Days as texts, ``2024-01-31``; a span whose first day is after its last has none.
    """

    first: str = "0001-01-01"
    last: str = "9999-12-31"

    def __contains__(self, day: object) -> bool:
        return isinstance(day, str) and self.first <= day <= self.last


ALL_DAYS = DaySpan()


@dataclass(frozen=True)
class Reading:
    """Rows of some partitions of a table, as a query selects them.

    Parameters
    ----------
    table : Table
    files : tuple of ObjectMeta
        Files of the partitions, read in the listed versions.
    columns : mapping of str to str, optional
        SQL expressions by name of column; all columns of the table by default.
    times : mapping of str to str
        SQL expressions of times by name of column, or `END_OF_DAY`; they become integers, epoch
        milliseconds.
    wheres : tuple of str
        SQL conditions of all rows.
    setups : tuple of str
        SQL statements that run before.
    days : DaySpan, optional
        Days of the rows, for files that are not in folders of days. Rows without a
        column of days are of the day of their first time.
    partition_column : str
        Column of days.
    place : Place
        Place of the query in a user's file, for messages.
    label : str
        Definition that reads the table, for messages.
    """

    table: Table
    files: tuple[ObjectMeta, ...]
    columns: Mapping[str, str] | None = None
    times: Mapping[str, str] = field(default_factory=dict)
    wheres: tuple[str, ...] = ()
    setups: tuple[str, ...] = ()
    days: DaySpan | None = None
    partition_column: str = PARTITION_COLUMN
    place: Place = field(default_factory=Place)
    label: str = ""


@dataclass(frozen=True)
class Partition:
    """A partition of a source that ended before all queries, so that a tile can stand for it.

    Parameters
    ----------
    reading : Reading
    key : str
        Key of the tile in the store.
    until : int
        End of the partition, in epoch milliseconds.
    """

    reading: Reading
    key: str
    until: int


@dataclass(frozen=True)
class Scan:
    """What the features of some queries are aggregated of.

    Parameters
    ----------
    keys : tuple of str
        Key columns.
    schema : pyarrow.Schema
        Columns of the rows and their types.
    ended : tuple of Partition
        Partitions that ended before all queries.
    open : tuple of Reading
        Partitions of which some queries see a part.
    open_tiles : tuple of Partition
        Tiles of those of ``open`` that will have ended for later queries: an engine that reads one
        may keep its tile, so that it is read once.
    """

    keys: tuple[str, ...]
    schema: pa.Schema
    ended: tuple[Partition, ...] = ()
    open: tuple[Reading, ...] = ()
    open_tiles: tuple[Partition, ...] = ()


class Engine(Protocol):
    """Reads rows by SQL, aggregates, and joins. Values and their order are those of any engine."""

    def rows(self, reading: Reading) -> pa.Table:
        """Return the selected rows, in the order of the files.

        Raises
        ------
        ConfigError
            If an expression cannot be run on the table.
        SchemaError, CorruptedFileError
            If the files cannot be read.
        """

    def schema(self, reading: Reading) -> pa.Schema:
        """Return the columns of a reading and their types; of its files only the first is read."""

    def aggregate(self, queries: Queries, scan: Scan, parts: Sequence[Part]) -> pa.Table:
        """Return the features of the queries: a row per query, a column per part.

        Raises
        ------
        SchemaError, DataError
            As `aggregation.kernel.aggregate`, and if partitions have different types.
        """

    def keys(self, scan: Scan, parts: Sequence[Part]) -> pa.Table:
        """Return the keys of the rows, each once and in any order; the parts are those of tiles."""

    def make_tile(
        self, partition: Partition, scan: Scan, parts: Sequence[Part], *, is_open: bool = False
    ) -> None:
        """Make and keep the tile of a partition, unless it is there.

        Some queries of the same run see a part of an open one: its rows may be kept for them.
        """

    def join(self, left: pa.Table, right: pa.Table, keys: Sequence[tuple[str, str]]) -> pa.Table:
        """Return the columns of the last right row with the keys of each left row.

        Parameters
        ----------
        left, right : pyarrow.Table
        keys : sequence of (str, str)
            Names of a key on the left and on the right. Nulls match nothing.

        Returns
        -------
        pyarrow.Table
            A row per left row, with the right columns that are no keys; nulls without a match.
        """

    def project(self, rows: pa.Table, columns: Mapping[str, str], label: str) -> pa.Table:
        """Return SQL expressions over rows, in the order of the rows.

        Parameters
        ----------
        rows : pyarrow.Table
        columns : mapping of str to str
            Expressions in the dialect of Spark by name.
        label : str
            Definition and place, for messages.
        """

    def sql(
        self, query: str, tables: Mapping[str, Reading], setups: Sequence[str], label: str
    ) -> pa.Table:
        """Return the rows of a SQL query over tables, which it names as definitions do."""
