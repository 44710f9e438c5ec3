"""What every store promises, over every backend."""

import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gigacast.errors import (
    BucketNotFoundError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StorageError,
)
from gigacast.storage.memory import forget_memory
from gigacast.storage.opening import open_store
from gigacast.storage.store import Folder, Store, StoreAddress
from tests.contract.store_backends import fill, listed, listed_keys
from tests.support.moto_server import MotoServer

NewStore = Callable[[], Store]
UNUSABLE_KEYS = [
    "",
    "/absolute",
    "trailing/",
    "a//b",
    "..",
    "../outside",
    "a/../../outside",
    "a/./b",
    "back\\slash",
    "nul\x00",
    "line\nbreak",
    "lone\ud800surrogate",
    "no character\uffff",
    "k" * 1025,
]
WEIRD_KEYS = [
    "a",
    "a b",
    "a+b",
    "100%",
    "%41",
    "a:b=c",
    "é",
    "e\u0301",
    "😀",
    "\ufffd",
    "#?&",
    "~t",
    "{x}[y]",
    "a*b",
    "'q'\"",
    "<&>",
    ".hidden",
    "...",
    "-",
    "year=2014/month=03/part-00042.parquet",
]


@pytest.fixture(params=["folder", "memory", "s3"])
def backend(request: pytest.FixtureRequest) -> str:
    """The name of the backend under test."""
    return str(request.param)


@pytest.fixture
def new_store(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewStore]:
    """A function that makes a new, empty store of the backend under test."""
    cleanups: list[Callable[[], object]] = []

    def make() -> Store:
        name = uuid.uuid4().hex[:12]
        if backend == "s3":
            server: MotoServer = request.getfixturevalue("moto_server")
            return open_store(server.new_address("some/root"))
        if backend == "memory":
            cleanups.append(lambda: forget_memory(name))
            return open_store(StoreAddress(f"memory://{name}/root"))
        folder = tmp_path / name
        folder.mkdir()
        cleanups.append(lambda: shutil.rmtree(folder))
        return open_store(StoreAddress(f"file://{folder}"))

    yield make
    for clean in cleanups:
        clean()


@pytest.fixture
def store(new_store: NewStore) -> Store:
    """A new, empty store of the backend under test."""
    return new_store()


# Reading and writing


def test_get_returns_the_bytes_that_were_put(store: Store) -> None:
    store.put("a/b.bin", b"\x00\xffcontent")
    assert store.get("a/b.bin") == b"\x00\xffcontent"


def test_an_empty_object_is_an_object(store: Store) -> None:
    store.put("empty", b"")
    assert store.get("empty") == b""
    assert store.head("empty").size_bytes == 0
    assert listed_keys(store) == ["empty"]


def test_a_put_replaces_the_object(store: Store) -> None:
    store.put("key", b"a longer first content")
    store.put("key", b"second")
    assert store.get("key") == b"second"


def test_a_local_file_is_put_as_its_content(store: Store, tmp_path: Path) -> None:
    content = bytes(range(256)) * 1000
    path = tmp_path / "local"
    path.write_bytes(content)
    etag = store.put("copy", path)
    assert store.get("copy", if_match=etag) == content


def test_a_local_file_is_put_under_a_condition(store: Store, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(bytes(range(256)) * 5000)
    second.write_bytes(b"short")
    etag = store.put_if_absent("copy", first)
    assert store.get("copy", if_match=etag) == first.read_bytes()
    with pytest.raises(PreconditionFailedError):
        store.put_if_absent("copy", second)
    with pytest.raises(PreconditionFailedError):
        store.put_if_match("copy", second, "another")
    assert store.get("copy") == first.read_bytes()
    store.put_if_match("copy", second, etag)
    assert store.get("copy") == b"short"


def test_a_moved_local_file_is_taken_only_once(store: Store, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(bytes(range(256)) * 5000)
    second.write_bytes(b"other")
    etag = store.move_if_absent("deep/copy", first)
    assert store.head("deep/copy").etag == etag
    with pytest.raises(PreconditionFailedError):
        store.move_if_absent("deep/copy", second)
    first.unlink(missing_ok=True)
    second.unlink(missing_ok=True)
    assert store.get("deep/copy", if_match=etag) == bytes(range(256)) * 5000
    assert listed_keys(store) == ["deep/copy"]


def test_a_missing_local_file_is_an_error_under_every_condition(
    store: Store, tmp_path: Path
) -> None:
    with pytest.raises(StorageError, match="local file"):
        store.put_if_absent("copy", tmp_path / "missing")
    with pytest.raises(StorageError, match="local file"):
        store.move_if_absent("copy", tmp_path / "missing")
    assert listed_keys(store) == []


def test_a_local_file_larger_than_a_part_is_put_completely(store: Store, tmp_path: Path) -> None:
    content = bytes(range(256)) * (17 << 12)  # 17 MiB
    path = tmp_path / "local"
    path.write_bytes(content)
    etag = store.put("copy", path)
    assert store.head("copy")[1:3] == (etag, len(content))
    assert store.get("copy", if_match=etag) == content


def test_a_missing_local_file_is_a_storage_error_and_puts_nothing(
    store: Store, tmp_path: Path
) -> None:
    with pytest.raises(StorageError, match="local file"):
        store.put("copy", tmp_path / "missing")
    assert listed_keys(store) == []


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        (0, None, b"0123456789"),
        (0, 4, b"0123"),
        (3, 7, b"3456"),
        (6, None, b"6789"),
        (6, 100, b"6789"),
        (4, 4, b""),
        (7, 3, b""),
        (10, None, b""),
        (50, 60, b""),
    ],
)
def test_a_range_is_cut_like_a_slice(
    store: Store, start: int, stop: int | None, expected: bytes
) -> None:
    etag = store.put("digits", b"0123456789")
    assert store.get("digits", start=start, stop=stop) == expected
    assert store.get("digits", start=start, stop=stop, if_match=etag) == expected


