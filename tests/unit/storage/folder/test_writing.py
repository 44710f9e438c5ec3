"""Folder stores: writes are atomic, also between processes."""

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
    PreconditionFailedError,
    StorageError,
)
from gigacast.storage.folder import write as folder_write
from gigacast.storage.folder.store import FolderStore
from tests.contract.store_backends import fill, listed_keys


def every_file(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


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
