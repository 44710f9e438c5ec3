"""What is left to do, in series and seconds, by the receipts of what was done before."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from gigacast.core.partition.spec import Spec
from gigacast.core.partition.task import Task
from gigacast.errors import DataError, StorageError
from gigacast.lake.layout import receipt_prefix, version_prefix
from gigacast.lake.plan.planner import DoneEntry
from gigacast.lake.plan.receipt import Receipt, read_receipt
from gigacast.storage.store import Store

SAMPLED_RECEIPTS = 20


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the pending partitions will take, from earlier receipts.

    ``series`` and ``seconds`` are ``None`` when no receipt tells; ``seconds`` are of one process.
    """

    receipts: int
    series: int | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Workload:
    """Tasks, and what is known of such tasks.

    Parameters
    ----------
    tasks : int
    size_bytes : int
        They read.
    receipts : tuple of Receipt
        A sample of what was done before.
    """

    tasks: int
    size_bytes: int
    receipts: tuple[Receipt, ...] = ()

    @classmethod
    def of(cls, tasks: Sequence[Task], receipts: Sequence[Receipt]) -> Self:
        """Count tasks."""
        return cls(len(tasks), sum(task.size_bytes for task in tasks), tuple(receipts))

    @property
    def estimate(self) -> Estimate:
        """What they will take."""
        return estimate(self.size_bytes, self.receipts)


def estimate(size_bytes: int, receipts: Sequence[Receipt]) -> Estimate:
    """Scale what receipts say by the bytes left to read."""
    size = sum(receipt.size_bytes for receipt in receipts)
    if size == 0:
        return Estimate(0, None, None)
    share = size_bytes / size
    series = sum(receipt.series for receipt in receipts)
    seconds = sum(receipt.seconds.get("total", 0.0) for receipt in receipts)
    return Estimate(len(receipts), round(series * share), seconds * share)


class ReceiptSample:
    """The receipts of some of the partitions done, spread over all of them."""

    def __init__(self) -> None:
        self._keys: list[str] = []
        self._every = 1
        self._seen = 0

    def add(self, entry: DoneEntry) -> None:
        """Keep every n-th; when there are too many, keep every second of those and double n."""
        if self._seen % self._every == 0:
            self._keys.append(entry.receipt_key)
            if len(self._keys) > SAMPLED_RECEIPTS:
                self._keys = self._keys[::2]
                self._every *= 2
        self._seen += 1

    def read(self, outputs: Store, spec: Spec) -> list[Receipt]:
        """Read them; where nothing is done, those of other specs of the model version.

        Raises
        ------
        StorageError
        """
        receipts = []
        for key in self._keys or _any_receipts(outputs, spec):
            try:
                receipts.append(read_receipt(outputs, key))
            except (StorageError, DataError):
                continue
        return receipts


def _any_receipts(outputs: Store, spec: Spec) -> list[str]:
    """Return receipts of other specs of the same model version: better than no estimate."""
    prefix = receipt_prefix(version_prefix(spec.model, spec.version))
    page = next(outputs.list(prefix), [])
    return [entry.key for entry in page[:SAMPLED_RECEIPTS]]