def test_a_range_of_an_empty_object_is_empty(store: Store) -> None:
    store.put("empty", b"")
    assert store.get("empty", start=0, stop=5) == b""


def test_an_object_that_does_not_exist_is_not_found(store: Store) -> None:
    fill(store, "a/b")
    for key in ("missing", "a", "a/b/c", "a/missing"):
        with pytest.raises(ObjectNotFoundError, match=key):
            store.get(key)
        with pytest.raises(ObjectNotFoundError, match=key):
            store.head(key)
        with pytest.raises(ObjectNotFoundError, match=key):
            store.get(key, start=2, stop=2)


def test_metadata_agree_wherever_they_come_from(store: Store) -> None:
    before_ns = time.time_ns() - 2_000_000_000
    etag = store.put("a/b", b"12345")
    head = store.head("a/b")
    assert head[:3] == ("a/b", etag, 5)
    assert before_ns < head.modified_ns < time.time_ns() + 2_000_000_000
    for meta in (listed(store)[0], store.list_folder("a/").objects[0]):
        assert meta[:3] == head[:3]
        assert abs(meta.modified_ns - head.modified_ns) < 1_000_000_000
    assert '"' not in etag


@pytest.mark.parametrize("key", WEIRD_KEYS)
def test_unusual_characters_in_a_key_survive(store: Store, key: str) -> None:
    etag = store.put(key, b"content")
    assert store.get(key, if_match=etag) == b"content"
    assert store.head(key).key == key
    assert listed_keys(store) == [key]
    store.delete([key])
    assert listed_keys(store) == []


@pytest.mark.parametrize("key", UNUSABLE_KEYS)
def test_an_unusable_key_is_refused_by_every_request(store: Store, key: str) -> None:
    requests: list[Callable[[], object]] = [
        lambda: store.put(key, b""),
        lambda: store.put_if_absent(key, b""),
        lambda: store.put_if_match(key, b"", "etag"),
        lambda: store.get(key),
        lambda: store.head(key),
        lambda: store.delete([key]),
    ]
    for request in requests:
        with pytest.raises(StorageError, match=r"cannot be used|longer than"):
            request()


# Conditions


def test_a_rewrite_changes_the_etag(store: Store) -> None:
    etags = [store.put("key", f"content {i}".encode()) for i in range(10)]
    assert len(set(etags)) == 10


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


# Deleting


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


# Listing


def test_an_empty_store_lists_no_pages(store: Store) -> None:
    assert list(store.list()) == []
    assert list(store.list("some/prefix")) == []
    assert store.list_folder() == Folder((), ())


def test_keys_are_listed_in_byte_order_across_folders(store: Store) -> None:
    keys = ["a-b", "a.b", "a/b", "a/b-c/d", "a/b.c", "a0", "ab", "b/a", "é", "\ufffd", "😀"]
    fill(store, *reversed(keys))
    assert listed_keys(store) == keys == sorted(keys, key=str.encode)


def test_a_prefix_is_text_and_not_a_folder(store: Store) -> None:
    fill(store, "2014/01/a", "2014/02/b", "2014/1", "2015/01/a", "201")
    assert listed_keys(store, "2014/0") == ["2014/01/a", "2014/02/b"]
    assert listed_keys(store, "2014/01/a") == ["2014/01/a"]
    assert listed_keys(store, "2014") == ["2014/01/a", "2014/02/b", "2014/1"]
    assert listed_keys(store, "2014/01/") == ["2014/01/a"]
    assert listed_keys(store, "../") == []


