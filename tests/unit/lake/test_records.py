"""Receipts, audits, manifests and keys: what is written is what is read, and nothing is lost."""

import json
import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.errors import CorruptedFileError
from gigacast.lake import layout
from gigacast.lake.plan.audit import (
    COMPLETED,
    RUNNING,
    Audit,
    AuditLog,
    find_crashed_run,
    list_runs,
    new_run_id,
    read_audit,
)
from gigacast.lake.plan.manifest import (
    ManifestEntry,
    merge,
    read_manifest,
    to_table,
    update_manifest,
)
from gigacast.lake.plan.receipt import Receipt
from gigacast.storage.memory import MemoryStore
from tests.support.faulty_store import Fault, FaultyStore, SimulatedCrash, counted_pages

KEY = "forecasts/m/v/h1-q1-00000000/_manifest.parquet"


@pytest.fixture
def store(request: pytest.FixtureRequest) -> MemoryStore:
    return MemoryStore(request.node.name)


def entry(partition: str, etag: str = "e", rows: int | None = 1) -> ManifestEntry:
    return ManifestEntry(partition, f"forecasts/{partition}-{etag}.parquet", etag, rows, 10)


def receipt() -> Receipt:
    return Receipt(
        job="forecast",
        partition="2024/01/part-0",
        run_id="run",
        finished_at="2024-01-01T00:00:00+00:00",
        inputs=[{"key": "2024/01/part-0.parquet", "etag": "e", "size_bytes": 100}],
        output={"key": "o", "etag": "f", "size_bytes": 10, "rows": 3},
        rows=30,
        series=10,
        seconds={"total": 2.0},
        reasons={"all_null": 1},
        model="m",
        version="v",
        digest="d",
        spec="s",
        horizon=3,
    )


# -- keys ------------------------------------------------------------------------------------------


@given(st.from_regex(r"20\d\d/\d\d/[A-Za-z0-9_. -]{1,20}", fullmatch=True), st.text(), st.text())
def test_a_receipt_key_is_parsed_back_to_its_parts(
    name: str, input_etag: str, output_etag: str
) -> None:
    output = layout.spec_prefix("m", "v", "s") + layout.output_name(name)
    input_id = layout.output_id(input_etag)
    parsed = layout.parse_receipt_key(layout.receipt_key(output, input_id, output_etag))
    assert parsed == (output, input_id, layout.output_id(output_etag))


def test_other_endings_than_parquet_are_kept() -> None:
    assert layout.output_name("2024/01/a.parquet") == "2024/01/a.parquet"
    assert layout.output_name("2024/01/a.csv") == "2024/01/a.csv.parquet"


@pytest.mark.parametrize("key", ["timings/x.json", "audit/run.json", "timings/a.b.c.json"])
def test_other_objects_are_not_taken_for_receipts(key: str) -> None:
    assert layout.parse_receipt_key(key) is None


def test_the_manifest_is_not_taken_for_a_prediction() -> None:
    assert layout.parse_prediction_key(KEY) is None
    assert layout.parse_prediction_key("forecasts/m/v/s/2024/01/a.parquet") == (
        "m",
        "v",
        "s",
        "2024/01/a.parquet",
    )


# -- receipts --------------------------------------------------------------------------------------


def test_a_receipt_is_read_as_it_was_written() -> None:
    assert Receipt.from_json(receipt().to_json(), "key") == receipt()


def test_a_receipt_computes_its_speed() -> None:
    assert json.loads(receipt().to_json())["series_per_s"] == 5.0


def test_unknown_fields_of_a_newer_version_are_ignored() -> None:
    content = {**json.loads(receipt().to_json()), "dollars": 3}
    assert Receipt.from_json(json.dumps(content).encode(), "key") == receipt()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'"text"', b"\xff"])
def test_an_object_that_is_not_a_receipt_is_refused_by_key(content: bytes) -> None:
    with pytest.raises(CorruptedFileError, match="some/key"):
        Receipt.from_json(content, "some/key")


# -- audits ----------------------------------------------------------------------------------------


