"""The number of processes of a run whose settings leave it open."""

from dataclasses import dataclass
from pathlib import Path

from gigacast.runtime.cores import count_cores

WORK_BYTES = 4 * 1024**2
"""Input for which a process of its own pays: it takes a few seconds, several times its start."""

PROCESS_BYTES = 512 * 1024**2
"""Memory of a process with torch and a small model, beside what reading may hold."""

_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Processes:
    """A number of processes, and what limits it, for people; empty if somebody named the number."""

    count: int
    reason: str = ""

    def __str__(self) -> str:
        """Return both as a sentence."""
        return f"{self.count} ({self.reason})" if self.reason else str(self.count)


def choose_processes(tasks: int, work_bytes: int, held_bytes: int) -> Processes:
    """Return the number of processes for tasks on this machine, at least 1.

    Parameters
    ----------
    tasks, work_bytes : int
        Tasks, and the size of their inputs.
    held_bytes : int
        Memory that a process may hold for reading.
    """
    limits = {"tasks": tasks, "work": work_bytes // WORK_BYTES}
    # Looking at the machine takes 0.2 s, which a small run would notice.
    if min(limits.values()) > 1:
        limits["cores"] = count_cores()
        limits["free memory"] = free_memory() // (PROCESS_BYTES + min(held_bytes, work_bytes))
    # The first of equal limits is named: with few tasks, more cores would not help.
    name = min(limits, key=lambda limit: limits[limit])
    if limits[name] <= 1:
        return Processes(1, _SINGLE[name])
    return Processes(limits[name], f"limited by {name}")


GPU_PROCESS_BYTES = 2 * 1024**3
"""Memory of a process with torch and CUDA on the host, beside what reading may hold."""


def share_gpus(gpus: int, wanted: int, tasks: int, held_bytes: int) -> Processes:
    """Return the number of processes for tasks on the GPUs of this machine, at least one for each.

    Parameters
    ----------
    gpus : int
    wanted : int
        Processes that keep one GPU busy and fit into its memory.
    tasks : int
    held_bytes : int
        Memory that a process may hold for reading.
    """
    limits = {"GPU": wanted, "tasks": -(-tasks // gpus)}
    if min(limits.values()) > 1:
        limits["cores"] = count_cores() // gpus
        limits["free memory"] = free_memory() // (GPU_PROCESS_BYTES + held_bytes) // gpus
    name = min(limits, key=lambda limit: limits[limit])
    if limits[name] <= 1:
        return Processes(gpus, "one for each GPU")
    return Processes(gpus * limits[name], f"{limits[name]} for each GPU, limited by {name}")


_SINGLE = {
    "tasks": "a single task",
    "work": "little work",
    "cores": "a single core",
    "free memory": "little free memory",
}


def free_memory() -> int:
    """Return the bytes that new processes may take, within the limit of a container."""
    import psutil  # noqa: PLC0415 - only for runs

    free = int(psutil.virtual_memory().available)
    limit, used = (_read_bytes(name) for name in ("memory.max", "memory.current"))
    return free if limit is None or used is None else max(0, min(free, limit - used))


def _read_bytes(name: str) -> int | None:
    """Return a number of the container's control group; ``None`` without a limit."""
    try:
        return int((_CGROUP / name).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None  # "max", another version of control groups, or not Linux
