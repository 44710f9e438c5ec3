"""`backtest` and `evaluate`: the accuracy of past and of finished forecasts, from Python.

They load settings, as the commands do; everything below takes plain values.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from gigacast.backtesting.evaluation.result import Evaluation
from gigacast.backtesting.evaluation.run import EvaluationJob, evaluate_forecasts
from gigacast.backtesting.run import BacktestResult, backtest_job, run_backtest
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.run import RunEvents
from gigacast.series.duplicates import warn_of_conflicts
from gigacast.settings.argument import as_path
from gigacast.settings.assembly import job_of
from gigacast.settings.command.backtest import BacktestOptions
from gigacast.settings.flag import rows_of
from gigacast.settings.keywords import Options
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.settings.signature import with_options


@with_options(own=rows_of(BacktestOptions))
def backtest(  # noqa: PLR0913 - keywords, each the name of a flag
    bucket: str,
    *,
    models: Sequence[str] = BacktestOptions.models,
    windows: int = BacktestOptions.windows,
    step: int | None = BacktestOptions.step,
    segment: str = BacktestOptions.segment,
    sample_partitions: int | None = BacktestOptions.sample_partitions,
    sample_series: int | None = BacktestOptions.sample_series,
    season: int | None = BacktestOptions.season,
    config: str | Path | None = None,
    events: RunEvents | None = None,
    **options: Unpack[Options],
) -> BacktestResult:
    """Forecast the past of a bucket from past origins, and compare models on it.

    Parameters
    ----------
    bucket : str
        Bucket name, ``s3://...`` or ``file:///folder``.
    config : path, optional
        Settings file; none by default.
    events : RunEvents, optional
        Callbacks for the progress of each model's run.
    **options
        As for `gigacast.forecast`.

    Returns
    -------
    BacktestResult
        ``leaderboard`` has the figures; it is written to the bucket as well.

    Raises
    ------
    ConfigError, StorageError, DataNotFoundError, ModelError
        If it cannot start. A partition that fails is in the result.
    """
    forecast = _job(bucket, config, options)
    own = BacktestOptions(
        # A text is a sequence, too: of letters.
        models=(models,) if isinstance(models, str) else tuple(models),
        windows=windows,
        step=step,
        segment=segment,
        sample_partitions=sample_partitions,
        sample_series=sample_series,
        season=season,
    )
    result = run_backtest(backtest_job(forecast, own), events=events)
    warn_of_conflicts(result.conflicts, forecast.method.duplicates)
    return result


@with_options()
def evaluate(
    bucket: str,
    *,
    config: str | Path | None = None,
    **options: Unpack[Options],
) -> Evaluation:
    """Compare the forecasts in a bucket with the actuals that have come since.

    Parameters
    ----------
    bucket : str
        Bucket name, ``s3://...`` or ``file:///folder``.
    config : path, optional
        Settings file; none by default.
    **options
        As for `gigacast.forecast`: ``model`` and ``model_version`` to evaluate only these, which
        months, and how actuals are read.

    Returns
    -------
    Evaluation
        Figures by model version, month and step; they are written to the bucket as well.

    Raises
    ------
    DataNotFoundError
        If there are no finished forecasts of the selection.
    ConfigError, StorageError
    """
    model, version = options.get("model"), options.get("model_version")
    job = _job(bucket, config, options)
    result = evaluate_forecasts(EvaluationJob(job, model, version))
    warn_of_conflicts(result.conflicts, job.method.duplicates)
    return result


def _job(bucket: str, config: str | Path | None, options: Options) -> ForecastJob:
    arguments = nest_arguments({**options, "bucket": bucket})
    return job_of(load_settings(arguments, file=as_path("config", config)))
