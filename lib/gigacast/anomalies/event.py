"""Anomalies as JSON lines for machines, with CloudWatch metrics embedded in the last of them."""

from dataclasses import asdict
from typing import TextIO

from gigacast.anomalies.kernel import Kind
from gigacast.anomalies.result import AnomalyReport
from gigacast.core.text import printable_json
from gigacast.job.telemetry import Unit, embed_metrics
from gigacast.lake.plan.audit import Clock

MAX_LINES = 100
"""Series with a line of their own; the dataset has all."""
_METRICS = {
    Kind.SPIKE: "AnomalySpikes",
    Kind.LEVEL_SHIFT: "AnomalyLevelShifts",
    Kind.ZEROS: "AnomalyZeros",
    Kind.STUCK: "AnomalyStuckValues",
    Kind.FLAT: "AnomalyFlatValues",
}


def log_anomalies(report: AnomalyReport, stream: TextIO, clock: Clock) -> None:
    """Write a line for each of the worst series, then one with the counts, which are metrics."""
    for entry in report.worst[:MAX_LINES]:
        record = {"time": _time(clock), "level": "warning", "event": "anomaly", **asdict(entry)}
        stream.write(printable_json(record) + "\n")
    fields: dict[str, object] = {
        "time": _time(clock),
        "level": "warning" if report.count else "info",
        "event": "anomalies",
        "run": report.run_id,
        "basis": report.basis,
        "location": report.location,
        "dataset": report.dataset,
    }
    metrics: dict[str, tuple[float, Unit]] = {
        "Anomalies": (report.count, "Count"),
        "AnomalousSeries": (report.anomalous, "Count"),
        **{name: (report.kinds.get(k.label, 0), "Count") for k, name in _METRICS.items()},
    }
    stream.write(printable_json(embed_metrics(fields, metrics, at=clock(), dimensions=())) + "\n")
    stream.flush()


def _time(clock: Clock) -> str:
    return clock().isoformat(timespec="milliseconds")
