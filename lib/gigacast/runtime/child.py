"""The code that runs inside a worker process of a pool, and the pickling of tasks and replies.

Each process writes the phase and task it starts to a journal file (``{pid}``, in the pool's scratch
folder). A file survives the process, so the parent can read which task it was running when it died.
A second file (``slot-{n}``) reserves the slot of the process: the processes of a pool start
with equal arguments, and must not all take the same GPU.

Signals: the terminal sends Ctrl-C to the whole process group, and the parent acts on it, so it is
ignored here. SIGTERM raises in the running task, whose ``finally`` blocks then remove temporary
files. After that the process replies that it abandoned the task if the parent is stopping the pool
(the parent has made the file ``stop`` in the scratch folder). Otherwise it dies of the signal, as
any process does.
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
from joblib.externals.loky.cloudpickle_wrapper import dumps, loads

from gigacast.errors import GigacastError
from gigacast.runtime.executor import Failure, Worker, make_worker
from gigacast.runtime.interruption import SIGNALS
from gigacast.scratch import join_run, leave_run

STOP = "stop"
SETTING_UP = "setup"
RUNNING = "task"
_WATCH_PERIOD_S = 1.0  # between two looks for the parent
_ORPHAN_GRACE_S = 5.0  # for the `finally` blocks of the running task


def pack(value: object) -> bytes:
    """Return a value as bytes. Raises whatever the pickling of its class raises.

    cloudpickle also takes lambdas, closures and everything defined in ``__main__``, so that a
    setup written in a notebook works.
    """
    packed: bytes = dumps(value)
    return packed


def unpack(packed: bytes) -> Any:
    """Return the value from its bytes."""
    return loads(packed)


def is_portable(error: BaseException) -> bool:
    """Check that an exception survives pickling.

    Many exceptions pickle but fail to unpickle, because their constructor wants other arguments.
    """
    try:
        twin = unpack(pack(error))
    except Exception:
        return False
    return type(twin) is type(error)


@dataclass(frozen=True, slots=True)
class Reply:
    """Reply of a process: a result, a failure, or the error that kept it from making a worker."""

    result: Any = None
    failure: Failure | None = None
    setup_error: BaseException | None = None


@dataclass(slots=True)
class _Process:
    """State of this process between its tasks."""

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
    """Raised in the running task by SIGTERM.

    A `BaseException`, so that a task with ``except Exception`` does not swallow it.
    """


def prepare(scratch: str, recipe: bytes, parent_pid: int) -> None:
    """Prepare this process, once, before its first task. ``recipe`` is the pickled `Setup`."""
    global _process  # noqa: PLW0603 - loky passes no state from the initializer to the tasks
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder, name = Path(scratch), str(os.getpid())
    # Temporary files of the tasks belong to the run, which may be killed before this process.
    join_run(folder.parent)
    # After SIGSEGV Python code no longer runs; faulthandler's C code writes the traceback.
    fault_log = (folder / f"{name}.fault").open("w")
    faulthandler.enable(fault_log, all_threads=False)
    journal = os.open(folder / name, os.O_WRONLY | os.O_CREAT)
    _process = _Process(folder, recipe, _take_slot(folder), journal, fault_log)
    # The parent blocked both signals while it started us. They are unblocked only now, when the
    # handlers are in place.
    signal.signal(signal.SIGTERM, _on_sigterm)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    _never_restart_on_memory_growth()
    threading.Thread(target=_watch_parent, args=(parent_pid, folder), daemon=True).start()


def ready() -> None:
    """Do nothing. Submitting it makes loky start the processes."""


def run_task(index: int, payload: bytes) -> bytes:
    """Run a pickled task and return a pickled `Reply`. Errors become replies."""
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
    # The worker is made with the first task, not in `prepare`: an error in a loky initializer
    # breaks the pool without its cause.
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
    """Reserve and return the lowest slot that no other process of the pool has taken."""
    for slot in count():
        # Creating a file that must not exist is atomic, so two processes never share a slot.
        with suppress(FileExistsError):
            (scratch / f"slot-{slot}").touch(exist_ok=False)
            return slot
    raise AssertionError  # unreachable: count() never ends


def _setup_failure(error: BaseException) -> Reply:
    failure = Failure.of(error)
    if is_portable(error):
        return Reply(failure=failure, setup_error=error)
    stand_in = GigacastError(f"{failure.error} in a worker's setup: {failure.message}")
    return Reply(failure=failure, setup_error=stand_in)


def _announce(process: _Process, phase: str, index: int) -> None:
    # One write at a fixed offset, padded to the longest entry: it replaces the former entry
    # completely, so the parent never reads a mixture of two.
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
    # A parent killed by SIGKILL cannot stop its workers. They would work on beside its next run
    # and hold their GPU's memory, so they end themselves: an orphan gets another parent's pid.
    while os.getppid() == parent_pid:
        time.sleep(_WATCH_PERIOD_S)
    shutil.rmtree(scratch, ignore_errors=True)
    leave_run()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_ORPHAN_GRACE_S)
    os._exit(1)


def _never_restart_on_memory_growth() -> None:
    # loky replaces a process that grew by more than 300 MB since its first task, which it takes
    # for a leak. Ours may grow: the first partition can be small. As each new process would load
    # the model again, the limit is lifted.
    process_executor._MAX_MEMORY_LEAK_SIZE = float("inf")  # noqa: SLF001 - loky has no setting
