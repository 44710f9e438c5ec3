"""A backtest as a value: the models to compare, on which partitions and windows."""

from dataclasses import dataclass, field, replace

from gigacast.backtesting.leaderboard.breakdown import check_segment
from gigacast.backtesting.partition import HISTORY, Windows
from gigacast.errors import ConfigError
from gigacast.job.forecast_job import ForecastJob, ModelChoice
from gigacast.settings.command.backtest import BacktestOptions
from gigacast.storage.store import StoreAddress


@dataclass(frozen=True)
class BacktestJob:
    """The models to compare, on which partitions and windows.

    Parameters
    ----------
    forecast : ForecastJob
        Partitions and method; its model is not used.
    models : tuple of ModelChoice
        Models to compare; seasonal naive is always added.
    windows : Windows
    segment : str
        Column or property by which figures are grouped; see `leaderboard.breakdown`.
    partitions : int, optional
        Size of a sample of the partitions, the same in every run; all by default.
    series : int, optional
        Maximum number of series per partition; all by default.
    season : int, optional
        Steps of a season, for scales and for models that need one; by frequency by default.
    registry : StoreAddress, optional
        Root of ``models/``; that of the outputs by default.
    calibrate : bool
        Whether calibrations of the models' forecasts are measured and stored.
    """

    forecast: ForecastJob
    models: tuple[ModelChoice, ...]
    windows: Windows = field(default_factory=Windows)
    segment: str = BacktestOptions.segment
    partitions: int | None = None
    series: int | None = None
    season: int | None = None
    registry: StoreAddress | None = None
    calibrate: bool = False


def backtest_job(forecast: ForecastJob, options: BacktestOptions) -> BacktestJob:
    """Return the backtest of a forecasting job; without models, of its own."""
    own = replace(forecast.model, otherwise=None)
    # A backtest measures what forecasts apply.
    plain = replace(forecast, method=replace(forecast.method, calibrate=False))
    return BacktestJob(
        forecast=plain,
        models=tuple(replace(own, reference=name, version=None) for name in options.models)
        or (own,),
        windows=Windows(options.windows, options.step),
        segment=options.segment,
        partitions=options.sample_partitions,
        series=options.sample_series,
        season=options.season,
        calibrate=forecast.method.calibrate,
    )


def check_job(job: BacktestJob) -> None:
    """Check the counts, models and segment of a backtest.

    Raises
    ------
    ConfigError
    """
    if not job.models:
        raise ConfigError("no model to backtest", hint="name one or more with --model")
    counts = {
        "windows": job.windows.count,
        "step": job.windows.step,
        "season": job.season,
        "sample_partitions": job.partitions,
        "sample_series": job.series,
    }
    for name, value in counts.items():
        if value is not None and value < 1:
            raise ConfigError(f"{name}: {value} is less than 1")
    if job.windows.count > HISTORY:
        raise ConfigError(
            f"windows: {job.windows.count} are more than the {HISTORY:,} steps that are read",
            hint="a few windows, such as 4, give as sure an answer",
        )
    check_segment(job.segment)
