"""The commands ``data deprecate`` and ``data retire``: versions that should no longer be used."""

from datetime import UTC, datetime
from typing import Any

import click

from gigacast.cli.data.command import dataset_argument, print_json, read_address
from gigacast.cli.flags import flags_of, place_options
from gigacast.cli.help import Command
from gigacast.core.dataset.ref import DatasetRef
from gigacast.datasets.document import retirement_document
from gigacast.datasets.versions import choose_versions, retire_versions, set_deprecation
from gigacast.job.audit import this_author
from gigacast.report.terminal import say, show
from gigacast.settings.command.data import DeprecateOptions, RetireOptions
from gigacast.settings.flag import take


@click.command(cls=Command)
@dataset_argument
@flags_of(DeprecateOptions)
@place_options
def deprecate(dataset: str, as_json: bool, **flags: Any) -> None:
    """Deprecate a version of DATASET: `latest` no longer selects it."""
    options = take(DeprecateOptions, flags)
    restore = options.restore
    lake, ref = read_address(flags).open(), DatasetRef.parse(dataset)
    set_deprecation(
        lake, ref, this_author(), why=options.why, instead=options.instead, restore=restore
    )
    if as_json:
        print_json({"dataset": str(ref), "deprecated": not restore})
    else:
        say(f"{ref} is {'no longer ' if restore else ''}deprecated")


@click.command(cls=Command)
@dataset_argument
@flags_of(RetireOptions)
@place_options
def retire(dataset: str, as_json: bool, **flags: Any) -> None:
    """Delete versions of DATASET; without --yes only show them.

    The latest version stays, and so do files that other versions share.
    """
    options = take(RetireOptions, flags)
    lake, ref = read_address(flags).open(), DatasetRef.parse(dataset)
    retention = choose_versions(
        ref,
        keep_last=options.keep_last,
        older_than_days=options.older_than,
        only_deprecated=options.deprecated,
        unfinished=options.unfinished,
    )
    now = datetime.now(UTC)
    retirement = retire_versions(lake, ref, retention, now, dry_run=not options.yes)
    if as_json:
        print_json(retirement.to_json())
    else:
        show(retirement_document(retirement))
