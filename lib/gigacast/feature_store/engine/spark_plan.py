"""What Spark's workers do: read files, make tiles of rows, and aggregate groups of keys.

Rows that SQL sees are columns of Spark. All later rows travel as Arrow streams in a column of
bytes, with the number of their group of keys: no type of Spark comes between a tile and the kernel,
so the answers have the bits of the other engines.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from gigacast.errors import ConfigError, DataError, GigacastError
from gigacast.feature_store.aggregation.kernel import Queries
from gigacast.feature_store.aggregation.row_state import Part
from gigacast.feature_store.aggregation.spill import (
    Columns,
    Limits,
    aggregate_batches,
)
from gigacast.feature_store.aggregation.tile import finish_tiles, make_tile, tile_parts, to_table
from gigacast.feature_store.engine.engine import REVERSE, TIME
from gigacast.feature_store.engine.match import fit, fit_tile
from gigacast.feature_store.engine.spark_row import (
    BYTES,
    GROUP,
    PACKED,
    PLACE,
    distinct,
    pack,
    restore,
    to_bytes,
    to_spark,
    unpack,
    whole,
)
from gigacast.feature_store.engine.tile_store import TileStore
from gigacast.feature_store.rows import read_rows
from gigacast.feature_store.table import Table
from gigacast.lake.dataset.manifest import DatasetManifest
from gigacast.lake.dataset.store import DatasetStore
from gigacast.storage.opening import open_store
from gigacast.storage.store import ObjectMeta, Store, StoreAddress

AT = "#at"
ERROR = "gigacast-error: "
"""Mark before an error of a worker, as JSON, in the text that Spark makes of it."""
_FILE_ROWS = 40  # bits of a place that number the rows of a file
_TILE_ROWS = 1 << 20  # rows of a source that are reduced at a time


@dataclass(frozen=True)
class StoreRecipe:
    """How a worker opens a store.

    Parameters
    ----------
    address : StoreAddress
        Address of the store; of the lake if it is of a dataset.
    manifest : DatasetManifest, optional
        Manifest of the dataset.
    shown : StoreAddress, optional
        Address of the dataset, for messages.
    """

    address: StoreAddress
    manifest: DatasetManifest | None = None
    shown: StoreAddress | None = None

    @classmethod
    def of(cls, store: Store) -> "StoreRecipe":
        """Return the recipe of a store.

        Raises
        ------
        ConfigError
            If only this process sees the store.
        """
        recipe = cls(store.address)
        if isinstance(store, DatasetStore):
            recipe = cls(store.lake_address, store.manifest, store.address)
        if recipe.address.url.lower().startswith("memory:"):
            raise ConfigError(
                f"--engine spark: the workers of Spark cannot see {recipe.address.url}",
                hint="use a folder or a bucket, or --engine local",
            )
        return recipe

    def open(self) -> Store:
        """Open the store; a process opens each only once."""
        store = _open(self.address)
        if self.manifest is None or self.shown is None:
            return store
        return DatasetStore(store, self.manifest, self.shown, self.shown.verify)


@lru_cache(maxsize=16)
def _open(address: StoreAddress) -> Store:
    return open_store(address)


@dataclass(frozen=True)
class TableRecipe:
    """How a worker reads files of a table.

    Parameters
    ----------
    name, prefix : str
        As of `Table`.
    store : StoreRecipe
    files : tuple of ObjectMeta
    columns : tuple of str, optional
        Columns to read; all by default.
    partition_column : str
    schema : pyarrow.Schema
        Columns and types of the first file.
    """

    name: str
    prefix: str
    store: StoreRecipe
    files: tuple[ObjectMeta, ...]
    columns: tuple[str, ...] | None
    partition_column: str
    schema: pa.Schema

    def batches(self, number: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a file."""
        table = Table(self.name, self.store.open(), self.prefix, {})
        files = self.files[number : number + 1]
        yield from read_rows(table, files, self.columns, self.partition_column, schema=self.schema)