class Clock:
    """A clock that is told what time it is."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def test_the_audit_of_a_killed_run_has_no_end(store: MemoryStore) -> None:
    log = AuditLog(store, Audit("run", "2026-01-01"), Clock())
    log.save(force=True)
    audit = read_audit(store, "run")
    assert (audit.status, audit.end_time) == ("running", None)


def test_an_audit_is_saved_at_intervals_and_at_the_end(store: MemoryStore) -> None:
    clock, watched = Clock(), FaultyStore(store)
    log = AuditLog(watched, Audit("run", "2026-01-01"), clock, interval_s=10)
    for _ in range(25):
        log.save()
        clock.now += timedelta(seconds=1)
    assert watched.counts["put"] == 3
    log.audit.files_processed = 7
    log.close(COMPLETED)
    assert read_audit(store, "run").files_processed == 7
    assert read_audit(store, "run").status == "completed"


def test_run_ids_sort_by_time_and_differ() -> None:
    early, late = (new_run_id(datetime(2026, 1, d, tzinfo=UTC), lambda n: "ab" * n) for d in (1, 2))
    assert early < late
    assert new_run_id(datetime(2026, 1, 1, tzinfo=UTC), lambda n: "cd" * n) != early


def test_the_latest_runs_come_first(store: MemoryStore) -> None:
    for run in ("a", "b", "c"):
        AuditLog(store, Audit(run, ""), Clock()).save(force=True)
    store.put("audit/b/child-0.json", b"{}")
    runs = list_runs(store)
    assert {run for run, _ in runs} == {"a", "b", "c"}
    assert runs == sorted(runs, key=lambda run: run[::-1], reverse=True)


def test_a_run_that_was_killed_is_found_behind_the_children_of_large_arrays(
    store: MemoryStore,
) -> None:
    for night, children in (("01", 2600), ("02", 2600)):
        run = f"forecast_202611{night}_010000_0000"
        AuditLog(store, Audit(run, "", status=COMPLETED), Clock()).save(force=True)
        for child in range(children):
            store.put(f"audit/{run}/{child}.json", b"{}")
    killed = "forecast_20261102_020000_0000"
    AuditLog(store, Audit(killed, "2026-11-02T02:00:00+00:00", status=RUNNING), Clock()).save(
        force=True
    )
    now = datetime(2026, 11, 2, 3, tzinfo=UTC)
    with counted_pages() as pages:
        assert find_crashed_run(store, "forecast", now) == killed
    assert len(pages) <= 4, "children are leapt over"


# -- manifests -------------------------------------------------------------------------------------


def test_a_newer_generation_replaces_the_older_one() -> None:
    merged = merge(to_table([entry("a", "1"), entry("b", "1")]), to_table([entry("a", "2")]))
    assert merged.select(["partition", "etag"]).to_pylist() == [
        {"partition": "a", "etag": "2"},
        {"partition": "b", "etag": "1"},
    ]


def test_the_order_of_merging_different_partitions_does_not_matter() -> None:
    first, second = to_table([entry("a"), entry("c")]), to_table([entry("b")])
    assert merge(first, second).equals(merge(second, first))


def test_nothing_is_written_when_nothing_changes(store: MemoryStore) -> None:
    update_manifest(store, KEY, to_table([entry("a")]))
    before = store.head(KEY)
    assert update_manifest(store, KEY, to_table([entry("a")])) == 1
    assert store.head(KEY) == before


def test_concurrent_runs_lose_no_entry_of_the_manifest(store: MemoryStore) -> None:
    threads = [
        threading.Thread(target=update_manifest, args=(store, KEY, to_table([entry(str(n))])))
        for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(read_manifest(store, KEY)[0]["partition"].to_pylist()) == sorted(
        str(n) for n in range(12)
    )


def test_a_crash_leaves_the_old_manifest_unchanged(store: MemoryStore) -> None:
    update_manifest(store, KEY, to_table([entry("a")]))
    crashing = FaultyStore(store, [Fault(("put_if_match",))])
    with pytest.raises(SimulatedCrash):
        update_manifest(crashing, KEY, to_table([entry("b")]))
    assert read_manifest(store, KEY)[0]["partition"].to_pylist() == ["a"]


def test_an_object_that_is_not_a_manifest_is_refused(store: MemoryStore) -> None:
    store.put(KEY, b"no Parquet")
    with pytest.raises(CorruptedFileError, match="not a manifest"):
        read_manifest(store, KEY)
