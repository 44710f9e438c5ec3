"""Options that ``data quality`` and ``data clean`` share: files, reading, limits, executors."""

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from gigacast.cli.flags import array_options, flags_of, read_settings, settings_flags
from gigacast.core.dataset.ref import DatasetRef
from gigacast.core.time.trading_calendar import Calendar
from gigacast.errors import ConfigError
from gigacast.job.file_job import FileJob, Reading, Sources, check_outputs, sources_of_dataset
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.location import exact_inputs
from gigacast.quality.measures import Thresholds
from gigacast.quality.result import Judged
from gigacast.report.terminal import say
from gigacast.settings.assembly import job_of
from gigacast.settings.command.common import ConfigOption, JsonOption, QuietOption
from gigacast.settings.command.quality import FileJobOptions
from gigacast.settings.flag import take
from gigacast.settings.model import Settings
from gigacast.settings.options import names_of

_NAMED = 20
_SETTINGS = (
    *names_of("where"),
    *("years", "months", "symbol", "timeframe"),
    *("item_column", "item_columns", "timestamp_column", "timestamp_unit", "freq"),
    *names_of("csv"),
    *("executor", "n_jobs", "memory_limit", "outage_minutes", "verify_datasets", "limit"),
)


TABLE_FLAGS = names_of("table")
"""Flags of the table that cleaned rows are written to as well."""


def file_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags of jobs over files."""
    command = flags_of(FileJobOptions, ConfigOption, JsonOption, QuietOption)(command)
    return array_options(settings_flags(*_SETTINGS, command="files")(command))


def read_files(
    dataset: str | None, flags: dict[str, Any]
) -> tuple[FileJob, ForecastJob, Thresholds, Settings]:
    """Return the job, the forecasting job, the thresholds and the settings that flags describe.

    Parameters
    ----------
    dataset : str, optional
        Dataset to read; the partitions of the input root by default.
    flags : dict
        Values of the flags; those used here are removed.

    Raises
    ------
    ConfigError, DataNotFoundError, StorageError
    """
    options = take(FileJobOptions, flags)
    zone = options.zone
    if zone is not None:
        # An unknown zone is refused before anything is read; the calendar's error lists the zones.
        Calendar.parse(f"mon-sun 00:00-24:00 {zone}")
    settings = _with_bucket(read_settings(flags))
    expected = settings.quality
    thresholds = Thresholds()
    # A flag overrides the limit that the settings give the same measure.
    thresholds = thresholds.with_limits("warn", (*expected.warn, *options.warn))
    thresholds = thresholds.with_limits("fail", (*expected.fail, *options.fail))
    days = expected.holidays if options.holidays is None else options.holidays.split(",")
    job = job_of(settings)
    check_outputs(job)
    sources = _sources(job, dataset, every=options.every)
    reading = Reading(
        columns=job.method.columns,
        timestamp_unit=job.method.timestamp_unit,
        zone=zone,
        calendar=Calendar.parse(options.calendar or expected.calendar, _days(days)),
        frequency=job.method.frequency,
        csv=job.method.csv,
        memory_limit_bytes=job.resources.memory_limit_bytes,
    )
    files = FileJob(
        sources, job.outputs, job.pattern, job.selection, reading, job.resources, job.limit
    )
    return files, job, thresholds, settings


def _with_bucket(settings: Settings) -> Settings:
    """Return settings that name a bucket or root folder: the working folder by default."""
    if settings.run.bucket is not None or settings.parquet_loader.data_paths.root_dir is not None:
        return settings
    run = settings.run.model_copy(update={"bucket": f"file://{Path.cwd()}"})
    return settings.model_copy(update={"run": run})


def _sources(job: ForecastJob, dataset: str | None, *, every: bool) -> Sources:
    if dataset is not None:
        return sources_of_dataset(job.outputs, DatasetRef.parse(dataset), every=every)
    if every:
        raise ConfigError("--every: it needs a dataset", hint="name a dataset, as raw/EURUSD")
    return Sources(exact_inputs(job.inputs))


def _days(texts: Iterable[str]) -> tuple[date, ...]:
    try:
        return tuple(date.fromisoformat(day.strip()) for day in texts if day.strip())
    except ValueError as error:
        raise ConfigError(f"--holidays: {error}", hint="as 2024-12-25,2025-01-01") from error


def print_set_aside(set_aside: Sequence[Judged]) -> None:
    """Print the partitions set aside, and why, to stderr: ``--quiet`` shows errors alone."""
    for judged in set_aside[:_NAMED]:
        reasons = "; ".join(judged.judgement.reasons)
        say(f"set aside: {judged.partition}: {' '.join(reasons.split())}", err=True)
    if len(set_aside) > _NAMED:
        say(f"... and {len(set_aside) - _NAMED:,} more: see the audit", err=True)
