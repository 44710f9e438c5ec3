"""The upload job: a task for each group-by, whose batch of a day is written and then served."""

from dataclasses import asdict, dataclass

from gigacast.core.partition.task import Task
from gigacast.feature_store.definition.name import name_of
from gigacast.feature_store.online.opening import open_online_store
from gigacast.feature_store.online.serving import (
    write_join,
)
from gigacast.feature_store.online.store import OnlineAnswer, OnlineStore
from gigacast.feature_store.uploads.plan import (
    UploadJob,
    plan_upload,
)
from gigacast.feature_store.uploads.worker import UploadSetup
from gigacast.job.audit import PlannedJob, RunDescription
from gigacast.job.outage import Answering, Outage
from gigacast.job.run import Run, RunEvents, Silent, start_run, utc_now
from gigacast.lake.plan.audit import Clock
from gigacast.lake.plan.discovery import Selection
from gigacast.lake.plan.planner import Plan
from gigacast.lake.plan.receipt import Receipt
from gigacast.runtime.choice import InlineExecutor, make_executor
from gigacast.runtime.executor import Executor, Failure


@dataclass(frozen=True)
class UploadResult:
    """The result of an upload.

    Parameters
    ----------
    run_id : str
    day : str
    receipts : list of Receipt
        Of the group-bys that this run uploaded.
    skipped : list of str
        Group-bys that serve this batch already.
    failures : list of (Task, Failure)
    joins : list of str
        Joins whose definitions are served.
    """

    run_id: str
    day: str
    receipts: list[Receipt]
    skipped: list[str]
    failures: list[tuple[Task, Failure]]
    joins: list[str]


def upload(
    job: UploadJob,
    *,
    store: OnlineStore | None = None,
    events: RunEvents | None = None,
    executor: Executor | None = None,
    clock: Clock = utc_now,
) -> UploadResult:
    """Upload the group-bys that do not serve the day's batch yet, and then the joins.

    Parameters
    ----------
    job : UploadJob
    store : OnlineStore, optional
        Opened online store, for runs in this process; that of the job's address by default.
    events : RunEvents, optional
        Receives the progress; ignored by default.
    executor : Executor, optional
        Runs the tasks; made from the job's resources by default.
    clock : callable
        Gives the current time, with its zone.

    Raises
    ------
    ConfigError, DataNotFoundError, StorageError
        When the run can't start. Later failures are in the result.
    OutageError
        When the bucket or the online store did not answer for longer than the run waits.
    """
    events = events or Silent()
    own = store or open_online_store(job.online_store, job.tables.root)
    online = OnlineAnswer(own)
    stores: list[Answering] = [job.tables.store, online]
    # The plan reads what is served: an outage of the online store is waited out here already.
    plan, skipped = Outage(stores, job.resources.patience, events.waiting).call(
        lambda: plan_upload(job, own)
    )
    run = start_run(describe_upload(job, plan, online), events=events, clock=clock)
    receipts: list[Receipt] = []
    joins: list[str] = []

    def write_joins(run: Run) -> None:
        joins.clear()  # called again after an outage
        failed = {task.partition.partition("/")[0] for task, _ in run.failures}
        for join in job.joins:
            # A join before its parts would answer with errors.
            if failed.isdisjoint(name_of(part.group_by) for part in join.right_parts):
                write_join(own, join)
                joins.append(name_of(join))

    try:
        setup = UploadSetup(job, run.run_id, store)
        run.execute(
            plan.tasks,
            setup,
            executor or _executor(job, store, len(plan.tasks)),
            on_done=lambda task, receipt: receipts.append(receipt),
            on_results=write_joins,
        )
    finally:
        if store is None:
            own.close()
    return UploadResult(run.run_id, job.day, receipts, skipped, run.failures, joins)


def _executor(job: UploadJob, store: OnlineStore | None, n_tasks: int) -> Executor:
    if store is not None:
        # An opened store is of this process: a worker in another would open one of its own.
        return InlineExecutor()
    return make_executor(job.resources.executor, job.resources.n_jobs, n_tasks=n_tasks)


def serve_joins(job: UploadJob, store: OnlineStore) -> list[str]:
    """Write the joins whose group-bys are all served, and return their names."""
    _, served = plan_upload(job, store)
    joins = [
        join
        for join in job.joins
        # A join before its parts would answer with errors.
        if {name_of(part.group_by) for part in join.right_parts} <= {*served}
    ]
    for join in joins:
        write_join(store, join)
    return [name_of(join) for join in joins]


def describe_upload(job: UploadJob, plan: Plan, online: OnlineAnswer | None = None) -> PlannedJob:
    """Return the tasks of an upload and its description, for the shell of every job."""
    description = RunDescription(
        job="upload",
        settings={
            "group_bys": [name_of(group_by) for group_by in job.group_bys],
            "joins": [name_of(join) for join in job.joins],
            "day": job.day,
            "serving_days": job.serving_days,
            "root": job.tables.root.url,
            "resources": asdict(job.resources),
        },
        plan={"tasks": len(plan.tasks), "pending": plan.totals.pending, "done": plan.totals.done},
    )
    return PlannedJob(
        job.tables.store,
        plan,
        plan.tasks,
        Selection(),
        description,
        patience=job.resources.patience,
        waits_for=() if online is None else (online,),
    )
