"""Which executor a run gets."""

from typing import Literal, get_args

from gigacast.errors import ConfigError
from gigacast.runtime.cores import resolve_jobs
from gigacast.runtime.executor import Executor
from gigacast.runtime.inline import InlineExecutor

ExecutorName = Literal["auto", "inline", "joblib", "dask", "ray"]


def make_executor(
    name: ExecutorName | str = "auto",
    n_jobs: int | None = None,
    threads: int | None = None,
    n_tasks: int | None = None,
) -> Executor:
    """Make the executor of that name.

    Parameters
    ----------
    name : {"auto", "inline", "joblib", "dask", "ray"}
        ``auto`` is inline for one job or one task, joblib else; the last two are clusters.
    n_jobs : int, optional
        Processes: -1 for all cores, ``None`` for one. Inline ignores it.
    threads : int, optional
        Threads in each process; by default the cores are divided. Inline ignores it.
    n_tasks : int, optional
        How many tasks there will be, where that is known.

    Raises
    ------
    ConfigError
        No executor has that name, or ``n_jobs`` is 0.
    """
    if name == "batch":
        raise ConfigError(
            "executor 'batch' hands a whole run on; nothing of it runs here",
            hint="use `gigacast --executor batch` or `gigacast submit` to forecast",
        )
    if name not in get_args(ExecutorName):
        known = ", ".join(get_args(ExecutorName))
        raise ConfigError(f"executor {name!r} is unknown", hint=f"use one of {known}")
    if name in {"dask", "ray"}:
        from gigacast.runtime.cluster import ClusterExecutor  # noqa: PLC0415 - joblib, an extra

        return ClusterExecutor("dask" if name == "dask" else "ray", n_jobs)
    jobs = resolve_jobs(n_jobs)
    is_alone = jobs == 1 or (n_tasks is not None and n_tasks <= 1)
    if name == "inline" or (name == "auto" and is_alone):
        return InlineExecutor()
    from gigacast.runtime.parallel import JoblibExecutor  # noqa: PLC0415 - inline runs do without

    return JoblibExecutor(jobs, threads)
