"""Processes of workers that die, hang or never start."""

import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

import gigacast.runtime.pool as pool_module
from gigacast.errors import WorkerLostError
from gigacast.runtime.parallel import JoblibExecutor
from tests.contract.executor.actions import errors, setup_act, work

# Processes then start without importing pytest.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.mark.parametrize(
    ("task", "cause"),
    [
        ("sigkill", "was killed by SIGKILL"),
        ("exit", "exited with code 3"),
        ("segfault", "was killed by SIGSEGV"),
    ],
)
def test_a_task_that_kills_its_process_is_named_and_the_others_are_finished(
    pool: JoblibExecutor, task: str, cause: str
) -> None:
    tasks = [*work(5), task, *work(8)]
    outcomes = list(pool.run(tasks, setup_act))
    assert Counter(o.task for o in outcomes) == Counter(tasks)
    assert errors(outcomes) == {task: "WorkerLostError"}
    lost = next(o for o in outcomes if o.failure)
    assert lost.failure is not None
    assert cause in lost.failure.message
    assert lost.failure.hint
    assert lost.attempts == 2


def test_a_crash_in_a_native_library_has_a_traceback(pool: JoblibExecutor) -> None:
    (lost,) = pool.run(["segfault"], setup_act)
    assert lost.failure is not None
    assert "in segfault" in lost.failure.traceback


def test_two_tasks_that_kill_their_process_are_both_named(pool: JoblibExecutor) -> None:
    tasks = [*work(4), "sigkill 1", "exit 2", *work(6), "raise"]
    outcomes = list(pool.run(tasks, setup_act))
    assert Counter(o.task for o in outcomes) == Counter(tasks)
    assert errors(outcomes) == {
        "sigkill 1": "WorkerLostError",
        "exit 2": "WorkerLostError",
        "raise": "ZeroDivisionError",
    }


def test_a_task_that_was_lost_with_a_killed_process_succeeds_when_it_is_run_again(
    pool: JoblibExecutor, tmp_path: Path
) -> None:
    def setup() -> Callable[[int], int]:
        def die_once(task: int) -> int:
            first = tmp_path / "first"
            if task == 3 and not first.exists():
                first.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return task

        return die_once

    outcomes = list(pool.run(range(8), setup))
    assert sorted(o.result for o in outcomes) == list(range(8))
    assert {o.task: o.attempts for o in outcomes}[3] == 2


def test_a_task_whose_result_was_yielded_is_never_run_again(
    pool: JoblibExecutor, tmp_path: Path
) -> None:
    def setup() -> Callable[[int], None]:
        def note(task: int) -> None:
            (tmp_path / f"{task} {time.monotonic_ns()}").touch()
            time.sleep(0.02)
            if task == 10:
                os._exit(1)

        return note

    yielded_at = {o.task: time.monotonic_ns() for o in pool.run(range(20), setup)}
    starts = [tuple(map(int, path.name.split())) for path in tmp_path.iterdir()]
    assert {task for task, _ in starts} == set(range(20))
    assert all(start < yielded_at[task] for task, start in starts)


def test_a_setup_that_kills_every_process_is_an_error_of_the_run(pool: JoblibExecutor) -> None:
    with pytest.raises(WorkerLostError, match="exited with code 9 before it could begin a task"):
        list(pool.run(range(6), lambda: os._exit(9)))


def test_a_setup_that_kills_its_process_once_is_tried_again(
    pool: JoblibExecutor, tmp_path: Path
) -> None:
    def setup() -> Callable[[int], int]:
        first = tmp_path / "first"
        if not first.exists():
            first.touch()
            os._exit(9)
        return lambda task: task

    assert sorted(o.result for o in pool.run(range(6), setup)) == list(range(6))


def test_a_task_that_will_not_stop_is_killed_after_the_grace_period() -> None:
    def setup() -> Callable[[int], None]:
        def stubborn(task: int) -> None:
            while task:
                try:
                    time.sleep(60)
                except BaseException:
                    continue

        return stubborn

    outcomes = JoblibExecutor(2, grace_s=0.3).run([0, 1, 1], setup)
    next(outcomes)
    start = time.monotonic()
    outcomes.close()  # type: ignore[attr-defined]
    assert time.monotonic() - start < 3


def test_a_finished_run_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def wait_and_linger(sentinels: list[Any]) -> list[Any]:
        dead = wait(sentinels)
        time.sleep(0.2)
        return dead

    monkeypatch.setattr(pool_module, "wait", wait_and_linger)
    before = set(threading.enumerate())
    assert len(list(JoblibExecutor(2).run(range(4), lambda: str))) == 4
    assert set(threading.enumerate()) == before
    stopped = JoblibExecutor(2).run(range(4), lambda: str)
    next(stopped)
    stopped.close()  # type: ignore[attr-defined]
    assert set(threading.enumerate()) == before
