"""Dirty rows, small cleaning jobs, and what pandas makes of the same rows."""

from typing import Any

import numpy as np
import pandas as pd

from gigacast.cleaning.rules import CleanRules
from gigacast.cleaning.run import CleanJob, CleanResult, clean_dataset
from gigacast.core.dataset.ref import DatasetRef
from gigacast.datasets.resolve import rows_in
from gigacast.job.file_job import FileJob, Sources, sources_of_dataset
from gigacast.lake.dataset.catalog import Lake
from gigacast.quality.measures import Limit, Thresholds
from gigacast.storage.store import Store
from tests.support.bars import ME, bars, parquet_bytes, publish

RAW, TARGET = DatasetRef.parse("raw/FX"), DatasetRef.parse("cleaned/FX")

LENIENT = Thresholds(**{name: Limit() for name in Thresholds.__dataclass_fields__})


def dirty(symbol: str, start: str = "2024-01-15", seed: int = 0) -> pd.DataFrame:
    """Bars of a symbol with every fault that cleaning repairs."""
    frame = bars(200, start=start, seed=seed)
    frame.insert(0, "symbol", symbol)
    frame.loc[20:22, "close"] = np.nan
    frame.loc[60, "volume"] = 1e7
    frame = frame.drop(index=range(100, 110))
    again = frame.iloc[[30]].assign(volume=7.0)
    return pd.concat([frame, again], ignore_index=True)


def raw(store: Store, day: str = "2024-01-15", **options: Any) -> None:
    frame = pd.concat([dirty("EURUSD"), dirty("GBPUSD", "2024-02-10", 1)])
    arguments = {"contract": None, "partition_by": ["month"], **options}
    publish(store, f"raw/FX/{day}", frame, **arguments)


def job_of(store: Store, **options: Any) -> CleanJob:
    files = {
        name: options.pop(name) for name in ("reading", "limit", "resources") if name in options
    }
    every = options.pop("every", False)
    sources = options.pop("sources", None) or sources_of_dataset(store.address, RAW, every=every)
    arguments = {"rules": CleanRules(), "thresholds": LENIENT, **options}
    return CleanJob(FileJob(sources, store.address, **files), TARGET, **arguments)


def clean(store: Store, **options: Any) -> CleanResult:
    return clean_dataset(job_of(store, **options), ME)


def rows_of(store: Store, ref: DatasetRef = TARGET) -> pd.DataFrame:
    return rows_in(Lake(store), ref).table().to_pandas()


def pandas_way() -> pd.DataFrame:
    """Clean each month as a slow user would, with a loop over symbols."""
    parts = []
    for frame in (dirty("EURUSD"), dirty("GBPUSD", "2024-02-10", 1)):
        own = frame.sort_values("timestamp", kind="stable").drop_duplicates(
            "timestamp", keep="last"
        )
        own = own.reset_index(drop=True)
        columns = ["open", "high", "low", "close", "volume"]
        for name in columns:
            low, high = own[name].quantile([0.25, 0.75])
            far = (own[name] < low - 3 * (high - low)) | (own[name] > high + 3 * (high - low))
            own[f"{name}_outlier"] = far
        own[columns] = own[columns].ffill()
        own["timestamp"] = own["timestamp"].dt.tz_localize("UTC")
        parts.append(own)
    return pd.concat(parts, ignore_index=True)


def partitions(store: Store) -> Sources:
    for month in (1, 2, 3):
        frame = dirty("EURUSD", f"2024-{month:02d}-10", month)
        store.put(f"2024/{month:02d}/part-00000.parquet", parquet_bytes(frame))
    return Sources(store.address)


def unreadable(symbol: str = "EURUSD") -> pd.DataFrame:
    frame = dirty(symbol, "2024-04-10")
    return frame.assign(timestamp=frame["timestamp"].dt.strftime("%d/%m/%Y %H:%M"))
