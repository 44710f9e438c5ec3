"""Tasks: a partition to forecast, with everything that a worker needs."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from gigacast.core.digest import digest_etags
from gigacast.core.partition.name import Format


class InputObject(NamedTuple):
    """An object that a task reads. Its ETag is checked, so that a changed object is noticed."""

    key: str
    etag: str
    size_bytes: int
    extension: Format


@dataclass(frozen=True, slots=True)
class Task:
    """A partition to forecast.

    Parameters
    ----------
    partition : str
        Name of the partition, such as ``2014/03/EURUSD_1min_h15``.
    month : str
        Month, such as ``2014-03``.
    inputs : tuple of InputObject
        Objects to read in the order of time: earlier months for context, then the partition's own.
        Of jobs over files: neighbours whose calendar bins reach into the file, then the file.
    own : int
        Number of inputs, from the last, that are the partition's own.
    horizon : int
        Steps ahead.
    spec : str
        Id of the spec, such as ``h15-q9-3fa9c2d1``.
    output_key : str
        Key of the predictions.
    symbol, timeframe : str, optional
        Symbol and timeframe in the partition's name; none by default.
    stale_receipts : tuple of str
        Keys of older receipts, which the new receipt supersedes.
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
        """Digest of the ETags of the inputs, in order."""
        return digest_etags(entry.etag for entry in self.inputs)

    @property
    def size_bytes(self) -> int:
        """Size of all inputs in bytes."""
        # Almost all have one: plans add up the sizes of millions of tasks.
        if len(self.inputs) == 1:
            return self.inputs[0].size_bytes
        return sum(entry.size_bytes for entry in self.inputs)


def sizes_of(tasks: Iterable[Task]) -> list[int]:
    """Return the size of the inputs of each task in bytes."""
    # Plans of millions are added up several times: a fifth of the time of the property.
    return [
        task.inputs[0].size_bytes if len(task.inputs) == 1 else task.size_bytes for task in tasks
    ]
