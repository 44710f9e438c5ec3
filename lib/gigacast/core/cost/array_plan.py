"""Division of work over the children of array jobs, and the choice of their queue.

AWS Batch takes arrays of 2 to 10,000 children; one child is a plain job, and more than 10,000 are
several arrays. A child is numbered over all arrays of its run.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from gigacast.core.array import IntArray

QueueKind = Literal["cpu", "gpu"]
MAX_ARRAY = 10_000
_MANY_PARTS = 64
"""Parts from which rounds are faster than a heap."""


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
    # By weight, then by number.
    weights = np.asarray(sizes, np.int64)
    order = np.argsort(-weights, kind="stable")
    choose = _choose_in_rounds if count >= _MANY_PARTS else _choose
    part_of, heaviest_first = choose(weights[order], count)
    # A stable sort keeps the order of the tasks of each part: the heaviest first.
    by_part = order[np.argsort(part_of, kind="stable")].tolist()
    ends = np.cumsum(np.bincount(part_of, minlength=count)).tolist()
    shares = [by_part[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    return [shares[part] for part in heaviest_first]


def _choose(weights: IntArray, count: int) -> tuple[IntArray, list[int]]:
    """Give each weight, in descending order, to the least loaded part.

    Returns
    -------
    part_of : int64 [N]
    parts : list of int
        The parts by load, the heaviest first.
    """
    # By weight, then by number of tasks, so that empty tasks are spread as well.
    loads = [(0, 0, part) for part in range(count)]
    part_of = np.empty(len(weights), np.int64)
    for task, weight in enumerate(weights.tolist()):
        load, tasks, part = loads[0]
        heapq.heapreplace(loads, (load + weight, tasks + 1, part))
        part_of[task] = part
    return part_of, [part for _, _, part in sorted(loads, key=lambda x: (-x[0], x[2]))]


def _choose_in_rounds(weights: IntArray, count: int) -> tuple[IntArray, list[int]]:
    """Do the same as `_choose` for many parts, a round of them at a time.

    The least loaded parts get one weight each, as long as none of them would get a second one
    before the next part gets its first.
    """
    load, tasks = np.zeros((2, count), np.int64)
    part_of = np.empty(len(weights), np.int64)
    start = 0
    while start < len(weights):
        parts = np.lexsort((tasks, load))[: len(weights) - start]
        added = weights[start : start + len(parts)]
        after, number = load[parts] + added, tasks[parts]
        lightest, fewest = np.minimum.accumulate(after), np.minimum.accumulate(number) + 1
        next_load, next_number = load[parts[1:]], number[1:]
        is_next = (next_load < lightest[:-1]) | (
            (next_load == lightest[:-1]) & (next_number < fewest[:-1])
        )
        chosen = 1 + (len(is_next) if is_next.all() else int(np.argmin(is_next)))
        parts = parts[:chosen]
        load[parts] = after[:chosen]
        tasks[parts] += 1
        part_of[start : start + chosen] = parts
        start += chosen
    return part_of, np.lexsort((np.arange(count), -load)).tolist()


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
