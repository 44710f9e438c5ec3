"""`select_model`: the best model for each series of a bucket, from Python.

It loads settings, as the command does; everything below takes plain values.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

from gigacast.core.problem import Source
from gigacast.core.record import read_record
from gigacast.errors import ConfigError
from gigacast.job.run import RunEvents
from gigacast.selection.job import selection_job
from gigacast.selection.publication import refreshed
from gigacast.selection.result import SelectionResult
from gigacast.selection.run import run_selection
from gigacast.settings.argument import as_path
from gigacast.settings.assembly import job_of
from gigacast.settings.command.selection import SelectOptions
from gigacast.settings.doors import check_used, keywords_of
from gigacast.settings.flag import rows_of
from gigacast.settings.keywords import Options
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.settings.signature import with_options

_SOURCE = Source("arguments", ConfigError)


@with_options(keywords_of("select_model"), own=rows_of(SelectOptions))
def select_model(  # noqa: PLR0913 - keywords, each the name of a flag
    bucket: str | Path,
    name: str,
    *,
    models: Sequence[str] = SelectOptions.models,
    method: str = SelectOptions.method,
    segment: str = SelectOptions.segment,
    metric: str = SelectOptions.metric,
    windows: int = SelectOptions.windows,
    step: int | None = SelectOptions.step,
    least_windows: int = SelectOptions.least_windows,
    margin: float = SelectOptions.margin,
    evidence: float = SelectOptions.evidence,
    sample_partitions: int | None = SelectOptions.sample_partitions,
    sample_series: int | None = SelectOptions.sample_series,
    refresh: bool = False,
    switch: bool = False,
    why: str = "",
    new_version: str | None = None,
    config: str | Path | None = None,
    events: RunEvents | None = None,
    **options: Unpack[Options],
) -> SelectionResult:
    """Choose the best model for each series of a bucket, and publish the choice as a version.

    Parameters
    ----------
    bucket : str or path
        Bucket name, ``s3://...``, ``file:///folder`` or `Path`.
    name : str
        Name of the portfolio, for ``model=`` of other functions.
    switch : bool
        Make the version active if there was another before.
    why : str
        Reason of the switch, kept in the history.
    new_version : str, optional
        Version to publish as; by default from the digest.
    config : path, optional
        Settings file; none by default.
    events : RunEvents, optional
        Callbacks for the progress of each candidate's run.
    **options
        As for `gigacast.forecast`.

    Returns
    -------
    SelectionResult
        What was chosen where, and by how much it is better.

    Raises
    ------
    ConfigError, StorageError, DataNotFoundError, ModelError
        If it cannot start. A partition that fails is in the result.
    """
    own: dict[str, Any] = {
        "models": [models] if isinstance(models, str) else list(models),
        "method": method,
        "segment": segment,
        "metric": metric,
        "windows": windows,
        "step": step,
        "least_windows": least_windows,
        "margin": margin,
        "evidence": evidence,
        "sample_partitions": sample_partitions,
        "sample_series": sample_series,
        "refresh": refresh,
        "switch": switch,
        "why": why,
        "model_version": new_version,
    }
    check_used("select_model", options)
    place = bucket.expanduser().absolute().as_uri() if isinstance(bucket, Path) else bucket
    arguments = nest_arguments({**options, "bucket": place})
    forecast = job_of(load_settings(arguments, file=as_path("config", config)))
    chosen: SelectOptions = read_record(SelectOptions, own, _SOURCE)
    if chosen.refresh:
        chosen, forecast = refreshed(name, chosen, forecast)
    return run_selection(selection_job(name, forecast, chosen), events=events)
