"""Manifests: their form, their rebuilding from receipts, the entries that are taken out."""

import io
import logging
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.errors import PreconditionFailedError
from gigacast.lake.layout import receipt_key
from gigacast.lake.plan import manifest as module
from gigacast.lake.plan.manifest import (
    SCHEMA,
    ManifestEntry,
    decode_table,
    drop_entries,
    encode_table,
    entry_of,
    mend_manifest,
    read_manifest,
    rebuild_manifest,
    to_table,
    update_manifest,
)
from gigacast.storage.memory import MemoryStore
from tests.support.faulty_store import Fault, FaultyStore
from tests.unit.lake.test_records import KEY, receipt

FOLDER = KEY.rpartition("/")[0] + "/"
ENTRIES = [ManifestEntry("a", f"{FOLDER}a", "e1", 3, 10), ManifestEntry("b", "k", "e2", None, 20)]


@pytest.fixture
def store(request: pytest.FixtureRequest) -> MemoryStore:
    return MemoryStore(request.node.name)


def written(
    store: MemoryStore, name: str, content: bytes = b"x", finished: str = "2024-01-01"
) -> ManifestEntry:
    """Write an output and its receipt."""
    key = f"{FOLDER}{name}.parquet"
    etag = store.put(key, content)
    proof = replace(
        receipt(),
        partition=name.partition("@")[0],
        finished_at=f"{finished}T00:00:00+00:00",
        output={"key": key, "etag": etag, "size_bytes": len(content), "rows": 7},
    )
    store.put(receipt_key(key, "0" * 16, etag), proof.to_json())
    return entry_of(proof)


def rows(store: MemoryStore) -> list[dict[str, object]]:
    return read_manifest(store, KEY)[0].to_pylist()  # type: ignore[no-any-return]


def test_unknown_rows_are_null_and_nothing_else_may_be() -> None:
    table = to_table(ENTRIES)
    assert table["rows"].to_pylist() == [3, None]
    assert table["size_bytes"].to_pylist() == [10, 20]
    assert {f.name: f.nullable for f in table.schema} == {
        "partition": False,
        "key": False,
        "etag": False,
        "rows": True,
        "size_bytes": False,
    }


def test_a_table_is_decoded_as_it_was_encoded_and_pages_have_checksums_on_request() -> None:
    table = to_table(ENTRIES)
    assert decode_table(encode_table(table), "key").equals(table)
    assert decode_table(encode_table(table, checksums=True), "key").equals(table)
    assert encode_table(table) != encode_table(table, checksums=True)
    assert encode_table(table) == encode_table(table, checksums=False)


def test_columns_of_later_releases_are_left_out() -> None:
    buffer = io.BytesIO()
    pq.write_table(to_table(ENTRIES).append_column("extra", pa.array([1, 2])), buffer)
    assert decode_table(buffer.getvalue(), "key").schema == SCHEMA


def test_a_missing_manifest_is_empty_and_has_no_etag(store: MemoryStore) -> None:
    table, etag = read_manifest(store, KEY)
    assert (len(table), table.schema, etag) == (0, SCHEMA, None)
    update_manifest(store, KEY, to_table(ENTRIES))
    assert read_manifest(store, KEY)[1] == store.head(KEY).etag


def test_a_run_without_forecasts_writes_an_empty_manifest(store: MemoryStore) -> None:
    assert update_manifest(store, KEY, to_table([])) == 0
    assert store.head(KEY).etag == read_manifest(store, KEY)[1]


def test_stored_manifests_have_checksums(store: MemoryStore) -> None:
    update_manifest(store, KEY, to_table(ENTRIES))
    assert store.get(KEY) == encode_table(to_table(ENTRIES), checksums=True)


@pytest.mark.parametrize("request_kind", ["put_if_absent", "put_if_match"])
def test_the_loser_of_a_race_tries_again_but_not_for_ever(
    store: MemoryStore, request_kind: str
) -> None:
    if request_kind == "put_if_match":
        update_manifest(store, KEY, to_table(ENTRIES[:1]))

    def lost() -> PreconditionFailedError:
        return PreconditionFailedError("another run was faster")

    def racing(times: int) -> FaultyStore:
        return FaultyStore(store, [Fault((request_kind,), times=times, error=lost)])  # type: ignore[arg-type]

    with pytest.raises(PreconditionFailedError):
        update_manifest(racing(module.ATTEMPTS), KEY, to_table(ENTRIES))
    assert update_manifest(racing(module.ATTEMPTS - 1), KEY, to_table(ENTRIES)) == 2
    assert [row["partition"] for row in rows(store)] == ["a", "b"]


