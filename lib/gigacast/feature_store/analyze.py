"""Analysis of a definition's tables: schemas, rows, hot keys, and the cost of a backfill."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import chain
from typing import Any

import pyarrow as pa

from gigacast.errors import ConfigError
from gigacast.feature_store.definition.check_schema import find_schema_problems
from gigacast.feature_store.definition.dialect import functions_in, translate
from gigacast.feature_store.definition.expression import tables_in
from gigacast.feature_store.definition.group_by import GroupBy
from gigacast.feature_store.definition.join import Join
from gigacast.feature_store.definition.name import (
    PARTITION_COLUMN,
    Definition,
    longest_window_days,
    name_of,
)
from gigacast.feature_store.definition.problem import refusal
from gigacast.feature_store.definition.source import Query
from gigacast.feature_store.definition.staging_query import StagingQuery
from gigacast.feature_store.engine.session import Session
from gigacast.feature_store.rows import count_rows, read_rows, read_schema
from gigacast.feature_store.table import Table, Tables
from gigacast.storage.store import ObjectMeta

_ROWS_PER_CPU_S = 1_700_000
"""Rows read, sorted and aggregated in a CPU second: 2 M events and 100,000 left rows take 1.2."""
_HOT_KEYS = 5
_MEMORY = 1 << 30


@dataclass(frozen=True)
class TableFacts:
    """What a table holds.

    Parameters
    ----------
    table : str
    role : str
        Part of the definition that reads it: ``left``, or the name of a group-by.
    columns : mapping of str to str
        Types by column, of the newest file.
    rows_by_day : mapping of str to int
        Rows of each day; "" for rows without a day.
    files : int
    size_bytes : int
    """

    table: str
    role: str
    columns: Mapping[str, str]
    rows_by_day: Mapping[str, int]
    files: int
    size_bytes: int

    @property
    def rows(self) -> int:
        """Rows of all days."""
        return sum(self.rows_by_day.values())

    @property
    def days(self) -> list[str]:
        """Days with rows, sorted."""
        return sorted(day for day in self.rows_by_day if day)


@dataclass(frozen=True)
class HotKey:
    """A key with many rows.

    Parameters
    ----------
    table, role : str
    key : tuple of str
        Values of the key's columns.
    rows : int
    share : float
        Share of the rows that were read.
    """

    table: str
    role: str
    key: tuple[str, ...]
    rows: int
    share: float


@dataclass(frozen=True)
class Cost:
    """What a backfill of all left days would take.

    Parameters
    ----------
    days : int
        Partitions to write.
    rows : int
        Rows to read: each day of a source counts once.
    size_bytes : int
        Bytes of their files, as far as these belong to days.
    cpu_s : float
        CPU seconds, by the speed that was measured on one machine.
    """

    days: int
    rows: int
    size_bytes: int
    cpu_s: float


@dataclass(frozen=True)
class Analysis:
    """Result of an analysis.

    Parameters
    ----------
    definition : GroupBy, Join or StagingQuery
    tables : tuple of TableFacts
    hot_keys : tuple of HotKey
    cost : Cost
    """

    definition: Definition
    tables: tuple[TableFacts, ...]
    hot_keys: tuple[HotKey, ...]
    cost: Cost


@dataclass(frozen=True)
class _Reading:
    """A table as one part of a definition reads it."""

    table: Table
    role: str
    query: Query
    keys: Mapping[str, str]
    window_days: int | None
    partitions: Mapping[str, tuple[ObjectMeta, ...]]

    @property
    def partition_column(self) -> str:
        return self.query.partition_column or PARTITION_COLUMN


def analyze(definition: Definition, tables: Tables, *, days: int = 7) -> Analysis:
    """Return what the tables of a definition hold, and the cost of its backfill.

    Rows are counted in all files; of Parquet only the footers are read.

    Parameters
    ----------
    definition : GroupBy, Join or StagingQuery
    tables : Tables
    days : int
        Newest days of each table whose rows are read for hot keys.

    Raises
    ------
    DataNotFoundError
        If a table has no files.
    DefinitionError
        If a table lacks a column, or has one of a type that an operation does not take.
    ConfigError
        If an expression cannot be run on its table.
    """
    readings = list(_readings(definition, tables))
    facts = tuple(_describe(reading) for reading in readings)
    if not isinstance(definition, StagingQuery):
        schemas = {fact.table: fact.columns for fact in facts}
        if problems := find_schema_problems(definition, schemas):
            raise refusal(problems)
    hot = tuple(key for reading in readings for key in _hot_keys(reading, days))
    return Analysis(definition, facts, hot, _cost(definition, readings, facts))


def _readings(definition: Definition, tables: Tables) -> Iterator[_Reading]:
    if isinstance(definition, StagingQuery):
        for name in tables_in(definition.query):
            yield _reading(tables, name, "query", Query(), {}, 0)
        return
    if isinstance(definition, GroupBy):
        yield from _group_by_readings(definition, tables)
        return
    keys = dict.fromkeys(key for part in definition.right_parts for key in _left_keys(part))
    selects = definition.left.query.selects or {}
    for name in definition.left.tables:
        left_keys = {key: selects.get(key, key) for key in keys}
        yield _reading(tables, name, "left", definition.left.query, left_keys, 0)
    for part in definition.right_parts:
        yield from _group_by_readings(part.group_by, tables)


def _group_by_readings(group_by: GroupBy, tables: Tables) -> Iterator[_Reading]:
    parts = group_by.aggregations or ()
    lifetime = any(not part.windows for part in parts)
    window = None if lifetime else longest_window_days(parts)
    for source in group_by.sources:
        selects = group_by.selects_of(source)
        keys = {key: selects[key] for key in group_by.keys}
        for name in source.tables:
            yield _reading(tables, name, name_of(group_by), source.query, keys, window)


def _reading(
    tables: Tables,
    name: str,
    role: str,
    query: Query,
    keys: Mapping[str, str],
    window_days: int | None,
) -> _Reading:
    table = tables.find(name)
    files = table.partitions(query.partition_column or PARTITION_COLUMN)
    start, end = query.start_partition or "", query.end_partition or "9999-12-31"
    inside = {day: f for day, f in files.items() if not day or start <= day <= end}
    return _Reading(table, role, query, keys, window_days, inside)


def _left_keys(part: Any) -> list[str]:
    names = {right: left for left, right in (part.key_mapping or {}).items()}
    return [names.get(key, key) for key in part.group_by.keys]


def _describe(reading: _Reading) -> TableFacts:
    files = [meta for metas in reading.partitions.values() for meta in metas]
    newest = files[-1]
    schema = read_schema(reading.table, newest, reading.partition_column)
    return TableFacts(
        reading.table.name,
        reading.role,
        {field.name: str(field.type) for field in schema},
        _rows_by_day(reading, schema),
        len(files),
        sum(meta.size_bytes for meta in files),
    )


def _rows_by_day(reading: _Reading, schema: pa.Schema) -> dict[str, int]:
    rows: dict[str, int] = {}
    for day, files in reading.partitions.items():
        if day or reading.partition_column not in schema.names:
            rows[day] = sum(count_rows(reading.table, meta) for meta in files)
            continue
        # Files outside folders of days: their rows say the day.
        column = _quoted(reading.partition_column)
        # Names are quoted, and expressions are what a parser has read and written again.
        sql = f"SELECT CAST({column} AS VARCHAR), COUNT(*) FROM rows GROUP BY ALL"  # noqa: S608
        for value, count in _query(reading, files, sql):
            rows[value or ""] = rows.get(value or "", 0) + count
    return rows


def _hot_keys(reading: _Reading, days: int) -> list[HotKey]:
    if not reading.keys:
        return []
    newest = [day for day in reading.partitions if day][-days:]
    files = [meta for day in ("", *newest) for meta in reading.partitions.get(day, ())]
    columns = ", ".join(
        f"CAST({_translated(reading, text)} AS VARCHAR) AS {_quoted(name)}"
        for name, text in reading.keys.items()
    )
    wheres = [f"({_translated(reading, text)})" for text in reading.query.wheres or ()]
    condition = f" WHERE {' AND '.join(wheres)}" if wheres else ""
    first_key = _quoted(next(iter(reading.keys)))
    counted = f"SELECT {columns}, COUNT(*) AS n FROM rows{condition} GROUP BY ALL"  # noqa: S608
    order = f"ORDER BY n DESC, {first_key} LIMIT {_HOT_KEYS}"
    result = _query(reading, files, f"SELECT *, SUM(n) OVER () FROM ({counted}) {order}")  # noqa: S608
    return [
        HotKey(
            reading.table.name,
            reading.role,
            tuple("" if value is None else str(value) for value in values),
            int(count),
            float(count) / float(total),
        )
        for *values, count, total in result
    ]


def _query(reading: _Reading, files: Sequence[ObjectMeta], sql: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query over the rows of files, which it names ``rows``.

    Raises
    ------
    ConfigError
        If the query cannot be run on them.
    """
    batches = read_rows(reading.table, files, None, reading.partition_column)
    first = next(batches, None)
    if first is None:
        return []
    reader = pa.RecordBatchReader.from_batches(first.schema, chain([first], batches))
    label = f"{reading.query.place}: {reading.role} on table {reading.table.name}"
    with Session(_MEMORY, label, reading.query.setups or ()) as session:
        session.register("rows", reader)
        return [tuple(row.values()) for row in session.table(sql).to_pylist()]


