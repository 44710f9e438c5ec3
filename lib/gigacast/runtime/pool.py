"""A pool of processes that can say who died, and doing what.

`joblib.Parallel` stands on the same loky executor, but is no ground for a run that must survive its
workers: when a process dies it drops results that were finished and not yet taken, it kills
without a grace period, and it has no pool of one process. So the executor is used directly, through
the interface of ``concurrent.futures``.
"""

import multiprocessing.resource_tracker
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

from joblib.externals.loky import BrokenProcessPool, ProcessPoolExecutor

from gigacast.runtime import child
from gigacast.runtime.child import Reply
from gigacast.runtime.executor import Failure
from gigacast.runtime.interruption import SIGNALS, Deferral, deferred
from gigacast.runtime.pickling import pack, unpack

_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Death:
    """How a process ended that nobody had asked to.

    Parameters
    ----------
    index : int or None
        The task it held; ``None`` if it had not begun one, or had answered the last.
    was_setting_up : bool
        It was still making its worker.
    exit_code : int or None
        As Python gives it: minus the signal's number where a signal ended it.
    traceback : str
        Where a native library crashed, if it could still say so.
    """

    index: int | None
    was_setting_up: bool
    exit_code: int | None
    traceback: str = ""

    @property
    def cause(self) -> str:
        """The end of a sentence: ``was killed by SIGKILL``, ``exited with code 3``."""
        if self.exit_code is None:
            return "died"
        if self.exit_code >= 0:
            return f"exited with code {self.exit_code}"
        with suppress(ValueError):
            return f"was killed by {signal.Signals(-self.exit_code).name}"
        return f"was killed by signal {-self.exit_code}"


class PoolBrokenError(Exception):
    """A process died, and all others of the pool were stopped with it.

    Parameters
    ----------
    in_flight : set of int
        Submitted and not answered.
    started : set of int
        Those of them that a process had begun.
    deaths : tuple of Death
        The processes that died first, by themselves: at least one.
    """

    def __init__(
        self, in_flight: frozenset[int], started: frozenset[int], deaths: tuple[Death, ...]
    ) -> None:
        super().__init__("a worker process died")
        self.in_flight = in_flight
        self.started = started
        self.deaths = deaths


