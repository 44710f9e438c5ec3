"""A lake of small tables, one Parquet file for each day, and backfills over it."""

import io
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gigacast.feature_store.definition.name import Definition, table_name
from gigacast.feature_store.offline.result import BackfillResult, Days
from gigacast.feature_store.offline.run import backfill_days
from gigacast.feature_store.offline.stage import Backfill
from gigacast.feature_store.table import Tables
from gigacast.storage.store import Store, StoreAddress

Row = Mapping[str, Any]


class Lake:
    """A lake in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.address = StoreAddress(f"file://{root}")
        self.tables = Tables.at(self.address)

    @property
    def store(self) -> Store:
        return self.tables.store

    def put(
        self,
        table: str,
        rows: Sequence[Row],
        *,
        types: Mapping[str, pa.DataType] | None = None,
        part: int = 0,
    ) -> None:
        """Put rows with a column ``ds`` into the folders of their days."""
        days: dict[str, list[Row]] = {}
        for row in rows:
            days.setdefault(row["ds"], []).append({k: v for k, v in row.items() if k != "ds"})
        for day, members in days.items():
            self.put_day(table, day, members, types=types, part=part)

    def put_day(
        self,
        table: str,
        day: str,
        rows: Sequence[Row],
        *,
        types: Mapping[str, pa.DataType] | None = None,
        part: int = 0,
    ) -> None:
        names = list(rows[0]) if rows else list(types or {})
        columns = {
            name: pa.array([row.get(name) for row in rows], (types or {}).get(name))
            for name in names
        }
        sink = io.BytesIO()
        pq.write_table(pa.table(columns), sink)
        path = table.replace(".", "/")
        self.store.put(f"{path}/ds={day}/part-{part}.parquet", sink.getvalue())

    def drop_day(self, table: str, day: str) -> None:
        shutil.rmtree(self.root / table.replace(".", "/") / f"ds={day}")

    def backfill(
        self,
        definition: Definition,
        first: str = "0001-01-01",
        last: str = "9999-12-31",
        **more: Any,
    ) -> BackfillResult:
        """Backfill some days; a failure is a failure of the test."""
        job = Backfill(definition, self.address, **more)
        result = backfill_days(job, Days(first, last))
        assert [f for _, f in result.all_failures] == []
        return result

    def read(self, definition: Definition, suffix: str = "") -> list[dict[str, Any]]:
        """Return the rows of the output of a definition, of all days."""
        return self.read_table(table_name(definition, suffix))

    def read_table(self, name: str) -> list[dict[str, Any]]:
        folder = self.root / "feature_store/tables" / name.replace(".", "/")
        rows: list[dict[str, Any]] = []
        for file in sorted(folder.rglob("*.parquet")):
            more = dict(part.split("=") for part in file.relative_to(folder).parts[:-1])
            rows += [{**row, **more} for row in pq.ParquetFile(file).read().to_pylist()]
        return rows


def rows_of(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    """Return rows as mappings."""
    return [dict(zip(columns, row, strict=True)) for row in rows]
