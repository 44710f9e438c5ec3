"""Division of work over the children of array jobs, and the choice of their queue.

AWS Batch takes arrays of 2 to 10,000 children; one child is a plain job, and more than 10,000 are
several arrays. A child is numbered over all arrays of its run.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

QueueKind = Literal["cpu", "gpu"]
MAX_ARRAY = 10_000


class Array(NamedTuple):
    """One submission: the children ``first`` to ``first + size - 1``; of size 1, a plain job."""

    first: int
    size: int


def divide_work(sizes: Sequence[int], parts: int) -> list[list[int]]:
    """Divide tasks so that all parts end together: longest first, each to the least loaded part.

    Deterministic. The longest part is at most 4/3 of the best possible one (Graham 1969).

    Parameters
    ----------
    sizes : sequence of int
        Weight of each task: its bytes.
    parts : int
        Maximum number of parts; none is empty.

    Returns
    -------
    list of list of int
        Tasks of each part, the heaviest part first, and in each the heaviest task first.
    """
    count = min(parts, len(sizes))
    shares: list[list[int]] = [[] for _ in range(count)]
    # By weight, then by number of tasks, so that empty tasks are spread as well.
    loads = [(0, 0, part) for part in range(count)]
    for task in sorted(range(len(sizes)), key=lambda n: (-sizes[n], n)):
        load, tasks, part = loads[0]
        heapq.heapreplace(loads, (load + sizes[task], tasks + 1, part))
        shares[part].append(task)
    order = sorted(loads, key=lambda entry: (-entry[0], entry[2]))
    return [shares[part] for _, _, part in order]


def split_arrays(children: int) -> list[Array]:
    """Return the fewest arrays that hold a number of children, of nearly equal size."""
    if children == 0:
        return []
    count = -(-children // MAX_ARRAY)
    size, larger = divmod(children, count)
    # The first arrays have one child more, until the remainder is used up.
    sizes = [size + (number < larger) for number in range(count)]
    return [Array(sum(sizes[:number]), size) for number, size in enumerate(sizes)]


@dataclass(frozen=True, slots=True)
class Machine:
    """The start-up time, speed and price of a child in a queue.

    Parameters
    ----------
    startup_s : float
        Seconds from submission until the model is loaded: instance, image, weights.
    speed : float
        Speed relative to one process on one CPU core.
    dollars_per_hour : float
    """

    startup_s: float
    speed: float
    dollars_per_hour: float

    def cost(self, cpu_s: float) -> float:
        """Return the cost of work that takes a CPU process ``cpu_s``, with the start-up."""
        return (self.startup_s + cpu_s / self.speed) * self.dollars_per_hour


def choose_queue(cpu_s: float, cpu: Machine, gpu: Machine) -> QueueKind:
    """Return the queue on which the work costs less with its start-up; the CPU queue if equal.

    The rule: (start-up + seconds of work) times the price of an hour. A few minutes of work do not
    pay for the start of a GPU; above the break-even the GPU's speed does.

    Parameters
    ----------
    cpu_s : float
        Seconds of the whole work on one CPU process.
    cpu, gpu : Machine
    """
    return "gpu" if gpu.cost(cpu_s) < cpu.cost(cpu_s) else "cpu"


def count_children(
    work_s: float, tasks: int, machine: Machine, target_s: float, max_children: int
) -> int:
    """Return the number of children to start, so that each works for ``target_s`` at least.

    Parameters
    ----------
    work_s : float
        Seconds of the whole work on one CPU process.
    tasks : int
        Count of tasks: there are never more children.
    machine : Machine
    target_s : float
    most : int
        Maximum number of children.
    """
    children = int(work_s / machine.speed // target_s) + 1
    return max(0, min(children, tasks, max_children))
