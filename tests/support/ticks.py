"""Bars in year and month folders, as `ParquetDataLoader` reads them, on any store."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress

HASH = "769b531dbb2ff3cb"


def key_of(
    year: int, month: int, symbol: str = "SYMBOL", timeframe: str = "1min", ending: str = "parquet"
) -> str:
    name = f"{symbol}_{timeframe}_h15_{year}_{month:02d}_{HASH}.{ending}"
    return f"{year}/{month:02d}/{name}"


def month_table(
    year: int, month: int, rows: int = 60, *, text: bool = True, step: str = "m"
) -> pa.Table:
    """The seed's columns: `ds` as text, targets, features; every value tells its month and row."""
    start = np.datetime64(f"{year}-{month:02d}-01T00:00", step)
    times = (start + np.arange(rows)).astype("M8[us]")
    base = (year - 2000) * 12 + month
    close = base * 1000.0 + np.arange(rows)
    ds = pa.array([str(t).replace("T", " ") for t in times]) if text else pa.array(times)
    return pa.table(
        {
            "ds": ds,
            "target_close": close,
            "target_volatility": close / 7,
            "feature_1": close + 0.25,
            "feature_2": -close,
            "feature_3": np.sqrt(close),
            "gold_xauusd_bid": close * 2,
            "__index_level_0__": np.arange(rows),
        }
    )


def parquet(table: pa.Table, **options: object) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


def fill(store: Store, months: list[tuple[int, int]], rows: int = 60, **shape: object) -> None:
    """Put a file of each month, with a JSON that describes it beside it."""
    for year, month in months:
        content = parquet(month_table(year, month, rows, **shape), row_group_size=20)  # type: ignore[arg-type]
        store.put(key_of(year, month), content)
        twin = {"rows": rows, "md5": hashlib.md5(content).hexdigest()}
        store.put(key_of(year, month, ending="json"), json.dumps(twin).encode())


def write_config(path: Path, root: str, more: str = "") -> Path:
    path.write_text(
        f'parquet_loader:\n  data_paths:\n    root_dir: "{root}"\n'
        + "".join(f"  {line}\n" for line in more.splitlines())
    )
    return path


def folder_store(folder: Path) -> Store:
    folder.mkdir(parents=True, exist_ok=True)
    return open_store(StoreAddress(f"file://{folder}"))
