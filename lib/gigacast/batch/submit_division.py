"""Plan a division into buckets and submit it to a service of array jobs."""

from gigacast.batch.division import KIND, BucketWork, dump_bucketing
from gigacast.batch.service import ArrayService
from gigacast.batch.submit import PlannedArray, Submission, share_work, submit_array
from gigacast.batch.submit_backfill import children_for
from gigacast.bucketing.run import BucketJob, files_of, plan_bucketing
from gigacast.job.audit import make_run_id
from gigacast.job.batch_options import ArrayOptions
from gigacast.job.location import check_reach
from gigacast.job.run import RunEvents, utc_now
from gigacast.lake.plan.audit import Clock


def submit_bucketing(
    work: BucketWork,
    options: ArrayOptions,
    service: ArrayService,
    *,
    events: RunEvents | None = None,
    clock: Clock = utc_now,
) -> Submission:
    """Plan a division into buckets, divide its objects over children and submit them.

    Without a pending object nothing is submitted.

    Parameters
    ----------
    work : BucketWork
    options : ArrayOptions
    service : ArrayService
    events : RunEvents, optional
        Receives the plan after the submission; ignored by default.
    clock : callable
        Gives the current time, with its zone.

    Raises
    ------
    ConfigError
        If the folder was divided by other settings, or the bucket is out of reach of other
        machines.
    DataNotFoundError
        If no partition matches.
    StorageError, ComputeError
        No job is running then.
    """
    job = work.job
    for address in (job.outputs, job.inputs):
        check_reach(address)
    planned = plan_bucketing(BucketJob(files_of(job), work.buckets, work.into))
    tasks = planned.files.tasks
    run_id = make_run_id(KIND, clock)
    if not tasks:
        return Submission(run_id, planned.files.plan, 0)
    setup = dump_bucketing(work)
    shares = share_work(tasks, children_for(tasks, options))
    array = PlannedArray(run_id, planned.shell, job.outputs, setup, shares)
    return submit_array(array, options, service, events=events, clock=clock)
