"""Selective reads: no more bytes than what is asked for needs, counted by the store."""

from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gigacast.core.dataset.predicate import Predicate
from gigacast.datasets.read import rows_of_folder, rows_of_version
from gigacast.errors import SchemaError
from gigacast.lake.dataset.catalog import Lake
from gigacast.lake.dataset.store import DatasetStore
from gigacast.storage.memory import MemoryStore
from gigacast.storage.parquet.scan import Scan, ScanStats, scan_parquet
from tests.support.bars import bars, parquet_bytes, publish

FOOTER = 64 << 10


class CountingStore(MemoryStore):
    """Counts the bytes that are read, by key."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.read: dict[str, int] = {}

    def get(self, key: str, **options: object) -> bytes:  # type: ignore[override]
        content = super().get(key, **options)  # type: ignore[arg-type]
        self.read[key] = self.read.get(key, 0) + len(content)
        return content


@pytest.fixture
def store(request: pytest.FixtureRequest) -> CountingStore:
    return CountingStore(request.node.name)


def noise(rows: int = 300_000) -> pd.DataFrame:
    frame = bars(rows)
    rng = np.random.default_rng(0)
    return frame.assign(**{f"x{n}": rng.normal(size=rows) for n in range(10)})


def test_reading_one_column_fetches_one_column(store: CountingStore) -> None:
    frame = noise()
    content = parquet_bytes(frame, row_group_size=100_000, use_dictionary=False)
    store.put("one.parquet", content)
    (batch, *more) = scan_parquet(store, "one.parquet", Scan(("close",)))
    got = pa.Table.from_batches([batch, *more])
    assert got["close"].to_pylist() == frame["close"].tolist()
    assert store.read["one.parquet"] < len(content) / 16 * 1.5 + FOOTER


def test_row_groups_that_cannot_match_are_not_fetched(store: CountingStore) -> None:
    frame = noise()
    content = parquet_bytes(frame, row_group_size=10_000, use_dictionary=False)
    store.put("one.parquet", content)
    stats = ScanStats()
    start = frame["timestamp"][123_456]
    predicate = Predicate.parse(
        [("timestamp", ">=", start), ("timestamp", "<", start + pd.Timedelta("1h"))]
    )
    got = pa.Table.from_batches(
        list(scan_parquet(store, "one.parquet", Scan(None, predicate), stats))
    )
    assert got["close"].to_pylist() == frame["close"][123_456:123_516].tolist()
    assert (stats.row_groups, stats.row_groups_skipped, stats.rows) == (30, 29, 10_000)
    assert store.read["one.parquet"] < len(content) / 30 * 1.5 + 2 * FOOTER


def test_one_column_of_one_month_of_ten_years_costs_a_hundredth(store: CountingStore) -> None:
    frame = noise(120_000)
    frame["timestamp"] = pd.date_range("2010-01-01", periods=120_000, freq="44min")
    manifest = publish(store, "cleaned/v1/X", frame, partition_by=["month"], contract=None).manifest
    assert len(manifest.files) == 121
    store.read.clear()
    # Without the file in sixteen that is drawn to be hashed, which is read as a whole.
    files = DatasetStore(store, manifest, store.address, draw=lambda: 1.0)
    rows = rows_of_version(files, manifest)
    expected = [("timestamp", ">=", datetime(2014, 3, 1)), ("timestamp", "<", datetime(2014, 4, 1))]  # noqa: DTZ001
    got = rows.table(["close"], Predicate.parse(expected))
    march = (frame["timestamp"] >= "2014-03-01") & (frame["timestamp"] < "2014-04-01")
    assert got["close"].to_pylist() == frame["close"][march].tolist()
    assert set(store.read) == {"cleaned/v1/X/year=2014/month=03/part-00000.parquet"}
    assert sum(store.read.values()) < manifest.size_bytes / 100
    by_folder = rows.table(["close"], Predicate.parse([("year", "==", 2014), ("month", "==", 3)]))
    assert by_folder.equals(got)


def test_the_manifest_alone_decides_that_no_file_matches(store: CountingStore) -> None:
    manifest = publish(store, "cleaned/v1/X", bars(5000)).manifest
    store.read.clear()
    rows = rows_of_version(DatasetStore(store, manifest, store.address), manifest)
    assert rows.table(None, Predicate.parse([("close", ">", 1e9)])).num_rows == 0
    assert store.read == {}
    assert Lake(store).read(manifest.ref).bounds["close"][1] < 1e9


def test_a_missing_column_of_a_scan_is_named_with_the_existing_ones(store: CountingStore) -> None:
    store.put("one.parquet", parquet_bytes(bars(10)))
    rows = rows_of_folder(store, "one.parquet")
    for ask in (["closed"], None):
        expected = None if ask else Predicate.parse([("closed", "==", 1)])
        with pytest.raises(SchemaError, match="has no column 'closed'") as caught:
            rows.table(ask, expected)
        assert "close, volume" in str(caught.value.hint)
