"""The summary of a run, on one screen."""

import io
import json
from dataclasses import replace

import pytest

from gigacast.report.markdown import render_markdown
from gigacast.report.summary import (
    FailedPartition,
    RunSummary,
    equal_failures,
    summary_document,
)
from gigacast.report.terminal import render_terminal, show

KEY = "2014/03/EURUSD_1min_h15_2014_03_769b531dbb2ff3cb.parquet"
SUMMARY = RunSummary(
    run_id="20140301T093000-3fa9",
    status="failed",
    elapsed_s=103.2,
    partitions={"done": 38, "skipped": 12, "failed": 2, "superseded": 0},
    model="bolt-mini",
    version="1.0.0",
    specs=("h15-q9-3fa9c2d1",),
    series=1_200_000,
    quarantined={"too_short": 300, "all_null": 20},
    rows=18_000_000,
    read_bytes=1_234_000_000,
    written_bytes=380_000_000,
    seconds_by_stage={"read": 4.2, "predict": 380.4},
    output_url="s3://b/p/forecasts/bolt-mini/1.0.0/h15-q9-3fa9c2d1/",
    audit_url="s3://b/p/audit/20140301T093000-3fa9.json",
    failures=(
        FailedPartition(KEY, "CorruptedFileError", "not Parquet:\nthe footer is missing"),
        FailedPartition("2014/04/part-00042.parquet", "WorkerLostError", "killed by SIGKILL"),
    ),
)


def summary_text(summary: RunSummary, max_failures: int = 10) -> str:
    return render_terminal(summary_document(summary, max_failures))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_summary_of_a_run() -> None:
    assert summary_text(SUMMARY, max_failures=1) == (
        f"""\
Run 20140301T093000-3fa9 failed in 1m 43s
  model             bolt-mini 1.0.0 h15-q9-3fa9c2d1
  partitions        38 done, 12 skipped, 2 failed
  series            1,200,000 (11,628 per second)
  not by the model  300 too_short, 20 all_null
  rows              18,000,000
  data              1.2 GB read, 380 MB written
  time in stages    read 4.20 s, predict 6m 20s
  output            s3://b/p/forecasts/bolt-mini/1.0.0/h15-q9-3fa9c2d1/
  audit             s3://b/p/audit/20140301T093000-3fa9.json
Failed
  {KEY}
      CorruptedFileError: not Parquet: the footer is missing
  ... and 1 more: see the audit"""
    )


def test_a_failure_has_its_hint_below_on_one_line() -> None:
    failed = FailedPartition(KEY, "SchemaError", "no column 'x'", "give\n--targets")
    shown = summary_text(RunSummary("r", "failed", 1.0, failures=(failed,))).splitlines()
    assert shown[-2:] == ["      SchemaError: no column 'x'", "      hint: give --targets"]


def test_a_run_with_nothing_to_do_is_short() -> None:
    assert summary_text(RunSummary("r1", "finished", 0.31, {"skipped": 3})) == (
        "Run r1 finished in 0.31 s\n  partitions  3 skipped"
    )
    assert "partitions  none" in summary_text(RunSummary("r1", "finished", 0.0))


def test_a_pipe_gets_the_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    show(summary_document(SUMMARY), stream)
    assert stream.getvalue() == summary_text(SUMMARY) + "\n"


def test_a_narrow_terminal_gets_colours_and_whole_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    show(summary_document(replace(SUMMARY, output_url="s3://b/[p]/forecasts/")), stream)
    assert f"  {KEY}\n" in stream.getvalue()
    assert "s3://b/[p]/forecasts/\n" in stream.getvalue()
    assert "\x1b[1;31mRun" in stream.getvalue()


def test_the_summary_is_json() -> None:
    payload = json.loads(json.dumps(SUMMARY.to_json()))
    assert payload["series_per_second"] == 11627.907
    assert payload["partitions"]["done"] == 38
    assert payload["failures"][0]["partition"] == KEY


def failures(count: int, message: str) -> tuple[FailedPartition, ...]:
    names = [f"2024/{n:02d}/part-{n}" for n in range(1, count + 1)]
    return tuple(
        FailedPartition(name, "SchemaError", message.format(name), f"see {name}") for name in names
    )


def test_equal_failures_are_shown_once_with_their_count() -> None:
    many = failures(70, "{}.parquet: there is no column 'x'")
    lost = FailedPartition("2025/01/part-0", "WorkerLostError", "killed by SIGKILL")
    summary = RunSummary("r", "failed", 1.0, failures=(many[0], lost, *many[1:]))
    assert summary_text(summary).splitlines()[2:] == [
        "Failed",
        "  2024/01/part-1 and 69 more, equally",
        "      SchemaError: 2024/01/part-1.parquet: there is no column 'x'",
        "      hint: see 2024/01/part-1",
        "  2025/01/part-0",
        "      WorkerLostError: killed by SIGKILL",
    ]
    assert render_markdown(summary_document(summary)).count("there is no column") == 1
    assert len(summary.to_json()["failures"]) == 71


def test_failures_that_say_different_things_stay_apart() -> None:
    first, second = failures(2, "{}.parquet: 3 rows")
    other = replace(second, message=second.message.replace("rows", "columns"))
    assert [len(group) for group in equal_failures([first, other])] == [1, 1]
    # How many rows or bytes each of them has is in the audit.
    more = replace(second, message=second.message.replace("3 rows", "14,000 rows"))
    assert [len(group) for group in equal_failures([first, more])] == [2]
    # The name of another partition is part of the reason.
    longer = replace(first, partition="2024/01/part-10")
    assert len(equal_failures([first, longer])) == 2


def test_the_keys_of_symbols_are_their_partitions_names() -> None:
    names = ["2014/03/EURUSD_1min_h15", "2014/04/GBPUSD_1min_h15"]
    summaries = [
        FailedPartition(name, "SchemaError", f"{name}_2014_03_769b531dbb2ff3cb.parquet: bad")
        for name in names
    ]
    assert len(equal_failures(summaries)) == 1
