"""The table of scale: what the receipts of a run took, and what a billion series would take.

Every series costs what the measured ones cost on average, and processes share them evenly.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from gigacast.core.cost.price import PriceTable
from gigacast.errors import DataNotFoundError
from gigacast.job.batch_options import ArrayOptions
from gigacast.job.forecast_job import ForecastJob
from gigacast.lake.layout import FORECASTS, receipt_prefix
from gigacast.lake.plan.audit import Audit, read_audit
from gigacast.lake.plan.receipt import Receipt, read_receipt
from gigacast.report.document import Column, Document, Items, Kind, Paragraph, Table, titled
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store

BILLION = 1_000_000_000
_HOUR = 3600.0
_COLUMNS = (
    Column("series", Kind.COUNT),
    Column("processes", Kind.COUNT),
    Column("CPU hours", Kind.NUMBER),
    Column("wall hours", Kind.NUMBER),
    Column("dollars", Kind.DOLLARS),
    Column("how"),
)


@dataclass(frozen=True)
class ScaleRow:
    """A row of the table; ``dollars`` is ``None`` where the machine has no price."""

    series: int
    processes: int
    cpu_hours: float
    wall_hours: float
    dollars: float | None
    how: str


@dataclass(frozen=True)
class Scale:
    """What a run took.

    Parameters
    ----------
    run_id : str
    series, partitions, processes : int
    cpu_s : float
        Processor time of all tasks, with all threads.
    wall_s : float
        Time from the start to the end of the run, which begins after partitions are generated.
    generate_s : float
        Time in which the partitions were generated, summed; 0 if the run generated none.
    dollars : float, optional
        Bill of the run; ``None`` where the machine has no price.
    rate : (str, float), optional
        A machine of the price table and its dollars per hour and processor, by which CPU hours are
        priced without a bill; ``None`` without a price table.
    """

    run_id: str
    series: int
    partitions: int
    processes: int
    cpu_s: float
    wall_s: float
    generate_s: float
    dollars: float | None
    rate: tuple[str, float] | None = None

    def rows(self, series: int = BILLION) -> list[ScaleRow]:
        """Return the measured row, and those of more series by 1, 5 and the measured processes."""
        times = series / self.series
        bill = self.dollars
        if bill is None and self.rate is not None:
            bill = self.cpu_s / _HOUR * self.rate[1]
        dollars = None if bill is None else bill * times
        counts = sorted({1, 5, self.processes})
        return [
            ScaleRow(
                self.series,
                self.processes,
                self.cpu_s / _HOUR,
                self.wall_s / _HOUR,
                bill,
                "measured",
            )
        ] + [
            ScaleRow(
                series,
                count,
                self.cpu_s * times / _HOUR,
                self.wall_s * self.processes * times / count / _HOUR,
                dollars,
                "extrapolated",
            )
            for count in counts
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the values of ``--json``."""
        return {**asdict(self), "rows": [asdict(row) for row in self.rows()]}


def measure_scale(job: ForecastJob, run_id: str | None = None) -> Scale:
    """Return what a run took, by its receipts and its audit.

    Parameters
    ----------
    job : ForecastJob
    run_id : str, optional
        The run whose receipts have most series by default: reruns skip what is done.

    Raises
    ------
    DataNotFoundError
        If there are no receipts of forecasts with processor times, or none of the run.
    StorageError
    """
    outputs = open_store(job.outputs)
    runs: dict[str, list[Receipt]] = {}
    for receipt in _receipts(outputs):
        if "cpu" in receipt.seconds and run_id in {None, receipt.run_id}:
            runs.setdefault(receipt.run_id, []).append(receipt)
    if not runs:
        raise DataNotFoundError(
            f"{outputs.address.url}: no receipts of forecasts to measure",
            hint="forecast first; receipts of earlier releases have no processor times",
        )
    chosen = max(runs, key=lambda name: sum(receipt.series for receipt in runs[name]))
    scale = scale_of(chosen, runs[chosen], read_audit(outputs, chosen))
    return replace(scale, rate=_rate_of(job.prices))


def _rate_of(prices: PriceTable | None) -> tuple[str, float] | None:
    name = ArrayOptions().cpu_instance
    if prices is None or not prices.has(name):
        return None
    machine = prices.find(name)
    return name, machine.on_demand / machine.vcpus


def scale_of(run_id: str, receipts: Sequence[Receipt], audit: Audit) -> Scale:
    """Return what some tasks of a run took."""
    bill: Any = audit.cost.get("actual") or {}
    return Scale(
        run_id=run_id,
        series=sum(receipt.series for receipt in receipts),
        partitions=len(receipts),
        processes=len({(r.host.get("name"), r.host.get("pid")) for r in receipts}),
        cpu_s=sum(receipt.seconds["cpu"] for receipt in receipts),
        wall_s=audit.elapsed_s,
        generate_s=sum(receipt.seconds.get("generate", 0.0) for receipt in receipts),
        dollars=bill.get("dollars"),
    )


def scale_document(scale: Scale) -> Document:
    """Return the table, with its arithmetic."""
    rows = scale.rows()
    table = Table(_COLUMNS, tuple(tuple(asdict(row).values()) for row in rows))
    each, times = scale.cpu_s / scale.series, BILLION / scale.series
    total = each * BILLION / _HOUR
    cpu = f"{scale.cpu_s:,.1f} s / {scale.series:,} series = {each * 1e6:,.1f} microseconds each"
    wall = f"{scale.wall_s:,.1f} s by {scale.processes} processes"
    lines = [
        f"CPU: {cpu}; x 1e9 / 3600 s = {total:,.1f} hours",
        f"wall: {wall}; x {times:,.0f} x {scale.processes} / processes / 3600 s",
    ]
    if scale.dollars is not None:
        lines.append(f"dollars: {scale.dollars:,.4f}, the bill of the run, x {times:,.0f}")
    elif scale.rate is not None:
        name, rate = scale.rate
        lines.append(f"dollars: CPU hours x {rate:.4f}, an hour of a processor of {name} on demand")
    if scale.generate_s:
        lines.append(f"generating the partitions took {scale.generate_s:,.1f} s besides")
    note = Paragraph(f"{scale.partitions:,} receipts of {scale.run_id}")
    return Document((*titled("Scale", table), note, Items.of(lines)))


def _receipts(outputs: Store) -> Iterable[Receipt]:
    for page in outputs.list(receipt_prefix(FORECASTS)):
        for entry in page:
            yield read_receipt(outputs, entry.key)
