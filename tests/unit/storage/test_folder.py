"""What a folder store promises beside the contract of all stores."""

import errno
import logging
import os
import stat
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
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


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def store(root: Path) -> FolderStore:
    return FolderStore(root)


def every_file(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


# Writing


def test_a_rewrite_of_the_same_size_always_changes_the_etag(store: FolderStore) -> None:
    etags = [store.put("key", b"%04d" % i) for i in range(200)]
    assert len(set(etags)) == 200


def test_a_rewrite_is_later_than_a_file_from_the_future(store: FolderStore, root: Path) -> None:
    old = store.put("key", b"old")
    future_ns = time.time_ns() + 3600 * 10**9
    os.utime(root / "key", ns=(future_ns, future_ns))
    new = store.put("key", b"new")
    assert store.head("key").modified_ns > future_ns
    assert new != old


def test_a_file_changed_by_another_program_has_another_etag(store: FolderStore, root: Path) -> None:
    etag = store.put("key", b"ours")
    time.sleep(0.01)
    (root / "key").write_bytes(b"them")
    with pytest.raises(PreconditionFailedError):
        store.get("key", if_match=etag)


def test_no_temporary_file_is_left_behind(store: FolderStore, root: Path) -> None:
    store.put("a/key", b"1")
    store.put_if_match("a/key", b"2", store.head("a/key").etag)
    for write in (
        lambda: store.put_if_absent("a/key", b"3"),
        lambda: store.put_if_match("a/key", b"3", "other"),
    ):
        with pytest.raises(PreconditionFailedError):
            write()
    assert every_file(root) == ["a/key"]


def test_temporary_files_of_a_killed_writer_are_never_listed_and_removed_after_a_day(
    store: FolderStore, root: Path
) -> None:
    fill(store, "a/key")
    young, old = root / "a/.gigacast.1.tmp", root / "a/.gigacast.2.tmp"
    for path in (young, old):
        path.write_bytes(b"half")
    yesterday = time.time() - 25 * 3600
    os.utime(old, (yesterday, yesterday))
    assert listed_keys(store) == ["a/key"]
    assert [meta.key for meta in store.list_folder("a/").objects] == ["a/key"]
    assert young.exists()
    assert not old.exists()


def test_a_reserved_name_is_not_a_key(store: FolderStore) -> None:
    for key in (".gigacast.lock", "a/.gigacast.1.tmp", ".gigacast.x/key"):
        with pytest.raises(StorageError, match="reserved"):
            store.put(key, b"")


def test_a_writer_killed_in_the_middle_leaves_the_old_object(root: Path) -> None:
    store = FolderStore(root)
    store.put("key", b"old")
    script = """
        import os, sys
        from pathlib import Path
        from gigacast.storage.folder import store as folder
        folder.publish = lambda *_: os.kill(os.getpid(), 9)
        folder.FolderStore(Path(sys.argv[1])).put("key", b"new")
    """
    killed = run_python(script, root)
    killed.communicate()
    assert killed.returncode == -9
    assert store.get("key") == b"old"
    assert listed_keys(store) == ["key"]
    assert len(every_file(root)) == 2


def run_python(script: str, *arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def outputs(script: str, *arguments: object, processes: int) -> list[str]:
    """Return what each of several processes prints that run a script at the same time."""
    running = [run_python(script, *arguments, number) for number in range(processes)]
    return [process.communicate()[0].strip() for process in running]


def test_of_several_concurrent_processes_exactly_one_wins(root: Path) -> None:
    script = """
        import sys
        from pathlib import Path
        from gigacast.errors import PreconditionFailedError
        from gigacast.storage.folder.store import FolderStore
        store, wins = FolderStore(Path(sys.argv[1])), 0
        for i in range(15):
            try:
                store.put_if_absent(f"prize-{i}", sys.argv[2].encode())
                wins += 1
            except PreconditionFailedError:
                pass
        print(wins)
    """
    assert sum(map(int, outputs(script, root, processes=3))) == 15


def test_compare_and_swap_between_processes_loses_no_update(root: Path) -> None:
    store = FolderStore(root)
    store.put("counter", b"0")
    script = """
        import sys
        from pathlib import Path
        from gigacast.errors import PreconditionFailedError
        from gigacast.storage.folder.store import FolderStore
        # Another root, so that the lock is the file's and not the store's.
        root = Path(sys.argv[1])
        store, key = FolderStore(root), "counter"
        if int(sys.argv[2]) % 2:
            store, key = FolderStore(root.parent), f"{root.name}/counter"
        done = 0
        while done < 10:
            etag = store.head(key).etag
            try:
                count = int(store.get(key, if_match=etag))
                store.put_if_match(key, str(count + 1).encode(), etag)
                done += 1
            except PreconditionFailedError:
                pass
    """
    outputs(script, root, processes=3)
    assert store.get("counter") == b"30"


def test_writing_during_a_concurrent_delete_always_succeeds(store: FolderStore) -> None:
    def write(i: int) -> None:
        store.put(f"a/b/{i}", b"x")
        store.delete([f"a/b/{i}"])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(100)))
    assert listed_keys(store) == []


@pytest.mark.parametrize("error", [FileNotFoundError, FileExistsError])
def test_a_folder_removed_while_it_is_made_is_made_again(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch, error: type[OSError]
) -> None:
    make, failed = Path.mkdir, []

    def cleared_away_once(path: Path, *mode: int, **options: bool) -> None:
        if not failed:
            failed.append(path)
            raise error(2, "cleared away", str(path))
        make(path, *mode, **options)

    monkeypatch.setattr(Path, "mkdir", cleared_away_once)
    store.put("a/b/key", b"x")
    assert failed
    assert store.get("a/b/key") == b"x"


def test_a_network_folder_that_cannot_be_locked_gets_a_hidden_lock_file(
    store: FolderStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = folder_write.fcntl.flock

    def only_files(fd: int, operation: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(9, "Bad file descriptor")
        flock(fd, operation)

    monkeypatch.setattr(folder_write.fcntl, "flock", only_files)
    etag = store.put("a/key", b"1")
    store.put_if_match("a/key", b"2", etag)
    assert every_file(root) == ["a/.gigacast.lock", "a/key"]
    assert listed_keys(store) == ["a/key"]


def test_a_folder_that_cannot_be_locked_is_an_error_and_leaves_no_file_open(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(fd: int, operation: int) -> None:
        code = 9 if stat.S_ISDIR(os.fstat(fd).st_mode) else 37
        raise OSError(code, os.strerror(code))

    etag = store.put("a/key", b"1")
    monkeypatch.setattr(folder_write.fcntl, "flock", never)
    before = sorted(Path("/proc/self/fd").iterdir())
    with pytest.raises(StorageError, match="No locks available"):
        store.put_if_match("a/key", b"2", etag)
    assert sorted(Path("/proc/self/fd").iterdir()) == before
    assert store.get("a/key") == b"1"


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


# A full disk, and one that may not be read


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


# Reading


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
        assert listed_keys(store) == ["key"]
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
