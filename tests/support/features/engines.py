"""Engines of the feature store, and readings of tables that are made for a test."""

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from gigacast.feature_store.aggregation.spill import Limits
from gigacast.feature_store.engine.engine import Engine, Reading
from gigacast.feature_store.engine.local import LocalEngine
from gigacast.feature_store.engine.tile_store import TileStore
from gigacast.feature_store.table import Table
from gigacast.storage.store import Store

DAY, HOUR = 86_400_000, 3_600_000
FIRST = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000)
DAYS = ("2024-01-01", "2024-01-02", "2024-01-03")


def make(kind: str, tiles: TileStore | None = None) -> Engine:
    if kind == "local":
        return LocalEngine(Limits(), tiles)
    from gigacast.feature_store.engine.spark import SparkEngine

    return SparkEngine(Limits(), tiles)


def read(
    store: Store, *tables: pa.Table, file: str = "parquet", days: Sequence[str] = DAYS, **more: Any
) -> Reading:
    """Return a reading of tables, each of which is the file of a day."""
    for day, table in zip(days, tables, strict=False):
        sink = io.BytesIO()
        if file == "csv":
            pa.csv.write_csv(table, sink)
        else:
            pq.write_table(table, sink)
        store.put(f"rows/ds={day}/part-0.{file}", sink.getvalue())
    table = Table("db.rows", store, "rows/", {})
    files = tuple(meta for part in table.partitions().values() for meta in part)
    return Reading(table, files, label="group-by team.rows", **more)
