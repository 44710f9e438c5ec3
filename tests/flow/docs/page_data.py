"""The small data that the examples of the guide are run on, page by page."""

import calendar
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.bars import bars
from tests.support.companions import panel
from tests.support.panels import hourly_panel, put_frame
from tests.support.ticks import key_of, month_table, parquet
from tests.support.tiny_models import tiny_bolt, tiny_chronos2

ITEMS = ("site-001", "site-002", "site-003")


def open_folder(folder: Path, prefix: str) -> Store:
    """Return a prefix of the bucket of the examples, as a store."""
    root = folder / "my-bucket" / prefix
    root.mkdir(parents=True, exist_ok=True)
    return open_store(StoreAddress(f"file://{root}"))


def put_sales(folder: Path) -> None:
    """Put three whole months of hourly series: what comes after a month is in the next."""
    store = open_folder(folder, "sales")
    for month in (1, 2, 3):
        steps = 24 * calendar.monthrange(2024, month)[1]
        frame = hourly_panel(f"2024-{month:02d}", ITEMS, steps)
        put_frame(store, f"2024/{month:02d}/part-00000.parquet", frame)


def put_fx(folder: Path) -> None:
    """Put three months of one symbol, each with its JSON twin."""
    store = open_folder(folder, "fx")
    for month in (1, 2, 3):
        content = parquet(month_table(2014, month, rows=90))
        store.put(key_of(2014, month, "EURUSD"), content)
        store.put(key_of(2014, month, "EURUSD", ending="json"), b'{"source": "vendor"}')


def put_shops(folder: Path) -> None:
    """Put a panel whose columns have names of their own."""
    days = pd.date_range("2024-01-01", periods=60, freq="D")
    rows = {"shop": ["north"] * 60, "day": days, "sold": range(60)}
    put_frame(open_folder(folder, "shops"), "2024/02/part-00000.parquet", pd.DataFrame(rows))


def put_chain(folder: Path) -> None:
    """Put two stores that sell the same three products."""
    days = pd.date_range("2024-01-01", periods=60, freq="D")
    parts = [
        pd.DataFrame({"store_id": store, "sku": sku, "timestamp": days, "target": range(60)})
        for store in (1, 2)
        for sku in ("coffee", "tea", "water")
    ]
    put_frame(open_folder(folder, "chain"), "2024/02/part-00000.parquet", pd.concat(parts))


def put_german(folder: Path) -> None:
    """Put a panel as CSV with semicolons, decimal commas and days first."""
    days = pd.date_range("2024-01-01", periods=60, freq="D")
    rows = [f"nord;{day:%d.%m.%Y};1.{100 + n},5" for n, day in enumerate(days)]
    text = "\n".join(["item_id;timestamp;target", *rows])
    open_folder(folder, "german").put("2024/02/part-00000.csv", text.encode("cp1252"))


def put_stores(folder: Path) -> None:
    """Put a panel with covariates and a Chronos-2 model that can use them."""
    put_frame(open_folder(folder, "stores"), "2024/02/part-00000.parquet", panel())
    tiny_chronos2(folder).rename(folder / "my-chronos-2")


def put_tuned(folder: Path) -> None:
    """Put a folder with a model of one's own."""
    tiny_bolt(folder).rename(folder / "tuned")


def put_bars(folder: Path) -> None:
    """Put local files with bars, January as CSV and February as Parquet, and an empty bucket."""
    (folder / "my-bucket").mkdir(exist_ok=True)
    bars(31 * 24, "2024-01-01", "h").to_csv(folder / "bars.csv", index=False)
    bars(29 * 24, "2024-02-01", "h", seed=1).to_parquet(folder / "february.parquet", index=False)


def put_quotes(folder: Path) -> None:
    """Put a local file that keeps the contract of the guide."""
    times = pd.date_range("2024-01-01", periods=100, freq="min")
    frame = pd.DataFrame({"timestamp": times, "venue": "A", "bid": 1.0, "ask": 1.01})
    frame.to_parquet(folder / "quotes.parquet", index=False)


def put_frame_file(folder: Path) -> None:
    """Put one local file with the series of a bucket's partition."""
    hourly_panel(items=ITEMS, steps=240).to_csv(folder / "sales.csv", index=False)
    panel().to_parquet(folder / "stores.parquet", index=False)


def put_shop(folder: Path) -> None:
    """Put the tables of a small shop: purchases and checkouts of two days, and users of one."""
    store = open_folder(folder, "data")
    for day, start in (("2024-01-30", 1_706_572_800_000), ("2024-01-31", 1_706_659_200_000)):
        users = [1, 2, 2, 3]
        times = [start + 3_600_000 * hour for hour in range(4)]
        rows = pd.DataFrame({"user_id": users, "ts": times, "amount": [100, 250, 300, 50]})
        put_frame(store, f"purchases/ds={day}/part-0.parquet", rows)
        put_frame(store, f"checkouts/ds={day}/part-0.parquet", rows[["user_id", "ts"]])
    entities = pd.DataFrame({"user_id": [1, 2, 3], "country": ["NO", "SE", "DK"]})
    put_frame(store, "users/ds=2024-01-30/part-0.parquet", entities)


def put_tables(folder: Path) -> None:
    """Put a table of Delta Lake with three months of hourly series, partitioned by months."""
    deltalake = pytest.importorskip("deltalake", reason="tables need the extra delta")
    (folder / "my-bucket").mkdir()
    months = [hourly_panel(f"2024-{month:02d}", ITEMS, 24 * 10) for month in (1, 2, 3)]
    frame = pd.concat(months)
    frame = frame.assign(year=frame["timestamp"].dt.year, month=frame["timestamp"].dt.month)
    rows = pa.Table.from_pandas(frame, preserve_index=False)
    deltalake.write_deltalake(
        folder / "my-bucket" / "tables" / "sales", rows, partition_by=["year", "month"]
    )


PREPARATIONS: dict[str, tuple[Callable[[Path], None], ...]] = {
    "first-steps": (put_sales,),
    "forecasting": (put_sales, put_fx, put_shops, put_chain, put_german, put_stores),
    "lake": (put_sales,),
    "models": (put_sales, put_tuned),
    "selection": (put_sales, put_chain),
    "training": (put_sales, put_frame_file),
    "datasets": (put_bars, put_quotes),
    "feature-store": (put_shop, put_stores),
    # Tutorials make their own.
    "retail": (),
    "energy": (),
    "platform": (),
    "serving": (put_shop,),
    "quality": (put_sales, put_bars),
    "reports": (put_sales,),
    "python": (put_sales, put_fx, put_frame_file, put_stores),
    "settings": (put_sales,),
    "tables": (put_tables,),
    "troubles": (put_sales,),
    "README": (put_sales, put_frame_file),
}
