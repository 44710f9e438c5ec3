"""`backtest` and `evaluate`: the accuracy of past and of finished forecasts, from Python.

They load settings, as the commands do; everything below takes plain values.
"""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, Unpack, overload

import pyarrow as pa

from gigacast.backtesting.evaluation.result import Evaluation, passed_over_text
from gigacast.backtesting.evaluation.run import EvaluationJob, evaluate_forecasts
from gigacast.backtesting.frame import backtest_table, evaluate_table
from gigacast.backtesting.job import backtest_job
from gigacast.backtesting.result import BacktestResult
from gigacast.backtesting.run import run_backtest
from gigacast.errors import ConfigError, as_keywords
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.run import RunEvents
from gigacast.series.duplicates import warn_of_conflicts, warn_of_dropped
from gigacast.series.frame import give_back, table_of
from gigacast.settings.argument import as_count, as_path, as_text, check_argument
from gigacast.settings.assembly import job_of, registry_of
from gigacast.settings.command.backtest import BacktestOptions, EvaluateOptions
from gigacast.settings.doors import check_used, keywords_of, refuse_others
from gigacast.settings.flag import rows_of
from gigacast.settings.keywords import Options
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.settings.signature import with_options
from gigacast.storage.store import StoreAddress

F = TypeVar("F")


@overload
def backtest(
    data: str | Path | None = None,
    *,
    bucket: str | None = None,
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
) -> BacktestResult: ...


@overload
def backtest(
    data: F,
    *,
    bucket: str | None = None,
    models: Sequence[str] = (),
    windows: int = 1,
    step: int | None = None,
    segment: str = "partition",
    sample_series: int | None = None,
    season: int | None = None,
    config: str | Path | None = None,
    events: RunEvents | None = None,
    **options: Unpack[Options],
) -> F: ...


@with_options(keywords_of("backtest"), own=rows_of(BacktestOptions))
def backtest(  # noqa: PLR0913 - keywords, each the name of a flag
    data: Any = None,
    *,
    bucket: str | None = None,
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
) -> Any:
    """Forecast the past of a bucket, or a data frame, from past origins, and compare models on it.

    Parameters
    ----------
    data : str, path or frame
        Bucket name, ``s3://...``, ``file:///folder`` or `Path`; or a frame, as for
        `gigacast.forecast`.
    bucket : str, optional
        Another name of ``data``; or, for a frame, the bucket whose ``models/``, below ``prefix``,
        is searched as well.
    config : path, optional
        Settings file; none by default.
    events : RunEvents, optional
        Callbacks for the progress of each model's run.
    **options
        As for `gigacast.forecast`.

    Returns
    -------
    BacktestResult or frame
        ``leaderboard`` has the figures; it is written to the bucket as well. For a frame its
        figures, a row for each segment and model, as a frame of the same library.

    Raises
    ------
    ConfigError, StorageError, DataNotFoundError, ModelError
        If it cannot start. A partition that fails is in the result.
    DataError
        If every partition fails, or the frame cannot be read.
    """
    has_frame = data is not None and not isinstance(data, str | Path)
    place = data if has_frame else _one_of(data, bucket)
    is_bucket = isinstance(place, str | Path)
    check_used("backtest", options, is_frame=has_frame)
    table = None if is_bucket else table_of(place, takes="a bucket")
    forecast = _job(place if is_bucket else "memory://frame", config, options)
    counts = {
        "windows": windows,
        "step": step,
        "sample_partitions": sample_partitions,
        "sample_series": sample_series,
        "season": season,
    }
    own = _own_options(models, segment, counts)
    if own.models:
        refuse_others("backtest of models", options, set(options) - {"model", "model_version"})
    job = backtest_job(forecast, own)
    if table is not None:
        registry = _registry(bucket, config, options)
        result = backtest_table(table, replace(job, registry=registry), events)
    else:
        result = run_backtest(job, events=events)
    for problem in result.problems:
        warnings.warn(as_keywords(problem), UserWarning, stacklevel=2)
    warn_of_conflicts(result.conflicts, forecast.method.duplicates)
    if table is None:
        return result
    warn_of_dropped(result.dropped)
    return give_back(result.leaderboard.to_table(), place, _to_pandas)


@overload
def evaluate(
    data: str | Path | None = None,
    *,
    bucket: str | None = None,
    config: str | Path | None = None,
    segment: str | None = None,
    worst: int = 0,
    **options: Unpack[Options],
) -> Evaluation: ...


@overload
def evaluate(
    data: F,
    predictions: Any = None,
    *,
    actuals: Any = None,
    config: str | Path | None = None,
    **options: Unpack[Options],
) -> F: ...


