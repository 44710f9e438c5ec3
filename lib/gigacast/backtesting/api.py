"""How good forecasts are, from Python: `backtest` looks at the past, `evaluate` at what came.

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
    """Forecast the past of a bucket from past origins, and compare models.

    Parameters
    ----------
    bucket : str
        As for `gigacast.forecast`.
    models : sequence of str
        Side by side, as ``model`` of `gigacast.forecast`; that option when empty. Seasonal naive
        always comes along.
    windows : int
        Origins per series: the last has a whole horizon after it.
    step : int, optional
        Steps from one origin to the next; the horizon when absent.
    segment : str
        What figures are by: ``partition``, ``symbol``, ``timeframe``, ``month``, ``target``,
        ``frequency``, ``length``, ``window``, or ``column:NAME`` for what a column of the input
        says of each item.
    sample_partitions, sample_series : int, optional
        Only so many partitions, and the first so many series of each.
    season : int, optional
        Steps of a season, for scales and seasonal naive; by frequency when absent.
    config : path, optional
    events : RunEvents, optional
        Told how each model's run goes on.
    **options
        As for `gigacast.forecast`.

    Returns
    -------
    BacktestResult
        ``leaderboard`` has the figures; it is in the bucket, too.

    Raises
    ------
    ConfigError, StorageError, DataNotFoundError, ModelError
        When it can't start. A partition that fails is in the result.
    """
    forecast = _job(bucket, config, options)
    base = forecast.model
    named = [models] if isinstance(models, str) else list(models) or [base.reference]
    job = BacktestJob(
        forecast=forecast,
        models=tuple(
            ModelChoice(one, detect=base.detect, device=base.device, precision=base.precision)
            for one in named
        ),
        windows=Windows(windows, step),
        segment=segment,
        partitions=sample_partitions,
        series=sample_series,
        season=season,
    )
    return run_backtest(job, events=events)


@with_options()
def evaluate(
    bucket: str,
    *,
    config: str | Path | None = None,
    **options: Unpack[Options],
) -> Evaluation:
    """Compare the forecasts in a bucket with what came, once it is there.

    Parameters
    ----------
    bucket : str
        As for `gigacast.forecast`.
    config : path, optional
    **options
        As for `gigacast.forecast`: ``model`` and ``model_version`` to evaluate only these, which
        months, and how actuals are read.

    Returns
    -------
    Evaluation
        Figures by model version, month and step; they are in the bucket, too.

    Raises
    ------
    DataNotFoundError
        When there are no finished forecasts of what is asked for.
    ConfigError, StorageError
    """
    named = options.get("model"), options.get("model_version")
    return evaluate_forecasts(EvaluationJob(_job(bucket, config, options), *named))


def _job(bucket: str, config: str | Path | None, options: Options) -> ForecastJob:
    arguments = nest_arguments({**options, "bucket": bucket})
    return job_of(load_settings(arguments, file=Path(config) if config else None))
