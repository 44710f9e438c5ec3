"""Loaders over a store, and the closes of their rows."""

from pathlib import Path

from gigacast.parquet_loader import ParquetDataLoader
from gigacast.storage.store import Store
from tests.support.ticks import write_config

YEAR = [(2014, month) for month in range(1, 13)]


def loader_of(store: Store, tmp_path: Path, more: str = "") -> ParquetDataLoader:
    return ParquetDataLoader(write_config(tmp_path / "loader.yaml", store.address.url, more))
