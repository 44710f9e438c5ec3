"""Plan a backfill of features and submit it to a service of array jobs."""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil

from gigacast.batch.backfill import dump_backfill
from gigacast.batch.service import ArrayService
from gigacast.batch.submit import PlannedArray, Submission, submit_array
from gigacast.core.partition.task import Task
from gigacast.errors import ConfigError
from gigacast.feature_store.definition.check import check
from gigacast.feature_store.offline.result import Days
from gigacast.feature_store.offline.run import (
    describe_backfill,
    outputs_of,
    pending_parents,
    plan_backfill,
)
from gigacast.feature_store.offline.stage import Backfill
from gigacast.feature_store.offline.worker import JOB
from gigacast.job.audit import make_run_id
from gigacast.job.batch_options import ArrayOptions
from gigacast.job.location import check_reach
from gigacast.job.run import RunEvents, utc_now
from gigacast.lake.plan.audit import Clock


def submit_backfill(
    backfill: Backfill,
    days: Days,
    options: ArrayOptions,
    service: ArrayService,
    *,
    events: RunEvents | None = None,
    clock: Clock = utc_now,
) -> Submission:
    """Plan a backfill, divide its days over children and submit them.

    Without a pending day nothing is written or submitted.

    Parameters
    ----------
    backfill : Backfill
    days : Days
    options : ArrayOptions
    service : ArrayService
    events : RunEvents, optional
        Receives the plan after the submission; ignored by default.
    clock : callable
        Gives the current time, with its zone.

    Raises
    ------
    DefinitionError
        If the definition is refused, or its tables lack columns.
    DataNotFoundError
        If a table or all days are missing.
    ConfigError
        If the tables are out of reach of other machines, or a join that is read is not done.
    StorageError, ComputeError
        No job is running then.
    """
    check(backfill.definition)
    backfill = _for_children(backfill, days)
    planned = plan_backfill(backfill, days)
    tasks = planned.plan.tasks
    run_id = make_run_id(JOB, clock)
    if not tasks:
        return Submission(run_id, planned.plan, 0)
    array = PlannedArray(
        run_id,
        describe_backfill(planned, days),
        backfill.root,
        dump_backfill(backfill, outputs_of(planned, run_id)),
        share_days(tasks, children_for(tasks, options)),
    )
    return submit_array(array, options, service, events=events, clock=clock)


def _for_children(backfill: Backfill, days: Days) -> Backfill:
    """Return a backfill as the children of an array do it.

    Raises
    ------
    ConfigError
    """
    check_reach(backfill.root)
    if backfill.engine != "local":
        raise ConfigError(
            f"--executor batch: --engine {backfill.engine} divides the work itself",
            hint="leave one of the two out",
        )
    resources = replace(backfill.resources, executor="auto")
    backfill = replace(backfill, last=days.last, resources=resources)
    for name in pending_parents(backfill, days):
        # Its rows decide the inputs of the tasks, which are planned here.
        raise ConfigError(
            f"--executor batch: days of {name}, whose output is read, are left to do",
            hint=f"run gigacast feature-store backfill {name} --executor batch before",
        )
    return backfill


def children_for(tasks: Sequence[Task], options: ArrayOptions) -> int:
    """Return the number of children: as many as have the least work that is worth a start."""
    seconds = sum(task.size_bytes for task in tasks) / options.cpu_bytes_per_s
    useful = ceil(seconds / options.target_s) if options.children is None else options.children
    return max(1, min(useful, options.max_children, len(tasks)))


def share_days(tasks: Sequence[Task], children: int) -> list[list[Task]]:
    """Return the tasks of each child: days that follow one another, of about equal bytes.

    Windows of neighbouring days see nearly the same partitions, whose tiles a child makes once.
    """
    total, start, done = sum(task.size_bytes + 1 for task in tasks), 0, 0
    shares: list[list[Task]] = []
    for place, task in enumerate(tasks):
        done += task.size_bytes + 1
        left = len(tasks) - place - 1
        # At least one day for each of the children that are left.
        is_full = done * children >= total * (len(shares) + 1)
        if (is_full or left < children - len(shares)) and len(shares) < children - 1:
            shares.append(list(tasks[start : place + 1]))
            start = place + 1
    return [*shares, list(tasks[start:])]
