"""Plan a run and submit it to a service of array jobs.

The plan is written first, then the audit, then the jobs are submitted. A crash in between leaves a
plan without jobs, or an audit without job ids: no job runs without an audit of its run.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from gigacast.batch.help import HELP_LATE
from gigacast.batch.service import ArrayRequest, ArrayService
from gigacast.batch.setup import dump_setup
from gigacast.batch.work import ArrayJob
from gigacast.core.collector import collector_paused
from gigacast.core.cost.array_plan import QueueKind, choose_queue, divide_work, split_arrays
from gigacast.core.partition.task import Task, sizes_of
from gigacast.errors import ConfigError, GigacastError
from gigacast.forecasting.estimate import Workload
from gigacast.forecasting.generation import generate_missing
from gigacast.forecasting.plan import plan_prepared
from gigacast.forecasting.prepare import Prepared, check_discovered, prepare_array, with_queue
from gigacast.forecasting.quote import expected_children, expected_cpu_s, quote_queues
from gigacast.forecasting.run import describe_plan
from gigacast.job.audit import PlannedJob, make_run_id, new_audit
from gigacast.job.batch_options import ArrayOptions, ChildOrder
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.outage import Patience
from gigacast.job.run import RunEvents, Silent, utc_now
from gigacast.lake.plan.audit import FAILED, Audit, AuditLog, Clock, update_audit
from gigacast.lake.plan.plan_file import PlanFile, write_plan
from gigacast.lake.plan.planner import Plan
from gigacast.storage.store import Store, StoreAddress

CANCELLED_HALF = "gigacast: not all arrays of this run could be submitted"


@dataclass(frozen=True)
class Submission:
    """A submitted run, or a plan without tasks.

    Parameters
    ----------
    run_id : str
    plan : Plan
    tasks : int
        Number of partitions to forecast; with 0 nothing was submitted.
    queue : str
        Name of the queue.
    children : int
    job_ids : tuple of str
    problems : tuple of str
        Sentences on what a few inputs say against the plan, see `gigacast.forecasting.look`; a run
        is submitted nevertheless.
    """

    run_id: str
    plan: Plan
    tasks: int
    queue: str = ""
    children: int = 0
    job_ids: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


# Millions of tasks live until the end, and the collector would look at all of them again and again.
@collector_paused()
def submit_run(
    job: ForecastJob,
    options: ArrayOptions,
    service: ArrayService,
    *,
    events: RunEvents | None = None,
    clock: Clock = utc_now,
) -> Submission:
    """Plan a run, divide its tasks over children and submit them.

    Without a pending partition nothing is written or submitted.

    Parameters
    ----------
    job : ForecastJob
    options : ArrayOptions
    service : ArrayService
    events : RunEvents, optional
        Receives the plan after the submission; ignored by default.
    clock : callable
        Gives the current time, with its zone.

    Raises
    ------
    ConfigError, StorageError, ModelError, ComputeError
        No job is running then.
    """
    if job.table is not None:
        raise ConfigError(
            f"output_table: {job.table.address.url} is written at the end of a run, by the command "
            "that waits for it",
            hint="run `gigacast forecast --executor batch`, or `gigacast forecast` when the array "
            "has ended",
        )
    prepared = prepare_array(job)
    generation = generate_missing(prepared, job.resources)
    if job.synthetic is not None:
        (events or Silent()).generated(len(generation))
    report = plan_prepared(prepared)
    if not generation.skipped:
        check_discovered(report.plan, job)
    run_id = make_run_id("forecast", clock)
    # Without tasks nothing is written: an idle schedule leaves no plans and audits behind.
    if not report.plan.tasks[: job.limit]:
        return Submission(run_id, report.plan, 0)
    queue = queue_for(prepared, report.workload, options)
    ready = with_queue(prepared, queue)
    planned = describe_plan(ready, report.plan)
    shares = share_work(planned.tasks, expected_children(report.workload, options, queue))
    # Plans in which nothing is said of it stay as they were.
    named = {} if options.help_late is None else {HELP_LATE: options.help_late}
    setup = {**dump_setup(ready), **named}
    array = PlannedArray(run_id, planned, job.outputs, setup, shares, queue)

    def describe(audit: Audit) -> None:
        # Stored with the plan, so that the actual cost can be compared with it after the end.
        quotes = [quote for quote in quote_queues(report.workload, options) if quote.queue == queue]
        audit.cost["predicted"] = [quote.describe() for quote in quotes]
        if len(generation):
            audit.plan["generated"] = generation.describe()
        if report.look.problems:
            audit.plan["problems"] = list(report.look.problems)

    submission = submit_array(
        array, options, service, describe=describe, events=events, clock=clock
    )
    return replace(submission, problems=report.look.problems)


@dataclass(frozen=True)
class PlannedArray:
    """A planned job, divided over the children of an array.

    Parameters
    ----------
    run_id : str
    planned : PlannedJob
    outputs : StoreAddress
        Output root.
    setup : mapping
        What the children do, as JSON values.
    shares : list of list of Task
        Tasks of each child.
    queue : str
        Kind of the queue.
    """

    run_id: str
    planned: PlannedJob
    outputs: StoreAddress
    setup: Mapping[str, Any]
    shares: list[list[Task]]
    queue: QueueKind = "cpu"


def submit_array(
    array: PlannedArray,
    options: ArrayOptions,
    service: ArrayService,
    *,
    describe: Callable[[Audit], None] = lambda audit: None,
    events: RunEvents | None = None,
    clock: Clock = utc_now,
) -> Submission:
    """Write the plan and the audit of a planned job, and submit its children.

    Parameters
    ----------
    array : PlannedArray
    options : ArrayOptions
    service : ArrayService
    describe : callable
        Adds to the audit before it is written.
    events : RunEvents, optional
        Receives the plan after the submission; ignored by default.
    clock : callable
        Gives the current time, with its zone.

    Raises
    ------
    StorageError, ComputeError
        No job is running then.
    """
    run_id, planned, store = array.run_id, array.planned, array.planned.outputs
    # In this order (plan, audit, jobs) a child finds its plan, and `watch` finds the audit.
    plan = write_plan(
        store, run_id, array.setup, array.shares, now=clock(), valid_for=options.valid_for
    )
    audit = new_audit(run_id, planned, clock)
    audit.plan["array"] = array_entry(plan, options, array.queue)
    describe(audit)
    AuditLog(store, audit, clock).save(force=True)
    requests = requests_of(plan, array.outputs, options, array.queue, planned.patience)
    job_ids = submit_requests(requests, service, store, run_id, clock)
    (events or Silent()).planned(run_id, planned.plan, len(planned.tasks))
    return Submission(
        run_id=run_id,
        plan=planned.plan,
        tasks=len(planned.tasks),
        queue=options.name(array.queue),
        children=len(array.shares),
        job_ids=tuple(job_ids),
    )


@collector_paused()
def submit_job(
    job: ArrayJob,
    options: ArrayOptions,
    service: ArrayService,
    *,
    events: RunEvents | None = None,
    clock: Clock = utc_now,
) -> Submission:
    """Divide the tasks of a planned job over children and submit them.

    Without a pending task nothing is written or submitted.

    Parameters
    ----------
    job : ArrayJob
    options : ArrayOptions
    service : ArrayService
    events : RunEvents, optional
        Receives the plan after the submission; ignored by default.
    clock : callable
        Gives the current time, with its zone.

    Raises
    ------
    StorageError, ComputeError
        No job is running then.
    """
    planned = job.planned
    run_id, tasks = make_run_id(planned.description.job, clock), planned.tasks
    if not tasks:
        return Submission(run_id, planned.plan, 0)
    share = share_in_order if job.in_order else share_work
    shares = share(tasks, children_for(tasks, options))
    array = PlannedArray(run_id, planned, job.outputs, job.setup(run_id), shares, job.queue)
    return submit_array(array, options, service, events=events, clock=clock)


def array_entry(plan: PlanFile, options: ArrayOptions, queue: QueueKind) -> dict[str, object]:
    """Return the array of a run as its audit describes it; the jobs are added once submitted."""
    return {
        "queue": options.name(queue),
        "children": len(plan.shares),
        "digest": plan.digest,
        "timeout_s": options.timeout_s,
        "jobs": [],
    }


def queue_for(prepared: Prepared, work: Workload, options: ArrayOptions) -> QueueKind:
    """Return the queue that the options or the device name, else the cheaper one."""
    if options.queue != "auto":
        return options.queue
    device = prepared.job.model.device
    if device.startswith("cuda"):
        return "gpu"
    # A model without weights, such as seasonal naive, has nothing to compute on a GPU.
    if device == "cpu" or prepared.model.folder is None:
        return "cpu"
    return choose_queue(expected_cpu_s(work, options), options.cpu, options.gpu)


def share_work(tasks: Sequence[Task], children: int) -> list[list[Task]]:
    """Return the tasks of each child, about the same number of bytes for all."""
    shares = divide_work(sizes_of(tasks), children)
    return [[tasks[index] for index in share] for share in shares]


def children_for(tasks: Sequence[Task], options: ArrayOptions) -> int:
    """Return the number of children: as many as have the least work that is worth a start."""
    seconds = sum(sizes_of(tasks)) / options.cpu_bytes_per_s
    useful = ceil(seconds / options.target_s) if options.children is None else options.children
    return max(1, min(useful, options.max_children, len(tasks)))


def share_in_order(tasks: Sequence[Task], children: int) -> list[list[Task]]:
    """Return the tasks of each child: such that follow one another, of about equal bytes.

    Windows of neighbouring days see nearly the same partitions, whose tiles a child makes once.
    """
    total, start, done = sum(task.size_bytes + 1 for task in tasks), 0, 0
    shares: list[list[Task]] = []
    for place, task in enumerate(tasks):
        done += task.size_bytes + 1
        remaining = len(tasks) - place - 1
        # At least one task for each of the remaining children.
        is_full = done * children >= total * (len(shares) + 1)
        if (is_full or remaining < children - len(shares)) and len(shares) < children - 1:
            shares.append(list(tasks[start : place + 1]))
            start = place + 1
    return [*shares, list(tasks[start:])]


def requests_of(
    plan: PlanFile,
    outputs: StoreAddress,
    options: ArrayOptions,
    queue: QueueKind,
    patience: Patience,
) -> list[ArrayRequest]:
    """Return the jobs to submit for a plan: one, or several where an array would be too large."""
    arrays = split_arrays(len(plan.shares))
    order = ChildOrder(outputs, plan.run_id, plan.digest, outage_minutes=patience.limit_s / 60)
    return [
        ArrayRequest(
            name=plan.run_id if len(arrays) == 1 else f"{plan.run_id}-{number}",
            queue=options.name(queue),
            definition=options.name(queue),
            command=replace(order, first=array.first).command(),
            size=array.size,
            timeout_s=options.timeout_s,
            stack=options.stack,
        )
        for number, array in enumerate(arrays)
    ]


def submit_requests(
    requests: list[ArrayRequest], service: ArrayService, outputs: Store, run_id: str, clock: Clock
) -> list[str]:
    """Submit all jobs or none, write the result into the audit, and return the ids."""
    jobs: list[dict[str, object]] = []
    first = 0
    try:
        for request in requests:
            job_id = service.submit(request)
            jobs.append({"job_id": job_id, "first": first, "size": request.size})
            first += request.size
    except BaseException as error:
        # With only some of its arrays a run could never be complete: end those that were submitted.
        with suppress(GigacastError):
            service.cancel([str(job["job_id"]) for job in jobs], CANCELLED_HALF)
        _close_refused(outputs, run_id, error, clock)
        raise

    def add_jobs(audit: Audit) -> bool:
        array = audit.plan["array"]
        assert isinstance(array, dict)  # noqa: S101 - written above
        array["jobs"] = jobs
        return True

    # By compare and swap: a short array may have ended, and its run been closed, in the meantime.
    update_audit(outputs, run_id, add_jobs)
    return [str(job["job_id"]) for job in jobs]


def _close_refused(outputs: Store, run_id: str, error: BaseException, clock: Clock) -> None:
    message = error.message if isinstance(error, GigacastError) else str(error)

    def close(audit: Audit) -> bool:
        audit.failures.append({"error": type(error).__name__, "message": message})
        audit.end(FAILED, clock())
        return True

    update_audit(outputs, run_id, close)
