"""A pool of worker processes that reports which process died and which task it was running.

A run must survive the death of a worker (out of memory, a crash in a native library), so the pool
uses joblib's loky executor directly, through the interface of ``concurrent.futures``.
`joblib.Parallel` uses the same executor, but when a process dies it drops results that were
finished and not yet fetched; it kills processes without a grace period; and it has no pool of a
single process, which is needed to run suspected tasks outside the parent.

When a process dies:

1. loky kills all other processes and fails every unanswered future with `BrokenProcessPool`.
2. `Pool.next_reply` first returns the replies that arrived before, then raises `PoolBrokenError`
   with the unanswered tasks, those of them that had started, and the first processes to die.
3. `gigacast.runtime.parallel` runs the suspected tasks one by one in a pool of one process, and
   the other unanswered tasks again in a new pool.
"""

import multiprocessing.resource_tracker
import os
import signal
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
from gigacast.runtime.child import Reply, pack, unpack
from gigacast.runtime.executor import Failure
from gigacast.runtime.interruption import SIGNALS, Deferral, deferred
from gigacast.scratch import ScratchFolder

_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Death:
    """The unexpected end of a process.

    Parameters
    ----------
    index : int or None
        Task that the process had last started; ``None`` if it had not started any.
    was_setting_up : bool
        Whether it was still making its worker.
    exit_code : int or None
        Exit code as Python gives it: minus the signal number if a signal ended the process.
    traceback : str
        Traceback of a crash in a native library; empty if none was written.
    """

    index: int | None
    was_setting_up: bool
    exit_code: int | None
    traceback: str = ""

    @property
    def cause(self) -> str:
        """Description of the end: ``was killed by SIGKILL``, ``exited with code 3``."""
        if self.exit_code is None:
            return "died"
        if self.exit_code >= 0:
            return f"exited with code {self.exit_code}"
        with suppress(ValueError):
            return f"was killed by {signal.Signals(-self.exit_code).name}"
        return f"was killed by signal {-self.exit_code}"


class PoolBrokenError(Exception):
    """Raised when a process died; all other processes of the pool were stopped with it.

    Parameters
    ----------
    in_flight : set of int
        Tasks submitted but not answered.
    started : set of int
        Tasks of ``in_flight`` that a process had started.
    deaths : tuple of Death
        Processes that died first, at least one. The others were killed by loky.
    """

    def __init__(
        self, in_flight: frozenset[int], started: frozenset[int], deaths: tuple[Death, ...]
    ) -> None:
        super().__init__("a worker process died")
        self.in_flight = in_flight
        self.started = started
        self.deaths = deaths


