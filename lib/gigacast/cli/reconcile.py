"""``gigacast reconcile``: forecasts of series and of their sums that add up."""

import sys
from typing import Any

import click

from gigacast.cli.flags import (
    JOB_FLAGS,
    config_option,
    flags_of,
    json_option,
    quiet_option,
    read_settings,
    settings_flags,
)
from gigacast.cli.help import Command
from gigacast.core.exit import EXIT_FAILED
from gigacast.reconciling.document import failed_months, reconcile_document
from gigacast.reconciling.run import run_reconciliation
from gigacast.report.run_progress import RunProgress
from gigacast.report.terminal import show, show_json
from gigacast.settings.assembly import job_of
from gigacast.settings.command.reconciliation import ReconcileOptions
from gigacast.settings.flag import take

_FLAGS = [name for name in JOB_FLAGS if name not in {"layout", "partition_by", "mean"}]


@click.command(cls=Command)
@flags_of(ReconcileOptions)
@settings_flags(*_FLAGS, "limit", "overwrite", command="reconcile")
@config_option
@json_option
@quiet_option
def reconcile(*, as_json: bool, quiet: bool, **flags: Any) -> int:
    """Forecast the series of each month and their sums, and make the forecasts add up.

    Sums are over columns of items, and the total of all. The forecasts are a dataset of their own,
    under reconciled/ of the bucket.

    \b
    Examples:
      gigacast reconcile --bucket my-bucket --horizon 7 --item_columns region,store,sku \\
        --sum region --sum region,store
      gigacast reconcile --bucket my-bucket --horizon 7 --method bottom_up
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    options = take(ReconcileOptions, flags)
    settings = read_settings(flags)
    with RunProgress(quiet=quiet or as_json, verb="reconcile") as progress:
        result = run_reconciliation(job_of(settings), options, events=progress)
    if as_json:
        show_json(result.to_json(), is_ascii=True)
    elif not quiet:
        show(reconcile_document(result))
    if not as_json:
        show(failed_months(result), sys.stderr)
    return EXIT_FAILED if result.failures else 0
