"""Machines, an array service and its clock, simulated: the real children run on them.

Machines differ in speed, start at different times and are lost, with and without notice, some
between an output and its receipt. Tasks fail once or always, and take time on the simulated clock
only. Used by `scale.py`; not a benchmark itself.
"""

import heapq
import itertools
import random
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
from paged_lake import PagedLake, receipt_of

from gigacast.batch.child import Place, run_child
from gigacast.batch.service import FAILED, SUCCEEDED, ArrayRequest, ArrayState, ChildState
from gigacast.batch.work import find_done
from gigacast.core.exit import EXIT_AGAIN, EXIT_DONE
from gigacast.core.partition.task import Task
from gigacast.job.batch_options import ChildOrder
from gigacast.lake.layout import TIMINGS
from gigacast.lake.plan.receipt import write_receipt
from gigacast.runtime.executor import Failure, Outcome
from gigacast.storage.store import ObjectMeta

MOST_ATTEMPTS = 10
DAWN = datetime(2026, 11, 21, tzinfo=UTC)


class HostLost(BaseException):
    """Raised when the machine is lost, and with it the process: nothing more is written."""


class Clock:
    """The clock of the running child, in seconds since the submission."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def read(self) -> datetime:
        """Return the time as a date."""
        return DAWN + timedelta(seconds=self.now_s)


class Turns:
    """Lets one attempt run at a time: that whose clock is behind those of all others."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: list[tuple[float, int, threading.Event]] = []
        self._count = itertools.count()
        self._ended = threading.Event()

    def start(self, at_s: float, work: Callable[[], None]) -> None:
        """Run an attempt from a time on, in a thread of its own."""
        turn = self._wait_for(at_s)

        def run() -> None:
            turn.wait()
            self._clock.now_s = at_s
            try:
                work()
            finally:
                self._pass_on()

        threading.Thread(target=run, daemon=True).start()

    @property
    def now_s(self) -> float:
        """Time of the running attempt."""
        return self._clock.now_s

    def advance(self, to_s: float) -> None:
        """Let time pass for the running attempt, and those that are behind it run."""
        if self._waiting and self._waiting[0][0] < to_s:
            turn = self._wait_for(to_s)
            self._pass_on()
            turn.wait()
        self._clock.now_s = to_s

    def run(self) -> None:
        """Run all attempts to their end."""
        self._pass_on()
        self._ended.wait()

    def _wait_for(self, at_s: float) -> threading.Event:
        turn = threading.Event()
        heapq.heappush(self._waiting, (at_s, next(self._count), turn))
        return turn

    def _pass_on(self) -> None:
        if self._waiting:
            heapq.heappop(self._waiting)[2].set()
        else:
            self._ended.set()


@dataclass
class Accidents:
    """Probabilities of the simulated faults."""

    losses_per_hour: float
    poisoned: frozenset[int]
    failing_once: set[int]
    random: random.Random


class Machine:
    """An executor whose tasks take time on the simulated clock only."""

    def __init__(
        self, lake: PagedLake, turns: Turns, seconds: np.ndarray, lost_at_s: float, odds: Accidents
    ) -> None:
        self._lake = lake
        self._turns = turns
        self._seconds = seconds
        self._lost_at_s = lost_at_s
        self._odds = odds
        self._speed = odds.random.lognormvariate(0.0, 0.05)

    def run(self, tasks: Sequence[Any], setup: object) -> Iterator[Outcome[Any, Any]]:
        """Run tasks one by one until the machine is lost."""
        for task in tasks:
            index = self._lake.index_of(task.output_key)
            receipt = find_done(self._lake, task, self._lake.runs[-1], overwrite=False)
            if receipt is not None:
                yield Outcome(task, receipt, None)
                continue
            ends_s = self._turns.now_s + float(self._seconds[index]) / self._speed
            if ends_s > self._lost_at_s:
                self._lose(task)
            self._turns.advance(ends_s)
            yield self._do(task, index)

    def _do(self, task: Task, index: int) -> Outcome[Any, Any]:
        if index in self._odds.poisoned or index in self._odds.failing_once:
            self._odds.failing_once.discard(index)
            return Outcome(task, None, Failure("CorruptedFileError", f"{task.partition}: poisoned"))
        etag = self._lake.put(task.output_key, b"")
        source = task.inputs[0]
        meta = ObjectMeta(source.key, source.etag, source.size_bytes, 0)
        output = ObjectMeta(task.output_key, etag, 10**6, 0)
        receipt = receipt_of(meta, output, self._lake.runs[-1], task.spec)
        write_receipt(self._lake, task, receipt, etag)
        return Outcome(task, receipt, None)

    def _lose(self, task: Task) -> None:
        """Lose the machine like a spot machine: asked to stop, or lost at once, at any step."""
        self._turns.advance(max(self._turns.now_s, self._lost_at_s))
        draw = self._odds.random.random()
        if draw < 0.5:
            raise KeyboardInterrupt
        if draw < 0.6:
            self._lake.put(task.output_key, b"")  # lost before the receipt

        def refuse(kind: str, key: str) -> None:
            raise HostLost

        self._lake.on_request = refuse
        raise HostLost


