"""Runs that start on a schedule, or when new data arrives.

A lease that expires by itself lets one run at a time work on a prefix. It only saves double work:
receipts keep the results of two runs at a time correct.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

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
from gigacast.lake.turn import drop_turn, note_turn, waiting_turns
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store

Outcome = Literal["submitted", "nothing pending", "another run is under way"]
PLANNING = timedelta(minutes=15)
"""Length of the lease while a run is planned: the longest that AWS lets a Lambda work."""

_MARGIN = timedelta(hours=1)
"""Length of a run's lease beyond the time limit of an attempt. Batch ends a job that has found no
machine for an hour (``infra/batch.yaml``)."""


@dataclass(frozen=True, slots=True)
class Scheduled:
    """The result of a scheduled start.

    Parameters
    ----------
    outcome : str
    run_id : str, optional
        The run that was submitted, or that is under way.
    tasks, children : int
        Numbers of the submitted run.
    """

    outcome: Outcome
    run_id: str | None = None
    tasks: int = 0
    children: int = 0


def submit_in_turn(
    job: ForecastJob,
    options: ArrayOptions,
    service: ArrayService,
    *,
    turn: Mapping[str, Any] | None = None,
    clock: Clock = utc_now,
) -> Scheduled:
    """Plan and submit a run, unless one of the same prefix is under way or nothing is pending.

    Parameters
    ----------
    job : ForecastJob
    options : ArrayOptions
    service : ArrayService
    turn : mapping, optional
        Event of this start. It is noted if another run is under way, so that the end of that run
        can start this one; see `start_waiting`.
    clock : callable
        Gives the current time, with its zone.

    Raises
    ------
    ConfigError, StorageError, ModelError, ComputeError
        If the run can't start. No job was left running, and the lease is free for the next attempt.
    """
    outputs = open_store(job.outputs)
    holder = f"planner_{os.urandom(8).hex()}"
    if not _take(outputs, holder, service, clock):
        if turn is not None:
            note_turn(outputs, turn)
        # Once more after the note: a run that ended in between has seen no note.
        if turn is None or not _take(outputs, holder, service, clock):
            return Scheduled("another run is under way", lease_holder(outputs))
        drop_turn(outputs, turn)
    try:
        submission = submit_run(job, options, service, clock=clock)
    except DataNotFoundError:  # an empty prefix, before its first partition, is no error
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


def start_waiting(outputs: Store, call: Callable[[Mapping[str, Any]], None]) -> int:
    """Start the turns that wait for the end of a run; return how many there were.

    Parameters
    ----------
    outputs : Store
        Rooted at the output root.
    call : callable
        Starts a turn with its event. If it fails, the turn goes on waiting.
    """
    turns = waiting_turns(outputs)
    for turn in turns:
        # Before the call: one that finds the next run under way notes the turn again.
        drop_turn(outputs, turn)
        try:
            call(turn)
        except BaseException:
            note_turn(outputs, turn)
            raise
    return len(turns)


def names_new_input(job: ForecastJob, objects: Iterable[tuple[str, str]]) -> bool:
    """Whether an object is an input partition of a job.

    Parameters
    ----------
    job : ForecastJob
    objects : iterable of (str, str)
        Bucket and key of objects, as events of S3 name them; a bucket that is not named is any.
    """
    _, _, place = job.inputs.url.partition("://")
    own, _, prefix = place.partition("/")
    root = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
    keys = [key for bucket, key in objects if bucket in {"", own}]
    below = [key.removeprefix(root) for key in keys if key.startswith(root)]
    # The job's own outputs arrive below the same prefix: they must not start the next run.
    return any(
        job.pattern.parse(key) is not None
        for key in below
        if f"{key.partition('/')[0]}/" not in RESERVED
    )


def _take(outputs: Store, holder: str, service: ArrayService, clock: Clock) -> bool:
    """Take the lease; close the run that holds it where that has ended, and try once more."""
    if take_lease(outputs, holder, clock(), PLANNING):
        return True
    holder_now = lease_holder(outputs)
    if not holder_now or holder_now.startswith("planner_"):
        return False
    try:
        close_run(outputs, holder_now, service, clock=clock)
    except GigacastError:
        # The run may still be going on: its lease stays, and ends by itself.
        return False
    return take_lease(outputs, holder, clock(), PLANNING)


def _hand_on(
    outputs: Store, holder: str, submission: Submission, options: ArrayOptions, clock: Clock
) -> None:
    """Pass the lease on to the run; closing the run releases it."""
    until = clock() + timedelta(seconds=options.timeout_s) + _MARGIN
    pass_lease(outputs, holder, submission.run_id, until)
    if read_audit(outputs, submission.run_id).end_time is not None:
        # The run ended before the lease was its own: nobody else would release it.
        release_lease(outputs, submission.run_id)
