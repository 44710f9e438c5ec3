"""A Python that has imported a program's modules, and runs the program in forks of itself.

A program that is started anew spends a second importing gigacast, and with torch and Chronos many
more. Here the parent imports once, without doing anything else, and every program is a process of
its own with its own arguments, environment, folder, streams, signals and exit code. Tests of what a
start imports or of how it goes start Python themselves.
"""

import atexit
import importlib
import json
import os
import random
import resource
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]
GIGACAST = (
    "gigacast.cli.data.command",
    "gigacast.cli.data.files",
    "gigacast.cli.feature_store.backfill",
    "gigacast.cli.feature_store.serve",
    "gigacast.cli.forecast",
    "gigacast.cli.program",
    "gigacast.batch.child",
    "gigacast.batch.cleaning",
    "gigacast.batch.comparison",
    "gigacast.batch.past",
    "gigacast.batch.quality",
    "gigacast.batch.search",
    "gigacast.datasets.publish",
    "gigacast.feature_store.run",
    "gigacast.feature_store.serve.server",
    "gigacast.forecasting.run",
    "gigacast.report.run_progress",
    "gigacast.storage.folder.store",
    "gigacast.storage.s3.store",
    "gigacast.trainers.finetuning.config",
    "rich.progress",
)
TORCH = (
    "gigacast.cli.train.command",
    "gigacast.forecasting.run",
    "gigacast.training.run",
    "gigacast.trainers.finetuning.run",
    "chronos.chronos2",
    "chronos.chronos_bolt",
)
_LIMIT = 1 << 17
_POLL_S = 0.01


class WarmProcess:
    """A program that runs in a fork; its methods are those of `subprocess.Popen`.

    Attributes
    ----------
    pid : int
    returncode : int or None
        Exit code, or minus the signal that ended it; none while it runs.
    rss_kib : int
        Most memory it had, known when it has ended.
    """

    def __init__(self, python: "WarmPython", pid: int) -> None:
        self._python = python
        self.pid = pid
        self.returncode: int | None = None
        self.rss_kib = 0

    def poll(self) -> int | None:
        """Return the exit code, or none while it runs."""
        self._python.receive()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code."""
        deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("a warm Python", timeout or 0.0)
            time.sleep(_POLL_S)
        return self.returncode or 0

    def send_signal(self, number: int) -> None:
        """Send a signal if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


@dataclass
class WarmPython:
    """A parent, which is started for its first program.

    Parameters
    ----------
    modules : sequence of str
        What the parent imports.
    """

    modules: Sequence[str] = GIGACAST
    _parent: "subprocess.Popen[bytes] | None" = None
    _programs: dict[int, WarmProcess] = field(default_factory=dict)
    _lock: Any = field(default_factory=threading.RLock)

    def close(self) -> None:
        """End the parent; its programs go on."""
        if self._parent is not None:
            self._line.close()
            self._parent.wait(30)

    def start(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
        out: "IO[Any] | int" = subprocess.DEVNULL,
        err: "IO[Any] | int" = subprocess.DEVNULL,
        own_session: bool = False,
        file_limit: int | None = None,
    ) -> WarmProcess:
        """Run ``python -m module arguments`` in a fork.

        Parameters
        ----------
        module : str
        arguments : sequence of str
        environment : mapping, optional
            All variables of the program; those of this process by default.
        cwd : Path
        out, err : file or int
            Files for its streams.
        own_session : bool
            Whether it leads a group of processes of its own.
        file_limit : int, optional
            Bytes beyond which no file of it may grow.
        """
        request = {
            "arguments": [module, *arguments],
            "environment": dict(os.environ if environment is None else environment),
            "cwd": str(cwd),
            "own_session": own_session,
            "file_limit": file_limit,
        }
        with self._lock, Path(os.devnull).open("r+b") as null:
            self._start_parent()
            files = [null.fileno(), *(_number(file, null) for file in (out, err))]
            content = json.dumps(request).encode()
            assert len(content) < _LIMIT
            socket.send_fds(self._line, [content], files)
            while (begun := self._read_message()) is None:
                pass
            return begun

    def receive(self) -> None:
        """Take the news of ended programs."""
        with self._lock, selectors.DefaultSelector() as selector:
            selector.register(self._line, selectors.EVENT_READ)
            while selector.select(0):
                self._read_message()

    def _read_message(self) -> WarmProcess | None:
        """Read a message; return the program that it is about if that has just begun."""
        content = self._line.recv(_LIMIT)
        if not content:
            raise RuntimeError("the warm Python has ended")
        message = json.loads(content)
        pid = message["pid"]
        has_begun = pid in self._programs
        program = self._programs.setdefault(pid, WarmProcess(self, pid))
        if "status" in message:
            del self._programs[pid]
            program.rss_kib = message["rss_kib"]
            program.returncode = os.waitstatus_to_exitcode(message["status"])
        return None if has_begun else program

    def _start_parent(self) -> None:
        if self._parent is not None:
            return
        # Each message stays whole, however many are on their way.
        self._line, far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with far_end:
            self._parent = subprocess.Popen(
                [sys.executable, __file__, str(far_end.fileno()), *self.modules],
                pass_fds=[far_end.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'lib'}"},
                cwd=ROOT,
            )


@cache
def warm_python(modules: tuple[str, ...] = GIGACAST) -> WarmPython:
    """Return the parent that this process has for these modules until it ends."""
    python = WarmPython(modules)
    atexit.register(python.close)
    return python


def _number(file: "IO[Any] | int", null: IO[bytes]) -> int:
    if isinstance(file, int):
        return null.fileno() if file == subprocess.DEVNULL else file
    return file.fileno()


# -- the parent, and what becomes of its forks -----------------------------------------------------


def _serve(line: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Fork for each request and report the ends; return the request, in a fork only."""
    bell, handle = socket.socketpair()
    handle.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(handle.fileno())
    with selectors.DefaultSelector() as selector:
        selector.register(line, selectors.EVENT_READ)
        selector.register(bell, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if bell in ready:
                bell.recv(4096)
                _report_ends(line)
            if line not in ready:
                continue
            content, files, _, _ = socket.recv_fds(line, _LIMIT, 3)
            if not content:
                sys.exit()
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                bell.close()
                handle.close()
                return json.loads(content), files
            for number in files:
                os.close(number)


def _report_ends(line: socket.socket) -> None:
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        message = {"pid": pid, "status": status, "rss_kib": usage.ru_maxrss}
        line.send(json.dumps(message).encode())


def _become(request: dict[str, Any], files: list[int]) -> None:
    """Take the streams, folder, variables and arguments of a program."""
    if request["own_session"]:
        os.setsid()
    for target, number in enumerate(files):
        os.dup2(number, target)
        os.close(number)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    sys.path[0] = request["cwd"]
    time.tzset()
    tempfile.tempdir = None
    # Two forks would draw the same numbers otherwise.
    random.seed()
    sys.argv[1:] = request["arguments"][1:]
    limit = request["file_limit"]
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def _main() -> None:
    """Import the modules, then run a program in each fork, as Python itself would."""
    line = socket.socket(fileno=int(sys.argv[1]))
    sys.path[0] = str(ROOT)  # not the folder of this script
    for name in sys.argv[2:]:
        importlib.import_module(name)
    request, files = _serve(line)
    _become(request, files)
    # Only now may it get signals, or its group.
    line.send(json.dumps({"pid": os.getpid()}).encode())
    line.close()
    runpy.run_module(request["arguments"][0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
