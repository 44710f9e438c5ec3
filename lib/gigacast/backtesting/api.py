"""`backtest` and `evaluate`: the accuracy of past and of finished forecasts, from Python.

They load settings, as the commands do; everything below takes plain values.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from gigacast.backtesting.evaluation.result import Evaluation
from gigacast.backtesting.evaluation.run import EvaluationJob, evaluate_forecasts
from gigacast.backtesting.partition import Windows
from gigacast.backtesting.run import BacktestJob, BacktestResult, run_backtest
from gigacast.job.forecast_job import ForecastJob, ModelChoice
from gigacast.job.run import RunEvents
from gigacast.series.duplicates import warn_of_conflicts
from gigacast.settings.argument import as_path
from gigacast.settings.assembly import job_of
from gigacast.settings.keywords import Options
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.settings.signature import with_options


@with_options()
def backtest(  # noqa: PLR0913 - keywords, each the name of a flag
    bucket: str,
    *,
    models: Sequence[str] = (),
    windows: int = 1,
    step: int | None = None,
    segment: str = "partition",
    sample_partitions: int | None = None,
    sample_series: int | None = None,
    season: int | None = None,
    config: str | Path | None = None,
    events: RunEvents | None = None,
    **options: Unpack[Options],
) -> BacktestResult:
    """Forecast the past of a bucket from past origins, and compare models on it.

    Parameters
    ----------
    bucket : str
        Bucket name, ``s3://...`` or ``file:///folder``.
    models : sequence of str
        Models to compare, each named as ``model``; by default that option's. Seasonal naive is
        always added.
    windows : int
        Number of origins per series; the last has a whole horizon after it.
    step : int, optional
        Steps from one origin to the next; the horizon by default.
    segment : str
        Key that figures are grouped by: ``partition``, ``symbol``, ``timeframe``, ``month``,
        ``target``, ``frequency``, ``length``, ``window``, or ``column:NAME`` for a column of the
        input with one value per item.
    sample_partitions : int, optional
        Number of partitions to sample; all by default.
    sample_series : int, optional
        Number of series of each partition, the first ones; all by default.
    season : int, optional
        Steps of a season, for scales and seasonal naive; by frequency by default.
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
    base = forecast.model
    # A text is a sequence, too: of letters.
    references = [models] if isinstance(models, str) else list(models) or [base.reference]
    job = BacktestJob(
        forecast=forecast,
        models=tuple(
            ModelChoice(name, detect=base.detect, device=base.device, precision=base.precision)
            for name in references
        ),
        windows=Windows(windows, step),
        segment=segment,
        partitions=sample_partitions,
        series=sample_series,
        season=season,
    )
    result = run_backtest(job, events=events)
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
