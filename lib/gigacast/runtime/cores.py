"""How many processes, and how many threads in each."""

import os

from gigacast.errors import ConfigError

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",  # torch, pyarrow, and what else uses OpenMP
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",  # tokenizers, safetensors
)


def count_cores() -> int:
    """Return the cores this process may use: CPU affinity and container limits count."""
    from joblib import cpu_count  # noqa: PLC0415 - it takes 0.2 s

    return int(cpu_count())


def resolve_jobs(n_jobs: int | None) -> int:
    """Turn joblib's ``n_jobs`` into a number of processes.

    Parameters
    ----------
    n_jobs : int or None
        ``None`` is 1; -1 all cores, -2 all but one, and so on, but at least one.

    Raises
    ------
    ConfigError
        ``n_jobs`` is 0.
    """
    if n_jobs is None:
        return 1
    if n_jobs == 0:
        raise ConfigError("n_jobs is 0: no process to run on", hint="use 1 or more, or -1 for all")
    return n_jobs if n_jobs > 0 else max(1, count_cores() + 1 + n_jobs)


def divide_threads(processes: int, threads: int | None = None) -> dict[str, str]:
    """Return the environment that gives each of ``processes`` its share of the cores.

    Parameters
    ----------
    processes : int
        How many run at the same time.
    threads : int, optional
        Threads in each. By default the cores are divided, and what the environment already says
        stands.

    Returns
    -------
    dict of str
        To be set before numpy or torch is imported: they read it once.
    """
    share = str(threads or max(1, count_cores() // processes))
    given = {} if threads else os.environ
    return {name: given.get(name, share) for name in THREAD_VARIABLES}
