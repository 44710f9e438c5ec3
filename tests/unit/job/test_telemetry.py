"""What machines read of a run."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gigacast.core.partition.task import InputObject, Task
from gigacast.job.telemetry import NAMESPACE, Origin, Telemetry, embed_metrics, receipt_metrics
from gigacast.job.totals import Totals
from gigacast.lake.plan.planner import Plan
from gigacast.lake.plan.receipt import Receipt
from gigacast.runtime.executor import Failure

NOW = datetime(2024, 2, 1, tzinfo=UTC)
RECEIPT = Receipt(
    job="forecast",
    partition="2024/01/part-0",
    run_id="run-1",
    finished_at="2024-02-01T00:00:00+00:00",
    inputs=[{"key": "2024/01/part-0.parquet", "etag": "e", "size_bytes": 100}],
    output={
        "key": "forecasts/m/v/s/2024/01/part-0.parquet",
        "etag": "f",
        "size_bytes": 9,
        "rows": 3,
    },
    rows=30,
    series=10,
    seconds={"read": 0.5, "predict": 1.0, "total": 2.0},
    reasons={"all_null": 1, "too_short": 2},
    model="bolt",
    version="v1",
    digest="d",
    spec="h3-q9-00000000",
    horizon=3,
    newest_timestamp="2024-01-31T23:00:00+00:00",
)
TASK = Task(
    partition="2024/01/part-1",
    month="2024-01",
    inputs=(InputObject("2024/01/part-1.parquet", "e", 1, "parquet"),),
    own=1,
    horizon=3,
    spec="h3-q9-00000000",
    output_key="o",
)


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def telemetry(stream: io.StringIO) -> Telemetry:
    return Telemetry(stream, lambda: NOW, Origin(run_id="run-1", child=7, attempt=2))


def records(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def metrics_of(record: dict[str, Any]) -> dict[str, tuple[float, str]]:
    """Read the metrics as CloudWatch does: names in the header, values at the root."""
    (directive,) = record["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == NAMESPACE
    return {m["Name"]: (record[m["Name"]], m["Unit"]) for m in directive["Metrics"]}


def test_each_event_is_one_line_that_says_run_child_and_attempt(
    stream: io.StringIO, telemetry: Telemetry
) -> None:
    telemetry.generated(3)
    telemetry.planned("run-1", Plan(), 0)
    telemetry.finished(RECEIPT)
    telemetry.failed(TASK, Failure("SchemaError", "no column ä\nhere", "name it", "trace"))
    telemetry.closed("completed", Totals())
    record_list = records(stream)
    assert [r["event"] for r in record_list] == [
        "generated",
        "planned",
        "finished",
        "failed",
        "closed",
    ]
    assert {(r["run"], r["child"], r["attempt"]) for r in record_list} == {("run-1", 7, 2)}
    assert {r["time"] for r in record_list} == {"2024-02-01T00:00:00.000+00:00"}


def test_a_local_run_is_named_once_it_is_planned(stream: io.StringIO) -> None:
    telemetry = Telemetry(stream, lambda: NOW)
    telemetry.generated(1)
    telemetry.planned("run-9", Plan(), 0)
    telemetry.failed(TASK, Failure("ValueError", "x"))
    assert [r["run"] for r in records(stream)] == ["", "run-9", "run-9"]


def test_the_event_of_a_finished_partition_has_its_figures(
    stream: io.StringIO, telemetry: Telemetry
) -> None:
    telemetry.finished(RECEIPT)
    (record,) = records(stream)
    assert record["partition"] == "2024/01/part-0"
    assert record["reasons"] == {"all_null": 1, "too_short": 2}
    assert metrics_of(record) == {
        "PartitionsDone": (1, "Count"),
        "Series": (10, "Count"),
        "SeriesQuarantined": (3, "Count"),
        "SeriesPerSecond": (5.0, "Count/Second"),
        "BytesRead": (100, "Bytes"),
        "PeakMemory": (0, "Bytes"),
        "SecondsReading": (0.5, "Seconds"),
        "SecondsPredicting": (1.0, "Seconds"),
        "SecondsTotal": (2.0, "Seconds"),
        "DataAge": (3600.0, "Seconds"),
    }


def test_metrics_are_counted_by_model_and_in_total(
    stream: io.StringIO, telemetry: Telemetry
) -> None:
    telemetry.finished(RECEIPT)
    (record,) = records(stream)
    assert record["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["model"], []]
    assert record["model"] == "bolt"
    assert record["_aws"]["Timestamp"] == 1_706_745_600_000


def test_the_event_of_a_failure_has_its_reason(stream: io.StringIO, telemetry: Telemetry) -> None:
    telemetry.failed(TASK, Failure("SchemaError", "no column x", "name it"))
    (record,) = records(stream)
    assert metrics_of(record) == {"PartitionsFailed": (1, "Count")}
    assert (record["level"], record["partition"]) == ("error", "2024/01/part-1")
    assert (record["error"], record["message"], record["hint"]) == (
        "SchemaError",
        "no column x",
        "name it",
    )


@pytest.mark.parametrize(("status", "level"), [("completed", "info"), ("failed", "error")])
def test_the_event_of_the_end_has_the_totals(
    stream: io.StringIO, telemetry: Telemetry, status: str, level: str
) -> None:
    totals = Totals()
    totals.add(RECEIPT)
    telemetry.closed(status, totals)
    (record,) = records(stream)
    assert (record["status"], record["level"]) == (status, level)
    assert (record["totals"]["partitions"], record["totals"]["series"]) == (1, 10)


def test_data_without_times_has_no_age() -> None:
    assert "DataAge" not in receipt_metrics(replace(RECEIPT, newest_timestamp=None))


def test_a_record_cloudwatch_would_drop_is_refused() -> None:
    with pytest.raises(ValueError, match="without a text: \\['model'\\]"):
        embed_metrics({"event": "x"}, {"A": (1, "Count")}, at=NOW, dimensions=("model",))
    with pytest.raises(ValueError, match="both field and metric: \\['A'\\]"):
        embed_metrics({"A": "x"}, {"A": (1, "Count")}, at=NOW, dimensions=())


def test_the_figures_of_a_deployment_are_counted_apart(stream: io.StringIO) -> None:
    telemetry = Telemetry(stream, lambda: NOW, Origin("run-1", stack="mine"))
    telemetry.finished(RECEIPT)
    telemetry.failed(TASK, Failure("SchemaError", "no column"))
    finished, failed = records(stream)
    assert finished["stack"] == failed["stack"] == "mine"
    assert finished["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["stack", "model"], ["stack"]]
    assert failed["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["stack"]]
