"""Every store: conditional reads and writes, alone and concurrent; deleting."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gigacast.errors import (
    ObjectNotFoundError,
    PreconditionFailedError,
)
from gigacast.storage.store import Store
from tests.contract.store_backends import fill, listed_keys


def test_a_rewrite_changes_the_etag(store: Store) -> None:
    etags = [store.put("key", f"content {i}".encode()) for i in range(10)]
    assert len(set(etags)) == 10


def test_a_write_of_equal_content_may_keep_the_etag(store: Store, tmp_path: Path) -> None:
    local = tmp_path / "content"
    local.write_bytes(b"same" * 1000)
    first = store.put_unless_equal("key", b"same" * 1000)
    assert [store.put_unless_equal("key", content) for content in (local, b"same" * 1000)] == [
        first,
        first,
    ]
    assert store.head("key").etag == first
    changed = store.put_unless_equal("key", b"same" * 999 + b"else")
    assert changed != first
    assert store.get("key", if_match=changed) == b"same" * 999 + b"else"


def test_of_writers_of_equal_content_all_get_the_same_etag(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        etags = set(pool.map(lambda _: store.put_unless_equal("key", b"same"), range(16)))
    assert etags == {store.head("key").etag}


def test_a_get_with_the_wrong_etag_fails(store: Store) -> None:
    old = store.put("key", b"old")
    new = store.put("key", b"new")
    assert store.get("key", if_match=new) == b"new"
    for start, stop in ((0, None), (1, 2), (1, 1)):
        with pytest.raises(PreconditionFailedError, match="key"):
            store.get("key", if_match=old, start=start, stop=stop)


def test_a_conditional_get_of_a_missing_object_is_not_found(store: Store) -> None:
    with pytest.raises(ObjectNotFoundError):
        store.get("missing", if_match="etag")


def test_put_if_absent_writes_once(store: Store) -> None:
    etag = store.put_if_absent("a/key", b"first")
    with pytest.raises(PreconditionFailedError, match="key"):
        store.put_if_absent("a/key", b"second")
    assert store.get("a/key", if_match=etag) == b"first"


def test_put_if_match_replaces_only_the_version_it_names(store: Store) -> None:
    old = store.put("key", b"old")
    new = store.put_if_match("key", b"new", old)
    assert new != old
    with pytest.raises(PreconditionFailedError, match="key"):
        store.put_if_match("key", b"newer", old)
    assert store.get("key", if_match=new) == b"new"


def test_put_if_match_does_not_bring_back_a_deleted_object(store: Store) -> None:
    etag = store.put("key", b"content")
    store.delete(["key"])
    with pytest.raises(PreconditionFailedError, match="key"):
        store.put_if_match("key", b"new", etag)
    assert listed_keys(store) == []


def test_of_many_concurrent_writers_exactly_one_wins(store: Store) -> None:
    barrier = threading.Barrier(16)

    def write(number: int) -> bool:
        barrier.wait()
        try:
            store.put_if_absent("prize", str(number).encode())
        except PreconditionFailedError:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(write, range(16)))
    assert won.count(True) == 1
    assert store.get("prize") == str(won.index(True)).encode()


def test_concurrent_compare_and_swaps_lose_no_update(store: Store) -> None:
    store.put("counter", b"0")

    def increment(_: int) -> None:
        while True:
            meta = store.head("counter")
            try:
                count = int(store.get("counter", if_match=meta.etag))
                store.put_if_match("counter", str(count + 1).encode(), meta.etag)
            except PreconditionFailedError:
                continue
            return

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(increment, range(12)))
    assert store.get("counter") == b"12"


def test_a_reader_sees_a_complete_version(store: Store) -> None:
    versions = [bytes([i]) * 50_000 for i in range(8)]
    store.put("key", versions[0])
    stop = threading.Event()

    def write() -> None:
        for version in versions:
            store.put("key", version)
        stop.set()

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not stop.is_set() and not writing.done():
            assert store.get("key") in versions
        writing.result()


def test_deleted_objects_are_gone_and_missing_ones_no_error(store: Store) -> None:
    fill(store, "a/1", "a/2", "b")
    store.delete(key for key in ("a/1", "missing", "no/such/folder", "b"))
    assert listed_keys(store) == ["a/2"]


def test_deleting_no_keys_is_no_error(store: Store) -> None:
    store.delete([])


def test_a_deleted_key_can_be_written_again(store: Store) -> None:
    store.put_if_absent("a/b/c", b"first")
    store.delete(["a/b/c"])
    store.put_if_absent("a/b/c", b"second")
    assert store.get("a/b/c") == b"second"
