"""The days and the result of a backfill."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gigacast.core.partition.task import Task
from gigacast.errors import ConfigError
from gigacast.feature_store.engine.engine import DaySpan
from gigacast.job.totals import Totals
from gigacast.runtime.executor import Failure

FIRST_DAY, LAST_DAY = DaySpan().first, DaySpan().last


@dataclass(frozen=True)
class Days:
    """Days of a run.

    Parameters
    ----------
    first, last : str
        First and last day.
    """

    first: str = FIRST_DAY
    last: str = LAST_DAY

    def __post_init__(self) -> None:
        if self.first > self.last:
            raise ConfigError(
                f"--start_ds {self.first} is after --ds {self.last}", hint="swap them"
            )

    @property
    def span(self) -> DaySpan:
        """First and last day."""
        return DaySpan(self.first, self.last)


@dataclass(frozen=True)
class BackfillResult:
    """The result of a backfill.

    Parameters
    ----------
    name : str
        Name of the definition.
    run_id : str
        Id of the run; empty if it was only planned.
    tables : tuple of str
        Tables written.
    url : str
        Folder or bucket of the tables.
    days : tuple of str
        Days of the plan, done or not.
    pending : int
        Partitions that were left to do when the run began.
    done : int
        Partitions that were done before.
    totals : Totals
    failures : list of (Task, Failure)
    missing : mapping of str to tuple of str
        Days that windows see and a table does not have, by table.
    parents : tuple of BackfillResult
        Backfills of joins that the definition reads.
    datasets : tuple of str
        Versions of datasets that hold the tables, as ``features/v1/default.training_set``; none
        if a day failed, and none for stages.
    """

    name: str
    run_id: str
    tables: tuple[str, ...]
    url: str
    days: tuple[str, ...]
    pending: int
    done: int
    totals: Totals = field(default_factory=Totals)
    failures: list[tuple[Task, Failure]] = field(default_factory=list)
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    parents: tuple["BackfillResult", ...] = ()
    datasets: tuple[str, ...] = ()

    @property
    def all_failures(self) -> list[tuple[Task, Failure]]:
        """Failures of this backfill and of those of its parents."""
        return [*(f for parent in self.parents for f in parent.all_failures), *self.failures]
