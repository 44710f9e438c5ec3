"""Tasks in this process, one after the other."""

from collections.abc import Iterator, Sequence

from gigacast.runtime.executor import Failure, Outcome, R, Setup, T, Worker, make_worker


class InlineExecutor:
    """Runs every task here: for one job, for tests, for a debugger.

    A worker that kills its process takes this one with it.
    """

    def run(self, tasks: Sequence[T], setup: Setup[T, R]) -> Iterator[Outcome[T, R]]:
        """Yield an outcome per task, in their order."""
        if not tasks:
            return
        worker = make_worker(setup)
        for task in tasks:
            yield _attempt(worker, task)


def _attempt(worker: Worker[T, R], task: T) -> Outcome[T, R]:
    # SystemExit is a task that gives up; an interruption is not the task's, and goes on.
    try:
        return Outcome(task, worker(task), None)
    except (Exception, SystemExit) as error:
        return Outcome(task, None, Failure.of(error))
