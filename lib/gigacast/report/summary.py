"""The summary of a run, on one screen."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from gigacast.core.plural import counted
from gigacast.report import quantity
from gigacast.report.document import Block, Document, Item, Items, KeyValues, Paragraph, Tone

_TONES = {"completed": Tone.GOOD, "interrupted": Tone.WARNING, "failed": Tone.BAD}


@dataclass(frozen=True, slots=True)
class FailedPartition:
    """A partition that failed, and why."""

    partition: str
    error: str
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class RunSummary:
    """Counts, times and sizes of a run.

    Parameters
    ----------
    run_id : str
        Name of the run, as in the audit.
    status : str
        ``completed``, ``failed`` (at least one partition), ``interrupted`` or ``planned``.
    elapsed_s : float
        Seconds from the first request to the store to the last.
    partitions : mapping of str to int
        Partitions by state: ``done``, ``skipped``, ``failed``, ``superseded``, ...
    model, version : str
        Model of the forecasts.
    specs : tuple of str
        Specs written; several if the horizon depends on the partition.
    series : int
        Series with a forecast, by the model or by the fallback.
    quarantined : mapping of str to int
        Series that the model did not forecast, by reason.
    repairs : mapping of str to int
        Rows that the reader changed or left out, by reason: duplicates, gaps, no id or time.
    rows : int
        Rows of predictions written.
    read_bytes, written_bytes : int
        Size of the inputs read and of the predictions written.
    seconds_by_stage : mapping of str to float
        Seconds in each stage, summed over the processes.
    ignored : tuple of str
        Requested covariates that the model cannot use.
    cost : mapping
        Machine hours and dollars under ``actual``, as in the audit; empty if unknown.
    output_url, audit_url : str
        Addresses of the predictions and of the audit.
    failures : tuple of FailedPartition
    problems : tuple of str
        What a few inputs say against the way in which they are forecast.
    table : mapping
        What the run has changed in the table of the results; empty without one.
    kept : int, optional
        Series among ``series`` whose rows were kept; ``None`` for runs that are not incremental.
    usage : mapping of str to float
        What a model behind an API has used of it; empty for other models.
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
    problems: tuple[str, ...] = ()
    kept: int | None = None
    table: Mapping[str, Any] = field(default_factory=dict)
    usage: Mapping[str, float] = field(default_factory=dict)

    @property
    def series_per_second(self) -> float:
        """Series per second of elapsed time; 0 before any has passed."""
        return self.series / self.elapsed_s if self.elapsed_s > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the values of ``--json``."""
        values = {**asdict(self), "series_per_second": round(self.series_per_second, 3)}
        # Without problems the values are those that scripts have always read.
        later = {
            "problems": bool(self.problems),
            "kept": self.kept is not None,
            "table": bool(self.table),
            "usage": bool(self.usage),
        }
        return {name: value for name, value in values.items() if later.get(name, True)}


def summary_document(summary: RunSummary, max_failures: int = 10) -> Document:
    """Return the summary of a run as a document.

    Parameters
    ----------
    summary : RunSummary
    max_failures : int
        Failures to list; the others are counted.
    """
    failures = failure_items(summary.failures, max_failures) if summary.failures else ()
    problems = [Paragraph(problem, Tone.WARNING) for problem in summary.problems]
    blocks: tuple[Block, ...] = (KeyValues.of(_facts(summary)), *problems, Items(tuple(failures)))
    tone = _TONES.get(summary.status, Tone.PLAIN)
    return Document(blocks, title=_headline(summary), tone=tone)


_NUMBER = re.compile(r"\d[\d,.]*")


def equal_failures(failures: Iterable[FailedPartition]) -> list[list[FailedPartition]]:
    """Return failures in groups of the same error, message and hint, in the order of the first.

    A partition's own name in its message makes no difference, nor do numbers, as of rows or bytes.
    """
    groups: dict[tuple[str, ...], list[FailedPartition]] = {}
    for failure in failures:
        groups.setdefault(reason_of(failure), []).append(failure)
    return list(groups.values())


def reason_of(failure: FailedPartition) -> tuple[str, ...]:
    """Return error, message and hint of a failure without the name of its partition and numbers."""
    # A message names the partition or one of its objects, whose key begins with that name.
    name = re.compile(rf"{re.escape(failure.partition)}[^\s:,'\"]*")
    texts = (failure.error, failure.message, failure.hint or "")
    return tuple(_NUMBER.sub("0", name.sub("", text)) for text in texts)


def and_more(name: str, count: int) -> str:
    """Return the name of the first of several that share a failure, with the number of others."""
    return f"{name} and {quantity.count(count - 1)} more, equally" if count > 1 else name


def failures_document(summary: RunSummary, max_failures: int = 10) -> Document:
    """Return the failures of a run alone, as ``--quiet`` prints them; empty without any."""
    items = failure_items(summary.failures, max_failures) if summary.failures else ()
    return Document((Items(tuple(items)),) if summary.failures else ())


def failure_items(failures: Sequence[FailedPartition], limit: int) -> Iterator[Item]:
    """Yield the title and the entries of a list of failures; equal ones are one entry."""
    yield Item("Failed", tone=Tone.BAD)
    groups = equal_failures(failures)
    for group in groups[:limit]:
        failure = group[0]
        yield Item(and_more(failure.partition, len(group)), depth=1)
        yield Item(f"{failure.error}: {' '.join(failure.message.split())}", depth=3)
        if failure.hint:
            yield Item(f"hint: {' '.join(failure.hint.split())}", depth=3)
    missing = sum(map(len, groups[limit:]))
    if missing > 0:
        note = f"... and {quantity.count(missing)} more: see the audit"
        yield Item(note, depth=1, tone=Tone.QUIET)


_OTHERWISE = {
    "not_selected": "series that no model was selected for",
    "model_replaced": "series whose own model failed",
    "not_summed": "series that are in no sum",
}
"""Counts of receipts that are no repairs of the reader."""


def _headline(summary: RunSummary) -> str:
    return f"Run {summary.run_id} {summary.status} in {quantity.duration(summary.elapsed_s)}"


def _facts(summary: RunSummary) -> list[tuple[str, str]]:
    model = " ".join(filter(None, (summary.model, summary.version, ", ".join(summary.specs))))
    facts = [
        ("model", model),
        ("partitions", _counts(summary.partitions) or "none"),
        ("series", _series(summary)),
        ("not by the model", _counts(summary.quarantined)),
        ("mended", _counts({**summary.repairs, **dict.fromkeys(_OTHERWISE, 0), "conflicts": 0})),
        ("by the fallback", _by_fallback(summary.repairs)),
        ("conflicting", _conflicts(summary.repairs.get("conflicts", 0))),
        ("ignored", ", ".join(summary.ignored)),
        ("rows", quantity.count(summary.rows) if summary.rows else ""),
        ("data", _data(summary)),
        ("time in stages", _stages(summary.seconds_by_stage)),
        ("asked of the service", usage_text(summary.usage)),
        ("cost", _cost(summary.cost.get("actual"))),
        ("output", summary.output_url),
        ("table", table_text(summary.table)),
        ("audit", summary.audit_url),
    ]
    return [(name, value) for name, value in facts if value]


def table_text(table: Mapping[str, Any]) -> str:
    """Return what a run has changed in a table; empty without a table."""
    if not table:
        return ""
    written = counted(table["partitions_written"], "partition")
    removed = table["partitions_removed"]
    changes = f"{written} written" + (f", {removed:,} removed" if removed else "")
    if not table["partitions_written"] and not removed:
        changes = "unchanged"
    return f"{table['url']}: {changes}"


def usage_text(usage: Mapping[str, float]) -> str:
    """Return what was used of the service of a model behind an API; empty for other models."""
    counts = {name: int(amount) for name, amount in usage.items() if name != "dollars" and amount}
    texts = [f"{quantity.count(count)} {name.replace('_', ' ')}" for name, count in counts.items()]
    texts += [quantity.dollars(usage["dollars"])] if "dollars" in usage else []
    return ", ".join(texts)


def _series(summary: RunSummary) -> str:
    if not summary.series:
        return ""
    per_second = quantity.rate(summary.series, summary.elapsed_s)
    text = f"{quantity.count(summary.series)} ({per_second} per second)"
    if summary.kept is None:
        return text
    computed = quantity.count(summary.series - summary.kept)
    return f"{text}: {quantity.count(summary.kept)} kept, {computed} computed"


def _by_fallback(repairs: Mapping[str, int]) -> str:
    """Return how many series of a portfolio were forecast by its fallback, and why."""
    texts = (f"{quantity.count(n)} {_OTHERWISE[k]}" for k, n in repairs.items() if k in _OTHERWISE)
    return ", ".join(texts)


def _conflicts(count: int) -> str:
    rows = f"{counted(count, 'row')} with the series and time of another row"
    return f"{rows}, and other values: see --duplicates" if count else ""


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
    """Return the sum of a bill as text; hours alone if no price is known."""
    if not bill:
        return ""
    if bill["dollars"] is None:
        machine = bill["machines"][0] if bill["machines"] else {"instance": "-", "purchase": "-"}
        spent = quantity.duration(bill["hours"] * 3600)
        return f"{spent} of {machine['instance']}, {machine['purchase']}: no price is known"
    text = f"{quantity.dollars(bill['dollars'])} for {quantity.duration(bill['hours'] * 3600)}"
    if bill["dollars_per_million_series"] is not None:
        text += f", {quantity.dollars(bill['dollars_per_million_series'])} per million series"
    if bill["unpriced_hours"]:
        text += f", and {quantity.duration(bill['unpriced_hours'] * 3600)} without a price"
    return f"{text} (prices of {bill['prices_as_of']})"
