"""The task of a backfill: compute a day of a table, write it, then the receipt."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.types as pat

from gigacast.core.partition.task import InputObject, Task
from gigacast.errors import DataNotFoundError, InputChangedError
from gigacast.feature_store.aggregation.row_state import parts_of
from gigacast.feature_store.definition.name import Definition, path_of
from gigacast.feature_store.engine.engine import DaySpan, Engine, Partition, Scan
from gigacast.feature_store.offline.dataset import write_day
from gigacast.feature_store.offline.day import moment_of
from gigacast.feature_store.offline.left import LeftDay
from gigacast.feature_store.offline.product import Product
from gigacast.feature_store.offline.source import Catalog
from gigacast.feature_store.offline.stage import Backfill, make_engine, products_of
from gigacast.feature_store.table import Tables
from gigacast.job.receipt import Work, new_receipt
from gigacast.job.worker import Stopwatch, inputs_pinned
from gigacast.lake.feature_layout import definition_key, feature_partition_key
from gigacast.lake.plan.receipt import Receipt, find_receipt, write_receipt
from gigacast.storage.parquet.read import read_table
from gigacast.storage.parquet.writer import table_bytes
from gigacast.storage.store import Store

JOB = "backfill"


class OpenBackfill:
    """A backfill with its stores and engine.

    Parameters
    ----------
    backfill : Backfill
    tables : Tables
    engine : Engine
    """

    def __init__(self, backfill: Backfill, tables: Tables, engine: Engine) -> None:
        self.backfill = backfill
        self.tables = tables
        self.engine = engine
        self.products: list[Product] = []
        self.bind()

    @property
    def store(self) -> Store:
        """Store that holds ``feature_store/``."""
        return self.tables.store

    def bind(self) -> None:
        """List the tables, and make the products of them."""
        self.products = products_of(self.backfill, Catalog(self.tables), self.read_done)

    def read_done(self, table: str, day: str) -> pa.Table:
        """Return the rows of a table and a day that are done and current.

        Raises
        ------
        DataNotFoundError
            If they are not done.
        """
        stage = replace(self.backfill, only="parts")
        parts = products_of(stage, Catalog(self.tables), self.read_done)
        product = next(product for product in parts if product.table == table)
        base = product.days(self.engine, self.store, DaySpan(day, day))[0]
        task = make_task(self.backfill.definition, product, base)
        if find_receipt(self.store, task) is None:
            raise DataNotFoundError(
                f"--only final: {table} is not backfilled for {day}, or from other partitions",
                hint="run --only parts before",
            )
        return read_table(self.store, feature_partition_key(table, day))


def make_task(
    definition: Definition, product: Product, day: LeftDay, stale: tuple[str, ...] = ()
) -> Task:
    """Return the task of a day of a product.

    Its inputs are the partitions that are read, each with the digest of its files' versions, and
    the definition with its digest.
    """
    own = InputObject(definition_key(path_of(definition)), product.digest, 0, "parquet")
    inputs = [
        InputObject(f"{table}/ds={name}" if name else table, digest, size, "parquet")
        for table, name, digest, size in product.inputs(day)
    ]
    return Task(
        partition=f"{product.table}/ds={day.day}",
        month=day.day[:7],
        inputs=(own, *inputs),
        own=1,
        horizon=0,
        spec=product.digest[:8],
        output_key=product.key(day),
        stale_receipts=stale,
    )


@dataclass(frozen=True)
class BackfillSetup:
    """A picklable recipe for the worker of a backfill.

    Parameters
    ----------
    backfill : Backfill
    run_id : str
    rows : Path, optional
        Folder of rows that were read for tiles; see `TileStore`.
    """

    backfill: Backfill
    run_id: str
    rows: Path | None = None

    def __call__(self) -> Callable[[Task], Receipt]:
        """Open the stores and return the worker."""
        return _Worker(self)


def open_backfill(backfill: Backfill, rows: Path | None = None) -> OpenBackfill:
    """Return a backfill with its stores and engine.

    Parameters
    ----------
    backfill : Backfill
    rows : Path, optional
        Folder of rows that are read for tiles; see `TileStore`.
    """
    tables = Tables.at(backfill.root, backfill.places)
    engine = make_engine(backfill.resources, tables.store, backfill.engine, rows)
    return OpenBackfill(backfill, tables, engine)


class _Worker:
    """Computes days of a backfill."""

    def __init__(self, setup: BackfillSetup) -> None:
        self._setup = setup
        self._open = open_backfill(setup.backfill, setup.rows)

    def __call__(self, task: Task) -> Receipt:
        """Compute a day, write it, then the receipt that names what was read.

        Raises
        ------
        InputChangedError
            If a partition is not the planned one any more.
        DataError, StorageError
        """
        watch = Stopwatch()
        with watch.measure("total"), inputs_pinned(task):
            product, day = self._find(task)
            newest = None if day.last is None else moment_of(day.last)
            with watch.measure("predict"):
                rows = product.rows(self._open.engine, day)
            with watch.measure("write"):
                content = encode(rows)
                etag = write_day(self._open.store, task.output_key, content)
        output: dict[str, Any] = {
            "key": task.output_key,
            "etag": etag,
            "size_bytes": len(content),
            "rows": rows.num_rows,
        }
        latest = None if newest is None else newest.isoformat(timespec="milliseconds")
        work = Work(JOB, self._setup.run_id, day.rows, rows.num_rows, watch.rounded(), latest)
        receipt = new_receipt(task, output, work)
        # After the output: a crash in between leaves a pending day, which is computed again.
        write_receipt(self._open.store, task, receipt, etag)
        return receipt

    def _find(self, task: Task) -> tuple[Product, LeftDay]:
        """Return the product and day of a task, if its partitions are the planned ones."""
        for attempt in range(2):
            if attempt:
                self._open.bind()  # the tables were listed for an earlier task
            for product in self._open.products:
                day = self._day_of(product, task)
                if day is None:
                    continue
                if make_task(self._open.backfill.definition, product, day).inputs == task.inputs:
                    return product, day
        raise InputChangedError(
            f"{task.partition}: a partition that it is made of changed after the plan was made",
            hint="the next run plans it again",
        )

    def _day_of(self, product: Product, task: Task) -> LeftDay | None:
        if not task.partition.startswith(f"{product.table}/ds="):
            return None
        name = task.partition.removeprefix(f"{product.table}/ds=")[:10]
        days = product.days(self._open.engine, self._open.store, DaySpan(name, name))
        return next((day for day in days if product.key(day) == task.output_key), None)


@dataclass(frozen=True)
class TileTask:
    """A source partition to make the tile of.

    Parameters
    ----------
    product, view, number : int
        Places of the product, of the group-by in it, and of the partition among its tiles.
    """

    product: int
    view: int
    number: int


@dataclass(frozen=True)
class TileSetup:
    """A picklable recipe for the worker that makes tiles.

    Parameters
    ----------
    backfill : Backfill
    days : mapping of int to tuple of LeftDay
        Days that are left to do, by the place of their product.
    rows : Path, optional
        Folder that keeps the rows of open partitions; see `TileStore`.
    """

    backfill: Backfill
    days: Mapping[int, Sequence[LeftDay]]
    rows: Path | None = None

    def __call__(self) -> Callable[[TileTask], None]:
        """Open the stores and return the worker."""
        opened = open_backfill(self.backfill, self.rows)
        tiles: dict[tuple[int, int], list[tuple[Partition, Scan, bool]]] = {}

        def work(task: TileTask) -> None:
            view = opened.products[task.product].views()[task.view]
            place = task.product, task.view
            if place not in tiles:
                tiles[place] = list(view.tiles(opened.engine, self.days[task.product]))
            partition, scan, is_open = tiles[place][task.number]
            opened.engine.make_tile(partition, scan, parts_of(view.group_by), is_open=is_open)

        return work


def encode(rows: pa.Table) -> bytes:
    """Return rows as a Parquet file: equal rows, equal bytes."""
    # In one chunk and in one spelling of types, so that nothing depends on how the rows were made.
    schema = pa.schema([pa.field(field.name, _plain(field.type)) for field in rows.schema])
    return table_bytes(rows.cast(schema).combine_chunks(), "zstd")


def _plain(kind: pa.DataType) -> pa.DataType:
    """Return a type as it is read back from a file."""
    if pat.is_list(kind) or pat.is_large_list(kind):
        return pa.list_(pa.field("element", _plain(kind.value_type)))
    if pat.is_map(kind):
        return pa.map_(_plain(kind.key_type), _plain(kind.item_type))
    return pa.string() if pat.is_large_string(kind) else kind
