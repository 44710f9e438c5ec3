"""Documents of reports: a run in one screen, and what is behind it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gigacast.core.mark import moment_of
from gigacast.core.plural import counted
from gigacast.lake.layout import audit_key, version_prefix
from gigacast.lake.plan.audit import Audit
from gigacast.report import quantity
from gigacast.report.document import (
    Block,
    Column,
    Document,
    Fact,
    Heading,
    Items,
    KeyValues,
    Kind,
    Link,
    Links,
    Paragraph,
    Table,
    Tile,
    Tiles,
    Tone,
)
from gigacast.report.html.page import Frame
from gigacast.report.summary import FailedPartition, failure_items, usage_text
from gigacast.reporting.accuracy import accuracy_blocks
from gigacast.reporting.anomaly import anomaly_blocks
from gigacast.reporting.drift import drift_blocks, drift_tile
from gigacast.reporting.outcome import result_key
from gigacast.reporting.picture import worst_blocks
from gigacast.reporting.run import Freshness, RunReport, counts_of, total_of

TONES = {
    "completed": Tone.GOOD,
    "interrupted": Tone.WARNING,
    "running": Tone.WARNING,
    "failed": Tone.BAD,
}
KINDS = {
    "forecast": "Forecast run",
    "backtest": "Backtest run",
    "quality": "Quality run",
    "clean": "Cleaning run",
    "anomalies": "Anomaly run",
    "evaluate": "Evaluation run",
    "bucket": "Bucket run",
    "backfill": "Backfill run",
    "upload": "Upload run",
}
_MOST_FAILURES = 10
_REASONS = {
    "too_short": "too short",
    "all_null": "no values",
    "no_future": "no known future",
}


def run_document(report: RunReport) -> Document:
    """Return a run as a document: its headline numbers, then what is behind them."""
    audit, outcome = report.audit, report.outcome or Document(())
    # The headline numbers of a result stand before those of its run.
    headlines = [
        tile for block in outcome.content if isinstance(block, Tiles) for tile in block.tiles
    ]
    blocks = (
        Tiles((*headlines, *_tiles(report))),
        *_nothing_pending(report),
        *_failures(audit),
        *(block for block in outcome.content if not isinstance(block, Tiles)),
        *worst_blocks(report.series, report.ranked),
        *anomaly_blocks(report.anomalies),
        *accuracy_blocks(report.evaluation or {}),
        *drift_blocks(report.drift),
        *_counted("Not by the model", "reason", "series", counts_of(audit, "reasons")),
        *_counted("Mended by the reader", "repair", "rows", counts_of(audit, "repairs")),
        *_changes(report),
        *_stages(audit),
        *_usage(audit),
        *_costs(audit),
        *_made_with(report),
        Heading("Keys"),
        Links(tuple(_links(audit))),
    )
    return Document(blocks, audit.session_id, TONES.get(audit.status, Tone.PLAIN))


def run_frame(report: RunReport, *, has_siblings: bool = True) -> Frame:
    """Return what stands around the document of a run on its page."""
    audit = report.audit
    start = moment_of(audit.start_time)
    when = f"{start.day} {start:%b %Y, %H:%M} UTC"
    took = f"{when} · {quantity.duration(audit.elapsed_s)}" if audit.end_time else when
    kind = KINDS.get(audit.job, f"{audit.job.capitalize()} run")
    return Frame(kind, audit.state, f"{took} · {report.url}", has_siblings)


def _tiles(report: RunReport) -> Iterator[Tile]:
    audit = report.audit
    series = total_of(audit, "series")
    if series and report.outcome is None:
        speed = f"{quantity.rate(series, audit.elapsed_s)} per second"
        yield Tile("Series", series, Kind.COUNT, speed, history=_history(report, "series"))
    failed = audit.files_failed
    counts = {"skipped": audit.files_skipped, "failed": failed}
    note = ", ".join(f"{quantity.count(n)} {name}" for name, n in counts.items() if n)
    tone = Tone.BAD if failed else Tone.PLAIN
    note = note or ("none failed" if audit.end_time else "counted when the run ends")
    yield Tile("Partitions done", audit.files_processed, Kind.COUNT, note, tone)
    if series and audit.job == "forecast":
        share, count = report.fallbacks / series, report.fallbacks
        tone = Tone.WARNING if count else Tone.PLAIN
        yield Tile("Not by the model", share, Kind.PERCENT, f"{quantity.count(count)} series", tone)
    if report.freshness is not None:
        yield _freshness_tile(report.freshness)
    if report.drift is not None:
        yield drift_tile(report.drift)
    if (accuracy := _accuracy(report.evaluation)) is not None:
        yield Tile("WQL", accuracy, Kind.NUMBER, "of the latest evaluation")
    if report.anomalies is not None:
        count, series = report.anomalies["anomalies"], report.anomalies["anomalous_series"]
        tone = Tone.WARNING if count else Tone.PLAIN
        yield Tile("Anomalies", count, Kind.COUNT, f"in {series:,} series", tone)
    yield from _cost_tiles(report)
    if written := total_of(audit, "bytes_written"):
        rows = counted(total_of(audit, "rows_written"), "row")
        yield Tile("Written", written, Kind.SIZE, rows)


def _history(report: RunReport, name: str) -> tuple[float, ...]:
    values = [float(total_of(audit, name)) for audit in (*report.earlier, report.audit)]
    return tuple(values) if len(values) > 1 else ()


def _freshness_tile(freshness: Freshness) -> Tile:
    newest = moment_of(freshness.newest)
    when = f"newest value {newest.day} {newest:%b %Y, %H:%M}"
    if freshness.age_s < 0:
        return Tile("Data age", "in the future", Kind.TEXT, when, Tone.WARNING)
    days = int(freshness.age_s // 86_400)
    if days >= 2:
        return Tile("Data age", f"{days:,} days", Kind.TEXT, when)
    return Tile("Data age", freshness.age_s, Kind.DURATION, when)


def _accuracy(evaluation: Mapping[str, Any] | None) -> float | None:
    for entry in (evaluation or {}).get("version", ()):
        if isinstance(wql := entry.get("wql"), int | float):
            return float(wql)
    return None


def _cost_tiles(report: RunReport) -> Iterator[Tile]:
    actual, predicted = _dollars(report.audit)
    if actual is None and predicted is None:
        return
    note = f"{quantity.dollars(predicted)} predicted" if predicted is not None else ""
    if actual is None:
        yield Tile("Cost predicted", predicted, Kind.DOLLARS)
        return
    bills = [_dollars(audit)[0] for audit in (*report.earlier, report.audit)]
    history = tuple(bill for bill in bills if bill is not None)
    yield Tile("Cost", actual, Kind.DOLLARS, note, history=history if len(history) > 1 else ())


def _dollars(audit: Audit) -> tuple[float | None, float | None]:
    """Return the dollars of a run, and those that were predicted; ``None`` where unknown."""
    bill, quotes = audit.cost.get("actual"), audit.cost.get("predicted")
    actual = bill.get("dollars") if isinstance(bill, dict) else None
    first = quotes[0] if isinstance(quotes, list) and quotes else None
    predicted = first.get("dollars") if isinstance(first, dict) else None
    return _number(actual), _number(predicted)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _nothing_pending(report: RunReport) -> tuple[Block, ...]:
    audit = report.audit
    if audit.job != "forecast" or audit.files_processed or audit.files_failed or not report.ranked:
        return ()
    # A run that was interrupted or killed had tasks, whatever it counted.
    if audit.plan.get("tasks"):
        return ()
    return (Paragraph("Nothing was pending: the forecasts are those of earlier runs.", Tone.QUIET),)


def _failures(audit: Audit) -> tuple[Block, ...]:
    if not audit.failures:
        return ()
    failures = tuple(
        FailedPartition(
            str(entry.get("partition", "the run")),
            str(entry.get("error", "")),
            str(entry.get("message", "")),
            str(entry["hint"]) if entry.get("hint") else None,
        )
        for entry in audit.failures
    )
    # Its first line is the heading.
    return Heading("Failed"), Items(tuple(failure_items(failures, _MOST_FAILURES))[1:])


def _counted(title: str, name: str, unit: str, counts: Mapping[str, int]) -> tuple[Block, ...]:
    if not counts:
        return ()
    rows = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    columns = (Column(name), Column(unit, Kind.COUNT, has_bar=True))
    table = Table(columns, tuple((_REASONS.get(k, k.replace("_", " ")), n) for k, n in rows))
    return Heading(title), table


def _changes(report: RunReport) -> tuple[Block, ...]:
    """Return how the numbers of a run differ from those of the run before it."""
    if not report.earlier or not report.audit.files_processed:
        return ()
    before, now = report.earlier[-1], report.audit
    rows = [
        (title, total_of(before, name), total_of(now, name), _drift(before, now, name))
        for title, name in (("series", "series"), ("rows read", "rows"), ("bytes", "bytes_read"))
        if total_of(before, name) or total_of(now, name)
    ]
    if not rows:
        return ()
    columns = (
        Column(""),
        Column("before", Kind.COUNT, label=before.session_id),
        Column("now", Kind.COUNT),
        Column("change", Kind.TEXT, align="right"),
    )
    return Heading("Change since the run before"), Table(columns, tuple(rows))


def _drift(before: Audit, now: Audit, name: str) -> str:
    old, new = total_of(before, name), total_of(now, name)
    return f"{new / old - 1:+.1%}" if old else ""


def _stages(audit: Audit) -> tuple[Block, ...]:
    seconds = audit.totals.get("seconds")
    if not isinstance(seconds, dict) or not seconds:
        return ()
    rows = [(name, float(spent)) for name, spent in seconds.items() if name != "total"]
    columns = (Column("stage"), Column("time", Kind.DURATION, has_bar=True))
    note = Paragraph("Summed over processes; stages overlap.", Tone.QUIET)
    return Heading("Time"), Table(columns, tuple(rows)), note


def _usage(audit: Audit) -> tuple[Block, ...]:
    """Return what was used of the service of a model behind an API."""
    usage = audit.totals.get("usage")
    if not isinstance(usage, dict) or not usage:
        return ()
    return Heading("Asked of the service"), Paragraph(usage_text(usage))


def _costs(audit: Audit) -> tuple[Block, ...]:
    """Return the cost that was predicted and the cost of the run, side by side."""
    quotes, bill = audit.cost.get("predicted"), audit.cost.get("actual")
    quote = quotes[0] if isinstance(quotes, list) and quotes else {}
    bill = bill if isinstance(bill, dict) else {}
    if not quote and not bill:
        return ()
    rows = [
        ("dollars", *_pair(quote, bill, "dollars", "dollars", quantity.dollars)),
        (
            "per million series",
            *_pair(
                quote, bill, "dollars_per_million", "dollars_per_million_series", quantity.dollars
            ),
        ),
        ("machine time", *_pair(quote, bill, "hours", "hours", _hours)),
    ]
    columns = (Column(""), *(Column(n, align="right") for n in ("predicted", "actual")))
    dated = bill.get("prices_as_of") or quote.get("prices_as_of")
    note = (Paragraph(f"Prices of {dated}.", Tone.QUIET),) if dated else ()
    return Heading("Cost"), Table(columns, tuple(rows)), *note


def _pair(
    quote: Mapping[str, Any], bill: Mapping[str, Any], predicted: str, actual: str, write: Any
) -> tuple[str, str]:
    values = (_number(quote.get(predicted)), _number(bill.get(actual)))
    first, second = ("unknown" if value is None else write(value) for value in values)
    return first, second


def _hours(hours: float) -> str:
    return quantity.duration(hours * 3600)


def _made_with(report: RunReport) -> tuple[Block, ...]:
    audit = report.audit
    specs = audit.plan.get("specs")
    first: Mapping[str, Any] = next(iter(specs.values()), {}) if isinstance(specs, dict) else {}
    levels = first.get("levels")
    facts = [
        Fact("model", " ".join(str(first[n]) for n in ("model", "version") if first.get(n))),
        Fact("spec", ", ".join(sorted(specs)) if isinstance(specs, dict) else "", Kind.KEY),
        Fact("horizon", f"{first['horizon']} steps" if first.get("horizon") else ""),
        Fact("levels", ", ".join(map(str, levels)) if isinstance(levels, list) else ""),
        Fact("inputs", _text(audit.settings.get("inputs")), Kind.KEY),
        Fact("outputs", _text(audit.settings.get("outputs")), Kind.KEY),
        Fact("software", _versions(audit.software)),
        Fact("host", _text(audit.host.get("name"))),
    ]
    return Heading("Made with"), KeyValues(tuple(fact for fact in facts if fact.value))


def _text(value: object) -> str:
    return str(value) if value is not None else ""


def _versions(software: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in software.items())


def _links(audit: Audit) -> Iterator[Link]:
    yield Link("Audit", audit_key(audit.session_id))
    if (result := result_key(audit)) is not None:
        yield Link("Result", f"{result}.json")
    specs = audit.plan.get("specs")
    if audit.job != "forecast" or not isinstance(specs, dict):
        return
    folders: Sequence[str] = [
        f"{version_prefix(str(entry.get('model')), str(entry.get('version')))}{spec}/"
        for spec, entry in sorted(specs.items())
    ]
    for folder in folders[:3]:
        yield Link("Manifest of the predictions", f"{folder}_manifest.parquet")
