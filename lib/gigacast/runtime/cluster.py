"""The executor that runs tasks over a Dask or Ray cluster, through joblib's backends.

Each process of the cluster keeps one worker, as with the other executors. Dask finds a running
cluster by ``DASK_SCHEDULER_ADDRESS``, Ray by ``RAY_ADDRESS``; without the variable they start a
cluster on this machine.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from functools import partial
from threading import Lock
from typing import Any, Literal

from gigacast.errors import MissingExtraError, WorkerLostError
from gigacast.runtime.child import Reply, is_portable, pack, unpack
from gigacast.runtime.executor import Failure, Outcome, R, Setup, T, Worker, make_worker

ClusterName = Literal["dask", "ray"]
_WAVE = 4
"""Tasks per wave and place of the cluster, for a backend that returns results in waves only.

A larger wave idles less at its end; a smaller one returns results, and so receipts, sooner.
"""


class ClusterExecutor:
    """Runs tasks over the processes of a cluster.

    Parameters
    ----------
    name : {"dask", "ray"}
        Kind of cluster.
    n_jobs : int, optional
        Number of tasks at the same time; as many as the cluster has room for by default.
    """

    def __init__(self, name: ClusterName, n_jobs: int | None = None) -> None:
        self.name = name
        self.n_jobs = -1 if n_jobs is None else n_jobs

    def run(self, tasks: Sequence[T], setup: Setup[T, R]) -> Iterator[Outcome[T, R]]:
        """Yield an outcome per task as the tasks finish.

        The cluster replaces a process that dies and starts its task again elsewhere. It also
        decides what happens to a task that kills every process; only `JoblibExecutor` turns such
        a task into a failed outcome.

        Raises
        ------
        WorkerLostError
            If the cluster gives up.
        """
        if not tasks:
            return
        recipe = pack(setup)
        with _connected(self.name):
            for index, packed in self._map(recipe, tasks):
                yield _outcome(tasks[index], packed)

    def _map(self, recipe: bytes, tasks: Sequence[T]) -> Iterator[tuple[int, bytes]]:
        """Yield packed replies with the indices of their tasks."""
        from joblib import Parallel, delayed, effective_n_jobs, parallel_config  # noqa: PLC0415

        calls = [partial(delayed(run_task), recipe, n) for n in range(len(tasks))]
        with parallel_config(backend=self.name, n_jobs=self.n_jobs), _translated(self.name):
            # batch_size=1: joblib would otherwise join short tasks, and results would come late.
            if self.name == "dask":
                parallel = Parallel(return_as="generator_unordered", batch_size=1)
                stream = (call(pack(task)) for call, task in zip(calls, tasks, strict=True))
                with closing(parallel(stream)) as replies:
                    yield from replies
                return
            # Ray's backend returns results only when all of a call are ready, so tasks are
            # submitted in waves.
            step = effective_n_jobs(self.n_jobs) * _WAVE
            for first in range(0, len(tasks), step):
                wave = zip(calls[first : first + step], tasks[first : first + step], strict=True)
                yield from Parallel(batch_size=1)(call(pack(task)) for call, task in wave)


@contextmanager
def _translated(name: ClusterName) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise WorkerLostError(
            f"{name}: the cluster gave up: {type(error).__name__}: {error}",
            hint="its own log says why; a rerun does what is left",
        ) from error


_workers: dict[bytes, Worker[Any, Any]] = {}
"""Workers of this process by their recipe; a run has only one recipe."""

_lock = Lock()


def run_task(recipe: bytes, index: int, payload: bytes) -> tuple[int, bytes]:
    """Run a pickled task in a process of the cluster; return its index and a packed `Reply`."""
    # A process of a cluster may run tasks in several threads, but a worker serves only one.
    with _lock:
        return index, pack(_answer(recipe, payload))


def _answer(recipe: bytes, payload: bytes) -> Reply:
    if recipe not in _workers:
        try:
            _workers[recipe] = make_worker(unpack(recipe))
        except Exception as error:
            setup_error = error if is_portable(error) else None
            return Reply(failure=Failure.of(error), setup_error=setup_error)
    try:
        return Reply(result=_workers[recipe](unpack(payload)))
    except (Exception, SystemExit) as error:
        return Reply(failure=Failure.of(error))


def _outcome(task: T, packed: bytes) -> Outcome[T, R]:
    reply: Reply = unpack(packed)
    if reply.setup_error is not None:
        raise reply.setup_error
    return Outcome(task, reply.result, reply.failure)


def _connected(name: ClusterName) -> AbstractContextManager[Any]:
    """Register the backend with joblib; return the context manager that keeps the connection."""
    connect: Callable[[], AbstractContextManager[Any]] = {"dask": _dask, "ray": _ray}[name]
    try:
        return connect()
    except ImportError as error:
        raise MissingExtraError(
            f"--executor {name} needs {name}", hint=f"pip install 'gigacast[{name}]'"
        ) from error


def _dask() -> AbstractContextManager[Any]:
    import dask  # noqa: PLC0415 - an extra
    from distributed import Client, LocalCluster, get_client  # noqa: PLC0415

    try:
        get_client()
    except ValueError:
        stack = ExitStack()
        address = dask.config.get("scheduler-address", None)
        if address is None:
            # Loopback only: a scheduler runs any pickled code that is sent to it.
            local = LocalCluster(host="127.0.0.1", dashboard_address=None, threads_per_worker=1)
            address = stack.enter_context(local)
        stack.enter_context(Client(address))
        return stack
    return nullcontext()  # the caller has connected already and keeps the connection


def _ray() -> AbstractContextManager[Any]:
    from ray.util.joblib import register_ray  # noqa: PLC0415 - an extra

    register_ray()
    return nullcontext()
