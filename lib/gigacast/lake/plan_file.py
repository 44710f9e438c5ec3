"""The plan of an array run: written once, read by every child.

Imports ``errors``, ``core``, ``storage`` and ``lake``. ``plans/{run_id}.json`` is lines of JSON: a
head that every child reads, then one line for each child with its tasks. The head names the place
and the digest of each line, and whoever starts a child names the digest of the head. So a child of
ten thousand reads its own part only, and a plan that was changed under a running array is refused.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from gigacast.core.digest import digest_text
from gigacast.core.task import InputObject, Task
from gigacast.errors import ObjectNotFoundError, PlanError, PreconditionFailedError
from gigacast.lake.layout import plan_key
from gigacast.storage.store import Store

FORMAT = 1
MAX_SKEW = timedelta(hours=1)
"""Clocks differ; a plan from further in the future says that one of two is wrong."""

_FIRST_READ = 64 * 1024
_RERUN = "start a new run: it plans what is left"


class Share(NamedTuple):
    """Where a child's tasks lie behind the head, and what they are."""

    start: int
    stop: int
    digest: str
    tasks: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PlanFile:
    """The head of a plan.

    Parameters
    ----------
    run_id, created_at, expires_at : str
        Times in ISO 8601, UTC.
    setup : mapping
        What every worker is made from.
    shares : tuple of Share
        One for each child.
    digest : str
        Of the head, and by it of the whole plan.
    size : int
        Bytes of the head.
    """

    run_id: str
    created_at: str
    expires_at: str
    setup: Mapping[str, Any]
    shares: tuple[Share, ...]
    digest: str = ""
    size: int = 0

    def check_time(self, now: datetime) -> None:
        """Refuse a plan that is no longer, or not yet, valid.

        Raises
        ------
        PlanError
        """
        if now >= datetime.fromisoformat(self.expires_at):
            raise PlanError(f"the plan of {self.run_id} expired at {self.expires_at}", hint=_RERUN)
        ahead = datetime.fromisoformat(self.created_at) - now
        if ahead > MAX_SKEW:
            raise PlanError(
                f"the plan of {self.run_id} was made {ahead} in the future",
                hint="the clock of this machine, or of the one that planned, is wrong: set it",
            )


def write_plan(
    store: Store,
    run_id: str,
    setup: Mapping[str, Any],
    shares: Sequence[Sequence[Task]],
    *,
    now: datetime,
    valid_for: timedelta,
) -> PlanFile:
    """Write a run's plan, once.

    Parameters
    ----------
    store : Store
        Rooted at the output root.
    run_id : str
    setup : mapping
        JSON-able: what every worker is made from, with nothing left to resolve.
    shares : sequence of sequence of Task
        The tasks of each child.
    now : datetime
    valid_for : timedelta

    Raises
    ------
    PlanError
        When that run has a plan already.
    """
    lines = [_line([_values_of(task) for task in tasks]) for tasks in shares]
    places, stop = [], 0
    for line, tasks in zip(lines, shares, strict=True):
        start, stop = stop, stop + len(line)
        size = sum(task.size_bytes for task in tasks)
        places.append(Share(start, stop, _digest(line), len(tasks), size))
    plan = PlanFile(run_id, now.isoformat(), (now + valid_for).isoformat(), setup, tuple(places))
    head = _line({"format": FORMAT, **{name: getattr(plan, name) for name in _HEAD}})
    try:
        store.put_if_absent(plan_key(run_id), b"".join([head, *lines]))
    except PreconditionFailedError as error:
        raise PlanError(f"{run_id} has a plan already", hint=_RERUN) from error
    return _with_head(plan, head)


def read_plan(store: Store, run_id: str, digest: str | None = None) -> PlanFile:
    """Read the head of a plan.

    Parameters
    ----------
    store : Store
    run_id : str
    digest : str, optional
        Of the head that is meant.

    Raises
    ------
    PlanError
        When there is no plan, it is another one, or one of another version of this program.
    """
    head = _read_head(store, plan_key(run_id))
    if digest is not None and _digest(head) != digest:
        raise _changed(run_id)
    try:
        values = json.loads(head)
        if values["format"] != FORMAT:
            raise PlanError(
                f"the plan of {run_id} has format {values['format']}, this program reads {FORMAT}",
                hint="use the same version of gigacast on every machine",
            )
        found = {name: values[name] for name in _HEAD}
        found["shares"] = tuple(Share(*share) for share in found["shares"])
        return _with_head(PlanFile(**found), head)
    except (ValueError, TypeError, KeyError) as error:
        raise PlanError(f"{plan_key(run_id)} is no plan: {error!r}", hint=_RERUN) from error


def read_tasks(store: Store, plan: PlanFile, child: int) -> list[Task]:
    """Read the tasks of one child.

    Raises
    ------
    PlanError
        When the plan has no such child, or its tasks are not the ones that were planned.
    """
    if not 0 <= child < len(plan.shares):
        raise PlanError(
            f"the plan of {plan.run_id} has {len(plan.shares)} children, none is {child}",
            hint="the array is larger than its plan: cancel it and start a new run",
        )
    share = plan.shares[child]
    try:
        line = store.get(
            plan_key(plan.run_id), start=plan.size + share.start, stop=plan.size + share.stop
        )
    except ObjectNotFoundError as error:
        raise _changed(plan.run_id) from error
    if _digest(line) != share.digest:
        raise _changed(plan.run_id)
    return [_task_of(values) for values in json.loads(line)]


_HEAD = ("run_id", "created_at", "expires_at", "setup", "shares")
_TASK = tuple(field.name for field in fields(Task))


def _line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _digest(content: bytes) -> str:
    return digest_text(content.decode(errors="replace"), 32)


def _with_head(plan: PlanFile, head: bytes) -> PlanFile:
    return PlanFile(
        plan.run_id,
        plan.created_at,
        plan.expires_at,
        plan.setup,
        plan.shares,
        _digest(head),
        len(head),
    )


def _read_head(store: Store, key: str) -> bytes:
    """Read to the end of the first line, which may be a megabyte."""
    head, step = b"", _FIRST_READ
    while b"\n" not in head:
        try:
            more = store.get(key, start=len(head), stop=len(head) + step)
        except ObjectNotFoundError as error:
            raise PlanError(f"there is no plan {key}", hint=_RERUN) from error
        if not more:
            break
        head, step = head + more, step * 4
    line, end, _ = head.partition(b"\n")
    return line + end


def _values_of(task: Task) -> dict[str, object]:
    # `dataclasses.asdict` copies what it finds: for millions of tasks that is most of the time.
    return {name: getattr(task, name) for name in _TASK}


def _task_of(values: Mapping[str, Any]) -> Task:
    return Task(
        **{
            **values,
            "inputs": tuple(InputObject(*entry) for entry in values["inputs"]),
            "stale_receipts": tuple(values["stale_receipts"]),
        }
    )


def _changed(run_id: str) -> PlanError:
    return PlanError(
        f"the plan of {run_id} is not the one this job was started with",
        hint="somebody changed or removed it: " + _RERUN,
    )
