"""Series of a file for ``gigacast plot FILE``."""

from pathlib import Path
from typing import Any

from gigacast.cli.file import file_job, refuse_flags_for_buckets
from gigacast.cli.flags import read_settings
from gigacast.core.partition.name import month_of_folder
from gigacast.forecasting.drawing import looks_of, method_for
from gigacast.forecasting.file import STANDARD, is_file_name, open_file, read_predictions
from gigacast.forecasting.frame import count_rows, forecast_source, load_chosen
from gigacast.forecasting.preview import Look
from gigacast.settings.assembly import registry_of
from gigacast.settings.command.forecast import SeriesOptions
from gigacast.settings.options import names_of


def is_file(name: str, flags: dict[str, Any]) -> bool:
    """Return whether an argument is a file: it exists, or could only be one."""
    if flags.get("bucket") is not None:
        return False
    is_partition = month_of_folder(name.strip("/").rpartition("/")[0]) is not None
    return name == STANDARD or Path(name).is_file() or (is_file_name(name) and not is_partition)


def look_at_file(
    file: str, predictions: str | None, options: SeriesOptions, flags: dict[str, Any]
) -> list[Look]:
    """Return a few series of a file with their forecasts: those of another file, or new ones.

    Raises
    ------
    ConfigError
        If a flag is about a bucket's partitions.
    DataError, ModelError
    """
    refuse_flags_for_buckets(flags, file)
    names = names_of("how", "columns", "csv")
    is_explicit = any(flags.get(name) is not None for name in names)
    settings = read_settings({n: v for n, v in flags.items() if n != "spec"})
    job, source = file_job(settings), open_file(file)
    if predictions is None:
        forecaster = load_chosen(job.model, registry_of(settings), rows=count_rows(source))
        table, method = forecast_source(source, forecaster, job.method).predictions, job.method
    else:
        table = read_predictions(predictions)
        method = method_for(table, job.method, is_explicit=is_explicit)
    items, count, steps = options.items or None, options.count, options.steps
    return looks_of(source, table, method, items=items, count=count, steps=steps)
