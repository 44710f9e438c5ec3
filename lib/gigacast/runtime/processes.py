"""The number of processes of a run whose settings leave it open."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gigacast.runtime.cores import count_cores

WORK_BYTES = 4 * 1024**2
"""Input for which a process of its own pays: it takes a few seconds, several times its start."""

PROCESS_BYTES = 512 * 1024**2
"""Memory of a process with torch, beside its model and what reading may hold."""

_CGROUP, _OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


@dataclass(frozen=True, slots=True)
class Processes:
    """A number of processes, and what limits it, for people; empty if somebody named the number."""

    count: int
    reason: str = ""

    def __str__(self) -> str:
        """Return both as a sentence."""
        return f"{self.count} ({self.reason})" if self.reason else str(self.count)


def choose_processes(
    tasks: int, work_bytes: int, held_bytes: int, model_bytes: int = 0
) -> Processes:
    """Return the number of processes for tasks on this machine, at least 1.

    Parameters
    ----------
    tasks, work_bytes : int
        Tasks, and the size of their inputs.
    held_bytes : int
        Memory that a process may hold for reading.
    model_bytes : int
        Memory that its model takes.
    """
    limits = {"tasks": tasks, "work": work_bytes // WORK_BYTES}
    # Looking at the machine takes 0.2 s, which a small run would notice.
    if min(limits.values()) > 1:
        limits["cores"] = count_cores()
        each = PROCESS_BYTES + model_bytes + min(held_bytes, work_bytes)
        limits["free memory"] = free_memory() // each
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
        Memory that a process may hold on the host, for its model and for reading.
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
    return max(0, min([free, *_free_in_groups()]))


class _GroupFiles(NamedTuple):
    """Names of what a version of control groups says about memory."""

    limit: str
    used: str
    droppable: str


_FILES = (
    _GroupFiles("memory.max", "memory.current", "inactive_file"),
    _GroupFiles("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def _free_in_groups() -> Iterator[int]:
    """Yield what is left of each limit on this process: of its control group, and those around."""
    paths = _own_groups()
    for root, controller, files in (
        (_CGROUP, "", _FILES[0]),
        (_CGROUP / "memory", "memory", _FILES[1]),
    ):
        own = root / paths.get(controller, "")
        # In a container the path may be that of the host, of which only the root is to be seen.
        for folder in {own, *own.parents, root}:
            limit, used = (_read_bytes(folder / name) for name in files[:2])
            if limit is not None and used is not None:
                # Files that were read stay in memory until somebody else needs it.
                yield limit - used + _droppable(folder / "memory.stat", files.droppable)


def _own_groups() -> dict[str, str]:
    """Return the path of this process' control group by controller; by "" that of version 2."""
    try:
        lines = _OWN_GROUPS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}  # not Linux
    parts = [line.split(":", 2) for line in lines if line.count(":") >= 2]
    return {name: path.lstrip("/") for _, names, path in parts for name in names.split(",")}


def _droppable(path: Path, name: str) -> int:
    try:
        rows = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    values = [row.split()[1] for row in rows if row.split()[:1] == [name]]
    return int(values[0]) if values and values[0].isdigit() else 0


def _read_bytes(path: Path) -> int | None:
    """Return a number of a control group; ``None`` without a limit."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None  # "max", another version of control groups, or not Linux