class Pool:
    """Processes that each make one worker and run tasks with it; a context manager.

    Leaving the context stops the processes: at once if they are idle, else they have ``grace_s``
    to unwind the tasks they run.

    Parameters
    ----------
    processes : int
        Number of processes.
    recipe : bytes
        Pickled `Setup`.
    environment : mapping
        Environment variables, set in the processes before they import anything.
    grace_s : float
        Seconds from asking a process to stop until killing it.
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
        self._folder: ScratchFolder | None = None
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
        """Send a task. `next_reply` returns its reply, or the failure if it cannot be sent."""
        self.in_flight.add(index)
        # The task is sent as bytes, which `child.run_task` unpickles: when loky itself fails to
        # unpickle an argument in the worker, it breaks the whole pool.
        try:
            future = self._executor.submit(child.run_task, index, pack(task))
        except Exception as error:  # the task does not pickle, or the pool has just broken
            future = Future()
            future.set_exception(error)
        future.add_done_callback(lambda settled: self._replies.put((index, settled)))

    def next_reply(self) -> tuple[int, Reply]:
        """Wait for the next reply and return it with the index of its task.

        Raises
        ------
        PoolBrokenError
            If a process died. All replies that arrived before its death have been returned.
        """
        # The queue keeps the order in which futures settled, and loky settles the finished ones
        # before it fails the rest. So no finished result is lost when a process dies.
        index, future = self._replies.get()
        error = future.exception()
        if isinstance(error, BrokenProcessPool):
            raise self._close_broken()
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
        return self._folder.path

    def _start(self) -> None:
        # The folder is made here, inside `deferred`: a signal between making the folder and
        # storing its path would leave the folder behind.
        self._folder = ScratchFolder("pool")
        self._executor = ProcessPoolExecutor(
            self.processes,
            initializer=child.prepare,
            initargs=(str(self._scratch), self._recipe, os.getpid()),
            env=self._environment,
        )
        # Children inherit the signal mask. Blocking keeps Ctrl-C, which the terminal sends to the
        # whole process group, from ending them with a traceback before `child.prepare` ignores it.
        # The resource tracker must run already: starting it unblocks the signals.
        multiprocessing.resource_tracker.ensure_running()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self._executor.submit(child.ready)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self._children = tuple(self._executor._processes.values())  # noqa: SLF001 - nowhere else
        self._watcher.start()

    def _watch(self) -> None:
        # loky kills all processes as soon as one has died, so the first to die can be told apart
        # only at that moment. A thread waits for it on the processes' sentinels.
        by_sentinel = {process.sentinel: process for process in self._children}
        self._first_dead = tuple(by_sentinel[sentinel] for sentinel in wait(list(by_sentinel)))

    def _close_broken(self) -> PoolBrokenError:
        """Stop the broken pool and return the error that describes the deaths."""
        in_flight = frozenset(self.in_flight)
        self.in_flight.clear()
        # Only after the shutdown are the journals final and the exit codes known.
        with deferred():
            self._shut_down(kill=True)
        journals = {process.pid: self._read_journal(process.pid) for process in self._children}
        started = frozenset(index for _, index in journals.values() if index is not None)
        suspects = self._first_dead or self._children
        deaths = tuple(self._describe_death(process, journals[process.pid]) for process in suspects)
        return PoolBrokenError(in_flight, started & in_flight, deaths)

    def _read_journal(self, pid: int) -> tuple[str, int | None]:
        """Return the phase and task that a process announced last."""
        try:
            phase, index = (self._scratch / str(pid)).read_text().split()
        except (OSError, ValueError):
            return "", None
        return phase, int(index)

    def _describe_death(self, process: Any, journal: tuple[str, int | None]) -> Death:
        phase, index = journal
        fault_log = self._scratch / f"{process.pid}.fault"
        traceback = fault_log.read_text(errors="replace") if fault_log.exists() else ""
        return Death(index, phase == child.SETTING_UP, process.exitcode, traceback)

    def _stop(self, reason: type[BaseException] | None) -> None:
        # Signals wait until everything is cleaned up. When the first Ctrl-C brought us here, a
        # second one only ends the grace period (`_abandon`) and must not raise once more.
        is_interrupted = reason is not None and issubclass(reason, KeyboardInterrupt)
        with deferred(absorb=is_interrupted) as deferral:
            if self._executor is not None:
                if self.in_flight:
                    self._abandon(deferral)
                # After an error the processes are killed, not asked to end: one that died of a
                # signal may hold a lock of loky's queues, and the others would wait forever.
                self._shut_down(kill=reason is not None)
            if self._folder is not None:
                self._folder.close()

    def _abandon(self, deferral: Deferral) -> None:
        """Ask the processes to drop their tasks, and wait for their replies at most ``grace_s``."""
        # The stop file comes before SIGTERM: with it a process answers "abandoned" and lives on,
        # without it the process would die of the signal and break the pool.
        (self._scratch / child.STOP).touch()
        for process in self._children:
            process.terminate()
        # A polling loop, because a blocking get() would not notice a second Ctrl-C.
        missing, deadline = len(self.in_flight), monotonic() + self._grace_s
        while missing and monotonic() < deadline and deferral.received is None:
            with suppress(Empty):
                self._replies.get(timeout=_POLL_S)
                missing -= 1

    def _shut_down(self, *, kill: bool) -> None:
        # shutdown(wait=True) has no timeout, and a task may ignore SIGTERM. So a timer kills.
        killer = threading.Timer(self._grace_s, self._kill)
        killer.daemon = True
        killer.start()
        try:
            self._executor.shutdown(wait=True, kill_workers=kill)
        finally:
            # Both threads are joined: one that outlives this call may hold the last reference to
            # the pool and drop loky's semaphores while the interpreter ends, and then loky's
            # resource tracker prints warnings about leaked semaphores.
            killer.cancel()
            killer.join()
            if self._watcher.ident is not None:
                self._watcher.join(self._grace_s)

    def _kill(self) -> None:
        for process in self._children:
            if process.is_alive():
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
