"""``gigacast backtest`` and ``gigacast evaluate``: the errors of past and of stored forecasts."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from gigacast.backtesting.document import (
    backtest_document,
    backtest_json,
    evaluation_document,
    failed_backtests,
    failed_forecasts,
)
from gigacast.backtesting.evaluation.run import (
    EvaluationJob,
    collect_evaluation,
    evaluate_forecasts,
)
from gigacast.backtesting.frame import backtest_file
from gigacast.backtesting.job import BacktestJob, backtest_job
from gigacast.backtesting.result import BacktestResult
from gigacast.backtesting.run import run_backtest
from gigacast.cli.features import with_features
from gigacast.cli.file import file_job, refuse_flags_for_buckets
from gigacast.cli.flags import (
    JOB_FLAGS,
    array_options,
    config_option,
    flags_of,
    json_option,
    quiet_option,
    read_settings,
    settings_flags,
)
from gigacast.cli.help import Command
from gigacast.cli.report import announce
from gigacast.core.exit import EXIT_FAILED, EXIT_INTERRUPTED
from gigacast.errors import ConfigError
from gigacast.forecasting.file import open_file
from gigacast.job.run import utc_now
from gigacast.report.document import Document
from gigacast.report.plot.picture import save_figures
from gigacast.report.run_progress import RunProgress
from gigacast.report.terminal import show, show_json
from gigacast.reporting.write import write_backtest_report, write_evaluation_report
from gigacast.settings.assembly import array_options_of, job_of, registry_of
from gigacast.settings.command.backtest import BacktestFlags, EvaluateOptions
from gigacast.settings.command.common import ReportOption
from gigacast.settings.command.feature_store import FeaturesOption
from gigacast.settings.command.forecast import SpecOption
from gigacast.settings.flag import take
from gigacast.settings.model import Settings
from gigacast.settings.options import names_of

_PICTURES = (".png", ".svg", ".pdf")
_FORECAST_ONLY = {"model", "model_version", "layout"}
_BACKTEST_FLAGS = [name for name in JOB_FLAGS if name not in _FORECAST_ONLY]
_EVALUATE_FLAGS = (
    *names_of("where", "which"),
    *("model", "model_version", "freq", "aggregate", "partial_bins", "zone", "duplicates"),
    *names_of("columns", "csv"),
    *("calibrate", "executor", "n_jobs", "memory_limit", "outage_minutes"),
)


@click.command(cls=Command)
@click.argument("file", required=False)
@flags_of(BacktestFlags, FeaturesOption, ReportOption)
@settings_flags(*_BACKTEST_FLAGS, "limit", "overwrite", command="backtest")
@array_options
@config_option
@json_option
@quiet_option
def backtest(*, file: str | None, as_json: bool, quiet: bool, **flags: Any) -> int:
    """Forecast the past from past origins, and compare models with seasonal naive.

    The series are those of FILE (Parquet, CSV, JSON, or - for standard input), else of the bucket.

    \b
    Examples:
      gigacast backtest --bucket my-bucket --model gigacast-bolt-nano --windows 3 --horizon 7
      gigacast backtest meters.csv --horizon 24 --windows 3
      gigacast backtest --bucket my-bucket --model my-model/v1 --model my-model/v2 \\
        --segment symbol
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    options = take(BacktestFlags, flags)
    plot = options.plot
    if plot is not None and plot.suffix.lower() not in _PICTURES:
        raise ConfigError(f"--plot: {plot} ends with none of {', '.join(_PICTURES)}")
    features = take(FeaturesOption, flags).features
    has_page = take(ReportOption, flags).report
    if file is not None:
        refuse_flags_for_buckets({**flags, "features": features, "report": has_page or None}, file)
    settings = read_settings(flags)
    if file is not None:
        job = replace(backtest_job(file_job(settings), options), registry=registry_of(settings))
        with RunProgress(quiet=True, verb="backtest") as progress:
            result: BacktestResult | None = backtest_file(open_file(file), job, events=progress)
    else:
        series = with_features(job_of(settings), features, settings, quiet=quiet or as_json)
        job = backtest_job(series, options)
        result = _backtest(job, settings, as_json=as_json, quiet=quiet)
    if result is None:
        return EXIT_INTERRUPTED
    if as_json:
        show_json(backtest_json(result), is_ascii=True)
    elif not quiet:
        show(backtest_document(result))
    if not as_json:
        show(failed_backtests(result), sys.stderr)
    if plot is not None:
        _draw(plot, backtest_document(result))
    if file is None and (has_page or settings.report.write):
        root = job_of(settings).outputs
        announce(write_backtest_report(result, root, utc_now()), quiet=quiet or as_json)
    return EXIT_FAILED if result.failures else 0


