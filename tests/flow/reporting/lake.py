"""A small bucket of a morning after: a run, its actuals, and texts that are HTML."""

from pathlib import Path

import numpy as np
import pandas as pd

from gigacast.cli.program import run
from gigacast.storage.folder.store import FolderStore
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress
from tests.support.panels import put_frame

HOSTILE = "<img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script>"
ITEMS = ("north", "south", HOSTILE, "east", "west")


def daily_panel() -> pd.DataFrame:
    """Return ten weeks of days; the last eleven of them have a stuck and a failing sensor."""
    rng = np.random.default_rng(4)
    days = pd.date_range("2024-01-01", "2024-03-11", freq="D")
    frames = []
    for n, item in enumerate(ITEMS):
        week = np.sin(np.arange(len(days)) / 7 * 2 * np.pi)
        values = 100 * (n + 1) * (1 + 0.3 * week + rng.normal(0, 0.03, len(days)))
        frames.append(pd.DataFrame({"item_id": item, "timestamp": days, "target": values}))
    panel = pd.concat(frames, ignore_index=True)
    march = panel["timestamp"] >= "2024-03-01"
    panel.loc[(panel["item_id"] == "north") & march, "target"] = 0.0
    panel.loc[(panel["item_id"] == "east") & march, "target"] = 123.25
    panel.loc[(panel["item_id"] == "west") & march, "target"] *= 2.0
    return panel


def put_lake(folder: Path) -> str:
    """Write the panel, forecast February, and return the URL of the bucket."""
    folder.mkdir(parents=True, exist_ok=True)
    address = StoreAddress(folder.as_uri())
    store = open_store(address)
    panel = daily_panel()
    for month, rows in panel.groupby(panel["timestamp"].dt.strftime("%Y/%m")):
        put_frame(store, f"{month}/part-00000.parquet", rows)
    return address.url


def flags(url: str) -> list[str]:
    return ["--bucket", url, "--quiet"]


NAIVE = ["--model", "seasonal-naive", "--horizon", "11", "--context_partitions", "1"]


def forecast(url: str, *more: str) -> int:
    return run(["forecast", *flags(url), *NAIVE, "--months", "1:2", *more])


def page_text(store: FolderStore, name: str) -> str:
    return store.get(f"reports/{name}.html").decode()
