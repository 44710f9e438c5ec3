"""Every store: objects are read as they were written, under usable keys."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gigacast.errors import (
    ObjectNotFoundError,
    PreconditionFailedError,
    StorageError,
)
from gigacast.storage.store import Store
from tests.contract.store_backends import fill, listed, listed_keys

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