# -- rebuilding ------------------------------------------------------------------------------------


def test_a_manifest_is_rebuilt_from_the_receipts_of_the_outputs_that_are_there(
    store: MemoryStore,
) -> None:
    first, second = written(store, "b"), written(store, "a")
    gone, replaced, damaged = (written(store, name) for name in ("c", "d", "e"))
    store.delete([gone.key])
    store.put(replaced.key, b"changed")
    store.put(receipt_key(damaged.key, "0" * 16, damaged.etag), b"{")
    store.put(f"timings/{FOLDER}notes.txt", b"no receipt")
    assert rebuild_manifest(store, FOLDER).equals(to_table([second, first]))


def test_of_two_outputs_of_a_partition_the_later_one_counts(store: MemoryStore) -> None:
    for early, late in (("p@1", "p@2"), ("q@2", "q@1")):
        written(store, early, finished="2024-01-01")
        written(store, late, finished="2024-02-01")
    keys = rebuild_manifest(store, FOLDER)["key"].to_pylist()
    assert keys == [f"{FOLDER}p@2.parquet", f"{FOLDER}q@1.parquet"]


def test_a_damaged_manifest_is_mended_and_that_is_logged(
    store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    entry = written(store, "a")
    store.put(KEY, b"damaged")
    with caplog.at_level(logging.WARNING):
        mend_manifest(store, KEY)
    assert read_manifest(store, KEY)[0].equals(to_table([entry]))
    assert store.get(KEY) == encode_table(to_table([entry]), checksums=True)
    assert "rebuilt from 1 receipts" in caplog.text


def test_a_manifest_that_is_missing_or_whole_is_left_alone(store: MemoryStore) -> None:
    mend_manifest(store, KEY)
    assert list(store.list()) == []
    update_manifest(store, KEY, to_table(ENTRIES))
    before = store.head(KEY)
    mend_manifest(store, KEY)
    assert store.head(KEY) == before


def test_a_run_that_mended_first_is_not_overwritten(store: MemoryStore) -> None:
    written(store, "a")
    store.put(KEY, b"damaged")

    class Racing(FaultyStore):
        def put_if_match(self, key: str, content: bytes, etag: str) -> str:  # type: ignore[override]
            update = encode_table(to_table(ENTRIES), checksums=True)
            self.store.put(key, update)
            return super().put_if_match(key, content, etag)

    mend_manifest(Racing(store), KEY)
    assert [row["partition"] for row in rows(store)] == ["a", "b"]


# -- entries that are taken out --------------------------------------------------------------------


def test_entries_of_outputs_that_are_deleted_next_or_gone_are_taken_out(
    store: MemoryStore,
) -> None:
    entries = [written(store, name) for name in "abc"]
    update_manifest(store, KEY, to_table(entries))
    store.delete([entries[2].key])
    drop_entries(store, KEY, [entries[0].key, "unknown"])
    assert [row["partition"] for row in rows(store)] == ["b"]


def test_a_manifest_of_which_nothing_is_taken_out_is_not_written(store: MemoryStore) -> None:
    update_manifest(store, KEY, to_table([written(store, "a")]))
    before = store.head(KEY)
    drop_entries(store, KEY, [])
    assert store.head(KEY) == before


def test_a_missing_manifest_is_not_made_by_taking_out(store: MemoryStore) -> None:
    drop_entries(store, KEY, ["a"])
    assert list(store.list()) == []


def test_an_entry_that_a_run_adds_meanwhile_stays(store: MemoryStore) -> None:
    first = written(store, "a")
    update_manifest(store, KEY, to_table([first]))

    class Racing(FaultyStore):
        raced = False

        def put_if_match(self, key: str, content: bytes, etag: str) -> str:  # type: ignore[override]
            if not self.raced:
                self.raced = True
                update_manifest(self.store, KEY, to_table([written(store, "b")]))  # type: ignore[arg-type]
            return super().put_if_match(key, content, etag)

    drop_entries(Racing(store), KEY, [first.key])
    assert [row["partition"] for row in rows(store)] == ["b"]


def test_the_columns_of_a_manifest_stay_what_they_are() -> None:
    # Readers of other languages know them.
    fields = [(field.name, str(field.type), field.nullable) for field in SCHEMA]
    assert fields == [
        ("partition", "string", False),
        ("key", "string", False),
        ("etag", "string", False),
        ("rows", "int64", True),
        ("size_bytes", "int64", False),
    ]
