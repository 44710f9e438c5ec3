"""What is served is shown with its age, and its stream with its lag and its garbage."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from gigacast.cli.program import run
from gigacast.errors import DataError, StorageError
from gigacast.feature_store.definition.window_edge import DAY
from gigacast.feature_store.online.freshness import SAMPLES, Freshness
from gigacast.feature_store.online.memory import MemoryOnlineStore
from gigacast.feature_store.stored import all_stored
from gigacast.feature_store.stream.apply import StreamApplier
from gigacast.feature_store.stream.memory import MemoryStream
from gigacast.feature_store.stream.run import StreamMetrics, StreamWatch, run_stream
from gigacast.feature_store.table import Tables
from gigacast.feature_store.trust.status import find_status, status_json, status_records
from tests.support.features.quickstart_store import compile_quickstart, upload_day, write_table

RETURNS, PURCHASES = "quickstart.returns.v1", "quickstart.purchases.v1"
END = 19_693 * DAY  # 2023-12-02
Output = pytest.CaptureFixture[str]


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    lake = tmp_path / "lake"
    row = {"ds": "2023-12-01", "ts": END - 5000, "user_id": "5"}
    write_table(lake, "returns", [{**row, "refund_amt": 3}])
    write_table(lake, "purchases", [{**row, "purchase_price": 8}])
    return compile_quickstart(lake, tmp_path / "repository")


def command(tables: Tables, *words: str) -> int:
    return run(["feature-store", *words, "--bucket", tables.root.url])


def stream(store: MemoryOnlineStore, lines: list[bytes], now: int) -> None:
    applier = StreamApplier(store, RETURNS, "events.returns", clock=lambda: now / 1000)
    run_stream(applier, MemoryStream("events.returns", {"0": lines}))


def event(ts: int) -> bytes:
    return f"{ts},id,5,81,356".encode()


def state_of(store: MemoryOnlineStore, tables: Tables, now: int) -> dict[str, Any]:
    states = find_status(store, all_stored(tables.store), now)
    return {entry["group_by"]: entry for entry in status_json(states)}


def test_batches_have_an_age_and_streams_a_lag(tables: Tables) -> None:
    store = MemoryOnlineStore()
    upload_day(tables, RETURNS, "2023-12-01", store)
    stream(store, [event(END + 1000), b"garbage", event(END + 3000)], now=END + 4000)

    states = state_of(store, tables, END + 10_000)

    assert states[PURCHASES]["state"] == "not uploaded"
    mine = states[RETURNS]
    assert (mine["state"], mine["batch_age_s"]) == ("served", 10.0)
    assert (mine["freshness_s"], mine["lag_s"]) == (7.0, 1.0)
    assert mine["batch"]["day"] == "2023-12-01"
    assert mine["batch"]["served_until"] == END + 3 * DAY
    assert mine["stream"]["garbage"] == 1
    assert mine["stream"]["samples"] == ["0:1: a record of 1 values, not 5"]
    assert state_of(store, tables, END + 3 * DAY + 1)[RETURNS]["state"] == "too old"


def test_garbage_is_counted_over_restarts_and_not_twice(tables: Tables) -> None:
    store = MemoryOnlineStore()
    upload_day(tables, RETURNS, "2023-12-01", store)
    lines = [event(END + 1000), *[b"garbage"] * 7]
    for _ in range(2):
        stream(store, lines, now=END + 4000)
    stream(store, [*lines, b"more"], now=END + 5000)

    mine = state_of(store, tables, END + 10_000)[RETURNS]["stream"]

    assert mine["garbage"] == 8
    assert len(mine["samples"]) == SAMPLES
    assert mine["samples"][-1].startswith("0:8: ")
    assert (mine["newest"], mine["written_ms"]) == (END + 1000, END + 5000)


def test_a_stream_of_garbage_alone_never_stops(tables: Tables) -> None:
    store = MemoryOnlineStore()
    upload_day(tables, RETURNS, "2023-12-01", store)
    lines = [b"\xff\xfe", b"{", b"[" * 5000, b"1,2,3,4,x", b"", b"{}", b'{"ts": 1e400}']
    stream(store, lines, now=END)
    mine = state_of(store, tables, END)[RETURNS]
    assert mine["stream"]["garbage"] == len(lines)
    assert (mine["freshness_s"], mine["stream"]["newest"]) == (None, None)


def test_each_group_by_is_a_line_of_metrics(tables: Tables) -> None:
    store = MemoryOnlineStore()
    upload_day(tables, RETURNS, "2023-12-01", store)
    stream(store, [event(END + 1000)], now=END + 1500)
    states = find_status(store, all_stored(tables.store), END + 2000)
    records: dict[str, Any] = {str(r["group_by"]): r for r in status_records(states)}
    mine = records[RETURNS]
    assert (mine["BatchAge"], mine["Freshness"], mine["StreamLag"]) == (2.0, 1.0, 0.5)
    [directive] = mine["_aws"]["CloudWatchMetrics"]
    assert {entry["Name"] for entry in directive["Metrics"]} == {
        *("BatchAge", "Freshness", "StreamLag", "GarbageRecords", "BatchesTooOld"),
        "StreamsWaiting",
    }
    assert "BatchAge" not in records[PURCHASES]


def test_the_command_ends_with_1_where_a_batch_is_too_old(tables: Tables, capsys: Output) -> None:
    assert command(tables, "status") == 0
    assert "not uploaded" in capsys.readouterr().out
    command(tables, "upload", RETURNS, "--ds", "2023-12-01")
    capsys.readouterr()

    assert command(tables, "status", RETURNS, "--json", "--metrics") == 1

    output = capsys.readouterr()
    [entry] = json.loads(output.out)
    assert (entry["group_by"], entry["state"]) == (RETURNS, "too old")
    assert json.loads(output.err)["BatchesTooOld"] == 1
    assert command(tables, "status", "quickstart.training_set.v2") == 1
    assert "1 of 2 batches are too old" in capsys.readouterr().out


def test_what_the_command_streams_is_shown(
    tables: Tables, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    command(tables, "upload", RETURNS, "--ds", "2023-12-01")
    lines = io.TextIOWrapper(io.BytesIO(event(END + 1) + b"\nnothing\n"))
    monkeypatch.setattr("sys.stdin", lines)
    command(tables, "stream", RETURNS, "--local")
    capsys.readouterr()
    command(tables, "status", RETURNS)
    assert "a record of 1 values, not 5" in capsys.readouterr().out


def test_a_damaged_state_is_named() -> None:
    with pytest.raises(DataError, match="f/a is damaged"):
        Freshness.decode(b"\x01", "f/a")


def test_a_stream_reports_its_lag_and_writes_metrics_by_the_minute(tables: Tables) -> None:
    store = MemoryOnlineStore()
    upload_day(tables, RETURNS, "2023-12-01", store)
    times = iter([0.0, 30.0, 61.0, 70.0, 130.0, 131.0])
    lines: list[Any] = []
    records = [event(END + n) for n in range(1500)] + [b"garbage"]
    source = LagStream("events.returns", {"0": records})
    metrics = StreamMetrics(
        RETURNS, source, lambda line: lines.append(json.loads(line)), clock=times.__next__
    )
    applier = StreamApplier(store, RETURNS, "events.returns", clock=lambda: (END + 4000) / 1000)
    report = run_stream(applier, source, watch=StreamWatch(on_read=metrics))

    content = report.to_json()
    assert (content["applied"], content["behind"], content["lag_ms"]) == (1500, 7, 2501)
    assert [line["RecordsApplied"] for line in lines] == [1000, 500]
    assert [line["RecordsUnreadable"] for line in lines] == [0, 1]
    assert lines[0]["StreamLag"] == 3.001
    assert [line["RecordsBehind"] for line in lines] == [7, 7]
    assert [line["StreamBehind"] for line in lines] == [0.25, 0.25]


class LagStream(MemoryStream):
    """A stream that tells how much of it was not read."""

    def lag(self) -> int:
        return 7

    def lag_ms(self) -> int:
        return 250


def test_a_stream_that_is_gone_tells_no_lag(tables: Tables) -> None:
    store = MemoryOnlineStore()
    upload_day(tables, RETURNS, "2023-12-01", store)
    source = LagStream("events.returns", {"0": [event(END)]})

    def fail() -> int:
        raise StorageError("down")

    source.lag = fail  # type: ignore[method-assign]
    report = run_stream(StreamApplier(store, RETURNS, source.name), source)
    assert (report.behind, report.counts.applied) == (None, 1)
