"""Partitions to measure."""

import pandas as pd

from gigacast.storage.store import Store
from tests.support.bars import parquet_bytes


def put(store: Store, name: str, frame: pd.DataFrame) -> None:
    store.put(f"2024/01/part-{name}.parquet", parquet_bytes(frame))
