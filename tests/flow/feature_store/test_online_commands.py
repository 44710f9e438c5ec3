"""Upload, fetch and stream by the command line and from Python, over a store in SQLite."""

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from gigacast.cli.program import run
from gigacast.errors import DataError, DataNotFoundError
from gigacast.feature_store import (
    Request,
    fetch_group_by,
    fetch_join,
    fetch_join_async,
    open_fetcher,
    open_request_log,
    upload,
    upload_metadata,
)
from gigacast.feature_store.definition.window_edge import DAY
from gigacast.job.audit import PlannedJob
from gigacast.job.outage import Outage
from gigacast.job.run import RunEvents, outage_of
from tests.support.features.quickstart_store import compile_quickstart, write_table

RETURNS, JOIN = "quickstart.returns.v1", "quickstart.training_set.v2"
SUM = "quickstart_returns_v1_refund_amt_sum_3d"
END = 19_693 * DAY  # 2023-12-02
Output = pytest.CaptureFixture[str]


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Return a lake with a day of returns and purchases, and compiled definitions."""
    lake = tmp_path / "lake"
    row = {"ds": "2023-12-01", "ts": END - 5000, "user_id": "5"}
    write_table(lake, "returns", [{**row, "refund_amt": 3}])
    write_table(lake, "purchases", [{**row, "purchase_price": 8}])
    compile_quickstart(lake, tmp_path / "repository")
    return lake


def command(*words: str, lake: Path) -> int:
    return run(["feature-store", *words, "--bucket", f"file://{lake}"])


def answer(output: Output) -> Any:
    return json.loads(output.readouterr().out)


def test_a_join_is_uploaded_and_fetched(lake: Path, capsys: Output) -> None:
    assert command("upload", JOIN, "--ds", "2023-12-01", "--json", lake=lake) == 0
    uploaded = answer(capsys)
    assert [entry["keys"] for entry in uploaded["uploaded"]] == [1, 1]
    assert uploaded["joins"] == [JOIN]

    keys = '{"user_id": "5"}'
    path = "production/joins/quickstart/training_set.v2"
    assert command("fetch", path, "-k", keys, "--at", str(END), "--json", lake=lake) == 0

    fetched = answer(capsys)
    assert fetched["values"][SUM] == 3
    assert fetched["errors"] == {}
    assert fetched["batch_age_ms"] == 0
    assert (lake / "feature_store/online.sqlite").is_file()


@pytest.mark.parametrize(
    "words", [("upload", RETURNS, "--ds", "2023-12-01"), ("backfill", RETURNS)]
)
def test_jobs_wait_out_an_outage_as_long_as_the_flag_says(
    lake: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    waits: list[float] = []

    def watched(planned: PlannedJob, events: RunEvents) -> Outage:
        waits.append(planned.patience.limit_s)
        return outage_of(planned, events)

    monkeypatch.setattr("gigacast.job.run.outage_of", watched)
    assert command(*words, "--outage_minutes", "3", lake=lake) == 0
    assert waits == [180.0]


def test_several_keys_are_answered_as_a_list(lake: Path, capsys: Output) -> None:
    command("upload", RETURNS, "--ds", "2023-12-01", lake=lake)
    capsys.readouterr()
    keys = '[{"user_id": "5"}, {"user_id": "6"}]'

    assert command("fetch", RETURNS, "--keys", keys, "--at", str(END), "--json", lake=lake) == 0

    assert [entry["values"]["refund_amt_sum_3d"] for entry in answer(capsys)] == [3, None]


def test_a_batch_that_is_too_old_is_named_and_the_exit_code_is_1(
    lake: Path, capsys: Output
) -> None:
    command("upload", RETURNS, "--ds", "2023-12-01", lake=lake)

    assert command("fetch", RETURNS, "-k", '{"user_id": "5"}', lake=lake) == 1

    assert "its batch 2023-12-01 is too old" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("keys", "message"), [("{", "not JSON"), ("[1]", "expected an object"), ("5", "expected")]
)
def test_keys_in_another_form_are_refused(
    lake: Path, capsys: Output, keys: str, message: str
) -> None:
    assert command("fetch", RETURNS, "-k", keys, lake=lake) == 2
    assert f"--keys: {message}" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["upload", RETURNS, "--ds", "soon"], ["upload", RETURNS]])
def test_a_day_that_is_none_is_refused(lake: Path, words: list[str], capsys: Output) -> None:
    assert command(*words, lake=lake) == 2
    assert "--ds" in capsys.readouterr().err


def test_what_is_not_served_is_named_with_the_command_that_serves_it(
    lake: Path, capsys: Output
) -> None:
    assert command("fetch", RETURNS, "-k", "{}", lake=lake) != 0
    assert "neither a join nor a group-by of that name is served" in capsys.readouterr().err


def test_a_join_needs_its_metadata_once(lake: Path, capsys: Output) -> None:
    for name in (RETURNS, "quickstart.purchases.v1"):
        command("upload", name, "--ds", "2023-12-01", lake=lake)
    capsys.readouterr()
    changed = []
    for _ in range(2):
        assert command("upload-metadata", JOIN, "--json", lake=lake) == 0
        changed.append(answer(capsys)["changed"])

    assert changed == [True, False]
    assert command("fetch", JOIN, "-k", '{"user_id": "5"}', "--at", str(END), lake=lake) == 0
    assert f"{SUM}" in capsys.readouterr().out


def test_lines_of_standard_input_change_the_answer(
    lake: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("upload", RETURNS, "--ds", "2023-12-01", lake=lake)
    capsys.readouterr()
    lines = f"{END},F8E3E287,5,81,356\nnonsense\n".encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines)))

    assert command("stream", RETURNS, "--local", "--json", lake=lake) == 0

    counts = answer(capsys)
    assert (counts["applied"], counts["garbage"]) == (1, 1)
    keys, at = '{"user_id": 5}', str(END + 1)
    command("fetch", RETURNS, "-k", keys, "--at", at, "--json", lake=lake)
    assert answer(capsys)["values"]["refund_amt_last2"] == [356, 3]


def test_a_topic_without_a_place_asks_for_it(lake: Path, capsys: Output) -> None:
    command("upload", RETURNS, "--ds", "2023-12-01", lake=lake)

    assert command("stream", RETURNS, lake=lake) == 2

    assert "--stream_url" in capsys.readouterr().err


def test_another_online_store_is_named_by_a_flag_or_a_variable(
    lake: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = f"lmdb:{tmp_path}/online"
    command("upload", RETURNS, "--ds", "2023-12-01", "--online_store", url, lake=lake)
    monkeypatch.setenv("GIGACAST_ONLINE_STORE", url)
    capsys.readouterr()
    keys = '{"user_id": "5"}'

    assert command("fetch", RETURNS, "-k", keys, "--at", str(END), "--json", lake=lake) == 0

    assert answer(capsys)["values"]["refund_amt_sum_3d"] == 3
    assert not (lake / "feature_store/online.sqlite").exists()


@pytest.mark.parametrize("url", ["mongo:db", "sqlite:", "nothing", "dynamodb:no table"])
def test_an_online_store_of_no_known_form_is_refused(lake: Path, capsys: Output, url: str) -> None:
    assert command("fetch", RETURNS, "-k", "{}", "--online_store", url, lake=lake) == 2
    assert "--online_store" in capsys.readouterr().err


def test_features_are_uploaded_and_fetched_from_python(lake: Path) -> None:
    result = upload(JOIN, "2023-12-01", bucket=lake)
    assert len(result.receipts) == 2
    assert upload_metadata(JOIN, bucket=lake) is False
    request = Request(JOIN, {"user_id": "5"}, END)

    assert fetch_join(request, bucket=lake).values[SUM] == 3
    [first, second] = fetch_join([request, request], bucket=lake)
    assert first.values == second.values
    with_group_by = fetch_group_by(Request(RETURNS, {"user_id": "5"}, END), bucket=lake)
    assert with_group_by.values["refund_amt_last2"] == [3]
    fetcher = open_fetcher(bucket=lake)
    [response] = asyncio.run(fetch_join_async([request], fetcher))
    assert response.values == first.values
    assert fetch_join(request, fetcher=fetcher).values == first.values
    fetcher.close()


def test_an_upload_from_python_that_fails_raises(lake: Path) -> None:
    with pytest.raises(DataNotFoundError, match="no compiled definition"):
        upload("quickstart.none.v1", "2023-12-01", bucket=lake)
    upload(RETURNS, "2023-12-01", bucket=lake)
    with pytest.raises(DataError, match="serves a later batch"):
        upload(RETURNS, "2023-11-30", bucket=lake)


def test_a_share_of_the_answers_of_a_join_is_logged(lake: Path, capsys: Output) -> None:
    command("upload", JOIN, "--ds", "2023-12-01", lake=lake)
    keys = '[{"user_id": "5"}, {"user_id": "6"}]'
    logs = lake / "feature_store/logs"

    assert command("fetch", JOIN, "-k", keys, "--at", str(END), lake=lake) == 0
    assert not logs.exists()
    words = ["fetch", JOIN, "-k", keys, "--at", str(END), "--log_share", "1"]
    assert command(*words, lake=lake) == 0

    [file] = logs.rglob("*.parquet")
    assert file.parent == logs / JOIN / "ds=2023-12-02" / "hr=00"
    rows = pq.ParquetFile(file).read().to_pylist()
    assert [json.loads(row["keys"])["user_id"] for row in rows] == ["5", "6"]
    assert [json.loads(row["values"])[SUM] for row in rows] == [3, None]
    assert set(json.loads(rows[0]["batch_ends"]).values()) == {END}


def test_a_fetcher_logs_what_the_settings_or_its_caller_say(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(JOIN, "2023-12-01", bucket=lake)
    request = Request(JOIN, {"user_id": "5"}, END)
    log = open_request_log(bucket=lake)
    fetcher = open_fetcher(bucket=lake, log=log)
    fetcher.fetch_join([request])
    fetcher.close()
    monkeypatch.setenv("GIGACAST_LOG_SHARE", "1")
    fetch_join(request, bucket=lake)

    assert log.counts.written == 1
    assert len([*(lake / "feature_store/logs").rglob("*.parquet")]) == 2