def _backtest(
    job: BacktestJob, settings: Settings, *, as_json: bool, quiet: bool
) -> BacktestResult | None:
    """Backtest here or by arrays; ``None`` if the watch of an array was interrupted."""
    if job.forecast.resources.executor != "batch":
        with RunProgress(quiet=quiet or as_json, verb="backtest") as progress:
            return run_backtest(job, events=progress)
    from gigacast.batch.past import divide_backtest  # noqa: PLC0415 - AWS' clients
    from gigacast.cli.batch import settle_on_batch  # noqa: PLC0415

    sides, divided = divide_backtest(job)
    array = array_options_of(settings)
    code, settled = settle_on_batch(*divided, options=array, as_json=as_json, quiet=quiet)
    if code == EXIT_INTERRUPTED:
        return None
    result = run_backtest(job, executor=settled, start=settled.start, sides=sides)
    # As of a local run: what the children did in this run was not there before it.
    return replace(result, computed=settled.done, skipped=result.skipped - settled.done)


def _draw(path: Path, document: Document) -> None:
    try:
        save_figures(path, document.figures)
    except ConfigError as error:
        raise ConfigError(
            f"--plot: {error.message}",
            hint=error.hint
            or "the leaderboard is in the bucket; name another file, and run the command again",
        ) from error


@click.command(cls=Command)
@flags_of(EvaluateOptions)
@settings_flags(*_EVALUATE_FLAGS, command="evaluate")
@array_options
@flags_of(ReportOption, SpecOption)
@config_option
@json_option
@quiet_option
def evaluate(*, as_json: bool, quiet: bool, **flags: Any) -> int:
    """Compare the forecasts in the bucket with the actuals that have come since.

    All forecasts that are kept are compared, from every origin.

    \b
    Examples:
      gigacast evaluate --bucket my-bucket --worst 20
      gigacast evaluate --bucket my-bucket --calibrate
      gigacast evaluate --bucket my-bucket --model my-model --years 2024 --json
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    model, version = flags.get("model"), flags.get("model_version")
    has_page = take(ReportOption, flags).report
    options = take(EvaluateOptions, flags)
    settings = read_settings(flags)
    job = EvaluationJob(
        job_of(settings),
        model,
        version,
        worst=options.worst,
        segment=options.segment,
        spec=take(SpecOption, flags).spec,
    )
    code = 0
    if job.forecast.resources.executor == "batch":
        from gigacast.batch.comparison import divide_evaluation  # noqa: PLC0415 - AWS' clients
        from gigacast.cli.batch import settle_on_batch  # noqa: PLC0415

        array = array_options_of(settings)
        divided = divide_evaluation(job)
        code, _ = settle_on_batch(divided, options=array, as_json=as_json, quiet=quiet)
        if code == EXIT_INTERRUPTED:
            return code
        result = collect_evaluation(job)
    else:
        with RunProgress(quiet=quiet or as_json, verb="evaluate") as progress:
            result = evaluate_forecasts(job, events=progress)
    if as_json:
        show_json(result.to_json(), is_ascii=True)
    elif not quiet:
        show(evaluation_document(result))
    if not as_json:
        show(failed_forecasts(result), sys.stderr)
    if has_page or settings.report.write:
        url = write_evaluation_report(result, job.forecast, utc_now())
        announce(url, quiet=quiet or as_json)
    return EXIT_FAILED if result.failures else code
