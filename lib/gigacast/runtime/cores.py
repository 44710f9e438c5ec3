"""Number of processes, and number of threads in each."""

import os

from gigacast.errors import ConfigError

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",  # torch, pyarrow and everything else built on OpenMP
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",  # tokenizers, safetensors
)


def count_cores() -> int:
    """Return the number of cores this process may use, within CPU affinity and container limits."""
    from joblib import cpu_count  # noqa: PLC0415 - importing joblib takes 0.2 s

    return int(cpu_count())


def resolve_jobs(n_jobs: int | None) -> int:
    """Return the number of processes that joblib's ``n_jobs`` stands for, at least 1.

    Parameters
    ----------
    n_jobs : int or None
        Number of processes; -1 for all cores, -2 for all but one, and so on. ``None`` is 1.

    Raises
    ------
    ConfigError
        If ``n_jobs`` is 0.
    """
    if n_jobs is None:
        return 1
    if n_jobs == 0:
        raise ConfigError("n_jobs is 0: no process to run on", hint="use 1 or more, or -1 for all")
    return n_jobs if n_jobs > 0 else max(1, count_cores() + 1 + n_jobs)


def divide_threads(processes: int, threads: int | None = None) -> dict[str, str]:
    """Return the environment variables that give each process its share of the cores.

    Parameters
    ----------
    processes : int
        Number of processes that run at the same time.
    threads : int, optional
        Threads per process; by default the cores are divided by the processes, and variables
        that are already set keep their value.

    Returns
    -------
    dict of str
        Variables to set before numpy or torch is imported: they read them only once.
    """
    # Without a limit every process starts a thread per core, and n processes n times too many.
    share = str(threads or max(1, count_cores() // processes))
    preset = {} if threads else os.environ
    return {name: preset.get(name, share) for name in THREAD_VARIABLES}
