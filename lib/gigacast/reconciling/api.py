"""`reconcile`: forecasts of series and of their sums that add up, from Python.

It loads settings, as the command does; everything below takes plain values.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

from gigacast.core.problem import Source
from gigacast.core.record import read_record
from gigacast.errors import ConfigError
from gigacast.job.run import RunEvents
from gigacast.reconciling.run import ReconcileResult, run_reconciliation
from gigacast.settings.argument import as_path
from gigacast.settings.assembly import job_of
from gigacast.settings.command.reconciliation import ReconcileOptions
from gigacast.settings.doors import check_used, keywords_of
from gigacast.settings.flag import rows_of
from gigacast.settings.keywords import Options
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.settings.signature import with_options

_SOURCE = Source("arguments", ConfigError)


@with_options(keywords_of("reconcile"), own=rows_of(ReconcileOptions))
def reconcile(
    bucket: str | Path,
    *,
    sums: Sequence[str] = ReconcileOptions.sums,
    method: str = ReconcileOptions.method,
    windows: int = ReconcileOptions.windows,
    config: str | Path | None = None,
    events: RunEvents | None = None,
    **options: Unpack[Options],
) -> ReconcileResult:
    """Forecast the series of a bucket and their sums, and make the forecasts add up.

    Months that are done are not computed again, so that the call is also the way to read them.

    Parameters
    ----------
    bucket : str or path
        Bucket name, ``s3://...``, ``file:///folder`` or `Path`.
    config : path, optional
        Settings file; none by default.
    events : RunEvents, optional
        Callbacks for the run's progress.
    **options
        As for `gigacast.forecast`; ``item_columns`` are the columns to sum over.

    Returns
    -------
    ReconcileResult
        ``to_table()`` and ``to_pandas()`` read the forecasts.

    Raises
    ------
    ConfigError, StorageError, DataNotFoundError, ModelError
        If it cannot start. A month that fails is in the result.
    """
    own: dict[str, Any] = {
        "sums": [sums] if isinstance(sums, str) else list(sums),
        "method": method,
        "windows": windows,
    }
    check_used("reconcile", options)
    place = bucket.expanduser().absolute().as_uri() if isinstance(bucket, Path) else bucket
    arguments = nest_arguments({**options, "bucket": place})
    job = job_of(load_settings(arguments, file=as_path("config", config)))
    chosen: ReconcileOptions = read_record(ReconcileOptions, own, _SOURCE)
    return run_reconciliation(job, chosen, events=events)
