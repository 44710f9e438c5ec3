"""Actions of tasks, by name, and what tests of executors share."""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import cloudpickle
import psutil

from gigacast.errors import ModelNotFoundError
from gigacast.runtime.executor import Outcome

# Processes then start without importing pytest.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def worker_processes() -> list[str]:
    """Return the commands of the executors' processes that are still there.

    Loky's resource trackers stay on purpose, and so does the Python of other tests that waits for
    programs to run (`tests.support.warm_python`): a worker of pytest may have run such a test.
    """
    commands = [" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)]
    return [
        command
        for command in commands
        if "resource_tracker" not in command and "warm_python.py" not in command
    ]


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
