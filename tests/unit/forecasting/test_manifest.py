"""A draft of a manifest reads receipts only for rows that nobody has counted."""

from datetime import UTC, datetime

import pytest

from gigacast.core.partition.spec import Spec
from gigacast.core.partition.task import InputObject, Task
from gigacast.forecasting import manifest
from gigacast.forecasting.manifest import ManifestDraft, find_rows
from gigacast.lake.layout import manifest_key, receipt_key
from gigacast.lake.plan.manifest import ManifestEntry, read_manifest, to_table
from gigacast.lake.plan.planner import DoneEntry
from gigacast.lake.plan.receipt import Receipt
from gigacast.storage.memory import MemoryStore
from gigacast.storage.store import ObjectMeta
from tests.support.faulty_store import FaultyStore

SPEC = Spec("m", "v", (0.5,), {})
KEY = manifest_key("m", "v", "h1")


@pytest.fixture
def store(request: pytest.FixtureRequest) -> FaultyStore:
    return FaultyStore(MemoryStore(request.node.name))


def done_entry(store: FaultyStore, number: int, rows: int | None, etag: str = "e") -> DoneEntry:
    inputs = (InputObject(f"2024/01/p{number}.parquet", "i", 1, "parquet"),)
    output = f"forecasts/m/v/h1/2024/01/p{number}.parquet"
    task = Task(f"2024/01/p{number}", "2024-01", inputs, 1, 1, "h1", output)
    key = receipt_key(output, task.input_id, etag)
    if rows is not None:
        receipt = Receipt(
            "forecast", task.partition, "r", datetime.now(UTC).isoformat(), [],
            {"key": output, "etag": etag, "size_bytes": 7, "rows": rows},
            1, 1, {}, {}, "m", "v", "d", "h1", 1,
        )  # fmt: skip
        store.put(key, receipt.to_json())
    return DoneEntry(task, ObjectMeta(output, etag, 7, 0), key)


def rows_of(store: FaultyStore) -> dict[str, int | None]:
    table, _ = read_manifest(store, KEY)
    return dict(zip(table["partition"].to_pylist(), table["rows"].to_pylist(), strict=True))


def receipts_read(store: FaultyStore) -> int:
    return sum(kind == "get" and key.startswith("timings/") for kind, key in store.log)


def commit(
    store: FaultyStore, *entries: DoneEntry, reported: list[ManifestEntry] | None = None
) -> int:
    before = receipts_read(store)
    draft = ManifestDraft(store, SPEC)
    for entry in entries:
        draft.add_done(entry)
    draft.add_rows(to_table(reported or []))
    draft.commit()
    return receipts_read(store) - before


def test_rows_are_read_from_a_receipt_once_and_then_from_the_manifest(store: FaultyStore) -> None:
    first = [done_entry(store, 1, 10), done_entry(store, 2, None)]
    assert commit(store, *first) == 2
    assert rows_of(store) == {"2024/01/p1": 10, "2024/01/p2": None}
    # The unknown row is read again, the known one is not.
    assert commit(store, *first, done_entry(store, 3, 30)) == 2
    assert rows_of(store) == {"2024/01/p1": 10, "2024/01/p2": None, "2024/01/p3": 30}


def test_rows_that_children_have_counted_are_not_read_from_receipts(store: FaultyStore) -> None:
    entry = done_entry(store, 1, 10)
    expected_entry = ManifestEntry("2024/01/p1", entry.output.key, "e", 99, 7)
    assert commit(store, entry, reported=[expected_entry]) == 0
    assert rows_of(store) == {"2024/01/p1": 99}


def test_rows_of_another_generation_are_not_used(store: FaultyStore) -> None:
    assert commit(store, done_entry(store, 1, 10, etag="old")) == 1
    assert commit(store, done_entry(store, 1, 20, etag="new")) == 1
    assert rows_of(store) == {"2024/01/p1": 20}


def test_chunks_are_joined_in_their_order(
    store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "CHUNK", 3)
    commit(store, *(done_entry(store, number, number) for number in range(8)))
    assert rows_of(store) == {f"2024/01/p{number}": number for number in range(8)}


def test_a_draft_without_entries_is_an_empty_table(store: FaultyStore) -> None:
    empty = to_table([])
    rows, is_untold = find_rows(empty, empty)
    assert (len(rows), len(is_untold)) == (0, 0)
    assert commit(store) == 0
