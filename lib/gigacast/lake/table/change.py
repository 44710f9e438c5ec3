"""A change of a table of results: what it removes and adds in one commit, and who can make it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from gigacast.errors import ConfigError

SOURCE, PARTITION, OUTPUT = "gigacast_source", "gigacast_partition", "gigacast_output"
KEYS = (SOURCE, PARTITION, OUTPUT)
"""Columns that a table has besides those of the results, and is partitioned by."""


@dataclass(frozen=True, slots=True)
class Change:
    """One commit: partitions of a source whose rows go, and the rows that come.

    Parameters
    ----------
    source : str
    dropped : tuple of str
        Partitions whose rows are removed.
    coming : tuple of str
        Partitions that get rows.
    schema : pa.Schema
        Columns of a new table.
    batches : callable
        Yields the rows, given the columns of the table.
    run_id : str
        Run that the commit names.
    """

    source: str
    dropped: tuple[str, ...]
    coming: tuple[str, ...]
    schema: pa.Schema
    batches: Callable[[pa.Schema], Iterator[pa.RecordBatch]]
    run_id: str


class OutputTable(Protocol):
    """A table at one of its snapshots, to compare with and to write to."""

    def find(self, source: str) -> Mapping[str, set[str]]:
        """Return the digests of the outputs in the table by partition."""
        ...

    def commit(self, change: Change) -> None:
        """Make a change in one commit.

        Raises
        ------
        PreconditionFailedError
            If the table is no longer at this snapshot.
        """
        ...


def check_keys(columns: Sequence[str], url: str) -> None:
    """Check that a table is one that results are written to.

    Raises
    ------
    ConfigError
    """
    if list(columns) != list(KEYS):
        raise ConfigError(
            f"{url} is partitioned by {', '.join(columns) or 'nothing'}, and not by "
            f"{', '.join(KEYS)}: results are written to tables of their own",
            hint="name a table that does not exist; the first run makes it",
        )
