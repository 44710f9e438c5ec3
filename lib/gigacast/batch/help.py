"""Help for children that are behind: a child that has ended does the last tasks of others.

Shares are of equal size, but machines differ in speed, start at different times, and some are
lost. A share has parts of equal size. A helper claims the last part that nobody has claimed, and
does its tasks; the child does its own largest tasks first, from the other end, whoever has claimed
them. Each looks for a receipt before a task, as two workers of one task always do. So a helper that
is lost costs nothing, and what it has done counts as the child's own.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from itertools import accumulate
from typing import cast

from gigacast.batch.setup import KIND
from gigacast.core.mark import moment_of
from gigacast.core.partition.task import Task
from gigacast.errors import CorruptedFileError, ObjectNotFoundError, PreconditionFailedError
from gigacast.lake.layout import audit_prefix, help_key, help_prefix
from gigacast.lake.plan.audit import INTERRUPTED, RUNNING, Clock, read_audit
from gigacast.lake.plan.plan_file import PlanFile, read_tasks
from gigacast.storage.store import Store

HELP_LATE = "help_late"
"""Entry of the setup of a plan that says whether its children help one another."""
MANY = 100
"""Children of an array of forecasts from which they help where the plan does not say it."""
MOST_MISSES = 3
"""Children without a task to do that a helper looks at before it ends."""
PARTS = 32
"""Parts of a share, so that several can help one child."""

ALIVE = timedelta(minutes=10)
"""Age of the last save of a child that is helped: what killed it must not kill its helpers."""

Do = Callable[[Sequence[Task]], None]


def are_helping(plan: PlanFile) -> bool:
    """Return whether the children of a plan help one another."""
    # The more machines there are, the later the last one ends. Plans say nothing of it by default,
    # so that they are those of earlier releases.
    is_large = KIND not in plan.setup and len(plan.shares) >= MANY
    return bool(plan.setup.get(HELP_LATE, is_large))


class Helper:
    """A child that has done its own tasks.

    Parameters
    ----------
    outputs : Store
        Rooted at the output root.
    plan : PlanFile
    number : int
        Number of this child.
    clock : callable
        Gives the current time, with its zone.
    """

    def __init__(
        self,
        outputs: Store,
        plan: PlanFile,
        number: int,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._outputs = outputs
        self._plan = plan
        self._number = number
        # Helpers that end together must not all choose the same child.
        self._random = random.Random(f"{plan.run_id}/{number}")  # noqa: S311 - no secret

    def run(self, do: Do) -> None:
        """Do tasks of children that are at work, until there are none.

        Raises
        ------
        StorageError
        """
        misses = 0
        while misses < MOST_MISSES and (open_children := self._find_open()):
            tasks = self._claim(self._random.choice(open_children))
            if tasks:
                do(tasks)
            misses = 0 if tasks else misses + 1

    def _find_open(self) -> list[int]:
        """Return some children that have begun, and have not listed what they did.

        They are those of one page of the listing, which begins at a random child: five thousand
        children that end together would else read the names of all of them, again and again.
        """
        for names in self._pages_from(self._random.randrange(len(self._plan.shares))):
            numbers = (name.removesuffix(".json") for name in names if name.endswith(".json"))
            begun = (int(number) for number in numbers if number.isdigit())
            found = sorted(n for n in begun if n != self._number and f"{n}.parquet" not in names)
            if found:
                return found
        return []

    def _pages_from(self, child: int) -> Iterator[set[str]]:
        """Iterate over the names of what children have written, round the end to the first page."""
        prefix = audit_prefix(self._plan.run_id)
        first = f"{prefix}{child}"
        for start_after in (first, ""):
            held: set[str] = set()
            for page in self._outputs.list(prefix, start_after=start_after):
                names = {entry.key.removeprefix(prefix) for entry in page}
                of_children = {name for name in names if name[0].isdigit()}
                # The list of a child follows its summary, perhaps on the next page.
                last = page[-1].key.removeprefix(prefix)
                names_held, held = held, {last} if last.endswith(".json") else set()
                yield (names_held | of_children) - held
                # What follows the children, the claims, is no child; then all has been seen.
                if len(of_children) < len(names) or (not start_after and page[-1].key > first):
                    break
            yield held

    def _claim(self, child: int) -> list[Task]:
        """Return the tasks of the last free part of a child at work, the last one first."""
        try:
            summary = read_audit(self._outputs, f"{self._plan.run_id}/{child}")
        except (ObjectNotFoundError, CorruptedFileError):
            return []
        saved = summary.updated_at or summary.start_time
        # A child that was asked to stop starts again on another machine, which takes minutes.
        is_open = summary.status in {RUNNING, INTERRUPTED}
        if not is_open or self._clock() - moment_of(saved) > ALIVE:
            return []
        prefix = help_prefix(self._plan.run_id, child)
        claimed = {entry.key for page in self._outputs.list(prefix) for entry in page}
        free = [n for n in range(PARTS - 1, -1, -1) if f"{prefix}{n}" not in claimed]
        if not free:
            return []
        # A later attempt has counted what helpers did, too.
        is_first = len(cast("list[object]", summary.plan.get("attempts", []))) <= 1
        begun = summary.files_processed if is_first else 0
        tasks = sorted(read_tasks(self._outputs, self._plan, child), key=_largest_first)
        parts = _parts_of(tasks)
        for part in free:
            own = [t for t, p in zip(tasks[begun:], parts[begun:], strict=True) if p == part]
            if own and self._is_claimed(child, part):
                return own[::-1]
        return []

    def _is_claimed(self, child: int, part: int) -> bool:
        """Claim a part for this child, and return whether nobody else had."""
        note = str(self._number).encode()
        try:
            self._outputs.put_if_absent(help_key(self._plan.run_id, child, part), note)
        except PreconditionFailedError:
            return False
        return True


def _parts_of(tasks: Sequence[Task]) -> list[int]:
    """Return the part of each task: all parts are of about the same size."""
    total = sum(task.size_bytes + 1 for task in tasks)
    ends = accumulate(task.size_bytes + 1 for task in tasks)
    return [(end - 1) * PARTS // total for end in ends]


def _largest_first(task: Task) -> int:
    # The order in which a child does its tasks, see `job.run.Run.execute`.
    return -task.size_bytes
