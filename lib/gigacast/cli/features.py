"""``--features JOIN``: features as covariates of forecasts, backtests and training."""

from gigacast.errors import TaskError
from gigacast.job.forecast_job import ForecastJob
from gigacast.report.run_progress import RunProgress
from gigacast.settings.model import Settings


def with_features(
    job: ForecastJob, name: str | None, settings: Settings, *, quiet: bool
) -> ForecastJob:
    """Return a job whose input has the features of a join as past covariates.

    Parameters
    ----------
    job : ForecastJob
    name : str or None
        Name of a compiled join; without it the job is returned as it is.
    settings : Settings
    quiet : bool

    Raises
    ------
    TaskError
        If the features of a partition cannot be computed.
    DefinitionError, DataNotFoundError, ConfigError, StorageError
    """
    if name is None:
        return job
    # DuckDB and the kernel, which a job without features does not need.
    from gigacast.feature_store.api import open_backfill  # noqa: PLC0415
    from gigacast.feature_store.offline.covariate import add_features  # noqa: PLC0415

    with RunProgress(quiet=quiet, verb="add features to") as progress:
        enriched, failures = add_features(job, open_backfill(name, settings), events=progress)
    if failures:
        task, failure = failures[0]
        raise TaskError(
            f"--features {name}: {task.partition}: {failure.message}", hint=failure.hint
        )
    return enriched
