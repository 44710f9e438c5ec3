"""Every executor: one outcome per task, its errors, and what is pickled."""

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from gigacast.errors import GigacastError, ModelNotFoundError
from gigacast.forecasters.hardware import device_of, list_devices
from gigacast.runtime.executor import Executor
from gigacast.runtime.parallel import JoblibExecutor
from tests.contract.executor.actions import (
    UnreadableError,
    errors,
    setup_act,
    work,
    worker_processes,
)

# Processes then start without importing pytest.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def test_every_task_has_exactly_one_outcome(executor: Executor) -> None:
    tasks = [*work(9), "raise 1", "raise 2", "work 3"]
    outcomes = list(executor.run(tasks, setup_act))
    assert Counter(o.task for o in outcomes) == Counter(tasks)
    assert {o.result for o in outcomes if not o.failure} == {"done"}
    assert errors(outcomes) == {"raise 1": "ZeroDivisionError", "raise 2": "ZeroDivisionError"}


class SetupPerSlot:
    """Makes a worker that returns its process and its GPU out of three."""

    def __init__(self, device: str = "cuda", slot: int = 0) -> None:
        self.device = device
        self.slot = slot

    def for_slot(self, slot: int) -> "SetupPerSlot":
        return SetupPerSlot(self.device, slot)

    def __call__(self) -> Callable[[float], tuple[int, str]]:
        device = device_of(self.slot, list_devices(self.device, 3))

        def report(seconds: float) -> tuple[int, str]:
            time.sleep(seconds)
            return os.getpid(), device

        return report


def test_a_single_worker_has_the_first_slot(executor: Executor) -> None:
    [outcome] = executor.run([0.0], SetupPerSlot())
    assert outcome.result is not None
    assert outcome.result[1] == "cuda:0"


def test_every_process_keeps_its_own_slot_and_gpu() -> None:
    outcomes = list(JoblibExecutor(4).run([0.3] * 4 + [0.01] * 8, SetupPerSlot()))
    devices = dict(o.result for o in outcomes if o.result)
    assert sorted(devices.values()) == ["cuda:0", "cuda:0", "cuda:1", "cuda:2"]
    assert {o.result for o in outcomes} == set(devices.items())  # a process keeps its GPU


def test_all_processes_share_a_gpu_chosen_by_number() -> None:
    outcomes = list(JoblibExecutor(2).run([0.2] * 4, SetupPerSlot("cuda:1")))
    assert {o.result[1] for o in outcomes if o.result} == {"cuda:1"}


def test_the_outcome_holds_the_task_itself(executor: Executor) -> None:
    tasks = [object(), object()]
    outcomes = list(executor.run(tasks, lambda: lambda task: None))
    assert {id(o.task) for o in outcomes} == {id(task) for task in tasks}


def test_without_tasks_no_worker_is_started(executor: Executor) -> None:
    def setup() -> Callable[[int], int]:
        raise AssertionError

    assert list(executor.run([], setup)) == []


def test_a_task_that_raises_is_named_with_its_error(executor: Executor) -> None:
    tasks = ["raise", "raise ours", "raise unpicklable", "raise unreadable", "leave", "work"]
    failures = {o.task: o.failure for o in executor.run(tasks, setup_act)}
    assert failures.pop("work") is None
    facts = {task: (f.error, f.message, f.hint) for task, f in failures.items() if f}
    assert facts == {
        "raise": ("ZeroDivisionError", "division by zero", None),
        "raise ours": ("ModelNotFoundError", "no model x", "make one"),
        "raise unpicklable": ("UnpicklableError", "it holds a lock", None),
        "raise unreadable": ("UnreadableError", "a and b", None),
        "leave": ("SystemExit", "4", None),
    }
    assert all(f and "Traceback" in f.traceback for f in failures.values())


def test_the_worker_is_set_up_once_per_process(executor: Executor) -> None:
    def setup() -> Callable[[int], tuple[int, int]]:
        made_at = time.monotonic_ns()
        return lambda _: (os.getpid(), made_at)

    workers = {o.result for o in executor.run(range(12), setup)}
    assert len({process for process, _ in workers}) == len(workers)


def test_a_failed_setup_is_raised_once_with_its_own_error(executor: Executor) -> None:
    def setup() -> Callable[[int], int]:
        raise ModelNotFoundError("no model x", hint="make one")

    with pytest.raises(ModelNotFoundError, match="no model x") as caught:
        list(executor.run(range(6), setup))
    assert caught.value.hint == "make one"


def test_an_executor_can_run_twice(executor: Executor) -> None:
    for _ in range(2):
        assert len(list(executor.run(work(3), setup_act))) == 3


def test_closing_early_stops_the_remaining_tasks(executor: Executor, tmp_path: Path) -> None:
    def setup() -> Callable[[int], None]:
        return lambda task: (tmp_path / str(task)).touch() or time.sleep(0.05)

    outcomes = executor.run(range(100), setup)
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert worker_processes() == []
    assert len(list(tmp_path.iterdir())) < 10


def test_an_error_in_the_consumer_stops_the_remaining_tasks(executor: Executor) -> None:
    def consume() -> None:
        for _ in executor.run(["slow"] * 50, setup_act):
            raise LookupError

    with pytest.raises(LookupError):
        consume()
    assert worker_processes() == []


def test_a_task_that_does_not_pickle_fails_alone(pool: JoblibExecutor) -> None:
    outcomes = list(pool.run([1, threading.Lock(), 2], lambda: lambda task: task))
    assert sorted(o.result for o in outcomes if not o.failure) == [1, 2]
    assert [o.failure.error for o in outcomes if o.failure] == ["TypeError"]


def test_a_result_that_does_not_pickle_fails_alone(pool: JoblibExecutor) -> None:
    def setup() -> Callable[[int], Any]:
        return lambda task: threading.Lock() if task == 1 else task

    outcomes = list(pool.run([0, 1, 2], setup))
    assert sorted(o.result for o in outcomes if not o.failure) == [0, 2]
    assert [o.failure.error for o in outcomes if o.failure] == ["TypeError"]


def test_a_setup_error_that_does_not_pickle_is_still_named(pool: JoblibExecutor) -> None:
    def setup() -> Callable[[int], int]:
        raise UnreadableError("a", "b")

    with pytest.raises(GigacastError, match=r"UnreadableError in a worker's setup: .*a and b"):
        list(pool.run([1, 2], setup))


def test_tasks_are_sent_to_workers_as_they_are_needed(pool: JoblibExecutor) -> None:
    class Tasks(list[int]):
        taken_count = 0

        def __getitem__(self, index: Any) -> Any:
            self.taken_count += 1
            return super().__getitem__(index)

    tasks = Tasks(range(1_000_000))
    outcomes = pool.run(tasks, lambda: lambda task: task)
    for _ in range(20):
        next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert tasks.taken_count < 60


def test_threads_are_divided_before_anything_is_imported() -> None:
    def setup() -> Callable[[int], str | None]:
        return lambda _: os.environ.get("OMP_NUM_THREADS")

    assert {o.result for o in JoblibExecutor(2, 3).run([1, 2], setup)} == {"3"}