def test_a_listing_starts_after_a_key(store: Store) -> None:
    keys = ["a-b", "a/b", "a/c/d", "a0", "b"]
    fill(store, *keys)
    for start_after in [*keys, "a", "a/", "a/c", "a/c/", "A", "a/zz", "c", "a//b"]:
        expected = [key for key in keys if key > start_after]
        assert listed_keys(store, start_after=start_after) == expected
    assert listed_keys(store, "a/", start_after="a/b") == ["a/c/d"]
    assert listed_keys(store, "a", start_after="a/b") == ["a/c/d", "a0"]


def test_a_long_listing_comes_in_pages(store: Store) -> None:
    keys = [f"part-{i:05d}" for i in range(1003)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.put(key, b"x"), keys))
    pages = list(store.list())
    assert [len(page) for page in pages] == [1000, 3]
    assert [meta.key for page in pages for meta in page] == keys
    assert listed_keys(store, start_after=keys[998]) == keys[999:]


def test_one_level_has_its_folders_and_its_objects(store: Store) -> None:
    fill(store, "a/1", "a/2", "a/b/3", "a/b-c/4", "a-x", "z")
    top = store.list_folder()
    assert top.folders == ("a/",)
    assert [meta.key for meta in top.objects] == ["a-x", "z"]
    below = store.list_folder("a/")
    assert below.folders == ("a/b-c/", "a/b/")
    assert [meta.key for meta in below.objects] == ["a/1", "a/2"]
    assert store.list_folder("missing/") == Folder((), ())
    assert store.list_folder("../") == Folder((), ())


def test_a_folder_without_objects_is_not_listed(store: Store) -> None:
    fill(store, "a/b/c", "d")
    store.delete(["a/b/c"])
    assert store.list_folder().folders == ()


def test_a_folder_prefix_ends_in_a_slash(store: Store) -> None:
    with pytest.raises(StorageError, match="does not end in"):
        store.list_folder("a")


_PART = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\\ufffe\uffff\x7f"),
    min_size=1,
    max_size=6,
)
_USABLE = _PART.filter(lambda part: part not in {".", ".."} and not part.startswith(".gigacast."))
_KEYS = st.lists(_USABLE, min_size=1, max_size=3).map("/".join)


def _is_possible(keys: set[str]) -> bool:
    """Tell whether no key is a folder of another: no folder store could hold both."""
    return not any(
        f"{folder_key}/" in f"{key}/"[: len(folder_key) + 1]
        for key in keys
        for folder_key in keys - {key}
    )


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    keys=st.sets(_KEYS, min_size=1, max_size=6).filter(_is_possible),
    prefix=st.one_of(st.just(""), _KEYS),
    start_after=st.one_of(st.just(""), _KEYS),
)
def test_any_listing_is_the_sorted_keys_that_match(
    new_store: NewStore, keys: set[str], prefix: str, start_after: str
) -> None:
    store = new_store()
    fill(store, *keys)
    for some_prefix in (prefix, *(key[: len(key) // 2 + 1] for key in keys)):
        expected = [key for key in keys if key.startswith(some_prefix) and key > start_after]
        listing = listed_keys(store, some_prefix, start_after)
        assert listing == sorted(expected, key=str.encode)


# Addresses


def test_opening_an_address_again_shows_the_same_objects(store: Store) -> None:
    fill(store, "a/b")
    assert listed_keys(open_store(store.address)) == ["a/b"]


def test_a_child_address_is_rooted_below(store: Store) -> None:
    child = open_store(store.address.child("a/b"))
    child.put("c", b"content")
    assert store.get("a/b/c") == b"content"
    assert listed_keys(child) == ["c"]
    assert store.head("a/b/c").etag == child.head("c").etag


def test_a_sibling_with_a_longer_name_is_not_below(store: Store) -> None:
    fill(store, "a/x", "ab/y")
    assert listed_keys(open_store(store.address.child("a"))) == ["x"]


def test_check_passes_where_the_root_exists(store: Store) -> None:
    store.check()


def test_check_names_a_root_that_does_not_exist(backend: str, store: Store) -> None:
    if backend == "memory":
        pytest.skip("memory exists wherever it is opened")
    address = store.address.child("missing")
    if backend == "s3":
        address = StoreAddress("s3://no-such-bucket-anywhere")
    with pytest.raises(BucketNotFoundError, match=r"missing|no-such-bucket-anywhere"):
        open_store(address).check()
