"""What a run did, on one screen."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from gigacast.report import quantity
from gigacast.report.table import is_rich

_STYLES = {"finished": "bold green", "interrupted": "bold yellow", "failed": "bold red"}


@dataclass(frozen=True, slots=True)
class FailedPartition:
    """One line of the list of failures."""

    partition: str
    error: str
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run did.

    Parameters
    ----------
    run_id : str
        Names the run, as in the audit.
    status : str
        ``finished``, ``failed`` (some partition did) or ``interrupted``.
    elapsed_s : float
        From the first look at the store to the last write.
    partitions : mapping of str to int
        How many of each state: ``done``, ``skipped``, ``failed``, ``superseded``, ...
    model, version : str
        What made the forecasts.
    specs : tuple of str
        The specs written; one, unless the horizon depends on the partition.
    series : int
        Series with a forecast, by the model or by the fallback.
    quarantined : mapping of str to int
        Series that the model did not forecast, by reason.
    repairs : mapping of str to int
        What the reader mended or left out: duplicated times, gaps, rows without an id or a time.
    rows : int
        Rows of predictions written.
    read_bytes, written_bytes : int
        Size of the inputs read and of the predictions written.
    seconds_by_stage : mapping of str to float
        Seconds in each stage, summed over the processes.
    ignored : tuple of str
        Covariates that were asked for and that the model has no use for.
    cost : mapping
        ``actual`` hours of machines and dollars, as the audit lists them, where known.
    output_url, audit_url : str
        Where the predictions and the record of the run are.
    failures : tuple of FailedPartition
        Every partition that failed.
    """

    run_id: str
    status: str
    elapsed_s: float
    partitions: Mapping[str, int] = field(default_factory=dict)
    model: str = ""
    version: str = ""
    specs: tuple[str, ...] = ()
    series: int = 0
    quarantined: Mapping[str, int] = field(default_factory=dict)
    repairs: Mapping[str, int] = field(default_factory=dict)
    rows: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    seconds_by_stage: Mapping[str, float] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    cost: Mapping[str, Any] = field(default_factory=dict)
    output_url: str = ""
    audit_url: str = ""
    failures: tuple[FailedPartition, ...] = ()

    @property
    def series_per_second(self) -> float:
        """Series over the elapsed time."""
        return self.series / self.elapsed_s if self.elapsed_s > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values, for ``--json``."""
        return {**asdict(self), "series_per_second": round(self.series_per_second, 3)}


def summary_text(summary: RunSummary, max_failures: int = 10) -> str:
    """Return the summary as plain text.

    Parameters
    ----------
    summary : RunSummary
        What to tell.
    max_failures : int
        Failures to list; the number of the others is told.
    """
    return "\n".join(line.plain for line in _lines(summary, max_failures))


def print_summary(
    summary: RunSummary, stream: TextIO | None = None, max_failures: int = 10
) -> None:
    """Print the summary: coloured on a terminal, else plain. Keys and URLs are never broken."""
    stream = stream or sys.stdout
    if not is_rich(stream):
        print(summary_text(summary, max_failures), file=stream)
        return
    console = Console(file=stream)
    for line in _lines(summary, max_failures):
        console.print(line, soft_wrap=True)


def _lines(summary: RunSummary, max_failures: int) -> list[Text]:
    facts = _facts(summary)
    width = max(len(name) for name, _ in facts) + 2
    return [
        Text(_headline(summary), style=_STYLES.get(summary.status, "bold")),
        *(Text.assemble("  ", (name.ljust(width), "dim"), value) for name, value in facts),
        *_failure_lines(summary, max_failures),
    ]


def _failure_lines(summary: RunSummary, limit: int) -> list[Text]:
    lines = [Text("Failed", style="bold red")] if summary.failures else []
    for failure in summary.failures[:limit]:
        message = " ".join(failure.message.split())
        lines += [
            Text(f"  {failure.partition}"),
            Text.assemble("      ", (failure.error, "red"), f": {message}"),
        ]
        if failure.hint:
            lines.append(Text(f"      hint: {' '.join(failure.hint.split())}"))
    missing = len(summary.failures) - limit
    if missing > 0:
        lines.append(Text(f"  ... and {quantity.count(missing)} more: see the audit", style="dim"))
    return lines


def _headline(summary: RunSummary) -> str:
    return f"Run {summary.run_id} {summary.status} in {quantity.duration(summary.elapsed_s)}"


def _facts(summary: RunSummary) -> list[tuple[str, str]]:
    model = " ".join(filter(None, (summary.model, summary.version, ", ".join(summary.specs))))
    facts = [
        ("model", model),
        ("partitions", _counts(summary.partitions) or "none"),
        ("series", _series(summary)),
        ("not by the model", _counts(summary.quarantined)),
        ("mended", _counts(summary.repairs)),
        ("ignored", ", ".join(summary.ignored)),
        ("rows", quantity.count(summary.rows) if summary.rows else ""),
        ("data", _data(summary)),
        ("time in stages", _stages(summary.seconds_by_stage)),
        ("cost", _cost(summary.cost.get("actual"))),
        ("output", summary.output_url),
        ("audit", summary.audit_url),
    ]
    return [(name, value) for name, value in facts if value]


def _series(summary: RunSummary) -> str:
    if not summary.series:
        return ""
    per_second = quantity.rate(summary.series, summary.elapsed_s)
    return f"{quantity.count(summary.series)} ({per_second} per second)"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(
        f"{quantity.count(number)} {name}" for name, number in counts.items() if number
    )


def _data(summary: RunSummary) -> str:
    sizes = {"read": summary.read_bytes, "written": summary.written_bytes}
    return ", ".join(f"{quantity.size(number)} {name}" for name, number in sizes.items() if number)


def _stages(seconds: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {quantity.duration(spent)}" for name, spent in seconds.items())


def _cost(bill: Mapping[str, Any] | None) -> str:
    """Return what a bill comes to; nothing where no price is known."""
    if not bill:
        return ""
    if bill["dollars"] is None:
        machine = bill["machines"][0] if bill["machines"] else {"instance": "-", "purchase": "-"}
        spent = quantity.duration(bill["hours"] * 3600)
        return f"{spent} of {machine['instance']}, {machine['purchase']}: no price is known"
    told = f"{quantity.dollars(bill['dollars'])} for {quantity.duration(bill['hours'] * 3600)}"
    if bill["dollars_per_million_series"] is not None:
        told += f", {quantity.dollars(bill['dollars_per_million_series'])} per million series"
    if bill["unpriced_hours"]:
        told += f", and {quantity.duration(bill['unpriced_hours'] * 3600)} without a price"
    return f"{told} (prices of {bill['prices_as_of']})"
