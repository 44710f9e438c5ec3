"""Help for children that are behind: a child that has ended does the last tasks of others.

Shares are of equal size, but machines differ in speed, start at different times, and some are
lost. A child does its largest tasks first; its helpers begin at the smallest, from the end, until
they meet. Each looks for a receipt before a task, as two workers of one task always do, and what a
helper has done counts as the child's own.
"""

import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import cast

from gigacast.core.mark import moment_of
from gigacast.core.partition.task import Task
from gigacast.errors import CorruptedFileError, ObjectNotFoundError
from gigacast.lake.layout import audit_prefix
from gigacast.lake.plan.audit import RUNNING, Clock, read_audit
from gigacast.lake.plan.plan_file import PlanFile, read_tasks
from gigacast.storage.store import Store

HELP_LATE = "help_late"
"""Entry of the setup of a plan whose children help one another; others have none."""
MOST_MISSES = 3
"""Children without a task to do that a helper looks at before it ends."""
PART = 32
"""A helper takes this part of a share at a time, so that several can help one child."""

ALIVE = timedelta(minutes=10)
"""Age of the last save of a child at work: what killed a child must not kill its helpers."""

Do = Callable[[Sequence[Task]], None]


class Helper:
    """A child that has done its own tasks.

    Parameters
    ----------
    outputs : Store
        Rooted at the output root.
    plan : PlanFile
    number : int
        Number of this child.
    is_done : callable
        Checks whether a task has a receipt that counts.
    clock : callable
        Gives the current time, with its zone.
    """

    def __init__(
        self,
        outputs: Store,
        plan: PlanFile,
        number: int,
        is_done: Callable[[Task], bool],
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._outputs = outputs
        self._plan = plan
        self._number = number
        self._is_done = is_done
        # Helpers that end together must not all choose the same child.
        self._random = random.Random(f"{plan.run_id}/{number}")  # noqa: S311 - no secret

    def run(self, do: Do) -> None:
        """Do tasks of children that are at work, until there are none.

        Raises
        ------
        StorageError
        """
        open_children = self._list_open()
        misses = 0
        while open_children and misses < MOST_MISSES:
            child = self._random.choice(open_children)
            tasks = self._last_tasks(child)
            if tasks:
                do(tasks)
                misses = 0
            else:
                misses += 1
                open_children = self._list_open()

    def _list_open(self) -> list[int]:
        """Return the children that have begun, and have not listed what they did."""
        prefix = audit_prefix(self._plan.run_id)
        names = {
            entry.key.removeprefix(prefix) for page in self._outputs.list(prefix) for entry in page
        }
        numbers = (name.removesuffix(".json") for name in names if name.endswith(".json"))
        begun = (int(number) for number in numbers if number.isdigit())
        return sorted(n for n in begun if n != self._number and f"{n}.parquet" not in names)

    def _last_tasks(self, child: int) -> list[Task]:
        """Return a few of the last tasks of a child at work that are not done, the last first."""
        try:
            summary = read_audit(self._outputs, f"{self._plan.run_id}/{child}")
        except (ObjectNotFoundError, CorruptedFileError):
            return []
        saved = summary.updated_at or summary.start_time
        if summary.status != RUNNING or self._clock() - moment_of(saved) > ALIVE:
            return []
        # A later attempt has counted what helpers did, too.
        is_first = len(cast("list[object]", summary.plan.get("attempts", []))) <= 1
        begun = summary.files_processed if is_first else 0
        share = self._plan.shares[child]
        tasks = sorted(read_tasks(self._outputs, self._plan, child), key=_largest_first)
        chosen: list[Task] = []
        size = 0
        for task in reversed(tasks[begun : self._end_of_open(tasks, begun)]):
            chosen.append(task)
            size += task.size_bytes
            if size * PART >= share.size_bytes:
                break
        return chosen

    def _end_of_open(self, tasks: Sequence[Task], begun: int) -> int:
        """Return the place behind the last task that is not done.

        The child has done tasks at the beginning, helpers at the end: the place is found by steps
        of doubled length, then by halves, with a request for each. It is at least ``begun``.
        """
        done, step = len(tasks), 1
        while (place := done - step) >= begun and self._is_done(tasks[place]):
            done, step = place, 2 * step
        first = max(place, begun - 1)
        while done - first > 1:
            middle = (first + done) // 2
            if self._is_done(tasks[middle]):
                done = middle
            else:
                first = middle
        return first + 1


def _largest_first(task: Task) -> int:
    # The order in which a child does its tasks, see `job.run.Run.execute`.
    return -task.size_bytes