class SimulatedBatch:
    """An array service that runs its children in step, in simulated time."""

    def __init__(self, lake: PagedLake, seconds: np.ndarray, odds: Accidents, options: Any) -> None:
        self.clock = Clock()
        self.ends_s: list[float] = []
        self.last_receipt_s = 0.0
        self.attempts: Counter[str] = Counter()
        self.busy: dict[str, Counter[int]] = defaultdict(Counter)
        self._lake = lake
        self._seconds = seconds
        self._odds = odds
        self._startup_s = options.startup
        self._machines = options.machines or options.children
        self._requests: list[ArrayRequest] = []
        self._failed: dict[int, ChildState] = {}

    def submit(self, request: ArrayRequest) -> str:
        """Accept a job, to be run by `run`."""
        self._requests.append(request)
        return f"job-{len(self._requests) - 1}"

    def run(self) -> None:
        """Run every child of every job, with its retries, to the end."""
        self._turns, self._free = Turns(self.clock), self._machines
        self._queue = [
            (0.0, job, index, 1)
            for job, request in enumerate(self._requests)
            for index in range(request.size)
        ]
        heapq.heapify(self._queue)
        self._lake.on_request = self._count
        self._start_waiting(0.0)
        self._turns.run()
        self._lake.on_request = lambda kind, key: None

    def _start_waiting(self, now_s: float) -> None:
        """Start attempts on the machines that are free."""
        while self._queue and self._free:
            ready_s, job, index, attempt = heapq.heappop(self._queue)
            startup_s = self._startup_s * self._odds.random.lognormvariate(0.0, 0.2)
            self._free -= 1
            work = partial(self._run_attempt, job, index, attempt)
            self._turns.start(max(ready_s, now_s) + startup_s, work)

    def _run_attempt(self, job: int, index: int, attempt: int) -> None:
        outcome = self._attempt(job, index, attempt)
        now_s = self.clock.now_s
        self.attempts[outcome] += 1
        self.ends_s.append(now_s)
        self._free += 1
        if outcome in {"lost", "asked to stop"} and attempt < MOST_ATTEMPTS:
            heapq.heappush(self._queue, (now_s, job, index, attempt + 1))
        elif outcome != "done":
            self._failed[index] = ChildState(index, FAILED, outcome, 1, attempt)
        self._start_waiting(now_s)

    def _attempt(self, job: int, index: int, attempt: int) -> str:
        order = ChildOrder.parse(list(self._requests[job].command))
        rate = self._odds.losses_per_hour / 3600
        lost_at_s = self.clock.now_s + (
            self._odds.random.expovariate(rate) if rate else float("inf")
        )
        machine = Machine(self._lake, self._turns, self._seconds, lost_at_s, self._odds)
        try:
            place = Place(index, attempt, f"job-{job}")
            code = run_child(order, place, executor=machine, clock=self.clock.read)
        except HostLost:
            return "lost"
        finally:
            self._lake.on_request = self._count
        return {EXIT_DONE: "done", EXIT_AGAIN: "asked to stop"}.get(code, "failed")

    def _count(self, kind: str, key: str) -> None:
        if kind == "put" and key.startswith(TIMINGS):
            self.last_receipt_s = self.clock.now_s
        self.busy[f"{kind} {key.partition('/')[0]}"][int(self.clock.now_s // 60)] += 1

    def describe(self, job_ids: Sequence[str]) -> list[ArrayState]:
        """Return the jobs as ended."""
        return [ArrayState(job, FAILED if self._failed else SUCCEEDED) for job in job_ids]

    def failed_children(self, job_id: str) -> list[ChildState]:
        """Return the failed children."""
        return list(self._failed.values())

    def child(self, job_id: str, index: int) -> ChildState:
        """Not used in the simulation."""
        raise NotImplementedError

    def cancel(self, job_ids: Sequence[str], reason: str) -> None:
        """Not used in the simulation."""
        raise NotImplementedError

    def read_log(self, child: ChildState, lines: int) -> list[str]:
        """Not used in the simulation."""
        raise NotImplementedError
