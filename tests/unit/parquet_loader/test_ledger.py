"""Receipts of processed files: their stored form and their replacement."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gigacast.lake.plan.receipt import list_receipts
from gigacast.parquet_loader.discovery import ParquetFileInfo
from gigacast.parquet_loader.ledger import ProcessedLedger
from gigacast.storage.memory import MemoryStore
from gigacast.storage.store import Store
from tests.support.faulty_store import Fault, FaultyStore, SimulatedCrash

KEY = "2014/03/part-00000.parquet"
SHA256_OF_ROWS = "bc51e9e65d79e1c90ba544ab2eae1044ccdf8c1af7a559ba375cba4276f7d99e"


@pytest.fixture
def store(request: pytest.FixtureRequest) -> MemoryStore:
    bucket = MemoryStore(request.node.name)
    bucket.put(KEY, b"rows")
    return bucket


def info_of(store: Store) -> ParquetFileInfo:
    info = ParquetFileInfo(KEY, "part-00000", None, None, 2014, 3, None, "parquet", KEY)
    meta = store.head(KEY)
    return replace(info, etag=meta.etag, size_bytes=meta.size_bytes)


def ledger_of(store: Store) -> ProcessedLedger:
    return ProcessedLedger(store, store, "sha256", lambda: datetime(2024, 1, 2, 3, 4, 5, 6789, UTC))


def receipts(store: Store, status: str) -> list[str]:
    return [key for key, _ in list_receipts(store, f"processed/{status}/{KEY}")]


def test_a_receipt_keeps_its_stored_form(store: MemoryStore) -> None:
    info = info_of(store)
    stored = json.loads(store.get(ledger_of(store).mark_processed(info)))
    assert set(stored.pop("host")) == {"name", "pid"}
    source = {"key": KEY, "etag": info.etag, "size_bytes": 4}
    assert {name: value for name, value in stored.items() if value} == {
        "job": "load",
        "partition": KEY,
        "finished_at": "2024-01-02T03:04:05.006+00:00",
        "inputs": [{**source, "checksum": f"sha256:{SHA256_OF_ROWS}"}],
        "output": {"status": "completed"},
        "device": "cpu",
        "precision": "float32",
    }


def test_a_crash_between_receipts_leaves_an_extra_receipt_and_never_none(
    store: MemoryStore,
) -> None:
    ledger_of(store).mark_processed(info_of(store), "failed")
    crashing = FaultyStore(store, [Fault(("delete",))])
    with pytest.raises(SimulatedCrash):
        ledger_of(crashing).mark_processed(info_of(store))
    assert [len(receipts(store, status)) for status in ("failed", "completed")] == [1, 1]
    assert ledger_of(store).is_processed(info_of(store))


def test_receipts_of_a_file_with_a_longer_name_are_not_confused(
    store: MemoryStore,
) -> None:
    key = ledger_of(store).mark_processed(info_of(store))
    store.put(key.replace(KEY, f"{KEY}.copy.parquet"), store.get(key))
    assert receipts(store, "completed") == [key]
