"""The events of a run as lines and a progress bar on stderr."""

from contextlib import ExitStack

from gigacast.core.partition.task import Task
from gigacast.core.plural import counted
from gigacast.job.totals import Totals
from gigacast.lake.plan.planner import Plan
from gigacast.lake.plan.receipt import Receipt
from gigacast.report.progress import Progress, items_of
from gigacast.report.summary import FailedPartition, reason_of
from gigacast.report.terminal import say
from gigacast.runtime.executor import Failure

_MOST_REASONS = 1000
"""Different failures that are remembered."""


class RunProgress(ExitStack):
    """Shows the events of a run on stderr; a context around the run.

    Parameters
    ----------
    quiet : bool
        Show nothing: the summary or the error of the command follows.
    verb : str
        Task of the job, as in "3 to forecast".
    """

    def __init__(self, *, quiet: bool, verb: str = "forecast") -> None:
        super().__init__()
        self._quiet = quiet
        self._verb = verb
        self._model = ""
        self._progress: Progress | None = None
        self._reasons: set[tuple[str, ...]] = set()

    def generated(self, partitions: int) -> None:
        """Print the number of synthetic partitions that were generated."""
        if partitions and not self._quiet:
            say(f"generated {counted(partitions, 'synthetic partition')}", err=True)

    def of_model(self, name: str) -> None:
        """Keep the name of the model that the next plan is for."""
        self._model = name

    def planned(self, run_id: str, plan: Plan, tasks: int) -> None:
        """Print the plan in a line, and start the bar."""
        # A backtest is a run for each model: the bar of the run before ends here.
        self.close()
        if not self._quiet:
            model = f"{self._model}: " if self._model else ""
            say(f"{model}{plan_line(plan, tasks, self._verb)}", err=True)
        if tasks:
            self._progress = self.enter_context(Progress(tasks, quiet=self._quiet))

    def finished(self, receipt: Receipt) -> None:
        """Advance the bar by a finished partition."""
        if self._progress is not None:
            self._progress.items = items_of(receipt.job)
            self._progress.advance(receipt.series, name=receipt.partition)

    def failed(self, task: Task, failure: Failure) -> None:
        """Advance the bar by a failed partition, and print its error unless an equal one was."""
        if self._progress is not None:
            message = f"{failure.error}: {failure.message}"
            reason = reason_of(FailedPartition(task.partition, failure.error, failure.message))
            # Of equal failures the first is printed; the bar and the summary count the others.
            is_new = reason not in self._reasons
            if len(self._reasons) < _MOST_REASONS:
                self._reasons.add(reason)
            self._progress.advance(failed=True, name=task.partition, message=message, shown=is_new)

    def waiting(self, message: str) -> None:
        """Print that the run waits for a store, or goes on after a wait."""
        if self._progress is not None:
            self._progress.remark(message)

    def closed(self, status: str, totals: Totals) -> None:
        """Print nothing: the summary follows."""


def plan_line(plan: Plan, tasks: int, verb: str) -> str:
    """Return a plan in a line: the partitions by state, and objects that are no partitions.

    Parameters
    ----------
    plan : Plan
    tasks : int
        Number of tasks that the run does; a limit may leave some for later.
    verb : str
    """
    totals = plan.totals
    remaining = totals.pending - tasks
    notes = [
        f"{counted(plan.discovered, 'partition')}: {totals.done} done, {tasks} to {verb}",
        f"{remaining} left for later" if remaining else "",
        f"{totals.superseded} superseded" if totals.superseded else "",
        f"{totals.orphaned} orphaned" if totals.orphaned else "",
        f"{counted(plan.unmatched_count, 'object')} not recognised ({plan.unmatched[0]}, ...)"
        if plan.unmatched
        else "",
        f"folders not taken for input: {', '.join(plan.foreign_folders[:3])}"
        if plan.foreign_folders
        else "",
    ]
    return "; ".join(filter(None, notes))
