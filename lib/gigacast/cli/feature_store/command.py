"""``gigacast feature-store``: definitions of features, compiled, computed and served."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click

from gigacast.cli.commands import FEATURE_COMMANDS
from gigacast.cli.flags import read_settings
from gigacast.cli.lake import lake_address
from gigacast.cli.lazy import LazyGroup
from gigacast.feature_store.online.opening import open_online_store
from gigacast.feature_store.online.store import OnlineStore
from gigacast.feature_store.table import Tables
from gigacast.feature_store.trust.request_log import RequestLog
from gigacast.report.terminal import show_json
from gigacast.settings.command.feature_store import LogOptions, OnlineOptions
from gigacast.settings.model import Settings


@click.group("feature-store", cls=LazyGroup, homes=FEATURE_COMMANDS, invoke_without_command=True)
@click.pass_context
def feature_store(context: click.Context) -> None:
    """Features: compile definitions, compute their tables of past days, serve and fetch them.

    Compiled definitions are feature_store/definitions/ under --bucket and --prefix; without a
    bucket, in the working folder. A NAME is TEAM.FILE.VARIABLE, as quickstart.returns.v1.

    \b
    Examples:
      gigacast feature-store compile joins/quickstart/training_set.py --show --bucket my-bucket
      gigacast feature-store show quickstart.training_set.v1 --bucket my-bucket
      gigacast feature-store analyze quickstart.training_set.v1 --bucket my-bucket
      gigacast feature-store lineage quickstart.training_set.v1 --bucket my-bucket
      gigacast feature-store backfill quickstart.training_set.v1 --bucket my-bucket
      gigacast feature-store upload quickstart.training_set.v2 --ds 2023-12-01 --bucket my-bucket
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def open_tables(flags: dict[str, Any]) -> Tables:
    """Return the tables, and the store of definitions, that the flags of a command name.

    Parameters
    ----------
    flags : dict
        Values by name; those of the address, and ``config``, are taken out of it.

    Raises
    ------
    ConfigError
    StorageError
        If the bucket or folder cannot be reached.
    """
    settings = read_settings(flags)
    address = lake_address(settings)
    return Tables(address.address, settings.tables, address.open().store)


def print_json(content: object) -> None:
    """Print plain values."""
    show_json(content)


@dataclass(frozen=True)
class Online:
    """The online store that the flags of a command name.

    Parameters
    ----------
    tables : Tables
        Tables, and the store of definitions.
    settings : Settings
    url : str, optional
        Address of the online store; by default a file below the root.
    """

    tables: Tables
    settings: Settings
    url: str | None

    @contextmanager
    def opened(self) -> Iterator[OnlineStore]:
        """Open the online store, and close it at the end."""
        store = open_online_store(self.url, self.tables.root)
        try:
            yield store
        finally:
            store.close()

    def log(self, options: LogOptions) -> RequestLog | None:
        """Return the log of answers; none if no share of them is logged."""
        share = self.settings.log_share if options.log_share is None else options.log_share
        return RequestLog(self.tables.store, share) if share else None


def open_online(options: OnlineOptions, flags: dict[str, Any]) -> Online:
    """Return the online store, and the tables, that the flags of a command name.

    Parameters
    ----------
    options : OnlineOptions
    flags : dict
        Values by name; those of settings, and ``config``, are taken out of it.
    """
    settings = read_settings(flags)
    address = lake_address(settings)
    tables = Tables(address.address, settings.tables, address.open().store)
    return Online(tables, settings, options.online_store or settings.online_store)
