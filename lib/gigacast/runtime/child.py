"""What happens inside a worker process.

A process announces what it is doing in a file of its own (``{pid}``, in the pool's scratch folder):
a file survives the process, so that its parent can tell what it was doing when it died. Another
file holds its slot: the processes of a pool start alike, and must not all take the same GPU.

Signals: Ctrl-C reaches the whole process group and is the parent's to act on, so it is ignored
here. SIGTERM unwinds the task in hand, whose ``finally`` blocks then remove temporary files.
After that the process answers that it abandoned the task, if its parent is stopping the pool (it
put a file ``stop`` into the scratch folder), and else dies of the signal as any process would.
"""

import faulthandler
import os
import shutil
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from joblib.externals.loky import process_executor

from gigacast.errors import GigacastError
from gigacast.runtime.executor import Failure, Worker, make_worker
from gigacast.runtime.interruption import SIGNALS
from gigacast.runtime.pickling import is_portable, pack, unpack

STOP = "stop"
SETTING_UP = "setup"
RUNNING = "task"
_WATCH_PERIOD_S = 1.0
_ORPHAN_GRACE_S = 5.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What a process answers: a result, a failure, or why it cannot work at all."""

    result: Any = None
    failure: Failure | None = None
    setup_error: BaseException | None = None


@dataclass(slots=True)
class _Process:
    """What this process keeps between its tasks."""

    scratch: Path
    recipe: bytes
    slot: int
    journal: int
    fault_log: TextIO
    worker: Worker[Any, Any] | None = None
    is_busy: bool = False


_ABANDONED = Reply(failure=Failure("WorkerLostError", "The run was stopped."))
_process: _Process | None = None


class _Stopped(BaseException):
    """SIGTERM, while a task was in hand."""


def prepare(scratch: str, recipe: bytes, parent_pid: int) -> None:
    """Start a process: once, before its first task. ``recipe`` is the pickled `Setup`."""
    global _process  # noqa: PLW0603 - a process has one state, and pools offer no other place
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder, name = Path(scratch), str(os.getpid())
    fault_log = (folder / f"{name}.fault").open("w")
    faulthandler.enable(fault_log, all_threads=False)
    journal = os.open(folder / name, os.O_WRONLY | os.O_CREAT)
    _process = _Process(folder, recipe, _take_slot(folder), journal, fault_log)
    signal.signal(signal.SIGTERM, _on_sigterm)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    _never_restart_on_memory_growth()
    threading.Thread(target=_watch_parent, args=(parent_pid, folder), daemon=True).start()


def ready() -> None:
    """Do nothing: sent first, to start the processes."""


def run_task(index: int, payload: bytes) -> bytes:
    """Do one pickled task and return a pickled `Reply`; nothing but SIGTERM gets out of here."""
    process = _process
    if process is None:
        raise RuntimeError("run_task was called in a process that was not prepared")
    process.is_busy = True
    try:
        return pack(_ABANDONED) if _is_stopping(process) else _answer(process, index, payload)
    except _Stopped:
        if not _is_stopping(process):
            _die_of_sigterm()
        return pack(_ABANDONED)
    finally:
        process.is_busy = False


def _answer(process: _Process, index: int, payload: bytes) -> bytes:
    if process.worker is None:
        _announce(process, SETTING_UP, index)
        try:
            process.worker = make_worker(unpack(process.recipe), process.slot)
        except _Stopped:
            raise
        except BaseException as error:
            return pack(_setup_failure(error))
    _announce(process, RUNNING, index)
    try:
        return pack(Reply(result=process.worker(unpack(payload))))
    except _Stopped:
        raise
    except BaseException as error:
        return pack(Reply(failure=Failure.of(error)))


def _take_slot(scratch: Path) -> int:
    """Return the lowest number that no other process of the pool has taken, and take it."""
    for slot in count():
        with suppress(FileExistsError):
            (scratch / f"slot-{slot}").touch(exist_ok=False)
            return slot
    raise AssertionError  # the numbers do not end


def _setup_failure(error: BaseException) -> Reply:
    failure = Failure.of(error)
    if is_portable(error):
        return Reply(failure=failure, setup_error=error)
    named = GigacastError(f"{failure.error} in a worker's setup: {failure.message}")
    return Reply(failure=failure, setup_error=named)


def _announce(process: _Process, phase: str, index: int) -> None:
    os.pwrite(process.journal, f"{phase} {index}".ljust(32).encode(), 0)


def _is_stopping(process: _Process) -> bool:
    return (process.scratch / STOP).exists()


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    if _process is not None and _process.is_busy:
        raise _Stopped
    if _process is None or not _is_stopping(_process):
        _die_of_sigterm()


def _die_of_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


def _watch_parent(parent_pid: int, scratch: Path) -> None:
    # A parent that is killed outright cannot stop us, and its next run starts at once.
    while os.getppid() == parent_pid:
        time.sleep(_WATCH_PERIOD_S)
    shutil.rmtree(scratch, ignore_errors=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_ORPHAN_GRACE_S)
    os._exit(1)


def _never_restart_on_memory_growth() -> None:
    # loky replaces a process that grew by 300 MB since its first task. Ours may: the first
    # partition can be small. The model would be loaded anew each time, so the bound is lifted.
    process_executor._MAX_MEMORY_LEAK_SIZE = float("inf")  # noqa: SLF001 - it has no setting
