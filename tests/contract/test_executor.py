"""One suite over all executors, and the tests of processes that die."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import cloudpickle
import psutil
import pytest

import gigacast.runtime.pool as pool_module
from gigacast.errors import GigacastError, ModelNotFoundError, WorkerLostError
from gigacast.forecasters.hardware import device_of, list_devices
from gigacast.runtime.choice import InlineExecutor
from gigacast.runtime.executor import Executor, Outcome
from gigacast.runtime.parallel import JoblibExecutor

# Processes then start without importing pytest.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

MAKERS: dict[str, Callable[[], Executor]] = {
    "inline": InlineExecutor,
    "joblib": lambda: JoblibExecutor(2),
}


@pytest.fixture(params=MAKERS)
def executor(request: pytest.FixtureRequest) -> Executor:
    return MAKERS[request.param]()


@pytest.fixture
def pool() -> JoblibExecutor:
    return JoblibExecutor(2, grace_s=3)


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    yield
    assert worker_processes() == []
    assert [t.name for t in threading.enumerate() if "ExecutorManager" in t.name] == []


def worker_processes() -> list[str]:
    """Return the commands of our child processes, without loky's resource trackers."""
    commands = [" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)]
    return [command for command in commands if "resource_tracker" not in command]


# What tasks do.


class UnpicklableError(Exception):
    def __init__(self, lock: Any) -> None:
        super().__init__("it holds a lock")
        self.lock = lock


class UnreadableError(Exception):
    """Pickles but fails to unpickle: its constructor wants two arguments."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


def segfault() -> None:
    ctypes.string_at(0)


ACTIONS: dict[str, Callable[[], Any]] = {
    "work": lambda: "done",
    "slow": lambda: time.sleep(0.2),
    "raise": lambda: 1 / 0,
    "raise ours": lambda: (_ for _ in ()).throw(ModelNotFoundError("no model x", hint="make one")),
    "raise unpicklable": lambda: (_ for _ in ()).throw(UnpicklableError(threading.Lock())),
    "raise unreadable": lambda: (_ for _ in ()).throw(UnreadableError("a", "b")),
    "leave": lambda: sys.exit(4),
    "exit": lambda: os._exit(3),
    "sigkill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segfault": segfault,
}
"""What a task does, by its name without the number."""


def setup_act() -> Callable[[str], Any]:
    return lambda task: ACTIONS[task.rstrip("0123456789 ")]()


def errors(outcomes: list[Outcome[str, Any]]) -> dict[str, str]:
    return {o.task: o.failure.error for o in outcomes if o.failure}


def work(n: int) -> list[str]:
    return [f"work {i}" for i in range(n)]


# Laws of every executor.


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


# What is pickled between processes.


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
            self.taken += 1
            return super().__getitem__(index)

    tasks = Tasks(range(1_000_000))
    outcomes = pool.run(tasks, lambda: lambda task: task)
    for _ in range(20):
        next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert tasks.taken < 60


def test_threads_are_divided_before_anything_is_imported() -> None:
    def setup() -> Callable[[int], str | None]:
        return lambda _: os.environ.get("OMP_NUM_THREADS")

    assert {o.result for o in JoblibExecutor(2, 3).run([1, 2], setup)} == {"3"}


# Processes that die.


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


# Whole processes under real signals.

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
