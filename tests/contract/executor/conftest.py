"""Executors under test, and the check that none leaves a process or thread."""

import threading
from collections.abc import Callable, Iterator

import pytest

from gigacast.runtime.choice import InlineExecutor
from gigacast.runtime.executor import Executor
from gigacast.runtime.parallel import JoblibExecutor
from tests.contract.executor.actions import worker_processes

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
