"""The choice of an executor by name, and the executor that runs tasks in this process."""

from collections.abc import Iterator, Sequence
from typing import Literal, get_args

from gigacast.errors import ConfigError
from gigacast.runtime.cores import resolve_jobs
from gigacast.runtime.executor import Executor, Failure, Outcome, R, Setup, T, Worker, make_worker

ExecutorName = Literal["auto", "inline", "joblib", "dask", "ray"]


class InlineExecutor:
    """Runs all tasks in this process: for a single job, for tests and for a debugger.

    A task that kills its process ends the whole run. `JoblibExecutor` survives that.

    Parameters
    ----------
    is_default : bool
        Whether nobody asked for it by name, so that another executor may take its place.
    """

    def __init__(self, *, is_default: bool = False) -> None:
        self.is_default = is_default

    def run(self, tasks: Sequence[T], setup: Setup[T, R]) -> Iterator[Outcome[T, R]]:
        """Yield an outcome per task, in the order of the tasks."""
        if not tasks:
            return
        worker = make_worker(setup)
        for task in tasks:
            yield _attempt(worker, task)


def _attempt(worker: Worker[T, R], task: T) -> Outcome[T, R]:
    # SystemExit fails the task only, as it does in a worker process, where it must not end the
    # process. KeyboardInterrupt is not caught: it is meant for the run.
    try:
        return Outcome(task, worker(task), None)
    except (Exception, SystemExit) as error:
        return Outcome(task, None, Failure.of(error))


def make_executor(
    name: ExecutorName | str = "auto",
    n_jobs: int | None = None,
    threads: int | None = None,
    n_tasks: int | None = None,
) -> Executor:
    """Make the executor with the given name.

    Parameters
    ----------
    name : {"auto", "inline", "joblib", "dask", "ray"}
        Name of the executor. ``auto`` is inline for a single job or task and joblib otherwise;
        ``dask`` and ``ray`` are clusters.
    n_jobs : int, optional
        Number of processes: -1 for all cores; 1 by default. Inline ignores it.
    threads : int, optional
        Threads per process; the cores divided by the processes by default. Inline ignores it.
    n_tasks : int, optional
        Number of tasks to come; unknown by default.

    Raises
    ------
    ConfigError
        If no executor has this name, or ``n_jobs`` is 0.
    """
    if name == "batch":
        raise ConfigError(
            "executor 'batch' submits a whole run to AWS Batch; it cannot run single tasks here",
            hint="use `gigacast --executor batch` or `gigacast submit` to forecast",
        )
    if name not in get_args(ExecutorName):
        names = ", ".join(get_args(ExecutorName))
        raise ConfigError(f"executor {name!r} is unknown", hint=f"use one of {names}")
    if name in {"dask", "ray"}:
        from gigacast.runtime.cluster import ClusterExecutor  # noqa: PLC0415 - loads loky

        return ClusterExecutor("dask" if name == "dask" else "ray", n_jobs)
    jobs = resolve_jobs(n_jobs)
    is_sequential = jobs == 1 or (n_tasks is not None and n_tasks <= 1)
    if name == "inline" or (name == "auto" and is_sequential):
        return InlineExecutor(is_default=name == "auto")
    # Inline runs start faster without joblib.
    from gigacast.runtime.parallel import JoblibExecutor  # noqa: PLC0415

    return JoblibExecutor(jobs, threads)
