"""Crashes, concurrent writers and replaced files leave versions complete or absent."""

import json
import threading
from pathlib import Path

import pytest

from gigacast.errors import (
    DataNotFoundError,
    DatasetConflictError,
    DatasetIntegrityError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StorageError,
)
from gigacast.lake.dataset.catalog import Lake
from gigacast.lake.dataset.store import DatasetStore
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.contract.lakes import contents, read, ref
from tests.contract.store_backends import NewStore, listed_keys
from tests.support.bars import bars, parquet_bytes, publish, table
from tests.support.faulty_store import WRITES, Fault, FaultyStore, SimulatedCrash

# -- crashes, races, damage ------------------------------------------------------------------------


def test_a_crash_between_any_two_requests_leaves_a_complete_version_or_none(
    new_store: NewStore,
) -> None:
    inner_store = new_store()
    counting = FaultyStore(inner_store)
    publish(counting, "cleaned/v1/MES", bars(90), max_file_rows=40)
    writes = sum(counting.counts[kind] for kind in WRITES)
    assert writes >= 7
    for nth in range(1, writes + 1):
        for when in ("before", "after"):
            store = new_store()
            faulty = FaultyStore(store, [Fault(WRITES, nth=nth, when=when)])
            with pytest.raises(SimulatedCrash):
                publish(faulty, "cleaned/v1/MES", bars(90), max_file_rows=40)
            lake = Lake(store)
            if lake.find(ref("cleaned/v1/MES")) is not None:
                assert read(store, "cleaned/v1/MES").equals(table(bars(90)))
            elif lake.state(ref("cleaned/v1/MES")) is not None:
                with pytest.raises(DataNotFoundError, match="unfinished"):
                    lake.read(ref("cleaned/v1/MES"))
                with pytest.raises(DatasetConflictError, match="unfinished"):
                    publish(store, "cleaned/v1/MES", bars(91))
            publish(store, "cleaned/v1/MES", bars(90), max_file_rows=40)
            assert read(store, "cleaned/v1/MES").equals(table(bars(90)))
            assert listed_keys(store) == listed_keys(inner_store)


@pytest.mark.parametrize("same", [True, False])
def test_two_concurrent_writers_leave_one_complete_version(store: Store, same: bool) -> None:
    frames = [bars(300), bars(300) if same else bars(300, seed=1)]
    barrier = threading.Barrier(2)
    outcomes: list[object] = [None, None]

    def run(number: int) -> None:
        barrier.wait()
        try:
            outcomes[number] = publish(store, "cleaned/v1/MES", frames[number], max_file_rows=50)
        except DatasetConflictError as error:
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won = [n for n, outcome in enumerate(outcomes) if not isinstance(outcome, DatasetConflictError)]
    assert len(won) == (2 if same else 1)
    assert read(store, "cleaned/v1/MES").equals(table(frames[won[0]]))
    metadata = json.loads(store.get("cleaned/v1/MES/metadata.json"))
    assert metadata["digest"] == Lake(store).read(ref("cleaned/v1/MES")).digest
    if same:
        assert sum(outcome.new for outcome in outcomes) == 1  # type: ignore[attr-defined]


