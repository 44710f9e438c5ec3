"""The table of an array run's results: written in one commit by the command that waits for its end.

Neither a child nor the function that closes runs writes it: it copies all rows of a run, for which
a function has neither the time nor the memory, and the roles of both write forecasts only.
"""

from gigacast.batch.submit import Submission
from gigacast.forecasting.prepare import prepare_array
from gigacast.forecasting.stored.table import write_forecasts
from gigacast.job.forecast_job import ForecastJob
from gigacast.lake.plan.audit import Audit, update_audit
from gigacast.lake.table.address import TableWritten


def write_results(job: ForecastJob, submission: Submission) -> TableWritten:
    """Make the job's table hold the forecasts that are done when an array run has ended.

    Also after a submission without tasks: the run before may have ended unseen.

    Raises
    ------
    ConfigError, MissingExtraError, SchemaError, StorageError
    """
    prepared = prepare_array(job)
    written = write_forecasts(prepared, sorted(submission.plan.specs), submission.run_id)
    if submission.tasks:

        def note(audit: Audit) -> bool:
            audit.totals = {**audit.totals, "table": written.describe()}
            return True

        update_audit(prepared.outputs, submission.run_id, note)
    return written
