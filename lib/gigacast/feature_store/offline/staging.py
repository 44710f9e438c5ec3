"""Staging queries: tables made by SQL, a day at a time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.digest import digest_value
from gigacast.errors import DataNotFoundError
from gigacast.feature_store.definition.expression import load_sqlglot, parse_query, tables_in
from gigacast.feature_store.definition.json import semantic_digest
from gigacast.feature_store.definition.name import PARTITION_COLUMN, name_of, table_name
from gigacast.feature_store.definition.source import Query
from gigacast.feature_store.definition.staging_query import (
    DATE_MACROS,
    StagingQuery,
    replace_macros,
)
from gigacast.feature_store.engine.engine import DaySpan, Engine, Reading
from gigacast.feature_store.offline.left import LeftDay
from gigacast.feature_store.offline.part import PartView
from gigacast.feature_store.offline.product import FORMAT_REVISION
from gigacast.feature_store.offline.source import ANY_DAY, BoundTable, Catalog, Input
from gigacast.lake.feature_layout import feature_partition_key
from gigacast.storage.store import Store


@dataclass(frozen=True)
class StagingProduct:
    """A table made by SQL.

    Parameters
    ----------
    query : StagingQuery
    tables : mapping of str to BoundTable
        Tables that the query reads, by name.
    last : str
        Last day of the run.
    newest : mapping of str to str
        Newest day of each table that ``max_date`` names.
    """

    query: StagingQuery
    tables: Mapping[str, BoundTable]
    last: str
    newest: Mapping[str, str]

    @classmethod
    def of(cls, catalog: Catalog, query: StagingQuery, last: str) -> "StagingProduct":
        """Return a staging query with its tables.

        Raises
        ------
        DataNotFoundError
            If a table has no files.
        """
        label = f"staging query {name_of(query)}"
        reads = Query(partition_column=query.partition_column, place=query.place)
        tables = {n: BoundTable.of(catalog, n, reads, label) for n in tables_in(query.query)}
        named: list[str] = []

        def name_table(table: str) -> str:
            named.append(table)
            return ""

        replace_macros(query.query, dict.fromkeys(DATE_MACROS, ""), name_table)
        bound = {name: BoundTable.of(catalog, name, reads, label) for name in named if name}
        newest = {name: max(table.partitions) for name, table in bound.items()}
        return cls(query, tables, last, newest)

    @property
    def table(self) -> str:
        """Name of the table."""
        return table_name(self.query)

    @property
    def label(self) -> str:
        """Kind and name of the definition."""
        return f"staging query {name_of(self.query)}"

    @property
    def digest(self) -> str:
        """Digest of what decides the rows besides the inputs."""
        return digest_value([semantic_digest(self.query), FORMAT_REVISION])

    def key(self, day: LeftDay) -> str:
        """Return the key of a day's file."""
        return feature_partition_key(self.table, day.day)

    def days(self, engine: Engine, store: Store, within: DaySpan) -> list[LeftDay]:
        """Return the days of the tables that are read, from the first one of the query on."""
        first = max(within.first, self.query.startPartition or "")
        days = {day for table in self.tables.values() for day in table.partitions if day}
        if not days and within.first == within.last:
            days = {within.last}  # tables without days say nothing about them
        return [LeftDay(day, None, None, 0) for day in sorted(days) if first <= day <= within.last]

    def inputs(self, day: LeftDay) -> list[Input]:
        """Return the partitions that the query reads for a day."""
        return sorted(
            (
                table.name,
                name,
                table.digest(name),
                sum(m.size_bytes for m in table.partitions[name]),
            )
            for table, names in self._partitions(day.day)
            for name in names
        )

    def views(self) -> list[PartView]:
        """Return nothing: no features are computed."""
        return []

    def rows(self, engine: Engine, day: LeftDay) -> pa.Table:
        """Return the rows of a day; those that the query gives for other days are left out."""
        readings = {
            table.name: self._reading(table, names) for table, names in self._partitions(day.day)
        }
        place = f"{self.query.place}: " if str(self.query.place) else ""
        rows = engine.sql(self._text(day.day), readings, self.query.setups, f"{place}{self.label}")
        column = self.query.partition_column or PARTITION_COLUMN
        if column in rows.column_names:
            rows = rows.filter(pc.equal(rows[column].cast(pa.string()), day.day))
            rows = rows.drop_columns([column])
        return rows

    def _reading(self, table: BoundTable, days: list[str]) -> Reading:
        files = tuple(meta for day in days for meta in table.partitions[day])
        column = self.query.partition_column or PARTITION_COLUMN
        return Reading(
            table.table, files, partition_column=column, place=self.query.place, label=self.label
        )

    def _text(self, day: str) -> str:
        """Return the query with its macros replaced."""
        dates = {"start_date": day, "end_date": day, "latest_date": self._latest()}
        return replace_macros(self.query.query, dates, self._max_date)

    def _latest(self) -> str:
        days = [day for table in self.tables.values() for day in table.partitions if day]
        return min(self.last, max(days, default=self.last))

    def _max_date(self, name: str) -> str:
        if not self.newest.get(name):
            raise DataNotFoundError(
                f"{self.label}: max_date of {name or 'no table'}, which has no days",
                hint="write {{ max_date(table=db.table) }} with a table in folders of days",
            )
        return self.newest[name]

    def _partitions(self, day: str) -> Iterator[tuple[BoundTable, list[str]]]:
        """Yield each table and the partitions that the conditions of the query leave of it."""
        tree = parse_query(self._text(day))
        column = self.query.partition_column or PARTITION_COLUMN
        for name, table in self.tables.items():
            spans = list(_spans(tree, name, column))
            names = [
                partition
                for partition in table.partitions
                if partition == ANY_DAY or any(low <= partition <= high for low, high in spans)
            ]
            # For the columns and their types, where the conditions leave nothing.
            yield table, names or [min(table.partitions)]


