"""A draft of a manifest reads receipts only for rows that nobody has counted."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from gigacast.core.column import text_column
from gigacast.core.partition.spec import Spec
from gigacast.core.partition.task import InputObject, Task
from gigacast.core.time.month import Month
from gigacast.errors import TransientStorageError
from gigacast.forecasting import manifest
from gigacast.forecasting.manifest import ManifestDraft, find_rows
from gigacast.lake.layout import kept_manifest_key, manifest_key, outdated_key, receipt_key
from gigacast.lake.plan.manifest import ManifestEntry, read_manifest, to_table
from gigacast.lake.plan.receipt import Receipt
from gigacast.lake.plan.rows import DoneEntry, DoneRows, TaskRows
from gigacast.storage.listed import Listed
from gigacast.storage.memory import MemoryStore
from gigacast.storage.store import ObjectMeta
from tests.support.faulty_store import Fault, FaultyStore, transient

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


def in_columns(*entries: DoneEntry) -> DoneRows:
    tasks = [entry.task for entry in entries]
    inputs = [ObjectMeta(task.inputs[0].key, task.inputs[0].etag, 1, 0) for task in tasks]
    rows = TaskRows(
        Month(2024, 1), "parquet", Listed.of(inputs),
        text_column([task.partition for task in tasks]),
        text_column([task.output_key for task in tasks]),
        None, None, np.array([task.horizon for task in tasks]), {1: "h1"},
    )  # fmt: skip
    outputs = Listed.of([entry.output for entry in entries])
    return DoneRows(rows, outputs, text_column([entry.receipt_key for entry in entries]))


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


def copies_after(store: FaultyStore, run: str, keep: int, *entries: DoneEntry) -> list[str]:
    draft = ManifestDraft(store, SPEC)
    for entry in entries:
        draft.add_done(entry)
    draft.commit(run, keep)
    prefix = kept_manifest_key(KEY, "")
    return [e.key.rpartition("/")[2] for page in store.list(prefix) for e in page]


def test_a_manifest_is_copied_for_the_runs_that_change_it(store: FaultyStore) -> None:
    one, two = done_entry(store, 1, 10), done_entry(store, 2, 20)
    assert copies_after(store, "run-0", 1, one) == []
    assert copies_after(store, "run-1", 5, one) == []  # nothing changed
    assert copies_after(store, "", 5, one, two) == []
    three = done_entry(store, 3, 30)
    first = copies_after(store, "run-2", 5, one, two, three)
    assert len(first) == 1
    assert copies_after(store, "run-3", 5, one, two, three) == first
    assert len(copies_after(store, "run-4", 2, done_entry(store, 4, 40))) == 2


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


def test_entries_in_columns_are_kept_beside_those_added_one_by_one(store: FaultyStore) -> None:
    first, second, third, last = (done_entry(store, number, number) for number in range(1, 5))
    draft = ManifestDraft(store, SPEC)
    draft.add_all([first])
    draft.add_all(in_columns(second, third))
    draft.add_all([last])
    draft.commit()
    assert rows_of(store) == {f"2024/01/p{number}": number for number in range(1, 5)}


def test_a_draft_without_entries_is_an_empty_table(store: FaultyStore) -> None:
    empty = to_table([])
    rows, is_untold = find_rows(empty, empty)
    assert (len(rows), len(is_untold)) == (0, 0)
    assert commit(store) == 0


def test_a_note_that_the_manifest_is_outdated_goes_and_other_objects_stay(
    store: FaultyStore,
) -> None:
    note, other = outdated_key("m", "v", "h1"), KEY.replace("_manifest.parquet", "_other")
    for key in (note, other):
        store.put(key, b"")
    commit(store, done_entry(store, 1, 1))
    keys = {entry.key for page in store.list(KEY.rpartition("/")[0]) for entry in page}
    assert keys == {KEY, other}


def test_a_manifest_that_was_never_outdated_costs_no_deletion(store: FaultyStore) -> None:
    commit(store, done_entry(store, 1, 1))
    assert store.counts["delete"] == 0


def test_an_outage_leaves_a_note_that_the_manifest_is_outdated(store: FaultyStore) -> None:
    store.faults = [Fault(("put_if_absent",), error=transient)]
    with pytest.raises(TransientStorageError):
        commit(store, done_entry(store, 1, 1))
    assert store.get(outdated_key("m", "v", "h1")) == b""


def test_a_damaged_manifest_is_mended_before_entries_are_added(store: FaultyStore) -> None:
    store.put(KEY, b"damaged")
    commit(store, done_entry(store, 1, 5))
    assert rows_of(store) == {"2024/01/p1": 5}


def test_each_spec_has_a_manifest_of_its_own(store: FaultyStore) -> None:
    entry = done_entry(store, 1, 5)
    other = replace(entry, task=replace(entry.task, partition="q", spec="h2"))
    receipt = Receipt(
        "forecast", "now", "r", "2024-01-01T00:00:00+00:00", [],
        {"key": "k", "etag": "e", "size_bytes": 9, "rows": 4},
        1, 1, {}, {}, "m", "v", "d", "h3", 1,
    )  # fmt: skip
    draft = ManifestDraft(store, SPEC)
    draft.add_done(entry)
    draft.add_done(other)
    draft.add_receipt(receipt)
    draft.commit()
    tables = {s: read_manifest(store, manifest_key("m", "v", s))[0] for s in ("h1", "h2", "h3")}
    assert {s: t["partition"].to_pylist() for s, t in tables.items()} == {
        "h1": ["2024/01/p1"],
        "h2": ["q"],
        "h3": ["now"],
    }
    assert tables["h3"].to_pylist() == [
        {"partition": "now", "key": "k", "etag": "e", "rows": 4, "size_bytes": 9}
    ]


def test_rows_are_looked_up_by_key_and_etag_together() -> None:
    outputs = to_table([ManifestEntry("p", "k", e, None, 1) for e in ("e1", "e2", "e3")])
    counted = to_table(
        [
            ManifestEntry("p", "k", "e2", 20, 1),
            ManifestEntry("p", "k", "e3", None, 1),
            ManifestEntry("p", "ke", "1", 99, 1),
        ]
    )
    rows, is_unknown = find_rows(outputs, counted)
    assert (rows.tolist(), is_unknown.tolist()) == ([0, 20, 0], [True, False, True])
    for pair in ((outputs, to_table([])), (to_table([]), counted)):
        rows, is_unknown = find_rows(*pair)
        assert (rows.tolist(), is_unknown.tolist()) == ([0] * len(pair[0]), [True] * len(pair[0]))
