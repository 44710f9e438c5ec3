"""The executor that runs tasks over the processes of this machine."""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Generic

from gigacast.errors import WorkerLostError
from gigacast.runtime.child import Reply, pack
from gigacast.runtime.cores import divide_threads, resolve_jobs
from gigacast.runtime.executor import Failure, Outcome, R, Setup, T
from gigacast.runtime.pool import Death, Pool, PoolBrokenError

GRACE_S = 5.0  # for the `finally` blocks of a task, before its process is killed
_IN_FLIGHT_PER_PROCESS = 2
"""One task running and one waiting, so that no process idles until its reply is fetched."""
_LOST_HINTS = {
    "was killed by SIGKILL": "often the machine is out of memory: lower batch_size or n_jobs",
    "was killed by SIGTERM": "something outside the run asked the process to stop",
}
_CRASH_HINT = "a library crashed on this partition; the traceback shows where, if it was written"


class JoblibExecutor:
    """Runs tasks over processes that each keep one worker.

    Each process runs ``setup`` once, with its first task, so a model is loaded once per process.
    When a process dies, the whole pool is lost. The tasks that may have killed it then run one by
    one in a pool of a single process; a task that kills this process as well fails with
    `WorkerLostError`. All other tasks continue in parallel in a new pool.

    Parameters
    ----------
    n_jobs : int, optional
        Number of processes; -1 for all cores; 1 by default.
    threads_per_process : int, optional
        Threads of BLAS, OpenMP and torch per process; the cores divided by the processes by
        default.
    grace_s : float
        Seconds that a process has to unwind its task when the run is stopped.
    """

    def __init__(
        self,
        n_jobs: int | None = None,
        threads_per_process: int | None = None,
        *,
        grace_s: float = GRACE_S,
    ) -> None:
        self.processes = resolve_jobs(n_jobs)
        self.threads_per_process = threads_per_process
        self.grace_s = grace_s

    def run(self, tasks: Sequence[T], setup: Setup[T, R]) -> Iterator[Outcome[T, R]]:
        """Yield an outcome per task as the tasks finish.

        At most twice as many tasks as processes are in flight, so that a million tasks are not
        pickled in advance.
        """
        if not tasks:
            return
        processes = min(self.processes, len(tasks))
        ledger: _Ledger[T, R] = _Ledger(tasks)
        make_pool = partial(
            Pool,
            recipe=pack(setup),
            environment=divide_threads(processes, self.threads_per_process),
            grace_s=self.grace_s,
        )
        while ledger.has_more():
            suspects: Sequence[int] = ()
            try:
                yield from _run_together(ledger, make_pool, processes)
            except PoolBrokenError as broken:
                suspects = ledger.take_back(broken)
            # Suspects run before the next pool of all processes: a task that kills its process
            # would otherwise break one pool after the other.
            yield from _run_alone(ledger, make_pool, suspects)


def _run_together(
    ledger: "_Ledger[T, R]", make_pool: Callable[[int], Pool], processes: int
) -> Iterator[Outcome[T, R]]:
    with make_pool(processes) as pool:
        while True:
            while len(pool.in_flight) < processes * _IN_FLIGHT_PER_PROCESS and ledger.has_more():
                index = ledger.take()
                pool.submit(index, ledger.tasks[index])
            if not pool.in_flight:
                return
            yield ledger.settle(*pool.next_reply())


def _run_alone(
    ledger: "_Ledger[T, R]", make_pool: Callable[[int], Pool], suspects: Sequence[int]
) -> Iterator[Outcome[T, R]]:
    waiting = deque(suspects)
    while waiting:
        try:
            with make_pool(1) as pool:
                while waiting:
                    index = waiting.popleft()
                    pool.submit(index, ledger.tasks[index])
                    yield ledger.settle(*pool.next_reply())
        except PoolBrokenError as broken:
            deaths = broken.deaths
        else:
            return
        # The outcome is yielded after the broken pool is closed: the consumer may stop here.
        yield ledger.blame(index, deaths[0])


class _Ledger(Generic[T, R]):
    """The tasks that are left, and how often each was started."""

    def __init__(self, tasks: Sequence[T]) -> None:
        self.tasks = tasks
        self._next = 0
        self._again: deque[int] = deque()
        self._lost_starts: Counter[int] = Counter()

    def has_more(self) -> bool:
        return bool(self._again) or self._next < len(self.tasks)

    def take(self) -> int:
        if self._again:
            return self._again.popleft()
        self._next += 1
        return self._next - 1

    def take_back(self, broken: PoolBrokenError) -> list[int]:
        """Put the tasks of a broken pool back, except the suspects, which are returned.

        Suspects are the unanswered tasks of the processes that died first. If these had none, all
        started tasks are suspects; if no task had started, all submitted ones.
        """
        self._lost_starts.update(broken.started)
        # A process may die after its task was answered. Such a task is finished, not suspected.
        last_tasks = {death.index for death in broken.deaths if death.index is not None}
        suspects = (last_tasks & broken.in_flight) or broken.started or broken.in_flight
        # To the front, in the order of the tasks: extendleft reverses what it is given.
        self._again.extendleft(sorted(broken.in_flight - suspects, reverse=True))
        return sorted(suspects)

    def settle(self, index: int, reply: Reply) -> Outcome[T, R]:
        """Return the outcome of a task from its reply, or raise the error of its setup."""
        if reply.setup_error is not None:
            if reply.failure is not None:
                reply.setup_error.add_note(f"In the worker process:\n{reply.failure.traceback}")
            raise reply.setup_error
        return self._outcome(index, reply.result, reply.failure)

    def blame(self, index: int, death: Death) -> Outcome[T, R]:
        """Return the failed outcome of a task that killed its process while it ran alone."""
        # The setup killed the process, not the task: every other task would meet the same. The
        # suspect's second start, alone, was the retry of the setup.
        if death.was_setting_up or death.index is None:
            raise WorkerLostError(
                f"a worker process {death.cause} before it could begin a task",
                hint=_LOST_HINTS.get(death.cause, "see the log of the process"),
            )
        message = f"The process that ran this task alone {death.cause}."
        hint = _LOST_HINTS.get(death.cause, _CRASH_HINT)
        return self._outcome(
            index, None, Failure(WorkerLostError.__name__, message, hint, death.traceback)
        )

    def _outcome(self, index: int, result: Any, failure: Failure | None) -> Outcome[T, R]:
        attempts = 1 + self._lost_starts.pop(index, 0)
        return Outcome(self.tasks[index], result, failure, attempts)