class Pool:
    """Processes that each make one worker and do tasks with it; a context manager.

    Leaving it stops the processes: at once if they are idle, else they have ``grace_s`` to unwind
    the tasks in hand.

    Parameters
    ----------
    processes : int
        How many.
    recipe : bytes
        The pickled `Setup`.
    environment : mapping
        Variables set in the processes before they import anything.
    grace_s : float
        Seconds from asking a process to stop to killing it.
    """

    def __init__(
        self, processes: int, recipe: bytes, environment: Mapping[str, str], grace_s: float
    ) -> None:
        self.processes = processes
        self.in_flight: set[int] = set()
        self._recipe = recipe
        self._environment = dict(environment)
        self._grace_s = grace_s
        self._replies: SimpleQueue[tuple[int, Future[bytes]]] = SimpleQueue()
        self._folder: Path | None = None
        self._executor: Any = None
        self._children: tuple[Any, ...] = ()
        self._first_dead: tuple[Any, ...] = ()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Pool":
        try:
            with deferred():
                self._start()
        except BaseException as error:
            self._stop(type(error))
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stop(kind)

    def submit(self, index: int, task: object) -> None:
        """Send a task; its reply, or why it could not be sent, comes from `next_reply`."""
        self.in_flight.add(index)
        try:
            future = self._executor.submit(child.run_task, index, pack(task))
        except Exception as error:  # it does not pickle, or the pool has just broken
            future = Future()
            future.set_exception(error)
        future.add_done_callback(lambda done: self._replies.put((index, done)))

    def next_reply(self) -> tuple[int, Reply]:
        """Wait for the next reply.

        Raises
        ------
        PoolBrokenError
            A process died. All replies that were given before have been returned.
        """
        index, future = self._replies.get()
        error = future.exception()
        if isinstance(error, BrokenProcessPool):
            raise self._bury()
        self.in_flight.discard(index)
        if error is not None:
            return index, Reply(failure=Failure.of(error))
        try:
            return index, unpack(future.result())
        except Exception as unreadable:
            return index, Reply(failure=Failure.of(unreadable))

    @property
    def _scratch(self) -> Path:
        if self._folder is None:
            raise RuntimeError("the pool was not started")
        return self._folder

    def _start(self) -> None:
        # Here, where signals wait: one that hit between folder and pool would leave the folder.
        self._folder = Path(tempfile.mkdtemp(prefix="gigacast-pool-"))
        self._executor = ProcessPoolExecutor(
            self.processes,
            initializer=child.prepare,
            initargs=(str(self._scratch), self._recipe, os.getpid()),
            env=self._environment,
        )
        # Children inherit the mask, so that Ctrl-C cannot hit them before they ignore it. The
        # tracker would unblock the signals again, were it started in between.
        multiprocessing.resource_tracker.ensure_running()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self._executor.submit(child.ready)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self._children = tuple(self._executor._processes.values())  # noqa: SLF001 - nowhere else
        self._watcher.start()

    def _watch(self) -> None:
        # loky kills all processes when one dies. Who was first can only be seen at that moment.
        by_sentinel = {process.sentinel: process for process in self._children}
        self._first_dead = tuple(by_sentinel[dead] for dead in wait(list(by_sentinel)))

    def _bury(self) -> PoolBrokenError:
        in_flight = frozenset(self.in_flight)
        self.in_flight.clear()
        with deferred():
            self._shut_down(kill=True)
        held = {process.pid: self._last_words(process.pid) for process in self._children}
        started = frozenset(index for _, index in held.values() if index is not None)
        suspects = self._first_dead or self._children
        deaths = tuple(self._inquest(process, held[process.pid]) for process in suspects)
        return PoolBrokenError(in_flight, started & in_flight, deaths)

    def _last_words(self, pid: int) -> tuple[str, int | None]:
        try:
            phase, index = (self._scratch / str(pid)).read_text().split()
        except (OSError, ValueError):
            return "", None
        return phase, int(index)

    def _inquest(self, process: Any, held: tuple[str, int | None]) -> Death:
        phase, index = held
        fault_log = self._scratch / f"{process.pid}.fault"
        traceback = fault_log.read_text(errors="replace") if fault_log.exists() else ""
        return Death(index, phase == child.SETTING_UP, process.exitcode, traceback)

    def _stop(self, reason: type[BaseException] | None) -> None:
        # A second Ctrl-C ends the grace period, and has no other effect than the first.
        is_interrupted = reason is not None and issubclass(reason, KeyboardInterrupt)
        with deferred(absorb=is_interrupted) as deferral:
            if self._executor is not None:
                if self.in_flight:
                    self._abandon(deferral)
                # A process that a signal ended may hold a lock that the others wait for.
                self._shut_down(kill=reason is not None)
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)

    def _abandon(self, deferral: Deferral) -> None:
        (self._scratch / child.STOP).touch()
        for process in self._children:
            process.terminate()
        missing, deadline = len(self.in_flight), monotonic() + self._grace_s
        while missing and monotonic() < deadline and deferral.received is None:
            with suppress(Empty):
                self._replies.get(timeout=_POLL_S)
                missing -= 1

    def _shut_down(self, *, kill: bool) -> None:
        too_late = threading.Timer(self._grace_s, self._kill)
        too_late.daemon = True
        too_late.start()
        try:
            self._executor.shutdown(wait=True, kill_workers=kill)
        finally:
            # A thread that outlives this call may hold the last reference to the pool, and drop
            # loky's semaphores half-way when the interpreter ends: its tracker then complains.
            too_late.cancel()
            too_late.join()
            if self._watcher.ident is not None:
                self._watcher.join(self._grace_s)

    def _kill(self) -> None:
        for process in self._children:
            if process.is_alive():
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
