"""Folder stores: reading, listing, links, and folders that cannot be read."""

import logging
import os
from pathlib import Path

import pytest

from gigacast.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StorageError,
)
from gigacast.storage.folder import write as folder_write
from gigacast.storage.folder.store import FolderStore
from tests.contract.store_backends import fill, listed, listed_keys


def test_a_full_disk_is_named(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder_write.os, "fsync", full)
    with pytest.raises(StorageError, match=r"no room to write .*key: No space left"):
        store.put("key", b"content")
    assert listed_keys(store) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission_is_access_denied(store: FolderStore, root: Path) -> None:
    fill(store, "a/key")
    (root / "a").chmod(0)
    try:
        for request in (lambda: store.get("a/key"), lambda: listed_keys(store)):
            with pytest.raises(AccessDeniedError, match="permissions"):
                request()
    finally:
        (root / "a").chmod(0o755)


def test_denied_access_is_named(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", denied)
    for request in (store.check, lambda: listed_keys(store)):
        with pytest.raises(AccessDeniedError, match=r"root.*Permission denied"):
            request()


def test_a_missing_root_is_empty_and_named_by_check(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "missing")
    assert listed_keys(store) == []
    with pytest.raises(ObjectNotFoundError):
        store.get("key")
    with pytest.raises(BucketNotFoundError, match="missing"):
        store.check()
    store.put("a/key", b"")
    store.check()


def test_an_open_file_keeps_its_version_when_the_key_is_rewritten(store: FolderStore) -> None:
    etag = store.put("key", b"old")
    with store.open_file("key", if_match=etag) as file:
        store.put("key", b"new")
        assert file.read() == b"old"
    with pytest.raises(PreconditionFailedError):
        store.open_file("key", if_match=etag)


def test_folders_and_pipes_are_not_objects(store: FolderStore, root: Path) -> None:
    fill(store, "a/key")
    os.mkfifo(root / "pipe")
    for key in ("a", "pipe"):
        with pytest.raises(ObjectNotFoundError):
            store.get(key)
    assert listed_keys(store) == ["a/key"]


def test_links_out_of_the_root_are_not_followed(
    store: FolderStore, root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (root / "link").symlink_to(outside / "secret")
    (root / "folder").symlink_to(outside)
    (root / "loop").symlink_to(root / "loop")
    for key in ("link", "folder/secret"):
        with pytest.raises(StorageError, match="leads out"):
            store.get(key)
    with pytest.raises(StorageError, match="leads out"):
        store.put("folder/new", b"")
    with pytest.raises(StorageError):
        store.get("loop")
    with caplog.at_level(logging.WARNING):
        assert listed_keys(store) == []
    assert "folder" in caplog.text
    assert listed_keys(store, "folder/") == []
    assert [path.name for path in outside.iterdir()] == ["secret"]


def test_a_link_within_the_root_is_an_object_and_a_write_replaces_the_link(
    store: FolderStore, root: Path
) -> None:
    fill(store, "real")
    (root / "link").symlink_to(root / "real")
    assert store.get("link") == b"real"
    assert listed_keys(store) == ["link", "real"]
    store.put("link", b"own")
    assert store.get("real") == b"real"


def test_a_link_on_the_way_to_the_root_is_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(root)
    fill(FolderStore(tmp_path / "way"), "key")
    assert listed_keys(FolderStore(root)) == ["key"]


def test_a_name_that_is_not_a_usable_key_is_skipped_with_a_warning(
    store: FolderStore, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (root / "back\\slash").write_bytes(b"")
    Path(os.fsdecode(os.fsencode(root) + b"/latin-\xe9")).write_bytes(b"")
    fill(store, "key")
    with caplog.at_level(logging.WARNING):
        assert [meta.key for page in store.list() for meta in page] == ["key"]
    assert len(caplog.records) == 2


def test_folders_that_cannot_match_are_not_opened(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, "2014/01/a", "2014/02/b", "2015/01/c", "x/y/z")
    opened: list[str] = []
    scandir = os.scandir

    def spy(path: str) -> "os._ScandirIterator[str]":
        opened.append(os.path.relpath(path, store.address.url.removeprefix("file://")))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", spy)
    assert listed_keys(store, "2014/0", start_after="2014/01/a") == ["2014/02/b"]
    assert opened == ["2014", "2014/01", "2014/02"]
    opened.clear()
    assert listed_keys(store, start_after="2014/02/b") == ["2015/01/c", "x/y/z"]
    assert opened == [".", "2014", "2014/02", "2015", "2015/01", "x", "x/y"]


def test_files_deleted_during_a_listing_are_left_out(store: FolderStore, root: Path) -> None:
    fill(store, "b/1", "c")
    (root / "a").mkdir()
    for i in range(1001):
        (root / f"a/{i:04d}").touch()
    pages = iter(store.list())
    next(pages)
    (root / "b/1").unlink()
    (root / "b").rmdir()
    (root / "c").unlink()
    assert [meta.key for page in pages for meta in page] == ["a/1000"]


def test_etags_are_the_size_and_the_time(store: FolderStore, root: Path) -> None:
    fill(store, "key")
    status = (root / "key").stat()
    assert listed(store)[0].etag == f"{status.st_size:x}-{status.st_mtime_ns:x}"
