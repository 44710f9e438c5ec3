"""Buckets that `gigacast data` works on."""

from pathlib import Path

import pytest

from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.flow.datasets.command.calls import command
from tests.support.bars import bars


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    (tmp_path / "bucket").mkdir()
    monkeypatch.chdir(tmp_path)
    bars(100).to_csv(tmp_path / "bars.csv", index=False)
    return open_store(StoreAddress(f"file://{tmp_path}/bucket"))


@pytest.fixture
def filled(bucket: Store) -> Store:
    """A bucket with a snapshot, and two versions of what was made from it."""
    assert command(bucket, "import", "bars.csv", "raw/MES/2024-01-15") == 0
    publish_words = [
        "publish",
        "raw/MES",
        "cleaned/MES",
        "--schema",
        "ohlcv",
        "--partition_by",
        "date",
    ]
    assert command(bucket, *publish_words) == 0
    later = bars(50, start="2024-02-01", seed=1)
    later.to_parquet("later.parquet", index=False)
    append = ["publish", "later.parquet", "cleaned/MES", "--append", "--what", "February"]
    assert command(bucket, *append, "--schema", "ohlcv", "--partition_by", "date") == 0
    return bucket