@contextmanager
def errors_marked() -> Iterator[None]:
    """Raise errors of this package as texts that `marked_error` reads."""
    try:
        yield
    except GigacastError as error:
        content = {"kind": type(error).__name__, "message": error.message, "hint": error.hint}
        raise RuntimeError(f"{ERROR}{json.dumps(content)}") from error


@dataclass(frozen=True)
class FileReader:
    """Reads the files of a table whose numbers it is given, as rows for SQL.

    Parameters
    ----------
    table : TableRecipe
    schema : pyarrow.Schema
        Columns in types that Spark has; see `spark_schema`.
    """

    table: TableRecipe
    schema: pa.Schema

    def __call__(self, numbers: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the files, each with its place."""
        with errors_marked():
            for batch in numbers:
                for number in batch.column(0).to_pylist():
                    yield from self._read(number)

    def _read(self, number: int) -> Iterator[pa.RecordBatch]:
        start = number << _FILE_ROWS
        for batch in self.table.batches(number):
            places = pa.array(np.arange(start, start + batch.num_rows))
            arrays = [to_spark(batch[field.name], field.type) for field in self.schema]
            fields = [*self.schema, pa.field(PLACE, pa.int64())]
            yield pa.RecordBatch.from_arrays([*arrays, places], schema=pa.schema(fields))
            start += batch.num_rows


@dataclass(frozen=True)
class TileMaker:
    """Reduces rows of SQL to tiles, which are cut into groups of keys.

    It runs before rows move to the worker of their key, so that of a hot key only slots move.

    Parameters
    ----------
    keys : tuple of str
    schema : pyarrow.Schema
        Columns of the rows and their types.
    types : mapping of str to pyarrow.DataType
        Types of columns that Spark does not have.
    parts : tuple of Part
    until : int
        As of `make_tile`.
    label : str
        Definition and table, for messages.
    """

    keys: tuple[str, ...]
    schema: pa.Schema
    types: Mapping[str, pa.DataType]
    parts: tuple[Part, ...]
    until: int
    label: str

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield tiles as bytes."""
        with errors_marked():
            for table in _gathered(batches):
                yield from pack(self._reduce(table), len(self.keys))

    def _reduce(self, table: pa.Table) -> pa.Table:
        rows = fit(restore(table, self.types), self.schema, self.label)
        rows = rows.filter(pc.is_valid(rows[TIME]))  # rows without a time are in no window
        reverse = REVERSE if REVERSE in rows.column_names else None
        source = Columns(self.keys, TIME, reverse).rows(rows.combine_chunks())
        return to_table(make_tile(source, self.parts, self.until))


@dataclass(frozen=True)
class KeyFinder:
    """Finds the keys of rows of SQL; parameters as of `TileMaker`."""

    keys: tuple[str, ...]
    schema: pa.Schema
    types: Mapping[str, pa.DataType]
    label: str

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the keys as bytes, each once per worker and some rows."""
        with errors_marked():
            for table in _gathered(batches):
                rows = fit(restore(table, self.types), self.schema, self.label)
                names = [f"#key{n}" for n in range(len(self.keys))]
                yield from pack(
                    distinct(rows.select([*self.keys]).rename_columns(names)), len(names)
                )


@dataclass(frozen=True)
class TileReader:
    """Reads the stored tiles whose numbers it is given.

    Parameters
    ----------
    store : StoreRecipe
    names : tuple of str
        Keys of the tiles in the store.
    schema : pyarrow.Schema
        Columns of tiles.
    keys : int
        Number of key columns.
    """

    store: StoreRecipe
    names: tuple[str, ...]
    schema: pa.Schema
    keys: int

    def __call__(self, numbers: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield tiles as bytes."""
        with errors_marked():
            tiles = TileStore(self.store.open(), 0)
            for number in (n for batch in numbers for n in batch.column(0).to_pylist()):
                tile = tiles.read(self.names[number])
                if tile is None:
                    # Deleted after the driver saw it: without it the features would be too low.
                    raise DataError(
                        f"{self.names[number]}: the tile is gone", hint="run the backfill again"
                    )
                yield from pack(fit_tile(tile, self.schema), self.keys)


@dataclass(frozen=True)
class TileWriter:
    """Joins the tiles that it is given, and stores them as one.

    Parameters
    ----------
    store : StoreRecipe
    name : str
        Key of the tile in the store.
    schema : pyarrow.Schema
        Columns of the tile.
    """

    store: StoreRecipe
    name: str
    schema: pa.Schema

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield nothing."""
        with errors_marked():
            pieces = [fit_tile(table, self.schema) for b in batches for table in unpack(b[BYTES])]
            tile = pa.concat_tables([self.schema.empty_table(), *pieces])
            # Bytes must not depend on which worker was the first.
            order = [(name, "ascending") for name in tile.column_names if _has_order(tile, name)]
            TileStore(self.store.open(), 0).write(self.name, tile.sort_by(order).combine_chunks())
        yield from ()


@dataclass(frozen=True)
class Aggregation:
    """Aggregates the tiles of a group of keys at the queries of the group.

    Parameters
    ----------
    schema : pyarrow.Schema
        Columns of tiles.
    source : pyarrow.Schema
        Columns of the rows.
    keys : int
        Number of key columns.
    parts : tuple of Part
    memory : int
        Bytes that a worker may take.
    """

    schema: pa.Schema
    source: pa.Schema
    keys: int
    parts: tuple[Part, ...]
    memory: int

    def __call__(self, queries: pa.Table, tiles: pa.Table) -> pa.Table:
        """Return the features of the group's queries as bytes."""
        with errors_marked():
            if not queries.num_rows:
                return PACKED.empty_table()
            query_rows = pa.concat_tables(unpack(queries[BYTES]))
            features = self.answer(query_rows, (t for c in tiles[BYTES].chunks for t in unpack(c)))
            group = queries[GROUP][0].as_py()
            return pa.table([[group], [to_bytes(features)]], schema=PACKED)

    def answer(self, queries: pa.Table, tiles: Iterable[pa.Table]) -> pa.Table:
        """Return the features of queries over tiles, with the places of the queries."""
        names = tuple(f"#key{n}" for n in range(self.keys))
        empty = pa.RecordBatch.from_pylist([], schema=self.schema)
        batches = (b for tile in tiles for b in fit_tile(tile, self.schema).to_batches())
        keys = [whole(queries[name]) for name in names]
        features = aggregate_batches(
            Queries(keys, whole(queries[AT]).to_numpy()),
            (batch for several in ([empty], batches) for batch in several),
            Columns(names, "#time", "#reverse"),
            tile_parts(self.parts, self.source),
            Limits(self.memory),
        )
        return finish_tiles(features, self.parts, self.source).append_column(PLACE, queries[PLACE])


def join_keys(rows: pa.Table) -> pa.Table:
    """Return the keys of a group's tiles, each once, as bytes."""
    with errors_marked():
        tables = [table for chunk in rows[BYTES].chunks for table in unpack(chunk)]
        names = [name for name in tables[0].column_names if name.startswith("#key")]
        keys = distinct(pa.concat_tables([table.select(names) for table in tables]))
        return pa.table([[rows[GROUP][0].as_py()], [to_bytes(keys)]], schema=PACKED)


def _gathered(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield batches in tables of many rows: the more rows, the smaller their tiles together."""
    gathered: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        gathered.append(batch)
        count += batch.num_rows
        if count >= _TILE_ROWS:
            yield pa.Table.from_batches(gathered)
            gathered, count = [], 0
    if gathered:
        yield pa.Table.from_batches(gathered)


def _has_order(table: pa.Table, name: str) -> bool:
    return not pat.is_nested(table.schema.field(name).type)
