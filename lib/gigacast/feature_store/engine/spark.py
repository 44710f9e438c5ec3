"""The engine of Spark: users' SQL by Spark, the NumPy kernel on its workers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa

from gigacast.errors import ConfigError
from gigacast.feature_store.aggregation.kernel import Queries
from gigacast.feature_store.aggregation.row_state import Part
from gigacast.feature_store.aggregation.spill import Limits
from gigacast.feature_store.aggregation.tile import tile_schema
from gigacast.feature_store.definition.dialect import functions_in, spark_sql
from gigacast.feature_store.definition.expression import (
    columns_in,
    load_sqlglot,
    parse_expression,
    tables_in,
)
from gigacast.feature_store.definition.window_edge import BEGINNING, DAY, FIVE_MINUTES
from gigacast.feature_store.engine.engine import END_OF_DAY, DaySpan, Partition, Reading, Scan
from gigacast.feature_store.engine.match import join_last, match_type
from gigacast.feature_store.engine.reading import (
    label_of,
    labelled,
    needed_columns,
    translate_query,
)
from gigacast.feature_store.engine.spark_plan import (
    AT,
    Aggregation,
    FileReader,
    KeyFinder,
    StoreRecipe,
    TableRecipe,
    TileMaker,
    TileReader,
    TileWriter,
    join_keys,
)
from gigacast.feature_store.engine.spark_row import (
    BYTES,
    GROUP,
    PACKED,
    PLACE,
    distinct,
    pack,
    restore,
    spark_schema,
    to_spark,
    unpack,
)
from gigacast.feature_store.engine.spark_session import (
    arrow_schema,
    errors_translated,
    named_views,
    open_session,
    open_with,
    quoted,
    spark_struct,
)
from gigacast.feature_store.engine.tile_store import TileStore
from gigacast.feature_store.rows import read_schema


@dataclass(frozen=True)
class _Frame:
    """Rows of a reading in Spark.

    Parameters
    ----------
    rows : pyspark.sql.DataFrame
        Columns of the reading, and `PLACE`.
    types : mapping of str to pyarrow.DataType
        Types of the columns that are those of the table.
    """

    rows: Any
    types: Mapping[str, pa.DataType]


@dataclass(frozen=True)
class SparkEngine:
    """The engine of Spark.

    Parameters
    ----------
    limits : Limits
        Memory of an aggregation on a worker.
    tiles : TileStore, optional
        Keeps tiles of partitions, so that each is read once; by default none are kept.
    """

    limits: Limits
    tiles: TileStore | None = None

    def rows(self, reading: Reading) -> pa.Table:
        """Return the selected rows; see `Engine.rows`."""
        frame = self._frame(reading)
        with errors_translated(label_of(reading)):
            rows = frame.rows.toArrow()
        return restore(_in_order(rows), frame.types)

    def schema(self, reading: Reading) -> pa.Schema:
        """Return the columns of a reading and their types; see `Engine.schema`."""
        frame = self._frame(reading)
        return restore(arrow_schema(frame.rows.drop(PLACE)).empty_table(), frame.types).schema

    def aggregate(self, queries: Queries, scan: Scan, parts: Sequence[Part]) -> pa.Table:
        """Return the features of the queries; see `Engine.aggregate`."""
        schema = _schema_of_tiles(scan, parts)
        work = Aggregation(schema, scan.schema, len(scan.keys), tuple(parts), self.limits.memory)
        fields = [scan.schema.field(name) for name in scan.keys]
        keys = [match_type(key, f.type) for key, f in zip(queries.keys, fields, strict=True)]
        queries_table = pa.table(
            [*keys, queries.times, np.arange(len(queries.times))],
            names=[*(f"#key{n}" for n in range(len(keys))), AT, PLACE],
        )
        if not queries_table.num_rows:
            return work.answer(queries_table, []).drop_columns([PLACE])
        with errors_translated(_label(scan)):
            left = self._packed_frame(pa.Table.from_batches(list(pack(queries_table, len(keys)))))
            right = self._tiles(scan, parts, int(queries.times.min()))
            groups = left.groupBy(GROUP).cogroup(right.groupBy(GROUP))
            answers = groups.applyInArrow(_function_of(work), _SPARK_PACKED)
            packed = answers.toArrow()
        features = pa.concat_tables(unpack(packed[BYTES]))
        return _in_order(features)

    def keys(self, scan: Scan, parts: Sequence[Part]) -> pa.Table:
        """Return the keys of the rows; see `Engine.keys`."""
        names = list(scan.keys)
        empty = pa.schema([scan.schema.field(name) for name in names]).empty_table()
        with errors_translated(_label(scan)):
            frames = [self._tiles(replace(scan, open=()), parts, None)] if scan.ended else []
            for reading in scan.open:
                frame = self._frame(reading)
                find = KeyFinder(scan.keys, scan.schema, frame.types, label_of(reading))
                frames.append(frame.rows.drop(PLACE).mapInArrow(find, _SPARK_PACKED))
            if not frames:
                return empty
            union = reduce(lambda a, b: a.unionAll(b), frames)
            groups = union.groupBy(GROUP).applyInArrow(join_keys, _SPARK_PACKED)
            packed = groups.toArrow()
        found = [table.rename_columns(names) for table in unpack(packed[BYTES])]
        return distinct(pa.concat_tables([empty, *(t.cast(empty.schema) for t in found)]))

    def make_tile(
        self, partition: Partition, scan: Scan, parts: Sequence[Part], *, is_open: bool = False
    ) -> None:
        """Make and keep the tile of a partition; see `Engine.make_tile`."""
        del is_open  # its rows are read again by all workers, whose disks are not shared
        if self.tiles is None or self.tiles.has(partition.key):
            return
        recipe = StoreRecipe.of(self.tiles.store)
        write = TileWriter(recipe, partition.key, _schema_of_tiles(scan, parts))
        with errors_translated(label_of(partition.reading)):
            tiles = self._reduced(partition.reading, scan, parts, partition.until)
            # Repartitioned, not coalesced: the latter would read the partition by one worker too.
            tiles.repartition(1).mapInArrow(write, _SPARK_PACKED).count()

    def join(self, left: pa.Table, right: pa.Table, keys: Sequence[tuple[str, str]]) -> pa.Table:
        """Return the right columns for each left row; see `Engine.join`."""
        return join_last(left, right, keys)

    def project(self, rows: pa.Table, columns: Mapping[str, str], label: str) -> pa.Table:
        """Return SQL expressions over rows; see `Engine.project`."""
        plain = {name: column for name, text in columns.items() if (column := _column(text))}
        others = {name: text for name, text in columns.items() if name not in plain}
        for column in plain.values():
            _check_column(column, rows.column_names, label)
        computed = self._compute(rows, others, label) if others else pa.table({})
        arrays = [rows[plain[n]] if n in plain else computed[n] for n in columns]
        return pa.table(arrays, names=list(columns))

    def sql(
        self, query: str, tables: Mapping[str, Reading], setups: Sequence[str], label: str
    ) -> pa.Table:
        """Return the rows of a SQL query; see `Engine.sql`."""
        for table in tables_in(query):
            if table not in tables:
                raise ConfigError(f"{label}: there is no table {table}")
        session = open_with(self._session, setups, label)
        frames = {table: self._frame(reading, session) for table, reading in tables.items()}
        with named_views(f.rows.drop(PLACE) for f in frames.values()) as views:
            with labelled(label):
                text = translate_query(
                    query, dict(zip(tables, views, strict=True)), "spark", setups
                )
            with errors_translated(label):
                return session.sql(text).toArrow()

    @property
    def _session(self) -> Any:
        return open_session(self.limits.memory)

    def _packed_frame(self, packed: pa.Table) -> Any:
        return self._session.createDataFrame(packed, _SPARK_PACKED)

    def _compute(self, rows: pa.Table, columns: Mapping[str, str], label: str) -> pa.Table:
        names = list(dict.fromkeys(name for text in columns.values() for name in columns_in(text)))
        for name in names:
            _check_column(name, rows.column_names, label)
        schema = spark_schema(pa.schema([rows.schema.field(name) for name in names]))
        arrays = [
            pa.chunked_array([to_spark(c, field.type) for c in rows[field.name].chunks], field.type)
            for field in schema
        ]
        named = pa.table(
            [*arrays, np.arange(rows.num_rows)], schema=schema.append(pa.field(PLACE, pa.int64()))
        )
        with errors_translated(label, names):
            frame = self._session.createDataFrame(named, spark_struct(named.schema))
            with named_views([frame]) as (view,):
                with labelled(label):
                    chosen = f"{_selected(columns)}, {quoted(PLACE)}"
                selected = self._session.sql(f"SELECT {chosen} FROM {view}")  # noqa: S608 - expressions are parsed and written again
            return _in_order(selected.toArrow())

    def _frame(self, reading: Reading, session: Any = None) -> _Frame:
        """Return the rows of a reading, which Spark reads when they are needed."""
        label = label_of(reading)
        session = session or open_with(self._session, reading.setups, label)
        table = read_schema(reading.table, reading.files[0], reading.partition_column)
        table = table.remove_metadata()
        needed = needed_columns(reading, table)
        chosen = table if needed is None else pa.schema([table.field(name) for name in needed])
        recipe = TableRecipe(
            reading.table.name,
            reading.table.prefix,
            StoreRecipe.of(reading.table.store),
            reading.files,
            None if needed is None else tuple(needed),
            reading.partition_column,
            chosen,
        )
        read = FileReader(recipe, spark_schema(chosen))
        placed = read.schema.append(pa.field(PLACE, pa.int64()))
        count = len(reading.files)
        with errors_translated(label, table.names):
            files = session.range(0, count, 1, min(count, 1 << 12))
            rows = files.mapInArrow(read, spark_struct(placed))
            with named_views([rows]) as (view,):
                selected = session.sql(_select(session, reading, chosen, view))
        return _Frame(selected, _plain_types(reading, chosen))

    def _tiles(self, scan: Scan, parts: Sequence[Part], earliest: int | None) -> Any:
        """Return the tiles of a scan as bytes; rows of stored ones are not read."""
        stored = tuple(p for p in scan.ended if self.tiles and self.tiles.has(p.key))
        frames = []
        if stored and self.tiles is not None:
            recipe = StoreRecipe.of(self.tiles.store)
            schema, names = _schema_of_tiles(scan, parts), tuple(p.key for p in stored)
            read = TileReader(recipe, names, schema, len(scan.keys))
            numbers = self._session.range(0, len(names), 1, min(len(names), 1 << 12))
            frames.append(numbers.mapInArrow(read, _SPARK_PACKED))
        missing = [p for p in scan.ended if p not in stored]
        for reading in _united([p.reading for p in missing]):
            # No query is before the end of any of them.
            frames.append(self._reduced(reading, scan, parts, max(p.until for p in missing)))
        until = BEGINNING if earliest is None else earliest // FIVE_MINUTES * FIVE_MINUTES
        frames += [self._reduced(reading, scan, parts, until) for reading in scan.open]
        if not frames:
            return self._packed_frame(PACKED.empty_table())
        return reduce(lambda a, b: a.unionAll(b), frames)

    def _reduced(self, reading: Reading, scan: Scan, parts: Sequence[Part], until: int) -> Any:
        frame = self._frame(reading)
        make = TileMaker(
            scan.keys, scan.schema, frame.types, tuple(parts), until, label_of(reading)
        )
        return frame.rows.drop(PLACE).mapInArrow(make, _SPARK_PACKED)


_SPARK_PACKED = f"`{GROUP}` int, `{BYTES}` binary"


def _function_of(work: Aggregation) -> Callable[[pa.Table, pa.Table], pa.Table]:
    # Spark counts the parameters of what it calls, and `self` would be one.
    def answer(queries: pa.Table, tiles: pa.Table) -> pa.Table:
        return work(queries, tiles)

    return answer


def _label(scan: Scan) -> str:
    readings = [*scan.open, *(partition.reading for partition in scan.ended)]
    return label_of(readings[0]) if readings else "a group-by"


def _schema_of_tiles(scan: Scan, parts: Sequence[Part]) -> pa.Schema:
    keys = pa.schema([scan.schema.field(name) for name in scan.keys])
    return tile_schema(keys, parts, scan.schema)


def _united(readings: Sequence[Reading]) -> Iterator[Reading]:
    """Yield readings that differ in their files only as one: a plan grows with its readings."""
    groups: dict[str, list[Reading]] = {}
    for reading in readings:
        groups.setdefault(repr(replace(reading, files=())), []).append(reading)
    for members in groups.values():
        yield replace(members[-1], files=tuple(f for reading in members for f in reading.files))


def _select(session: Any, reading: Reading, schema: pa.Schema, view: str) -> str:
    """Return the SQL of a reading over the rows of its files."""
    with labelled(label_of(reading)):
        return _translated(session, reading, schema, view)


def _translated(session: Any, reading: Reading, schema: pa.Schema, view: str) -> str:
    times = {
        name: _as_milliseconds(session, text, reading, view) for name, text in reading.times.items()
    }
    if reading.columns is None:
        chosen = [quoted(name) for name in schema.names if name not in times]
    else:
        columns = {n: text for n, text in reading.columns.items() if n not in times}
        chosen = [_selected(columns, reading.setups)] if columns else []
    chosen += [f"{sql} AS {quoted(name)}" for name, sql in times.items()]
    functions = functions_in(reading.setups)
    wheres = [f"({spark_sql(text, functions)})" for text in reading.wheres]
    if reading.days is not None:
        wheres.append(_within(reading, schema, times))
    filters = f" WHERE {' AND '.join(wheres)}" if wheres else ""
    return f"SELECT {', '.join([*chosen, quoted(PLACE)])} FROM {view}{filters}"  # noqa: S608 - expressions are parsed and written again


def _selected(columns: Mapping[str, str], setups: Sequence[str] = ()) -> str:
    functions = functions_in(setups)
    return ", ".join(f"{spark_sql(text, functions)} AS {quoted(n)}" for n, text in columns.items())


def _within(reading: Reading, schema: pa.Schema, times: Mapping[str, str]) -> str:
    """Return the condition of the days of rows in files outside folders of days."""
    span = reading.days or DaySpan("", "")
    if reading.partition_column in schema.names:
        return f"{quoted(reading.partition_column)} BETWEEN '{span.first}' AND '{span.last}'"
    day = f"DATE_FORMAT(TIMESTAMP_MILLIS({next(iter(times.values()))}), 'yyyy-MM-dd')"
    return f"{day} BETWEEN '{span.first}' AND '{span.last}'"


def _as_milliseconds(session: Any, text: str, reading: Reading, view: str) -> str:
    if text == END_OF_DAY:
        day = quoted(reading.partition_column)
        return f"UNIX_MILLIS(CAST({day} AS TIMESTAMP)) + {DAY - 1}L"
    sql = spark_sql(text, functions_in(reading.setups))
    kind = session.sql(f"SELECT {sql} AS at FROM {view}").schema["at"].dataType.typeName()  # noqa: S608
    if kind in {"timestamp", "timestamp_ntz", "date"}:
        return f"UNIX_MILLIS(CAST({sql} AS TIMESTAMP))"
    if kind in {"float", "double"}:
        # The other engine rounds; a cast of Spark cuts off.
        return f"CAST(RINT({sql}) AS BIGINT)"
    return f"CAST({sql} AS BIGINT)"


def _column(text: str) -> str | None:
    """Return the column that an expression is; None if it is more than a column."""
    tree = parse_expression(text)
    is_column = isinstance(tree, load_sqlglot().exp.Column) and len(tree.parts) == 1
    return tree.name if is_column else None


def _check_column(column: str, names: Sequence[str], label: str) -> None:
    if column not in names:
        raise ConfigError(
            f"{label}: there is no column {column}",
            hint=f"its columns are {', '.join(names[:12])}",
        )


def _plain_types(reading: Reading, schema: pa.Schema) -> dict[str, pa.DataType]:
    """Return the types of the columns that a reading takes as they are."""
    columns = reading.columns
    if columns is None:
        columns = {name: quoted(name) for name in schema.names}
    named = {n: _column(text) for n, text in columns.items() if n not in reading.times}
    return {
        n: _shortened(schema.field(column).type)
        for n, column in named.items()
        if column is not None and column in schema.names
    }


def _shortened(kind: pa.DataType) -> pa.DataType:
    """Return the type that the other engine gives a column: one type for all texts."""
    if pa.types.is_dictionary(kind):
        return _shortened(kind.value_type)
    return pa.string() if pa.types.is_large_string(kind) else kind


def _in_order(rows: pa.Table) -> pa.Table:
    """Return rows in the order of their places, which are left out."""
    return rows.sort_by(PLACE).drop_columns([PLACE])
