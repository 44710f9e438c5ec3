"""Estimates of the series and seconds of pending partitions, from the receipts of others."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, Self

from gigacast.core.partition.name import Partitioning, partitioning_of
from gigacast.core.partition.spec import Spec
from gigacast.core.partition.task import Task, sizes_of
from gigacast.errors import ConfigError, DataError, StorageError
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.forecasting.prepare import Prepared
from gigacast.forecasting.stored.recipe import recipe_at
from gigacast.lake.layout import receipt_prefix, version_prefix
from gigacast.lake.plan.receipt import Receipt, read_receipt
from gigacast.lake.plan.rows import DoneEntry
from gigacast.storage.store import Store

SAMPLED_RECEIPTS = 20
"""Maximum number of receipts that an estimate reads: one small request each."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The expected series and seconds of pending partitions.

    Parameters
    ----------
    receipts : int
        Number of receipts behind the estimate.
    series : int or None
        ``None`` without a receipt.
    seconds : float or None
        Seconds of a single process; ``None`` without a receipt.
    """

    receipts: int
    series: int | None
    seconds: float | None


class Done(Protocol):
    """Work that was done: a receipt, or a sample that was measured."""

    @property
    def size_bytes(self) -> int:
        """Size of the inputs."""

    @property
    def series(self) -> int:
        """Number of series."""

    @property
    def seconds(self) -> Mapping[str, float]:
        """Seconds by stage; those of the whole under ``total``."""

    @property
    def device(self) -> str:
        """Device of the model."""


@dataclass(frozen=True, slots=True)
class Passes:
    """Passes over the model that a series takes at most, as `Around.passes` counts them.

    Parameters
    ----------
    info : ForecasterInfo
        Model.
    coming : int
        Passes of the work to come.
    """

    info: ForecasterInfo
    coming: int

    @classmethod
    def of(cls, prepared: Prepared, horizons: Iterable[int]) -> Self:
        """Return the passes of a job over partitions with these horizons."""
        method, info = prepared.job.method, prepared.info
        longest = max([*horizons, method.horizon or info.prediction_length])
        return cls(info, method.around.passes(info, longest))


@dataclass(frozen=True, slots=True)
class Sample:
    """Series that were forecast to measure how long it takes.

    Parameters
    ----------
    size_bytes, series : int
        Size of the input, and number of series.
    seconds : mapping of str to float
        CPU seconds under ``total``.
    device : str
    """

    size_bytes: int
    series: int
    seconds: Mapping[str, float]
    device: str


@dataclass(frozen=True, slots=True)
class Workload:
    """Tasks, and receipts of similar tasks.

    Parameters
    ----------
    tasks : int
        Number of tasks.
    size_bytes : int
        Size of their inputs.
    receipts : tuple of Done
        Sample of the partitions done before, or of series like those to come.
    basis : str
        Kind of the sample: ``receipts``, or a ``measurement`` on this machine.
    """

    tasks: int
    size_bytes: int
    receipts: tuple[Done, ...] = ()
    basis: Literal["receipts", "measurement"] = "receipts"

    @classmethod
    def of(cls, tasks: Sequence[Task], receipts: Sequence[Done]) -> Self:
        """Return the number and size of tasks, with receipts."""
        return cls(len(tasks), sum(sizes_of(tasks)), tuple(receipts))

    @property
    def estimate(self) -> Estimate:
        """Expected series and seconds."""
        return estimate(self.size_bytes, self.receipts)


def estimate(size_bytes: int, receipts: Sequence[Done]) -> Estimate:
    """Return the series and seconds of receipts, scaled to the bytes left to read."""
    size = sum(receipt.size_bytes for receipt in receipts)
    if size == 0:
        return Estimate(0, None, None)
    share = size_bytes / size
    series = sum(receipt.series for receipt in receipts)
    seconds = sum(receipt.seconds.get("total", 0.0) for receipt in receipts)
    return Estimate(len(receipts), round(series * share), seconds * share)


class ReceiptSample:
    """A sample of the receipts of partitions that are done, spread evenly over all of them."""

    def __init__(self) -> None:
        self._keys: list[str] = []
        self._every = 1
        self._seen = 0

    def add(self, entry: DoneEntry) -> None:
        """Take a partition into the sample, if it is the n-th since the last one taken."""
        # The number of partitions is unknown until the end: whenever the sample is full, every
        # second entry is dropped and n doubles.
        if self._seen % self._every == 0:
            self._keys.append(entry.receipt_key)
            if len(self._keys) > SAMPLED_RECEIPTS:
                self._keys = self._keys[::2]
                self._every *= 2
        self._seen += 1

    def add_all(self, entries: Sequence[DoneEntry]) -> None:
        """Take those of many partitions into the sample that `add` would take."""
        at = 0
        while (skipped := -self._seen % self._every) < len(entries) - at:
            self._seen += skipped
            self.add(entries[at + skipped])
            at += skipped + 1
        self._seen += len(entries) - at

    def read(
        self,
        outputs: Store,
        spec: Spec,
        partitioning: Partitioning,
        passes: Passes | None = None,
    ) -> list[Receipt]:
        """Return the receipts of the sample; without one, some of other specs of the model version.

        Receipts that can't be read are left out, and those of another kind of partition: a month
        of parts holds each series once, the parts alone may hold it several times. Those with kept
        series do not tell how long a series takes.

        Parameters
        ----------
        outputs : Store
        spec : Spec
        partitioning : {"object", "month", "bucket"}
            What the partitions to come are.
        passes : Passes, optional
            Passes of the partitions to come, to which receipts of other specs are scaled.

        Raises
        ------
        StorageError
        """
        receipts = []
        for key in self._keys or _any_receipts(outputs, spec):
            try:
                receipt = read_receipt(outputs, key)
            # Replaced since the listing, or damaged: an estimate goes without it.
            except (StorageError, DataError):
                continue
            # Series that were kept took no time: those that come would look as fast.
            if partitioning_of(receipt.partition) == partitioning and not receipt.kept:
                receipts.append(receipt)
        if self._keys or passes is None:
            return receipts
        return [_scaled(receipt, outputs, passes) for receipt in receipts]


def _scaled(receipt: Receipt, outputs: Store, passes: Passes) -> Receipt:
    """Return a receipt of another spec with the seconds that its work would take now."""
    key = str(receipt.output.get("key"))
    try:
        recipe = recipe_at(outputs, key, receipt.spec)
    except (StorageError, DataError, ConfigError):
        recipe = None
    # Forecasts of an earlier release do not say how they were made: in a single pass.
    past = recipe.method.around.passes(passes.info, receipt.horizon) if recipe is not None else 1
    share = passes.coming / past
    seconds = dict(receipt.seconds)
    predict = seconds.get("predict", 0.0)
    for stage in ("predict", "total", "cpu"):
        if stage in seconds:
            seconds[stage] = max(0.0, seconds[stage] + predict * (share - 1))
    return replace(receipt, seconds=seconds)


def _any_receipts(outputs: Store, spec: Spec) -> list[str]:
    """Return the keys of receipts of other specs of the same model version."""
    # Another horizon or method takes other seconds per byte, but is better than no estimate.
    prefix = receipt_prefix(version_prefix(spec.model, spec.version))
    page = next(outputs.list(prefix), [])
    return [entry.key for entry in page[:SAMPLED_RECEIPTS]]
