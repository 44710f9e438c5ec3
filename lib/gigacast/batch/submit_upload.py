"""Plan an upload of features and submit it to a service of array jobs."""

from contextlib import closing

from gigacast.batch.service import ArrayService
from gigacast.batch.submit import PlannedArray, Submission, submit_array
from gigacast.batch.submit_backfill import children_for, share_days
from gigacast.batch.upload import dump_upload
from gigacast.errors import ConfigError
from gigacast.feature_store.online.opening import open_online_store
from gigacast.feature_store.uploads.plan import UploadJob, plan_upload
from gigacast.feature_store.uploads.run import describe_upload, serve_joins
from gigacast.job.audit import make_run_id
from gigacast.job.batch_options import ArrayOptions
from gigacast.job.location import check_reach
from gigacast.job.run import RunEvents, utc_now
from gigacast.lake.plan.audit import Clock

_SHARED = ("dynamodb:", "redis:", "rediss:")
"""Beginnings of addresses of online stores that other machines reach."""


def submit_upload(
    job: UploadJob,
    options: ArrayOptions,
    service: ArrayService,
    *,
    events: RunEvents | None = None,
    clock: Clock = utc_now,
) -> Submission:
    """Plan an upload, divide its group-bys over children and submit them.

    Where every group-by is served, the joins are written, and nothing is submitted.

    Parameters
    ----------
    job : UploadJob
    options : ArrayOptions
    service : ArrayService
    events : RunEvents, optional
        Receives the plan after the submission; ignored by default.
    clock : callable
        Gives the current time, with its zone.

    Raises
    ------
    DataNotFoundError
        If a table is missing.
    ConfigError
        If the tables or the online store are out of reach of other machines.
    StorageError, ComputeError
        No job is running then.
    """
    root = job.tables.root
    check_reach(root)
    address = job.online_store or ""
    if not address.startswith(_SHARED):
        raise ConfigError(
            f"--executor batch: the online store {address[:80]!r} is out of reach of other machines"
            if address
            else "--executor batch: no online store is named",
            hint="give --online_store dynamodb:TABLE or redis://HOST:PORT/0",
        )
    with closing(open_online_store(address, root)) as store:
        plan, _ = plan_upload(job, store)
        run_id = make_run_id("upload", clock)
        if not plan.tasks:
            serve_joins(job, store)
            return Submission(run_id, plan, 0)
    shares = share_days(plan.tasks, children_for(plan.tasks, options))
    array = PlannedArray(run_id, describe_upload(job, plan), root, dump_upload(job), shares)
    return submit_array(array, options, service, events=events, clock=clock)
