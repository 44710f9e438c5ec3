"""``gigacast forecast FILE``: the forecasts of one file."""

from collections.abc import Mapping
from typing import Any

from gigacast.cli.flags import read_settings
from gigacast.core.exit import EXIT_FAILED
from gigacast.errors import ConfigError
from gigacast.forecasting.file import (
    STANDARD,
    encoding_of,
    file_document,
    file_json,
    forecast_file,
    open_file,
)
from gigacast.forecasting.frame import count_rows, load_chosen
from gigacast.job.forecast_job import ForecastJob
from gigacast.report.terminal import say, show, show_json
from gigacast.series.duplicates import conflict_text, dropped_text
from gigacast.settings.assembly import job_of, registry_of
from gigacast.settings.model import Settings
from gigacast.settings.options import names_of

_MEMORY = "memory://file"
"""Bucket of the job of a file: it reads and writes nothing there."""
_FOR_BUCKETS = (
    *names_of("which", "synthetic", "amount", "array", "table"),
    *("input_prefix", "executor", "n_jobs", "features", "dry_run", "report"),
)
"""Flags that select or divide the partitions of a bucket."""


def forecast_one_file(
    file: str, output: str | None, flags: dict[str, Any], *, as_json: bool, quiet: bool
) -> int:
    """Forecast a file, show or write the forecasts, and return the exit code.

    Raises
    ------
    ConfigError
        If a flag is about a bucket's partitions.
    DataError, ModelError
    """
    refuse_flags_for_buckets(flags, file)
    own = ("features", "dry_run", "report")
    settings = read_settings({n: v for n, v in flags.items() if n not in own})
    job = file_job(settings)
    if output is not None:
        encoding_of(output)  # before the model is loaded
    source = open_file(file)
    # A bucket is only the place of models here.
    forecaster = load_chosen(job.model, registry_of(settings), rows=count_rows(source))
    result = forecast_file(source, forecaster, job, output, settings.report.names)
    if not result.series:
        say(f"gigacast: {file}: no series: there is no row below the names of columns", err=True)
    if result.source.conflicts and job.method.duplicates is None:
        say(f"gigacast: {conflict_text(result.source.conflicts)}", err=True)
    if dropped := result.source.stats.dropped:
        say(f"gigacast: {dropped_text(dropped)}", err=True)
    if as_json and output != STANDARD:
        show_json(file_json(result))
    elif not quiet and output != STANDARD:
        show(file_document(result, job.method.levels))
    return 0 if result.series else EXIT_FAILED


def file_job(settings: Settings) -> ForecastJob:
    """Return the job of settings for a file: without bucket, prefix and input prefix."""
    place = {"bucket": _MEMORY, "prefix": "", "input_prefix": None, "output_table": None}
    return job_of(settings.model_copy(update={"run": settings.run.model_copy(update=place)}))


def refuse_flags_for_buckets(flags: Mapping[str, Any], file: str) -> None:
    """Refuse flags that select or divide the partitions of a bucket.

    Raises
    ------
    ConfigError
    """
    named = [name for name in _FOR_BUCKETS if flags.get(name) is not None]
    if named:
        raise ConfigError(
            f"--{named[0]} is about the partitions of a bucket, and {file} is a file",
            hint="leave it out, or name a bucket by --bucket in place of the file",
        )
