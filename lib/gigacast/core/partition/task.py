"""Tasks: one partition to forecast, everything a worker needs pinned."""

from dataclasses import dataclass
from typing import NamedTuple

from gigacast.core.digest import digest_etags
from gigacast.core.partition.name import Format


class InputObject(NamedTuple):
    """One object a task reads, pinned by its ETag."""

    key: str
    etag: str
    size_bytes: int
    extension: Format


@dataclass(frozen=True, slots=True)
class Task:
    """One partition to forecast.

    Parameters
    ----------
    partition : str
        Name of the partition, as ``2014/03/EURUSD_1min_h15``.
    month : str
        ``2014-03``.
    inputs : tuple of InputObject
        In time order: ``context`` earlier months first, then the partition's own objects.
    own : int
        How many of the last inputs are the partition's own.
    horizon : int
        Steps ahead.
    spec : str
        Id of the spec, as ``h15-q9-3fa9c2d1``.
    output_key : str
        Where the predictions go.
    symbol, timeframe : str, optional
        What the name of the partition says.
    stale_receipts : tuple of str
        Receipts the new one supersedes.
    """

    partition: str
    month: str
    inputs: tuple[InputObject, ...]
    own: int
    horizon: int
    spec: str
    output_key: str
    symbol: str | None = None
    timeframe: str | None = None
    stale_receipts: tuple[str, ...] = ()

    @property
    def input_id(self) -> str:
        """The digest of the ordered input ETags."""
        return digest_etags(entry.etag for entry in self.inputs)

    @property
    def size_bytes(self) -> int:
        """Bytes of all inputs."""
        return sum(entry.size_bytes for entry in self.inputs)
