"""What machines read of a run: a JSON line per event, with CloudWatch metrics embedded in it.

`Telemetry` hears what a run tells (`RunEvents`) and writes one line for each event to a stream.
Lines that carry figures are also metrics, in CloudWatch's embedded metric format: the log agent of
AWS turns them into metrics, and everywhere else they are plain JSON. Nothing is sent from here.

Source of the format: *CloudWatch User Guide, Specification: Embedded metric format*.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Literal, TextIO

from gigacast.core.partition.task import Task
from gigacast.job.run import Totals
from gigacast.lake.plan.audit import FAILED, Clock
from gigacast.lake.plan.planner import Plan
from gigacast.lake.plan.receipt import Receipt
from gigacast.runtime.executor import Failure

NAMESPACE = "Gigacast"
Level = Literal["info", "error"]
Unit = Literal["Count", "Count/Second", "Seconds", "Bytes"]
Metrics = Mapping[str, tuple[float, Unit]]

_STAGE_METRICS = {
    "read": "SecondsReading",
    "prepare": "SecondsPreparing",
    "predict": "SecondsPredicting",
    "write": "SecondsWriting",
    "total": "SecondsTotal",
}


@dataclass(frozen=True, slots=True)
class Origin:
    """Who speaks: the fields every line begins with.

    Parameters
    ----------
    run_id : str, optional
        Absent until the plan is made.
    child : int, optional
        Index within an array job.
    attempt : int
        Counted from 1.
    stack : str, optional
        The deployment that the run is of; its metrics are counted apart from others'.
    """

    run_id: str = ""
    child: int | None = None
    attempt: int = 1
    stack: str = ""


def embed_metrics(
    fields: Mapping[str, object],
    metrics: Metrics,
    *,
    at: datetime,
    dimensions: tuple[str, ...],
    scope: tuple[str, ...] = (),
) -> dict[str, object]:
    """Return a log record that is a set of metrics as well.

    Parameters
    ----------
    fields : mapping
        What else the record says; the dimensions are among them.
    metrics : mapping
        Value and unit by name.
    at : datetime
        When it was measured, with its zone.
    dimensions : tuple of str
        Names of fields. The metrics are counted per value of these, and over all of them.
    scope : tuple of str
        Names of fields that they are always counted by.

    Raises
    ------
    ValueError
        When a dimension is no field, or a name is both a field and a metric: the record would
        be dropped by CloudWatch without a word.
    """
    missing = [name for name in (*scope, *dimensions) if not isinstance(fields.get(name), str)]
    twice = sorted(set(fields) & set(metrics))
    if missing or twice:
        raise ValueError(f"dimensions without a text: {missing}; both field and metric: {twice}")
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [[*scope, *dimensions], [*scope]] if dimensions else [[*scope]],
        "Metrics": [{"Name": name, "Unit": unit} for name, (_, unit) in metrics.items()],
    }
    header = {"Timestamp": int(at.timestamp() * 1000), "CloudWatchMetrics": [directive]}
    return {**fields, **{name: value for name, (value, _) in metrics.items()}, "_aws": header}


class Telemetry:
    """Writes a line of JSON for whatever a run tells.

    Parameters
    ----------
    stream : text stream
        Lines go here, each flushed: a process that is killed has said what it did.
    clock : callable
        Gives the time, with its zone.
    origin : Origin
    """

    def __init__(self, stream: TextIO, clock: Clock, origin: Origin = Origin()) -> None:
        self._stream = stream
        self._clock = clock
        self._origin = origin

    def generated(self, partitions: int) -> None:
        """Say how many synthetic partitions were made."""
        self._say("generated", {"partitions": partitions})

    def planned(self, run_id: str, plan: Plan, tasks: int) -> None:
        """Say what was found and what will be done."""
        self._origin = replace(self._origin, run_id=run_id)
        totals = plan.totals
        found = {
            "discovered": plan.discovered,
            "done": totals.done,
            "pending": totals.pending,
            "tasks": tasks,
        }
        self._say("planned", found, {"PartitionsPending": (totals.pending, "Count")})

    def finished(self, receipt: Receipt) -> None:
        """Say what a partition took."""
        fields = {
            "partition": receipt.partition,
            "model": receipt.model,
            "version": receipt.version,
            "spec": receipt.spec,
            "device": receipt.device,
            "output": receipt.output["key"],
            "reasons": dict(receipt.reasons),
        }
        self._say("finished", fields, receipt_metrics(receipt), dimensions=("model",))

    def failed(self, task: Task, failure: Failure) -> None:
        """Say what failed, and why; the traceback is in the audit."""
        fields = {
            "partition": task.partition,
            "spec": task.spec,
            "error": failure.error,
            "message": failure.message,
            "hint": failure.hint,
        }
        self._say("failed", fields, {"PartitionsFailed": (1, "Count")}, level="error")

    def closed(self, status: str, totals: Totals) -> None:
        """Say how a run, or a child of it, ended."""
        level: Level = "error" if status == FAILED else "info"
        self._say("closed", {"status": status, "totals": asdict(totals)}, level=level)

    def _say(
        self,
        event: str,
        fields: Mapping[str, object],
        metrics: Metrics | None = None,
        *,
        level: Level = "info",
        dimensions: tuple[str, ...] = (),
    ) -> None:
        now = self._clock()
        record: dict[str, object] = {
            "time": now.isoformat(timespec="milliseconds"),
            "level": level,
            "event": event,
            "run": self._origin.run_id,
            "child": self._origin.child,
            "attempt": self._origin.attempt,
        }
        scope: tuple[str, ...] = ()
        if self._origin.stack:
            record["stack"], scope = self._origin.stack, ("stack",)
        record |= fields
        if metrics is not None:
            record = embed_metrics(record, metrics, at=now, dimensions=dimensions, scope=scope)
        self._stream.write(json.dumps(record, ensure_ascii=False) + "\n")
        self._stream.flush()


def receipt_metrics(receipt: Receipt) -> dict[str, tuple[float, Unit]]:
    """Return what a receipt measured, under the names of its metrics."""
    quarantined = sum(receipt.reasons.values())
    metrics: dict[str, tuple[float, Unit]] = {
        "PartitionsDone": (1, "Count"),
        "Series": (receipt.series, "Count"),
        "SeriesQuarantined": (quarantined, "Count"),
        "SeriesPerSecond": (round(receipt.series_per_s, 3), "Count/Second"),
        "BytesRead": (receipt.size_bytes, "Bytes"),
        "PeakMemory": (receipt.peak_rss_bytes, "Bytes"),
    }
    for stage, name in _STAGE_METRICS.items():
        if stage in receipt.seconds:
            metrics[name] = (receipt.seconds[stage], "Seconds")
    if receipt.data_age_s is not None:
        metrics["DataAge"] = (receipt.data_age_s, "Seconds")
    return metrics
