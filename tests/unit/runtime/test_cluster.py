"""Tasks over a cluster: a real Dask cluster on this machine, and a stand-in for Ray."""

import os
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from joblib import register_parallel_backend
from joblib._parallel_backends import ThreadingBackend

from gigacast.errors import ConfigError, MissingExtraError, ModelError, WorkerLostError
from gigacast.runtime.choice import make_executor
from gigacast.runtime.cluster import ClusterExecutor


def double() -> Callable[[int], int]:
    made_by = os.getpid()

    def work(number: int) -> int:
        assert made_by == os.getpid()
        if number == 3:
            raise ValueError("three is poisoned")
        return 2 * number

    return work


@dataclass(frozen=True)
class Fragile:
    """Makes a worker that kills its process at task 1, the first time."""

    folder: Path

    def __call__(self) -> Callable[[int], int]:
        def work(number: int) -> int:
            if number == 1 and not (self.folder / "died").exists():
                (self.folder / "died").touch()
                os._exit(9)
            return number

        return work


def impossible() -> Callable[[int], int]:
    raise ModelError("no such model", hint="publish it")


@pytest.fixture(scope="module")
def dask_cluster() -> Iterator[None]:
    distributed = pytest.importorskip("distributed")
    import dask

    quiet = {
        "distributed.worker.daemon": True,
        "distributed.logging.distributed": "critical",
    }
    with (
        dask.config.set(quiet),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
    ):
        yield


def test_a_dask_cluster_does_the_tasks_and_a_failure_is_an_outcome(dask_cluster: None) -> None:
    outcomes = {o.task: o for o in make_executor("dask").run(range(6), double)}
    assert {t: o.result for t, o in outcomes.items() if t != 3} == {0: 0, 1: 2, 2: 4, 4: 8, 5: 10}
    failure = outcomes[3].failure
    assert failure is not None
    assert (failure.error, failure.message) == ("ValueError", "three is poisoned")


def test_a_process_that_dies_is_replaced_and_its_task_done_elsewhere(
    dask_cluster: None, tmp_path: Path
) -> None:
    outcomes = list(ClusterExecutor("dask").run(range(4), Fragile(tmp_path)))
    assert sorted(o.task for o in outcomes if o.failure is None) == [0, 1, 2, 3]
    assert (tmp_path / "died").exists()


def test_an_error_of_the_setup_is_raised_in_this_process(dask_cluster: None) -> None:
    with pytest.raises(ModelError, match="no such model") as caught:
        list(ClusterExecutor("dask").run(range(3), impossible))
    assert caught.value.hint == "publish it"


def test_ray_is_registered_with_joblib_and_used(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = types.ModuleType("ray.util.joblib")
    stand_in.register_ray = lambda: register_parallel_backend("ray", ThreadingBackend)  # type: ignore[attr-defined]
    for name in ("ray", "ray.util"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "ray.util.joblib", stand_in)
    outcomes = list(make_executor("ray", 2).run(range(3), double))
    assert sorted(o.result for o in outcomes if o.result is not None) == [0, 2, 4]


@pytest.mark.parametrize(("name", "module"), [("dask", "distributed"), ("ray", "ray")])
def test_a_missing_extra_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, name: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=f"executor=.{name}. needs") as caught:
        list(make_executor(name).run([1], double))
    assert caught.value.hint == f"pip install 'gigacast[{name}]'"


def test_a_failed_cluster_is_an_error_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Broken(ThreadingBackend):  # type: ignore[misc]
        def submit(self, func: object, callback: object = None) -> object:
            raise ConnectionError("the head node is gone")

    stand_in = types.ModuleType("ray.util.joblib")
    stand_in.register_ray = lambda: register_parallel_backend("ray", Broken)  # type: ignore[attr-defined]
    for name in ("ray", "ray.util"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "ray.util.joblib", stand_in)
    with pytest.raises(WorkerLostError, match=r"ray: the cluster gave up: .*head node is gone"):
        list(ClusterExecutor("ray", 2).run(range(3), double))


def test_no_tasks_give_no_outcomes_and_batch_is_not_an_executor() -> None:
    assert list(ClusterExecutor("dask").run([], double)) == []
    with pytest.raises(ConfigError, match="submits a whole run to AWS Batch"):
        make_executor("batch")