def _spans(tree: Any, table: str, column: str) -> Iterator[tuple[str, str]]:
    """Yield the first and last day that each mention of a table may see."""
    exp = load_sqlglot().exp
    for mention in tree.find_all(exp.Table):
        if ".".join(part.name for part in mention.parts) != table:
            continue
        select = mention.find_ancestor(exp.Select)
        filters = select.args.get("where") if select is not None else None
        # With joins a condition may be of another table of the same columns, unless it says which.
        alone = select is not None and not select.args.get("joins")
        low, high = "", "9999-12-31"
        names = {mention.alias_or_name} | ({""} if alone else set())
        for condition in (
            filters.this.flatten()
            if filters and isinstance(filters.this, exp.And)
            else ([filters.this] if filters else [])
        ):
            for least, greatest in _bounds(condition, column, names):
                low, high = max(low, least), min(high, greatest)
        yield low, high


def _bounds(condition: Any, column: str, tables: set[str]) -> Iterator[tuple[str, str]]:
    """Yield the days that a condition allows, if it compares the column of days with a text."""
    exp = load_sqlglot().exp

    def is_day(tree: Any) -> bool:
        return isinstance(tree, exp.Column) and tree.name == column and tree.table in tables

    def text(tree: Any) -> str | None:
        return str(tree.this) if isinstance(tree, exp.Literal) and tree.is_string else None

    inner: Any = condition.unnest()
    if not is_day(inner.this):
        return
    if isinstance(inner, exp.Between):
        low, high = text(inner.args["low"]), text(inner.args["high"])
        yield low or "", high or "9999-12-31"
    elif isinstance(inner, exp.EQ) and (value := text(inner.expression)) is not None:
        yield value, value
    elif isinstance(inner, exp.GTE | exp.GT) and (value := text(inner.expression)):
        yield value, "9999-12-31"
    elif isinstance(inner, exp.LTE | exp.LT) and (value := text(inner.expression)):
        yield "", value
