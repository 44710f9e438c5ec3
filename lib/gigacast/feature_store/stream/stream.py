"""The interface of all streams: records in partitions, each with a position."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

MAX_RECORDS = 500
"""Records read at a time: what is in memory, and what a crash makes a successor read again."""


class Record(NamedTuple):
    """A record of a stream.

    Parameters
    ----------
    partition : str
        Partition or shard.
    position : str
        Decimal number that grows within the partition. A text, since those of Kinesis have more
        digits than numbers of stores and encodings hold.
    value : bytes
        Content.
    """

    partition: str
    position: str
    value: bytes


class Stream(Protocol):
    """Records of a topic. Each partition is read in its order, from a position on."""

    @property
    def name(self) -> str:
        """Name of the topic."""

    def seek(self, positions: Mapping[str, str]) -> None:
        """Go on after these positions; partitions that are not named begin at their start."""

    def read(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        """Return the next records; none if none came in time.

        Raises
        ------
        StorageError
            If the stream cannot be reached.
        """

    @property
    def is_ended(self) -> bool:
        """Whether no record will come any more."""

    def close(self) -> None:
        """Free connections."""


def is_after(position: str, former: str | None) -> bool:
    """Return whether a position is after another; every position is after none."""
    return former is None or int(position) > int(former)