def test_two_concurrent_appends_lose_no_row(store: Store) -> None:
    publish(store, "cleaned/v1/MES", bars(10))
    barrier = threading.Barrier(2)
    lost: list[int] = []

    def run(number: int) -> None:
        rows = bars(10, start=f"2024-02-0{number + 1}", seed=number)
        barrier.wait()
        try:
            publish(store, "cleaned/MES", rows, append=True)
        except DatasetConflictError:
            lost.append(number)

    threads = [threading.Thread(target=run, args=(n,)) for n in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in lost:  # told so, and free to try again
        publish(
            store, "cleaned/MES", bars(10, start=f"2024-02-0{number + 1}", seed=number), append=True
        )
    assert len(read(store, "cleaned/latest/MES")) == 30


def test_a_file_replaced_after_it_was_published_is_refused_by_name(store: Store) -> None:
    publish(store, "cleaned/v1/MES", bars())
    store.put("cleaned/v1/MES/part-00000.parquet", parquet_bytes(bars(seed=1)))
    with pytest.raises(DatasetIntegrityError, match=r"part-00000.parquet was replaced"):
        read(store, "cleaned/v1/MES")
    store.delete(["cleaned/v1/MES/part-00000.parquet"])
    with pytest.raises(DatasetIntegrityError, match="is gone"):
        read(store, "cleaned/v1/MES")


def test_a_copy_of_a_lake_can_be_read(new_store: NewStore) -> None:
    store, copy = new_store(), new_store()
    publish(store, "cleaned/v1/MES", bars())
    for key, content in contents(store).items():
        copy.put(key, content)
    assert read(copy, "cleaned/v1/MES").equals(table(bars()))


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"format": 1}', b"\x00\xff"])
def test_a_manifest_whose_checksum_does_not_match_is_refused(store: Store, content: bytes) -> None:
    store.put("cleaned/v1/MES/manifest.json", content)
    with pytest.raises(DatasetIntegrityError, match="can't be trusted"):
        Lake(store).read(ref("cleaned/v1/MES"))


def test_a_manifest_copied_to_another_version_is_refused(store: Store) -> None:
    publish(store, "cleaned/v1/MES", bars())
    store.put("cleaned/v2/MES/manifest.json", store.get("cleaned/v1/MES/manifest.json"))
    with pytest.raises(DatasetIntegrityError, match="says it is cleaned/v1/MES"):
        Lake(store).read(ref("cleaned/v2/MES"))


def test_files_that_no_manifest_lists_are_not_overwritten(store: Store) -> None:
    store.put("cleaned/v1/MES/mine.parquet", b"mine")
    with pytest.raises(DatasetConflictError, match="by hand"):
        publish(store, "cleaned/v1/MES", bars())


def test_a_version_as_a_store_is_read_only(store: Store) -> None:
    manifest = publish(store, "cleaned/v1/MES", bars()).manifest
    view = DatasetStore(store, manifest, store.address)
    for write in (
        lambda: view.put("x", b""),
        lambda: view.put_if_absent("x", b""),
        lambda: view.put_if_match("x", b"", "etag"),
        lambda: view.move_if_absent("x", Path("local")),
        lambda: view.delete(["part-00000.parquet"]),
    ):
        with pytest.raises(StorageError, match="never change"):
            write()
    assert [meta.key for page in view.list() for meta in page] == ["part-00000.parquet"]
    assert view.list_folder().objects == (view.head("part-00000.parquet"),)


def test_a_version_on_this_machine_is_read_in_place(store: Store) -> None:
    manifest = publish(store, "cleaned/v1/MES", bars()).manifest
    view, key = DatasetStore(store, manifest, store.address), "part-00000.parquet"
    content = view.get(key)
    file = view.open_file(key, if_match=view.head(key).etag)
    assert (file is None) == (not store.address.url.startswith("file:"))
    if file is not None:
        with file:
            assert file.read() == content
    with pytest.raises(PreconditionFailedError):
        view.open_file(key, if_match="another")
    with pytest.raises(ObjectNotFoundError):
        view.open_file("none.parquet")


def test_a_copied_file_is_read_and_a_replaced_one_refused(tmp_path: Path) -> None:
    store = open_store(StoreAddress(f"file://{tmp_path}"))
    manifest = publish(store, "cleaned/v1/MES", bars()).manifest
    key = "cleaned/v1/MES/part-00000.parquet"
    content = store.get(key)
    store.put(key, content)  # as a copied lake has it: the bytes, and another ETag
    view = DatasetStore(store, manifest, store.address)
    with view.open_file("part-00000.parquet") as file:  # type: ignore[union-attr]
        assert file.read() == content
    store.put(key, b"other")
    with pytest.raises(DatasetIntegrityError, match="was replaced"):
        DatasetStore(store, manifest, store.address).open_file("part-00000.parquet")
