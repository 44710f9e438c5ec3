"""Plan an evaluation and submit it to a service of array jobs."""

from gigacast.backtesting.evaluation.run import (
    EvaluationJob,
    describe_evaluation,
    plan_evaluation,
)
from gigacast.batch.comparison import KIND, dump_evaluation
from gigacast.batch.service import ArrayService
from gigacast.batch.submit import PlannedArray, Submission, share_work, submit_array
from gigacast.batch.submit_backfill import children_for
from gigacast.job.audit import make_run_id
from gigacast.job.batch_options import ArrayOptions
from gigacast.job.location import check_reach
from gigacast.job.run import RunEvents, utc_now
from gigacast.lake.plan.audit import Clock


def submit_evaluation(
    job: EvaluationJob,
    options: ArrayOptions,
    service: ArrayService,
    *,
    events: RunEvents | None = None,
    clock: Clock = utc_now,
) -> Submission:
    """Plan an evaluation, divide its partitions over children and submit them.

    Without a pending partition nothing is written or submitted.

    Parameters
    ----------
    job : EvaluationJob
    options : ArrayOptions
    service : ArrayService
    events : RunEvents, optional
        Receives the plan after the submission; ignored by default.
    clock : callable
        Gives the current time, with its zone.

    Raises
    ------
    DataNotFoundError
        When there are no finished forecasts of the model, version, months and series.
    ConfigError
        If inputs or outputs are out of reach of other machines.
    StorageError, ComputeError
        No job is running then.
    """
    for address in (job.forecast.outputs, job.forecast.inputs):
        check_reach(address)
    planned = plan_evaluation(job)
    plan, tasks = planned.result.plan, planned.result.plan.tasks
    run_id = make_run_id(KIND, clock)
    if not tasks:
        return Submission(run_id, plan, 0)
    setup = dump_evaluation(planned.job)
    shares = share_work(tasks, children_for(tasks, options))
    shell = describe_evaluation(planned)
    array = PlannedArray(run_id, shell, job.forecast.outputs, setup, shares)
    return submit_array(array, options, service, events=events, clock=clock)
