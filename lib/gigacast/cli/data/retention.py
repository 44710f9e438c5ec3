"""The commands ``data deprecate`` and ``data retire``: versions that should no longer be used."""

from datetime import UTC, datetime
from typing import Any

import click

from gigacast.cli.data.command import dataset_argument, placed, print_json, read_address
from gigacast.core.dataset.ref import DatasetRef
from gigacast.datasets.document import retirement_document
from gigacast.datasets.versions import choose_versions, retire_versions, set_deprecation
from gigacast.job.audit import this_author
from gigacast.report.terminal import say, show


@click.command()
@dataset_argument
@click.option("--why", default="", help="Reason, kept in the version's record.")
@click.option("--instead", metavar="DATASET", help="Dataset to use in its place.")
@click.option("--restore", is_flag=True, help="Take the deprecation back.")
@placed
def deprecate(
    dataset: str, why: str, instead: str | None, restore: bool, as_json: bool, **flags: Any
) -> None:
    """Deprecate a version of DATASET: `latest` no longer selects it."""
    lake, ref = read_address(flags).open(), DatasetRef.parse(dataset)
    set_deprecation(lake, ref, this_author(), why=why, instead=instead, restore=restore)
    if as_json:
        print_json({"dataset": str(ref), "deprecated": not restore})
    else:
        say(f"{ref} is {'no longer ' if restore else ''}deprecated")


@click.command()
@dataset_argument
@click.option(
    "--keep_last", type=click.IntRange(1), metavar="N", help="Keep the N latest versions."
)
@click.option(
    "--older_than", type=click.FloatRange(0), metavar="DAYS", help="Only versions older than this."
)
@click.option("--deprecated", is_flag=True, help="Only deprecated versions.")
@click.option("--unfinished", is_flag=True, help="Only leftovers of publications that were killed.")
@click.option("--yes", is_flag=True, help="Delete; without it nothing is deleted.")
@placed
def retire(
    dataset: str,
    keep_last: int | None,
    older_than: float | None,
    deprecated: bool,
    unfinished: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Delete versions of DATASET; without --yes only show them.

    The latest version stays, and so do files that other versions share.
    """
    is_dry_run = not flags.pop("yes")
    lake, ref = read_address(flags).open(), DatasetRef.parse(dataset)
    retention = choose_versions(
        ref,
        keep_last=keep_last,
        older_than_days=older_than,
        only_deprecated=deprecated,
        unfinished=unfinished,
    )
    retirement = retire_versions(lake, ref, retention, datetime.now(UTC), dry_run=is_dry_run)
    if as_json:
        print_json(retirement.to_json())
    else:
        show(retirement_document(retirement))
