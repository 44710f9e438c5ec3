"""Runs that start by themselves: by the clock, or because data has come.

One run of a prefix at a time, by a lease that ends by itself; correctness does not rest on it.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from gigacast.batch.close import close_run
from gigacast.batch.service import ArrayService
from gigacast.batch.submit import Submission, submit_run
from gigacast.errors import DataNotFoundError, GigacastError
from gigacast.job.batch_options import ArrayOptions
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.run import utc_now
from gigacast.lake.layout import RESERVED
from gigacast.lake.lease import lease_holder, pass_lease, release_lease, take_lease
from gigacast.lake.plan.audit import Clock, read_audit
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store

Outcome = Literal["submitted", "nothing pending", "another run is under way"]
PLANNING = timedelta(minutes=15)
"""The longest a Lambda can plan."""

_MARGIN = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Scheduled:
    """What came of it.

    Parameters
    ----------
    outcome : str
    run_id : str, optional
        The run submitted, or the one under way.
    tasks, children : int
    """

    outcome: Outcome
    run_id: str | None = None
    tasks: int = 0
    children: int = 0


def submit_in_turn(
    job: ForecastJob, options: ArrayOptions, service: ArrayService, *, clock: Clock = utc_now
) -> Scheduled:
    """Plan and submit, unless a run of the same prefix is under way or nothing is pending.

    Parameters
    ----------
    job : ForecastJob
    options : ArrayOptions
    service : ArrayService
    clock : callable

    Raises
    ------
    ConfigError, StorageError, ModelError, ComputeError
        Nothing is running then, and the next turn may try.
    """
    outputs = open_store(job.outputs)
    holder = f"planner_{os.urandom(8).hex()}"
    if not _take(outputs, holder, service, clock):
        return Scheduled("another run is under way", lease_holder(outputs))
    try:
        submission = submit_run(job, options, service, clock=clock)
    except DataNotFoundError:  # an empty prefix waits for its first partition
        release_lease(outputs, holder)
        return Scheduled("nothing pending")
    except BaseException:
        release_lease(outputs, holder)
        raise
    if not submission.tasks:
        release_lease(outputs, holder)
        return Scheduled("nothing pending")
    _hand_on(outputs, holder, submission, options, clock)
    return Scheduled("submitted", submission.run_id, submission.tasks, submission.children)


def names_new_input(job: ForecastJob, keys: Iterable[str]) -> bool:
    """Whether some key of the bucket, from its root, is an input partition of a job."""
    _, _, place = job.inputs.url.partition("://")
    _, _, prefix = place.partition("/")
    root = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
    below = [key.removeprefix(root) for key in keys if key.startswith(root)]
    return any(
        job.pattern.parse(key) is not None
        for key in below
        if f"{key.partition('/')[0]}/" not in RESERVED
    )


def _take(outputs: Store, holder: str, service: ArrayService, clock: Clock) -> bool:
    """Take the lease; where a run holds it that has ended since, close that run and try again."""
    if take_lease(outputs, holder, clock(), PLANNING):
        return True
    other = lease_holder(outputs)
    if not other or other.startswith("planner_"):
        return False
    try:
        close_run(outputs, other, service, clock=clock)
    except GigacastError:
        return False  # it can't be told how that run stands: its lease will end
    return take_lease(outputs, holder, clock(), PLANNING)


def _hand_on(
    outputs: Store, holder: str, submission: Submission, options: ArrayOptions, clock: Clock
) -> None:
    """Let the run itself hold the lease; closing the run gives it back."""
    until = clock() + timedelta(seconds=options.timeout_s) + _MARGIN
    pass_lease(outputs, holder, submission.run_id, until)
    if read_audit(outputs, submission.run_id).end_time is not None:
        release_lease(outputs, submission.run_id)  # it has ended in the meantime
