"""``gigacast backtest`` and ``gigacast evaluate``: the errors of past and of stored forecasts."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from gigacast.backtesting.document import (
    backtest_document,
    backtest_json,
    evaluation_document,
    failed_forecasts,
)
from gigacast.backtesting.evaluation.run import EvaluationJob, evaluate_forecasts
from gigacast.backtesting.leaderboard.breakdown import SEGMENTS
from gigacast.backtesting.leaderboard.result import Leaderboard
from gigacast.backtesting.partition import Windows
from gigacast.backtesting.run import BacktestJob, run_backtest
from gigacast.cli.flags import (
    JOB_FLAGS,
    config_option,
    json_option,
    quiet_option,
    read_settings,
    setting,
    settings_flags,
)
from gigacast.core.exit import EXIT_FAILED
from gigacast.errors import ConfigError
from gigacast.job.forecast_job import ModelChoice
from gigacast.report.plot.calibration import save_calibration_figure
from gigacast.report.run_progress import RunProgress
from gigacast.report.terminal import say, show
from gigacast.settings.assembly import job_of
from gigacast.settings.options import names_of

_FILE = click.Path(dir_okay=False, path_type=Path)
_PICTURES = (".png", ".svg", ".pdf")
_FORECAST_ONLY = {"model", "model_version", "layout"}
_BACKTEST_FLAGS = [name for name in JOB_FLAGS if name not in _FORECAST_ONLY]
_EVALUATE_FLAGS = (
    *names_of("where", "which"),
    *("model", "model_version", "freq", "duplicates"),
    *names_of("columns"),
    "memory_limit",
)


@click.command()
@click.option(
    "--model", "models", multiple=True, metavar="MODEL", help="Model to compare; may be repeated."
)
@click.option("--windows", default=1, show_default=True, help="Origins per series.")
@click.option("--step", type=int, help="Steps between origins; the horizon by default.")
@click.option(
    "--segment",
    default="partition",
    show_default=True,
    metavar="PROPERTY",
    help=f"Property by which figures are grouped: {', '.join(SEGMENTS)}, or column:NAME.",
)
@click.option("--season", type=int, metavar="N", help="Steps of a season; by frequency by default.")
@click.option(
    "--sample_partitions",
    type=int,
    metavar="N",
    help="Size of a sample of the partitions; all by default.",
)
@click.option(
    "--sample_series", type=int, metavar="N", help="Maximum series per partition; all by default."
)
@click.option(
    "--plot",
    type=_FILE,
    metavar="FILE",
    help="Picture of the calibration to write: PNG, SVG or PDF.",
)
@settings_flags(*_BACKTEST_FLAGS)
@setting("limit", "Maximum partitions to backtest.")
@setting("overwrite", "Compute finished partitions again.")
@config_option
@json_option
@quiet_option
def backtest(  # noqa: PLR0913 - click hands each flag in by name
    models: tuple[str, ...],
    windows: int,
    step: int | None,
    segment: str,
    *,
    season: int | None,
    plot: Path | None,
    sample_partitions: int | None,
    sample_series: int | None,
    as_json: bool,
    quiet: bool,
    **flags: Any,
) -> int:
    """Forecast the past from past origins, and compare models with seasonal naive.

    \b
    Examples:
      gigacast backtest --bucket my-bucket --model gigacast-bolt-nano --windows 3 --horizon 7
      gigacast backtest --bucket my-bucket --model my-model/v1 --model my-model/v2 \\
        --segment symbol
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    if plot is not None and plot.suffix.lower() not in _PICTURES:
        raise ConfigError(f"--plot: {plot} ends with none of {', '.join(_PICTURES)}")
    forecast = job_of(read_settings(flags))
    references = models or (forecast.model.reference,)
    job = BacktestJob(
        forecast=forecast,
        models=tuple(_choice(name, forecast.model) for name in references),
        windows=Windows(windows, step),
        segment=segment,
        partitions=sample_partitions,
        series=sample_series,
        season=season,
    )
    with RunProgress(quiet=quiet or as_json) as progress:
        result = run_backtest(job, events=progress)
    if as_json:
        click.echo(json.dumps(backtest_json(result), indent=1))
    elif not quiet:
        show(backtest_document(result))
        for model, task, failure in result.failures:
            say(f"failed: {model} on {task.partition}: {failure.message}", err=True)
    if plot is not None:
        _draw(plot, result.leaderboard)
    return EXIT_FAILED if result.failures else 0


def _choice(name: str, base: ModelChoice) -> ModelChoice:
    return ModelChoice(name, detect=base.detect, device=base.device, precision=base.precision)


def _draw(path: Path, board: Leaderboard) -> None:
    coverage = {s.model: s.figures.coverage for s in board.standings}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_calibration_figure(path, board.levels, coverage)
    except OSError as error:
        raise ConfigError(
            f"--plot: {path} can't be written: {error.strerror or error}",
            hint="the leaderboard is in the bucket; name another file, and run the command again",
        ) from error


@click.command()
@settings_flags(*_EVALUATE_FLAGS)
@config_option
@json_option
@quiet_option
def evaluate(*, as_json: bool, quiet: bool, **flags: Any) -> int:
    """Compare the forecasts in the bucket with the actuals that have come since.

    \b
    Examples:
      gigacast evaluate --bucket my-bucket
      gigacast evaluate --bucket my-bucket --model my-model --years 2024 --json
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    model, version = flags.get("model"), flags.get("model_version")
    job = EvaluationJob(job_of(read_settings(flags)), model, version)
    result = evaluate_forecasts(job)
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=1))
    elif not quiet:
        show(evaluation_document(result))
        show(failed_forecasts(result), sys.stderr)
    return EXIT_FAILED if result.failures else 0