@with_options(keywords_of("evaluate"), own=rows_of(EvaluateOptions))
def evaluate(  # noqa: PLR0913 - keywords, each a part of what is compared
    data: Any = None,
    predictions: Any = None,
    *,
    actuals: Any = None,
    bucket: str | None = None,
    config: str | Path | None = None,
    segment: str | None = EvaluateOptions.segment,
    worst: int = EvaluateOptions.worst,
    **options: Unpack[Options],
) -> Any:
    """Compare forecasts, in a bucket or a data frame, with the actuals that have come since.

    Parameters
    ----------
    data : str, path or frame
        Bucket name, ``s3://...``, ``file:///folder`` or `Path`; or a frame of actuals, with all
        rows of their series, in any form that `gigacast.forecast` takes.
    predictions : frame, optional
        Forecasts to compare with a frame of actuals, as `gigacast.forecast` returns them.
    actuals : frame, optional
        Actuals, where ``data`` is the frame of forecasts.
    bucket : str, optional
        Another name of ``data``, for buckets only.
    config : path, optional
        Settings file; none by default.
    **options
        As for `gigacast.forecast`: ``model`` and ``model_version`` to evaluate only these, which
        months, and how actuals are read.

    Returns
    -------
    Evaluation or frame
        Figures by model version, month, step and origin; they are written to the bucket as well.
        For a frame its figures, over all steps and by step, as a frame of the same library.

    Raises
    ------
    DataNotFoundError
        If there are no finished forecasts of the selection.
    ConfigError, StorageError
    """
    model, version = options.get("model"), options.get("model_version")
    place = _one_of(data, bucket)
    if not isinstance(place, str | Path):
        if (predictions is None) == (actuals is None):
            raise ConfigError(
                "actuals: expected two frames", hint="as evaluate(frame, predictions)"
            )
        check_used("evaluate", options, is_frame=True)
        pair = (place, actuals) if predictions is None else (predictions, place)
        return _evaluate_frame(*pair, config, options)
    if actuals is not None or predictions is not None:
        raise ConfigError("actuals are for data frames", hint="leave them out for a bucket")
    check_used("evaluate", options)
    job = _job(place, config, options)
    check_argument("worst", worst, int)
    result = evaluate_forecasts(
        EvaluationJob(job, model, version, worst=worst, segment=as_text("segment", segment))
    )
    if result.passed_over:
        problem = as_keywords(passed_over_text(result.passed_over))
        warnings.warn(problem, UserWarning, stacklevel=2)
    warn_of_conflicts(result.conflicts, job.method.duplicates)
    return result


def _evaluate_frame(data: Any, actuals: Any, config: str | Path | None, options: Options) -> Any:
    forecasts = table_of(data, takes="a bucket")
    job = _job("memory://frame", config, options)
    result = evaluate_table(forecasts, table_of(actuals, "actuals"), job)
    warn_of_conflicts(result.conflicts, job.method.duplicates)
    warn_of_dropped(result.dropped)
    if not result.matched:
        warnings.warn(
            "actuals: none of their values is at a time and of an item that was forecast; give "
            "the values of the same items after the forecasts' cutoff",
            UserWarning,
            stacklevel=3,
        )
    return give_back(result.to_table(), data, _to_pandas)


def _to_pandas(table: pa.Table) -> Any:
    return table.to_pandas()


def _one_of(data: Any, bucket: str | None) -> Any:
    """Return the data, which may be given by its former name.

    Raises
    ------
    ConfigError
    """
    if data is not None and bucket is not None:
        raise ConfigError(
            "data and bucket are two names of the same argument",
            hint="leave bucket out",
        )
    return bucket if data is None else data


def _own_options(models: Any, segment: Any, counts: dict[str, Any]) -> BacktestOptions:
    check_argument("models", models, Sequence[str])
    check_argument("segment", segment, str)
    for name, value in counts.items():
        check_argument(name, value, int if name == "windows" else int | None)
        counts[name] = as_count(name, value)  # numbers of NumPy are no values of JSON
    # A text is a sequence, too: of letters.
    names = (models,) if isinstance(models, str) else tuple(models)
    return BacktestOptions(models=names, segment=segment, **counts)


def _registry(
    bucket: str | None, config: str | Path | None, options: Options
) -> StoreAddress | None:
    """Return the root of ``models/``; ``None`` if neither argument nor settings name a bucket."""
    arguments = nest_arguments({**options, "bucket": _url_of(bucket)})
    return registry_of(load_settings(arguments, file=as_path("config", config)))


def _url_of(bucket: Any) -> Any:
    return bucket.expanduser().absolute().as_uri() if isinstance(bucket, Path) else bucket


def _job(bucket: Any, config: str | Path | None, options: Options) -> ForecastJob:
    arguments = nest_arguments({**options, "bucket": _url_of(bucket)})
    return job_of(load_settings(arguments, file=as_path("config", config)))
