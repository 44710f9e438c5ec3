"""The choice of an executor, and its numbers of processes and threads."""

import subprocess
import sys

import pytest

from gigacast.errors import ConfigError
from gigacast.runtime import cores
from gigacast.runtime.choice import InlineExecutor, make_executor
from gigacast.runtime.cores import THREAD_VARIABLES, divide_threads, resolve_jobs
from gigacast.runtime.parallel import JoblibExecutor


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "count_cores", lambda: 8)
    for name in THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("name", "n_jobs", "n_tasks", "expected"),
    [
        ("auto", None, None, InlineExecutor),
        ("auto", 1, 9, InlineExecutor),
        ("auto", 4, 1, InlineExecutor),
        ("auto", 4, None, JoblibExecutor),
        ("auto", 4, 2, JoblibExecutor),
        ("inline", 4, 9, InlineExecutor),
        ("joblib", 1, 1, JoblibExecutor),
    ],
)
def test_auto_takes_processes_when_there_is_work_for_two(
    name: str, n_jobs: int | None, n_tasks: int | None, expected: type
) -> None:
    assert type(make_executor(name, n_jobs, n_tasks=n_tasks)) is expected


def test_the_error_of_an_unknown_executor_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"executor 'spark' is unknown.*auto, inline, joblib"):
        make_executor("spark")


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(
    ("n_jobs", "expected"), [(None, 1), (1, 1), (3, 3), (-1, 8), (-2, 7), (-8, 1), (-99, 1)]
)
def test_n_jobs_has_the_meaning_of_joblib(n_jobs: int | None, expected: int) -> None:
    assert resolve_jobs(n_jobs) == expected


def test_zero_jobs_are_an_error() -> None:
    with pytest.raises(ConfigError, match="n_jobs is 0"):
        make_executor("inline", 0)


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(("processes", "share"), [(1, "8"), (3, "2"), (8, "1"), (20, "1")])
def test_the_cores_are_divided_between_the_processes(processes: int, share: str) -> None:
    assert set(divide_threads(processes).values()) == {share}


@pytest.mark.usefixtures("eight_cores")
def test_a_given_number_of_threads_wins_over_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert divide_threads(2)["OMP_NUM_THREADS"] == "5"
    assert divide_threads(2)["MKL_NUM_THREADS"] == "4"
    assert divide_threads(2, threads=3)["OMP_NUM_THREADS"] == "3"


def test_choosing_imports_nothing_heavy() -> None:
    code = """
import sys
import gigacast
before = set(sys.modules)
from gigacast.runtime.choice import make_executor
make_executor("inline")
print(sorted({"torch", "numpy", "pandas", "joblib"} & (set(sys.modules) - before)))
"""
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout == "[]\n"
