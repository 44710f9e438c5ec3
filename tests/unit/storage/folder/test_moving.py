"""Folder stores: local files that are linked, moved or copied into the store."""

import errno
import os
from pathlib import Path

import pytest

from gigacast.errors import (
    PreconditionFailedError,
    StorageError,
)
from gigacast.storage.folder.store import FolderStore
from tests.contract.store_backends import fill


def test_a_moved_file_is_linked_and_not_copied(root: Path, tmp_path: Path) -> None:
    source = tmp_path / "given"
    source.write_bytes(b"content")
    number = source.stat().st_ino
    store = FolderStore(root)
    store.move_if_absent("key", source)
    assert (root / "key").stat().st_ino == number
    source.unlink()
    assert store.get("key") == b"content"
    assert [path.name for path in root.iterdir()] == ["key"]


def test_a_folder_that_gives_files_its_group_gets_a_copy(root: Path, tmp_path: Path) -> None:
    source = tmp_path / "given"
    source.write_bytes(b"content")
    root.chmod(0o2755)
    FolderStore(root).move_if_absent("key", source)
    assert (root / "key").stat().st_ino != source.stat().st_ino
    assert (root / "key").read_bytes() == b"content"


def test_a_moved_file_on_another_disk_is_copied(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "given"
    source.write_bytes(bytes(range(256)) * 100)

    link = Path.hardlink_to

    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "another disk")

    def link_own(self: Path, target: Path) -> None:
        link(self, target) if target != source else refuse()

    monkeypatch.setattr(Path, "hardlink_to", link_own)
    store = FolderStore(root)
    store.move_if_absent("by the kernel", source)
    monkeypatch.setattr(os, "copy_file_range", refuse)
    store.move_if_absent("by hand", source)
    for key in ("by the kernel", "by hand"):
        assert store.get(key) == source.read_bytes()
        assert (root / key).stat().st_ino != source.stat().st_ino


@pytest.mark.parametrize("kernel", ["copies nothing", "refuses", "is not there"])
def test_a_local_file_is_copied_completely_with_or_without_help_of_the_kernel(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel: str
) -> None:
    source = tmp_path / "given"
    source.write_bytes(bytes(range(256)) * 100)

    def refuse(*_: object) -> int:
        raise OSError(errno.EBADF, "not with this file")

    if kernel == "is not there":
        monkeypatch.delattr(os, "copy_file_range")
        monkeypatch.delattr(os, "getxattr")
    else:
        way = refuse if kernel == "refuses" else lambda *_: 0
        monkeypatch.setattr(os, "copy_file_range", way)
    store = FolderStore(root)
    store.put("put", source)
    store.move_if_absent("moved", source)
    assert store.get("put") == store.get("moved") == source.read_bytes()


def test_a_repeated_link_request_that_finds_our_own_link_succeeds(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "given"
    source.write_bytes(b"content")
    link = Path.hardlink_to

    def link_twice(self: Path, target: Path) -> None:
        """As a network filesystem does that sends a request again."""
        link(self, target)
        raise FileExistsError(errno.EEXIST, "exists", str(self))

    monkeypatch.setattr(Path, "hardlink_to", link_twice)
    store = FolderStore(root)
    etag = store.move_if_absent("key", source)
    assert store.get("key", if_match=etag) == b"content"
    assert [path.name for path in root.iterdir()] == ["key"]


def test_a_filesystem_without_hard_links_still_has_one_winner(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    store.put_if_absent("key", b"first")
    with pytest.raises(PreconditionFailedError):
        store.put_if_absent("key", b"second")
    assert store.get("key") == b"first"


def test_deleting_the_last_object_removes_its_folders(store: FolderStore, root: Path) -> None:
    fill(store, "a/b/c", "a/d")
    store.delete(["a/b/c"])
    assert not (root / "a/b").exists()
    store.delete(["a/d"])
    assert list(root.iterdir()) == []
    assert root.exists()


def test_a_key_below_an_object_is_an_error_with_the_reason(store: FolderStore) -> None:
    fill(store, "a", "b/c")
    for key in ("a/b", "b"):
        with pytest.raises(StorageError, match="cannot hold both"):
            store.put(key, b"")
