"""Small buckets of data for tests: hourly panels and their seasonal naive forecasts."""

import io
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gigacast.storage.store import Store


def hourly_panel(
    month: str = "2024-01", items: Sequence[str] = ("a", "b", "c"), steps: int = 72, seed: int = 0
) -> pd.DataFrame:
    """A long panel whose series end with the first days of a month."""
    rng = np.random.default_rng([seed, int(month.replace("-", ""))])
    times = pd.date_range(f"{month}-01", periods=steps, freq="h")
    daily = np.sin(np.arange(steps) / 24 * 2 * np.pi)
    frames = [
        pd.DataFrame(
            {
                "item_id": item,
                "timestamp": times,
                "target": 10 + n + daily + rng.normal(0, 0.1, steps),
            }
        )
        for n, item in enumerate(items)
    ]
    return pd.concat(frames, ignore_index=True)


def put_frame(store: Store, key: str, frame: pd.DataFrame) -> str:
    """Write a frame as Parquet."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), buffer)
    return store.put(key, buffer.getvalue())


def put_panels(
    store: Store, months: Sequence[str] = ("2024-01", "2024-02"), parts: int = 2
) -> list[str]:
    """Write a few partitions; return their names."""
    names = []
    for month in months:
        for part in range(parts):
            name = f"{month.replace('-', '/')}/part-{part:05d}"
            items = [f"{part}-{letter}" for letter in "abc"]
            put_frame(store, f"{name}.parquet", hourly_panel(month, items, seed=part))
            names.append(name)
    return names


def seasonal_naive(frame: pd.DataFrame, horizon: int, season: int = 24) -> pd.DataFrame:
    """The slow obvious oracle of the median: the value a season ago."""
    rows = []
    for item, series in frame.sort_values("timestamp").groupby("item_id"):
        values, times = series["target"].to_numpy(), series["timestamp"].to_numpy()
        step = times[-1] - times[-2]
        for ahead in range(horizon):
            value = values[len(values) - season + ahead % season]
            rows.append((item, times[-1] + step * (ahead + 1), value))
    return pd.DataFrame(rows, columns=["item_id", "timestamp", "predictions"])
