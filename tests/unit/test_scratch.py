"""The folder of a run for its temporary files: shared, removed, and swept after a kill."""

import errno
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gigacast import scratch
from gigacast.scratch import LOCK, PREFIX, ScratchFolder, ScratchHold, sweep

SCRIPT = """
import sys, time
from gigacast.scratch import ScratchFolder
folder = ScratchFolder("spill")
(folder.path / "rows").write_bytes(b"x" * 1000)
print(folder.path, flush=True)
time.sleep(120)
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def other(root: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process with a spill."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "TMPDIR": str(root)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert Path(process.stdout.readline().strip()).is_dir()
    yield process
    with suppress(ProcessLookupError):
        process.kill()
    process.communicate()


def runs(root: Path) -> list[Path]:
    return sorted(root.glob(f"{PREFIX}*"))


def test_all_folders_of_a_run_are_below_one_that_goes_with_the_last(root: Path) -> None:
    with ScratchFolder("a") as a, ScratchFolder("b") as b:
        assert a.parent == b.parent == runs(root)[0]
        assert a.name.startswith("a-")
        assert b.name.startswith("b-")
    assert not list(root.iterdir())


def test_a_hold_keeps_the_folder_between_two_uses(root: Path) -> None:
    with ScratchHold() as hold:
        with ScratchFolder("a") as first:
            pass
        with ScratchFolder("a") as second:
            assert first.parent == second.parent == hold.path
        assert hold.path.is_dir()
    assert not list(root.iterdir())


def test_a_folder_that_is_closed_twice_ends_the_run_once(root: Path) -> None:
    with ScratchHold() as hold:
        folder = ScratchFolder("a")
        folder.close()
        folder.close()
        assert hold.path.is_dir()


def test_the_folder_of_a_living_run_is_never_swept(
    root: Path, other: "subprocess.Popen[str]"
) -> None:
    sweep(root)
    assert (next(runs(root)[0].glob("spill-*")) / "rows").exists()


def test_the_next_run_removes_what_a_killed_one_left(
    root: Path, other: "subprocess.Popen[str]"
) -> None:
    other.send_signal(signal.SIGKILL)
    other.wait()
    left = runs(root)
    assert len(left) == 1
    scratch._shared.swept.clear()
    with ScratchHold() as hold:
        assert runs(root) == [hold.path]
    assert not list(root.iterdir())


def test_a_worker_keeps_the_folder_of_its_killed_run(root: Path) -> None:
    join = "import sys, time; from pathlib import Path; from gigacast.scratch import join_run; "
    join += "join_run(Path(sys.argv[1])); print('joined', flush=True); time.sleep(120)"
    folder = root / f"{PREFIX}x"
    folder.mkdir()
    (folder / LOCK).write_text(os.uname().nodename)
    worker = subprocess.Popen(
        [sys.executable, "-c", join, str(folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "joined\n"
        sweep(root)
        assert folder.is_dir()
    finally:
        worker.kill()
        worker.communicate()
    sweep(root)
    assert not folder.exists()


@pytest.mark.parametrize("kind", ["another machine", "a link", "a file", "just made", "no name"])
def test_what_is_not_surely_a_run_of_this_user_and_machine_stays(root: Path, kind: str) -> None:
    elsewhere = root / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / LOCK).write_text(os.uname().nodename)
    path = root / f"{PREFIX}x"
    if kind == "a link":
        path.symlink_to(elsewhere)
    elif kind == "a file":
        path.write_text("mine")
    elif kind == "no name":
        path = root / "gigacast-results"
        path.mkdir()
    else:
        path.mkdir()
        if kind == "another machine":
            (path / LOCK).write_text("no-such-host")
    sweep(root)
    assert path.exists()
    assert (elsewhere / LOCK).exists()


def test_the_folder_of_another_user_stays(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = root / f"{PREFIX}x"
    path.mkdir()
    (path / LOCK).write_text(os.uname().nodename)
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    sweep(root)
    assert path.exists()
    monkeypatch.undo()
    sweep(root)
    assert not path.exists()


def test_a_forked_child_never_removes_the_folder_of_its_parent(root: Path) -> None:
    with ScratchFolder("a") as mine:
        child = os.fork()
        if not child:
            with ScratchFolder("b") as own:
                same = own.parent == mine.parent
            os._exit(int(same))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert mine.is_dir()


@pytest.mark.parametrize("has_lock", [False, True])
def test_a_run_that_was_killed_before_its_lock_was_written_is_swept_when_it_is_old(
    root: Path, has_lock: bool
) -> None:
    path = root / f"{PREFIX}x"
    path.mkdir()
    if has_lock:
        (path / LOCK).touch()
    sweep(root)
    assert path.exists()
    os.utime(path, (0, 0))
    sweep(root)
    assert not path.exists()


def test_a_run_that_finds_the_disk_full_leaves_no_folder(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Path, *_: object) -> int:
        self.touch()
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(OSError, match="no space left"), ScratchFolder("spill"):
        pass
    assert not list(root.iterdir())


def test_temporary_files_are_made_in_the_folder_of_the_run_only() -> None:
    # The places that sweep by themselves, on the disk of what they make.
    own = {"scratch.py", "lake/model/cache.py", "lake/model/backup.py"}
    own |= {"forecasters/openvino/scales.py"}
    package = Path(scratch.__file__).parent
    makers = re.compile(r"tempfile\.(mk|Temp|Named|Spooled)|from tempfile import (?!gettempdir)")
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if makers.search(path.read_text())
    }
    assert found == own
