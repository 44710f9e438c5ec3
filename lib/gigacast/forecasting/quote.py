"""Time and cost of a plan on each queue of a deployment, and on this machine.

Work is measured in seconds of one CPU process, from earlier receipts or else from bytes. The speed
of a machine and its price per hour turn it into hours and dollars.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from gigacast.core.cost.array_plan import QueueKind, count_children
from gigacast.core.cost.bill import Rental
from gigacast.core.cost.price import PriceTable, Purchase
from gigacast.forecasting.estimate import Done, Workload
from gigacast.job.batch_options import ArrayOptions

Basis = Literal["receipts", "measurement", "assumed speed", "bytes"]
"""Source of the time: receipts or a measurement of the same kind of device, those of the other kind
and the configured speed, or only the bytes to read."""


@dataclass(frozen=True, slots=True)
class Quote:
    """The cost of a workload on a kind of machine.

    Parameters
    ----------
    queue : str
        ``cpu``, ``gpu``, or ``here``.
    instance, purchase : str
    machines : int
        Number of machines that work at the same time.
    hours : float
        Hours of all machines, including their start.
    elapsed_s : float
    dollars, dollars_per_million : float, optional
        Total, and per million series without the start of the machines; ``None`` where the price
        or the number of series is unknown.
    basis : str
        Source of the time; see `Basis`.
    prices_as_of : str, optional
        Date of the price table.
    start_hours : float
        Hours of all machines before the first series: instance, image, weights.
    """

    queue: str
    instance: str
    purchase: Purchase
    machines: int
    hours: float
    elapsed_s: float
    dollars: float | None
    dollars_per_million: float | None
    basis: Basis
    prices_as_of: str | None = None
    start_hours: float = 0.0

    def describe(self) -> dict[str, Any]:
        """Return the fields as audits and ``--json`` list them."""
        rounded = {
            name: None if value is None else round(value, 6)
            for name in ("hours", "start_hours", "elapsed_s", "dollars", "dollars_per_million")
            for value in [getattr(self, name)]
        }
        return {**asdict(self), **rounded}


def expected_cpu_s(work: Workload, options: ArrayOptions) -> float:
    """Return the seconds that a single CPU process would need."""
    size = sum(receipt.size_bytes for receipt in work.receipts)
    if size == 0:
        return work.size_bytes / options.cpu_bytes_per_s
    # Seconds on a GPU count as those of the CPU process that would do the same work.
    seconds = sum(
        receipt.seconds.get("total", 0.0) * (options.gpu.speed if _on_gpu(receipt) else 1.0)
        for receipt in work.receipts
    )
    return seconds * work.size_bytes / size


def expected_children(work: Workload, options: ArrayOptions, queue: QueueKind) -> int:
    """Return the number of children on a queue: as configured, or as many as are worth a start."""
    if options.children is not None:
        return min(options.children, work.tasks)
    return count_children(
        expected_cpu_s(work, options),
        work.tasks,
        options.machine(queue),
        options.target_s,
        options.max_children,
    )


def quote_queues(work: Workload, options: ArrayOptions) -> list[Quote]:
    """Return the cost of a workload on each queue, spot and on demand; empty without a task."""
    if not work.tasks:
        return []
    return [quote for queue in get_args(QueueKind) for quote in _quote_queue(work, options, queue)]


def quote_here(
    work: Workload, processes: int, rental: Rental, prices: PriceTable | None
) -> Quote | None:
    """Return the cost of a workload on this machine.

    ``None`` when the machine or its price is unknown, or no receipt says how long tasks take.

    Parameters
    ----------
    work : Workload
    processes : int
        Number of processes on this machine.
    rental : Rental
        Type and purchase of this machine.
    prices : PriceTable, optional
    """
    seconds = work.estimate.seconds
    if seconds is None or prices is None or rental.instance is None or rental.purchase is None:
        return None
    elapsed = seconds / max(1, processes)
    hourly = rental.dollars_per_hour(prices)
    dollars = None if hourly is None else hourly * elapsed / 3600
    return Quote(
        queue="here",
        instance=rental.instance,
        purchase=rental.purchase,
        machines=1,
        hours=elapsed / 3600,
        elapsed_s=elapsed,
        dollars=dollars,
        dollars_per_million=_per_million(dollars, work.estimate.series),
        basis="receipts",
        prices_as_of=prices.as_of.isoformat(),
    )


def _quote_queue(work: Workload, options: ArrayOptions, queue: QueueKind) -> Iterator[Quote]:
    machine, instance = options.machine(queue), options.instance(queue)
    children = expected_children(work, options, queue)
    work_s = expected_cpu_s(work, options) / machine.speed
    # Every child pays for its start; the work itself costs the same for any number of children.
    start_hours, work_hours = children * machine.startup_s / 3600, work_s / 3600
    for purchase in get_args(Purchase):
        hourly = Rental(instance, purchase).dollars_per_hour(options.prices)
        # The start is the same for a few series and for millions: it says nothing about a million.
        work_dollars = None if hourly is None else hourly * work_hours
        yield Quote(
            queue=queue,
            instance=instance,
            purchase=purchase,
            machines=children,
            hours=start_hours + work_hours,
            start_hours=start_hours,
            elapsed_s=machine.startup_s + work_s / children,
            dollars=None if hourly is None else hourly * (start_hours + work_hours),
            dollars_per_million=_per_million(work_dollars, work.estimate.series),
            basis=_basis(work, queue),
            prices_as_of=options.prices.as_of.isoformat() if options.prices else None,
        )


def _basis(work: Workload, queue: QueueKind) -> Basis:
    if not work.receipts:
        return "bytes"
    is_same = all(_on_gpu(receipt) == (queue == "gpu") for receipt in work.receipts)
    return work.basis if is_same else "assumed speed"


def _on_gpu(receipt: Done) -> bool:
    return receipt.device.startswith("cuda")


def _per_million(dollars: float | None, series: int | None) -> float | None:
    return dollars / series * 1e6 if dollars is not None and series else None
