"""The events of a run as JSON lines for machines, with CloudWatch metrics embedded in them.

`Telemetry` receives the events of a run (`RunEvents`) and writes a line for each to a stream.
Lines that carry figures are also metrics, in CloudWatch's embedded metric format: the log agent of
AWS turns them into metrics, and everywhere else they are plain JSON. Nothing is sent from here.

Source of the format: *CloudWatch User Guide, Specification: Embedded metric format*.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, TextIO

from gigacast.core.partition.task import Task
from gigacast.core.text import printable_json
from gigacast.job.totals import Totals
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
    """The fields of every line that name its run, child, attempt and deployment.

    Parameters
    ----------
    run_id : str, optional
        Id of the run; empty until the plan is made.
    child : int, optional
        Index within an array job.
    attempt : int
        Counted from 1.
    stack : str, optional
        Deployment of the run, none by default. Metrics are counted for each deployment.
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
        Other fields of the record; the dimensions are among them.
    metrics : mapping
        Value and unit by name.
    at : datetime
        Time of the measurement, with its zone.
    dimensions : tuple of str
        Names of fields. The metrics are counted per value of these fields, and over all values.
    scope : tuple of str
        Names of fields by whose values the metrics are always counted.

    Raises
    ------
    ValueError
        If a dimension is not a field with a text, or a name is both a field and a metric:
        CloudWatch would drop the record silently.
    """
    missing = [name for name in (*scope, *dimensions) if not isinstance(fields.get(name), str)]
    twice = sorted(set(fields) & set(metrics))
    if missing or twice:
        raise ValueError(f"dimensions without a text: {missing}; both field and metric: {twice}")
    # Each list of dimensions is a metric of its own in CloudWatch, which does not add them up.
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [[*scope, *dimensions], [*scope]] if dimensions else [[*scope]],
        "Metrics": [{"Name": name, "Unit": unit} for name, (_, unit) in metrics.items()],
    }
    # CloudWatch takes milliseconds since 1970.
    header = {"Timestamp": int(at.timestamp() * 1000), "CloudWatchMetrics": [directive]}
    return {**fields, **{name: value for name, (value, _) in metrics.items()}, "_aws": header}


class Telemetry:
    """Writes a line of JSON for each event of a run.

    Parameters
    ----------
    stream : text stream
        Receives the lines. Each is flushed, so that the lines of a killed process are not lost.
    clock : callable
        Returns the current time, with its zone.
    origin : Origin
    """

    def __init__(self, stream: TextIO, clock: Clock, origin: Origin = Origin()) -> None:
        self._stream = stream
        self._clock = clock
        self._origin = origin

    def generated(self, partitions: int) -> None:
        """Write how many missing synthetic partitions were made."""
        self._write("generated", {"partitions": partitions})

    def of_model(self, name: str) -> None:
        """Log nothing: jobs over several models, which are compared, have no log."""

    def planned(self, run_id: str, plan: Plan, tasks: int) -> None:
        """Write the counts of the plan."""
        self._origin = replace(self._origin, run_id=run_id)
        totals = plan.totals
        counts = {
            "discovered": plan.discovered,
            "done": totals.done,
            "pending": totals.pending,
            "tasks": tasks,
        }
        self._write("planned", counts, {"PartitionsPending": (totals.pending, "Count")})

    def finished(self, receipt: Receipt) -> None:
        """Write the measurements of a finished partition."""
        fields = {
            "partition": receipt.partition,
            "model": receipt.model,
            "version": receipt.version,
            "spec": receipt.spec,
            "device": receipt.device,
            "output": receipt.output["key"],
            "reasons": dict(receipt.reasons),
        }
        self._write("finished", fields, receipt_metrics(receipt), dimensions=("model",))

    def failed(self, task: Task, failure: Failure) -> None:
        """Write the error of a failed partition; its traceback is in the audit."""
        fields = {
            "partition": task.partition,
            "spec": task.spec,
            "error": failure.error,
            "message": failure.message,
            "hint": failure.hint,
        }
        self._write("failed", fields, {"PartitionsFailed": (1, "Count")}, level="error")

    def waiting(self, message: str) -> None:
        """Write that the run waits for a store, or goes on after a wait."""
        self._write("waiting", {"message": message})

    def closed(self, status: str, totals: Totals) -> None:
        """Write the status and totals at the end of a run, or of a child of it."""
        level: Level = "error" if status == FAILED else "info"
        self._write("closed", {"status": status, "totals": totals.describe()}, level=level)

    def _write(
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
        # Two deployments in an account would add up to the same metrics without it.
        if self._origin.stack:
            record["stack"], scope = self._origin.stack, ("stack",)
        record |= fields
        if metrics is not None:
            record = embed_metrics(record, metrics, at=now, dimensions=dimensions, scope=scope)
        self._stream.write(printable_json(record) + "\n")
        self._stream.flush()


def receipt_metrics(receipt: Receipt) -> dict[str, tuple[float, Unit]]:
    """Return the measurements of a receipt as metrics: value and unit by name."""
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
