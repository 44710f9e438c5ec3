"""Bars of minutes for tests of datasets: right by contract, unless a test breaks them."""

import io
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gigacast.core.contract.predefined import OHLCV_SCHEMA
from gigacast.core.dataset.ref import DatasetRef
from gigacast.datasets.files import FileRules
from gigacast.datasets.publish import PublishedDataset, PublishOptions, publish_rows
from gigacast.lake.dataset.catalog import Lake
from gigacast.lake.publication import Author
from gigacast.storage.store import Store

ME = Author("ann@desk", lambda: datetime(2026, 11, 21, tzinfo=UTC))


def bars(
    rows: int = 100, start: str = "2024-01-15", step: str = "min", seed: int = 0
) -> pd.DataFrame:
    """OHLCV bars whose prices walk at random."""
    rng = np.random.default_rng(seed)
    close = 100 + rng.normal(0, 0.05, rows).cumsum()
    open_ = np.concatenate([[100.0], close[:-1]])
    return pd.DataFrame(
        {
            "timestamp": pd.date_range(start, periods=rows, freq=step),
            "open": open_,
            "high": np.maximum(open_, close) + rng.exponential(0.02, rows),
            "low": np.minimum(open_, close) - rng.exponential(0.02, rows),
            "close": close,
            "volume": rng.integers(0, 1000, rows).astype(float),
        }
    )


def table(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)


def parquet_bytes(frame: pd.DataFrame, **options: object) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table(frame), buffer, **options)
    return buffer.getvalue()


def publish(
    store: Store,
    dataset: str,
    frame: pd.DataFrame,
    *,
    author: Author = ME,
    partition_by: Sequence[str] = (),
    max_file_rows: int = 1 << 22,
    **options: object,
) -> PublishedDataset:
    """Publish a frame as a dataset of the lake in a store."""
    rows = table(frame)
    files = FileRules(partition_by=tuple(partition_by), max_file_rows=max_file_rows)
    settings = {"contract": OHLCV_SCHEMA, "files": files, **options}
    return publish_rows(
        Lake(store),
        DatasetRef.parse(dataset),
        rows.to_batches(max_chunksize=1000),
        rows.schema,
        PublishOptions(**settings),  # type: ignore[arg-type]
        author,
    )