def _cost(
    definition: Definition, readings: Sequence[_Reading], facts: Sequence[TableFacts]
) -> Cost:
    written = _written_days(definition, facts)
    rows = size = 0
    for reading, fact in zip(readings, facts, strict=True):
        days = _days_read(reading, fact, written)
        rows += sum(fact.rows_by_day[day] for day in days)
        size += sum(m.size_bytes for day in days for m in reading.partitions.get(day, ()))
    return Cost(len(written), rows, size, rows / _ROWS_PER_CPU_S)


def _written_days(definition: Definition, facts: Sequence[TableFacts]) -> list[str]:
    """Return the days that a backfill writes."""
    if isinstance(definition, Join):
        days = [day for fact in facts if fact.role == "left" for day in fact.days]
    else:
        days = [day for fact in facts for day in fact.days]
    start = ""
    if isinstance(definition, GroupBy):
        start = definition.backfill_start_date or ""
    elif isinstance(definition, StagingQuery):
        start = definition.startPartition or ""
    return sorted({day for day in days if day >= start})


def _days_read(reading: _Reading, fact: TableFacts, written: Sequence[str]) -> list[str]:
    """Return the days of a source that the windows of the written days see."""
    if not written:
        return []
    if reading.window_days is None:
        return [day for day in fact.rows_by_day if day <= written[-1]]
    try:
        first = str(date.fromisoformat(written[0]) - timedelta(days=reading.window_days))
    except ValueError:
        first = ""  # days in another form: all of them
    return [day for day in fact.rows_by_day if not day or first <= day <= written[-1]]


def _translated(reading: _Reading, text: str) -> str:
    try:
        return translate(text, functions_in(reading.query.setups))
    except ConfigError as error:
        raise ConfigError(f"{reading.role}: {error.message}", hint=error.hint) from error


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
