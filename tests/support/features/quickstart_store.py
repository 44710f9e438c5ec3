"""A lake with the quickstart's tables and compiled definitions, for uploads and fetches."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gigacast.feature_store.compile import compile_definitions
from gigacast.feature_store.stored import find_stored
from gigacast.feature_store.table import Tables
from gigacast.feature_store.uploads.plan import UploadJob, parts_to_upload
from gigacast.feature_store.uploads.run import UploadResult, upload
from gigacast.storage.store import StoreAddress
from tests.support.features.repository import write_repository

INTEGERS = {"ts", "purchase_price", "refund_amt"}
Row = Mapping[str, Any]


def write_table(lake: Path, name: str, rows: Sequence[Row]) -> None:
    """Write the rows of a table, a file per day."""
    days = sorted({str(row["ds"]) for row in rows})
    for day in days:
        mine = [{n: v for n, v in row.items() if n != "ds"} for row in rows if row["ds"] == day]
        kinds = {n: pa.int64() if n in INTEGERS else pa.string() for n in mine[0]}
        columns = {
            n: pa.array([None if row[n] is None else _cast(row[n], n) for row in mine], kind)
            for n, kind in kinds.items()
        }
        folder = lake / "data" / name / f"ds={day}"
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), folder / "part-0.parquet")


def _cast(value: Any, name: str) -> Any:
    return int(value) if name in INTEGERS else str(value)


def compile_quickstart(
    lake: Path, repository: Path, changes: Mapping[str, str] | None = None
) -> Tables:
    """Compile the quickstart's definitions for a lake, and return its tables."""
    lake.mkdir(parents=True, exist_ok=True)
    tables = Tables.at(StoreAddress(f"file://{lake}"))
    compile_definitions(write_repository(repository, changes), tables.store)
    return tables


def upload_day(tables: Tables, name: str, day: str, store: Any, **options: Any) -> UploadResult:
    """Upload a definition by its name; an error of a task is raised."""
    definition = find_stored(tables.store, name).definition
    joins = (definition,) if hasattr(definition, "right_parts") else ()
    job = UploadJob(tables, parts_to_upload(definition), day, joins, **options)
    result = upload(job, store=store)
    assert not result.failures, result.failures
    return result
