"""The engine of one machine: DuckDB for users' SQL, the NumPy kernel for aggregation."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from gigacast.feature_store.aggregation.kernel import Queries, Rows
from gigacast.feature_store.aggregation.row_state import Part
from gigacast.feature_store.aggregation.spill import Columns, Limits, aggregate_batches
from gigacast.feature_store.aggregation.tile import (
    finish_tiles,
    make_tile,
    tile_parts,
    tile_schema,
    to_table,
)
from gigacast.feature_store.definition.dialect import functions_in, translate
from gigacast.feature_store.definition.window_edge import DAY
from gigacast.feature_store.engine.engine import (
    END_OF_DAY,
    REVERSE,
    TIME,
    DaySpan,
    Partition,
    Reading,
    Scan,
)
from gigacast.feature_store.engine.match import fit, fit_tile, join_last, match_type
from gigacast.feature_store.engine.reading import (
    label_of,
    labelled,
    needed_columns,
    translate_query,
)
from gigacast.feature_store.engine.session import Session, quoted
from gigacast.feature_store.engine.tile_store import TileStore
from gigacast.feature_store.rows import read_rows, read_schema

_SOURCE, _LEFT, _RIGHT, _PLACE = "source_rows", "left_rows", "right_rows", "#place"


@dataclass(frozen=True)
class LocalEngine:
    """The engine of one machine.

    Parameters
    ----------
    limits : Limits
        Memory and processes of an aggregation.
    tiles : TileStore, optional
        Keeps tiles of partitions, so that each is read once; by default none are kept.
    """

    limits: Limits
    tiles: TileStore | None = None

    def rows(self, reading: Reading) -> pa.Table:
        """Return the selected rows; see `Engine.rows`."""
        return pa.Table.from_batches(list(self._batches(reading)))

    def schema(self, reading: Reading) -> pa.Schema:
        """Return the columns of a reading and their types; see `Engine.schema`."""
        table_schema = read_schema(reading.table, reading.files[0], reading.partition_column)
        with Session(self.limits.memory, label_of(reading), reading.setups) as session:
            session.register(_SOURCE, table_schema.empty_table())
            return next(session.batches(_select(session, reading, table_schema))).schema

    def aggregate(self, queries: Queries, scan: Scan, parts: Sequence[Part]) -> pa.Table:
        """Return the features of the queries; see `Engine.aggregate`."""
        keys = pa.schema([scan.schema.field(name) for name in scan.keys])
        schema = tile_schema(keys, parts, scan.schema)
        names = tuple(f"#key{n}" for n in range(len(scan.keys)))
        columns = Columns(names, "#time", "#reverse")
        matched = Queries(
            [match_type(key, field.type) for key, field in zip(queries.keys, keys, strict=True)],
            queries.times,
        )
        features = aggregate_batches(
            matched,
            self._tiles(scan, parts, schema),
            columns,
            tile_parts(parts, scan.schema),
            self.limits,
        )
        return finish_tiles(features, parts, scan.schema)

    def keys(self, scan: Scan, parts: Sequence[Part]) -> pa.Table:
        """Return the keys of the rows; see `Engine.keys`."""
        names = list(scan.keys)
        keys = pa.schema([scan.schema.field(name) for name in names]).empty_table()
        tables = [self._tile(partition, scan, parts) for partition in scan.ended]
        pieces = [
            tile.select([f"#key{n}" for n in range(len(names))]).rename_columns(names)
            for tile in tables
        ]
        pieces += [
            fit(self.rows(reading), scan.schema, label_of(reading)).select(names)
            for reading in scan.open
        ]
        for piece in pieces:
            keys = pa.concat_tables([keys, piece]).group_by(names).aggregate([])
        return keys

    def make_tile(
        self, partition: Partition, scan: Scan, parts: Sequence[Part], *, is_open: bool = False
    ) -> None:
        """Make and keep the tile of a partition; see `Engine.make_tile`."""
        if self.tiles is None or self.tiles.has(partition.key):
            return
        rows = self._timed_rows(partition.reading, scan)
        self.tiles.write(partition.key, to_table(make_tile(rows, parts, partition.until)))
        if is_open:
            self.tiles.keep_rows(partition.key, to_table(make_tile(rows, parts)))

    def _tile(self, partition: Partition, scan: Scan, parts: Sequence[Part]) -> pa.Table:
        """Return the tile of a partition, from the store or, made and stored, from its rows."""
        stored = self.tiles.read(partition.key) if self.tiles else None
        if stored is not None:
            return stored
        rows = self._timed_rows(partition.reading, scan)
        table = to_table(make_tile(rows, parts, partition.until))
        if self.tiles is not None:
            self.tiles.write(partition.key, table)
        return table

    def join(self, left: pa.Table, right: pa.Table, keys: Sequence[tuple[str, str]]) -> pa.Table:
        """Return the right columns for each left row; see `Engine.join`."""
        return join_last(left, right, keys)

    def project(self, rows: pa.Table, columns: Mapping[str, str], label: str) -> pa.Table:
        """Return SQL expressions over rows; see `Engine.project`."""
        place = pa.array(np.arange(rows.num_rows))
        with labelled(label):
            expressions = _expressions(columns)
        with Session(self.limits.memory, label) as session:
            session.register(_SOURCE, rows.append_column(_PLACE, place))
            sql = f"SELECT {expressions} FROM {_SOURCE} ORDER BY {quoted(_PLACE)}"  # noqa: S608 - expressions are parsed and written again
            return session.table(sql)

    def sql(
        self, query: str, tables: Mapping[str, Reading], setups: Sequence[str], label: str
    ) -> pa.Table:
        """Return the rows of a SQL query; see `Engine.sql`."""
        names = {table: f"table_{n}" for n, table in enumerate(tables)}
        with Session(self.limits.memory, label, setups) as session:
            for table, reading in tables.items():
                # As a table: a query may name it several times, and a stream is read once.
                session.register(names[table], self.rows(reading))
            with labelled(label):
                translated = translate_query(query, names, setups=setups)
            return session.table(translated)

    def _tiles(
        self, scan: Scan, parts: Sequence[Part], schema: pa.Schema
    ) -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pylist([], schema=schema)
        for partition in scan.ended:
            yield from fit_tile(self._tile(partition, scan, parts), schema).to_batches()
        later = {partition.reading.files: partition for partition in scan.open_tiles}
        for reading in scan.open:
            ended = later.get(reading.files)
            rows_read = self.tiles.kept_rows(ended.key) if ended and self.tiles else None
            if rows_read is not None:
                yield from fit_tile(rows_read, schema).to_batches()
                continue
            rows = self._timed_rows(reading, scan)
            table = to_table(make_tile(rows, parts))
            yield from fit_tile(table, schema).to_batches()
            if ended is not None and self.tiles is not None and not self.tiles.has(ended.key):
                # The rows are here now: the queries of the next day find the tile.
                self.tiles.write(ended.key, to_table(make_tile(rows, parts, ended.until)))

    def _timed_rows(self, reading: Reading, scan: Scan) -> Rows:
        """Return the rows of a reading that have a time."""
        rows = fit(self.rows(reading), scan.schema, label_of(reading))
        valid = pc.is_valid(rows[TIME])
        if not pc.all(valid).as_py() and rows.num_rows:
            rows = rows.filter(valid)  # rows without a time are in no window
        reverse = REVERSE if REVERSE in rows.column_names else None
        return Columns(scan.keys, TIME, reverse).rows(rows.combine_chunks())

    def _batches(self, reading: Reading) -> Iterator[pa.RecordBatch]:
        table_schema = read_schema(reading.table, reading.files[0], reading.partition_column)
        needed = needed_columns(reading, table_schema)
        batches = read_rows(reading.table, reading.files, needed, reading.partition_column)
        with Session(self.limits.memory, label_of(reading), reading.setups) as session:
            empty = pa.RecordBatch.from_pylist([], schema=table_schema)
            session.register("schema_rows", pa.Table.from_batches([empty]))
            sql = _select(session, reading, table_schema, "schema_rows")
            started = _started(batches, table_schema, needed)
            session.register(_SOURCE, started)
            yield from session.batches(sql)


def _started(
    batches: Iterator[pa.RecordBatch], schema: pa.Schema, needed: Sequence[str] | None
) -> Iterator[pa.RecordBatch]:
    """Yield batches; an empty one if there are none, for the types."""
    first = next(batches, None)
    if first is None:
        fields = [schema.field(name) for name in needed or schema.names]
        first = pa.RecordBatch.from_pylist([], schema=pa.schema(fields))
    yield first
    yield from batches


def _select(session: Session, reading: Reading, schema: pa.Schema, probe: str = _SOURCE) -> str:
    """Return the SQL of a reading over the rows of its files."""
    with labelled(label_of(reading)):
        return _translated(session, reading, schema, probe)


def _translated(session: Session, reading: Reading, schema: pa.Schema, probe: str) -> str:
    times = {
        name: _as_milliseconds(session, text, reading, probe)
        for name, text in reading.times.items()
    }
    if reading.columns is None:
        names = [name for name in schema.names if name not in reading.times]
        columns = ", ".join(quoted(name) for name in names)
    else:
        chosen = {n: text for n, text in reading.columns.items() if n not in reading.times}
        columns = _expressions(chosen, reading.setups)
    functions = functions_in(reading.setups)
    wheres = [f"({translate(text, functions)})" for text in reading.wheres]
    if reading.days is not None:
        wheres.append(_within(reading, schema, times))
    filters = f" WHERE {' AND '.join(wheres)}" if wheres else ""
    named = [f"{sql} AS {quoted(name)}" for name, sql in times.items()]
    return f"SELECT {', '.join(filter(None, [columns, *named]))} FROM {_SOURCE}{filters}"  # noqa: S608 - expressions are parsed and written again


def _within(reading: Reading, schema: pa.Schema, times: Mapping[str, str]) -> str:
    """Return the condition of the days of rows in files outside folders of days."""
    span = reading.days or DaySpan("", "")
    if reading.partition_column in schema.names:
        return f"{quoted(reading.partition_column)} BETWEEN '{span.first}' AND '{span.last}'"
    time = next(iter(times.values()))
    day = f"STRFTIME(MAKE_TIMESTAMP_MS({time}), '%Y-%m-%d')"
    return f"{day} BETWEEN '{span.first}' AND '{span.last}'"


def _as_milliseconds(session: Session, text: str, reading: Reading, probe: str) -> str:
    if text == END_OF_DAY:
        day = quoted(reading.partition_column)
        return f"EPOCH_MS(CAST({day} AS TIMESTAMP)) + {DAY - 1}"
    sql = translate(text, functions_in(reading.setups))
    kind = session.type_of(f"SELECT {sql} FROM {probe}")  # noqa: S608
    if pat.is_timestamp(kind) or pat.is_date(kind):
        return f"spark_unix_millis({sql})"
    return f"CAST({sql} AS BIGINT)"


def _expressions(columns: Mapping[str, str], setups: Sequence[str] = ()) -> str:
    functions = functions_in(setups)
    return ", ".join(
        f"{translate(text, functions)} AS {quoted(name)}" for name, text in columns.items()
    )
