"""Whole processes that run an executor under real signals."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

SCRIPT = """
import sys, time
from pathlib import Path
from gigacast.runtime.interruption import RunInterrupted, interruptible
from gigacast.runtime.parallel import JoblibExecutor

def setup():
    def work(task):
        try:
            Path(f"started-{task}").touch()
            time.sleep(60 if task else 0)
        finally:
            while Path("stubborn").exists():
                time.sleep(0.05)
            Path(f"unwound-{task}").touch()
    return work

if __name__ == "__main__":
    try:
        with interruptible():
            print("begin", flush=True)
            for outcome in JoblibExecutor(2).run(range(50), setup):
                print("outcome", flush=True)
    except RunInterrupted as interruption:
        print(interruption, flush=True)
        sys.exit(interruption.exit_code)
"""


@pytest.fixture
def script(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "script.py").write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def session_of(leader: int) -> list[int]:
    def session(pid: int) -> int | None:
        try:
            return os.getsid(pid)
        except ProcessLookupError:
            return None

    members = [pid for pid in psutil.pids() if session(pid) == leader]
    return [pid for pid in members if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


def line(script: subprocess.Popen[str]) -> str:
    assert script.stdout is not None
    return script.stdout.readline().strip()


@pytest.mark.parametrize(
    ("number", "send"), [(signal.SIGINT, os.killpg), (signal.SIGTERM, os.kill)]
)
def test_a_signal_ends_the_run_promptly_and_cleanly(
    script: subprocess.Popen[str], tmp_path: Path, number: signal.Signals, send: Any
) -> None:
    assert (line(script), line(script)) == ("begin", "outcome")
    wait_until(lambda: len(list(tmp_path.glob("started-*"))) == 3)
    start = time.monotonic()
    send(script.pid, number)
    stdout, stderr = script.communicate(timeout=10)
    assert time.monotonic() - start < 4
    assert (stdout, stderr) == (f"interrupted by {number.name}\n", "")
    assert script.returncode == 128 + number
    assert len(list(tmp_path.glob("unwound-*"))) == 3
    assert list((tmp_path / "tmp").iterdir()) == []
    wait_until(lambda: session_of(script.pid) == [])


def test_a_second_ctrl_c_ends_the_grace_period(
    script: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert (line(script), line(script)) == ("begin", "outcome")
    wait_until(lambda: len(list(tmp_path.glob("started-*"))) == 3)
    (tmp_path / "stubborn").touch()
    os.killpg(script.pid, signal.SIGINT)
    time.sleep(0.3)
    start = time.monotonic()
    os.killpg(script.pid, signal.SIGINT)
    assert script.communicate(timeout=10) == ("interrupted by SIGINT\n", "")
    assert time.monotonic() - start < 3
    assert script.returncode == 130
    wait_until(lambda: session_of(script.pid) == [])


@pytest.mark.parametrize("delay_s", [0.05, 0.2, 0.4])
def test_ctrl_c_while_processes_start_prints_nothing_on_stderr(
    script: subprocess.Popen[str], tmp_path: Path, delay_s: float
) -> None:
    assert line(script) == "begin"
    time.sleep(delay_s)
    os.killpg(script.pid, signal.SIGINT)
    assert script.communicate(timeout=10)[1] == ""
    assert script.returncode == 130
    assert list((tmp_path / "tmp").iterdir()) == []
    wait_until(lambda: session_of(script.pid) == [])


def test_workers_end_when_their_run_is_killed(
    script: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert (line(script), line(script)) == ("begin", "outcome")
    script.kill()
    wait_until(lambda: session_of(script.pid) == [])
    wait_until(lambda: list((tmp_path / "tmp").iterdir()) == [])
    assert len(list(tmp_path.glob("started-*"))) <= 3
