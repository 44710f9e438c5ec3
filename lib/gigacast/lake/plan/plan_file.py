"""The plan of an array run: written once, read by every child.

``plans/{run_id}.json`` is the head, which every child reads; ``plans/{run_id}/{child}.json`` holds
the tasks of a child. The head names the digest of each part, and the command of a child names the
digest of the head, so that a plan which was changed under a running array is refused. A child reads
only its own part, however many there are.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from json.encoder import encode_basestring
from typing import Any, NamedTuple

from gigacast.core.mark import Count, Time, moment_of
from gigacast.core.partition.task import InputObject, Task, sizes_of
from gigacast.core.plural import counted
from gigacast.core.problem import Source, describe
from gigacast.core.record import decode_json, read_record, read_value
from gigacast.errors import ObjectNotFoundError, PlanError, PreconditionFailedError
from gigacast.lake.layout import plan_key
from gigacast.storage.store import Store

FORMAT = 2
MAX_SKEW = timedelta(hours=1)
"""Maximum difference between the clocks of two machines."""

_WRITERS = 16
_RERUN = "start a new run: it plans what is left"


class Share(NamedTuple):
    """The tasks of a child: their number and size, and the digest of the object with them."""

    digest: str
    tasks: Count
    size_bytes: Count


@dataclass(frozen=True, slots=True)
class PlanFile:
    """The head of a plan.

    Parameters
    ----------
    run_id, created_at, expires_at : str
        Times in ISO 8601, UTC.
    setup : mapping
        Setup that all workers share.
    shares : tuple of Share
        The share of each child.
    digest : str
        Digest of the head; it covers the whole plan, since the head names those of the parts.
    """

    run_id: str
    created_at: Time
    expires_at: Time
    setup: Mapping[str, Any]
    shares: tuple[Share, ...]
    digest: str = ""

    def age(self, now: datetime) -> timedelta:
        """Return the time since the plan was made."""
        return now - moment_of(self.created_at)

    def check_time(self, now: datetime) -> None:
        """Check that a plan has not expired and was not made in the future.

        Raises
        ------
        PlanError
        """
        if now >= moment_of(self.expires_at):
            raise PlanError(f"the plan of {self.run_id} expired at {self.expires_at}", hint=_RERUN)
        ahead = moment_of(self.created_at) - now
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
    """Write the plan of a run.

    Parameters
    ----------
    store : Store
        Rooted at the output root.
    run_id : str
    setup : mapping
        JSON values that all workers share, with everything resolved.
    shares : sequence of sequence of Task
        Tasks of each child.
    now : datetime
    valid_for : timedelta
        Time after which children refuse the plan.

    Raises
    ------
    PlanError
        When the run has a plan already.
    """
    _refuse_second(store, run_id)

    def write(child: int) -> Share:
        tasks = shares[child]
        content = _encode_tasks(tasks)
        store.put(plan_key(run_id, child), content)
        return Share(_digest(content), len(tasks), sum(sizes_of(tasks)))

    with ThreadPoolExecutor(_WRITERS) as pool:
        parts = tuple(pool.map(write, range(len(shares))))
    plan = PlanFile(run_id, now.isoformat(), (now + valid_for).isoformat(), setup, parts)
    head = _encode({"format": FORMAT, **{name: getattr(plan, name) for name in _HEAD}})
    # The head comes last, and only if there is none: a crash before it leaves parts that no plan
    # names, and of two planners with the same run id one is refused.
    try:
        store.put_if_absent(plan_key(run_id), head)
    except PreconditionFailedError as error:
        raise _second(run_id) from error
    return replace(plan, digest=_digest(head))


def read_plan(store: Store, run_id: str, digest: str | None = None) -> PlanFile:
    """Return the head of a plan.

    Parameters
    ----------
    store : Store
        Rooted at the output root.
    run_id : str
    digest : str, optional
        Digest that the head must have; not checked by default.

    Raises
    ------
    PlanError
        When the plan does not exist, has another digest, or is of another version of this program.
    """
    try:
        head = store.get(plan_key(run_id))
    except ObjectNotFoundError as error:
        raise PlanError(f"there is no plan {plan_key(run_id)}", hint=_RERUN) from error
    if digest is not None and _digest(head) != digest:
        raise _changed(run_id)
    source = Source(plan_key(run_id), PlanError, "not a plan", _RERUN)
    values = decode_json(head, source)
    if not isinstance(values, dict):
        raise source.refuse(f"expected a mapping, got {describe(values)}")
    if (stored_format := values.get("format", FORMAT)) != FORMAT:
        raise PlanError(
            f"the plan of {run_id} has format {describe(stored_format)}, "
            f"this program reads {FORMAT}",
            hint="use the same version of gigacast on every machine",
        )
    plan = read_record(PlanFile, values, source, required=("format",), ignore_unknown=True)
    return replace(plan, digest=_digest(head))


def read_tasks(store: Store, plan: PlanFile, child: int) -> list[Task]:
    """Return the tasks of a child.

    Raises
    ------
    PlanError
        When the plan has no child of that number, or its tasks are not those that were planned.
    """
    if not 0 <= child < len(plan.shares):
        children = counted(len(plan.shares), "child", "children")
        raise PlanError(
            f"the plan of {plan.run_id} has {children}, none is {child}",
            hint="the array is larger than its plan: cancel it and start a new run",
        )
    share = plan.shares[child]
    try:
        content = store.get(plan_key(plan.run_id, child))
    except ObjectNotFoundError as error:
        raise _changed(plan.run_id) from error
    if _digest(content) != share.digest:
        raise _changed(plan.run_id)
    source = Source(plan_key(plan.run_id, child), PlanError, "not the tasks of a plan", _RERUN)
    tasks: list[Task] = read_value(list[Task], decode_json(content, source), source)
    return tasks


_HEAD = ("run_id", "created_at", "expires_at", "setup", "shares")


def _refuse_second(store: Store, run_id: str) -> None:
    """Refuse a run that has a plan, before its parts are overwritten."""
    try:
        store.head(plan_key(run_id))
    except ObjectNotFoundError:
        return
    raise _second(run_id)


def _second(run_id: str) -> PlanError:
    return PlanError(f"{run_id} has a plan already", hint=_RERUN)


def _encode(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _digest(content: bytes) -> str:
    # Of the bytes: those that are not UTF-8 must give another digest and not an error, as the plan
    # was damaged. Of others it is `digest_text` of the text.
    return hashlib.sha256(content).hexdigest()[:32]


def _encode_tasks(tasks: Sequence[Task]) -> bytes:
    """Return the JSON of tasks, as `_encode` would of their fields: millions, in a tenth of it."""
    ends: dict[tuple[object, ...], tuple[str, str, str]] = {}
    return f"[{','.join([_plain_text(task, ends) or _text_of(task) for task in tasks])}]\n".encode()


def _plain_text(task: Task, ends: dict[tuple[object, ...], tuple[str, str, str]]) -> str:
    """Return the JSON of a task that has one input, replaces no receipt, and needs no escapes.

    It is empty for others. ``ends`` holds the texts of fields that tasks share.
    """
    if len(task.inputs) != 1 or task.stale_receipts:
        return ""
    key, etag, size, extension = task.inputs[0]
    partition, output = task.partition, task.output_key
    own = f"{partition}{key}{etag}{output}"
    # Escapes make a text longer. One look at all four texts costs as much as one at the shortest.
    if len(encode_basestring(own)) != len(own) + 2:
        return ""
    shared = (task.month, extension, task.own, task.horizon, task.spec, task.symbol, task.timeframe)
    if (texts := ends.get(shared)) is None:
        texts = ends[shared] = _shared_texts(task, extension)
    month, middle, end = texts
    return f'{{"partition":"{partition}",{month}"{key}","{etag}",{size},{middle}"{output}",{end}'


def _shared_texts(task: Task, extension: str) -> tuple[str, str, str]:
    text, optional = encode_basestring, _optional_text
    middle = (
        f'{text(extension)}]],"own":{task.own},"horizon":{task.horizon},'
        f'"spec":{text(task.spec)},"output_key":'
    )
    end = (
        f'"symbol":{optional(task.symbol)},"timeframe":{optional(task.timeframe)},'
        '"stale_receipts":[]}'
    )
    return f'"month":{text(task.month)},"inputs":[[', middle, end


def _text_of(task: Task) -> str:
    text, optional = encode_basestring, _optional_text
    inputs = ",".join(map(_text_of_input, task.inputs))
    stale = ",".join(map(text, task.stale_receipts))
    return (
        f'{{"partition":{text(task.partition)},"month":{text(task.month)},"inputs":[{inputs}],'
        f'"own":{task.own},"horizon":{task.horizon},"spec":{text(task.spec)},'
        f'"output_key":{text(task.output_key)},"symbol":{optional(task.symbol)},'
        f'"timeframe":{optional(task.timeframe)},"stale_receipts":[{stale}]}}'
    )


def _text_of_input(entry: InputObject) -> str:
    key, etag, size, extension = entry
    text = encode_basestring
    return f"[{text(key)},{text(etag)},{size},{text(extension)}]"


def _optional_text(text: str | None) -> str:
    return "null" if text is None else encode_basestring(text)


def _changed(run_id: str) -> PlanError:
    return PlanError(
        f"the plan of {run_id} is not the one this job was started with",
        hint="somebody changed or removed it: " + _RERUN,
    )
