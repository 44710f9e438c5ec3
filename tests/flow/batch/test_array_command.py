"""Array runs from the command line, and the program of a child: output and exit codes."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gigacast.batch.aws import BatchService
from gigacast.batch.submit import Submission, submit_run
from gigacast.batch.watch import ArrayProgress
from gigacast.cli.program import run
from gigacast.core.exit import EXIT_USAGE
from gigacast.forecasting.prepare import prepare, prepare_array
from gigacast.job.batch_options import ChildOrder
from gigacast.lake.plan.audit import read_audit
from gigacast.settings.assembly import array_options_of, job_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store
from handler import batch as child
from tests.support.local_batch import LocalBatch
from tests.support.moto_server import MotoServer
from tests.support.panels import hourly_panel, put_frame, put_panels


@pytest.fixture
def batch(server: MotoServer) -> Iterator[LocalBatch]:
    with LocalBatch() as batch:
        yield batch


@pytest.fixture
def store(server: MotoServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Store:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gigacast.batch.watch.FIRST_POLL_S", 0.1)
    store = open_store(server.new_address())
    put_panels(store, ("2024-01",), parts=3)
    return store


def flags(store: Store, *more: str) -> list[str]:
    return ["--bucket", store.address.url, "--model", "seasonal-naive", "--horizon", "6", *more]


def submitted(capsys: pytest.CaptureFixture[str]) -> str:
    run_id: str = json.loads(capsys.readouterr().out)["run_id"]
    return run_id


def test_the_job_runs_on_batch_by_one_flag_and_a_rerun_has_nothing_to_do(
    store: Store, batch: LocalBatch, capsys: pytest.CaptureFixture[str]
) -> None:
    array = flags(store, "--executor", "batch", "--children", "2")
    assert run([*array, "--dry_run"]) == 0
    assert [*store.list("plans/")] == []
    capsys.readouterr()
    assert run(array) == 0
    out, err = capsys.readouterr()
    assert "3 partitions over 2 children in gigacast-cpu" in out
    assert "partitions      3 done" in out
    assert "children          2, 2 attempts" in out
    assert "children: 2 succeeded" in err
    assert run(array) == 0
    assert capsys.readouterr().out == "nothing to do: 3 partitions are done\n"


def test_json_lines_report_the_start_and_the_end_of_an_array_run(
    store: Store, batch: LocalBatch, capsys: pytest.CaptureFixture[str]
) -> None:
    array = flags(store, "--executor", "batch", "--children", "2")
    assert run([*array, "--log", "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["planned", "closed"]
    assert lines[0]["PartitionsPending"] == 3
    assert (lines[1]["status"], lines[1]["totals"]["partitions"]) == ("completed", 3)


def test_items_that_span_parts_are_named_by_submit_and_by_watch_and_the_run_goes_on(
    store: Store, batch: LocalBatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("3", "4"):
        put_frame(store, f"2024/01/part-{part}.parquet", hourly_panel())
    assert run(["submit", *flags(store, "--children", "2")]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "share items, such as 'a', and are forecast apart" in text
    assert "5 partitions over 2 children" in text
    run_id = next(word for word in text.split() if word.startswith("forecast_")).rstrip(":")
    assert run(["watch", run_id, "--bucket", store.address.url]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "share items, such as 'a'" in out
    assert "partitions 5 done" in out


def test_submit_returns_at_once_and_watch_closes_the_run(
    store: Store, batch: LocalBatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["submit", *flags(store, "--children", "2", "--json")]) == 0
    run_id = submitted(capsys)
    assert run(["watch", run_id, "--bucket", store.address.url, "--json"]) == 0
    out, err = capsys.readouterr()
    assert (json.loads(out)["partitions"]["done"], err) == (3, "")
    assert run(["logs", run_id, "1", "--bucket", store.address.url, "--lines", "1"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("child 1: SUCCEEDED, 1 attempt, gigacast-cpu/default/")
    assert json.loads(out.splitlines()[1])["event"] == "closed"
    assert run(["logs", run_id, "--bucket", store.address.url]) == 0
    assert f"no child of {run_id} failed" in capsys.readouterr().err


def test_status_closes_a_run_that_nobody_watched(
    store: Store, batch: LocalBatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["submit", *flags(store, "--children", "1", "--json")])
    run_id = submitted(capsys)
    batch.wait()
    assert read_audit(store, run_id).end_time is None
    assert run(["status", *flags(store, "--json")]) == 0
    (listed_run,) = json.loads(capsys.readouterr().out)["runs"]
    assert (listed_run["status"], listed_run["files_processed"]) == ("completed", 3)
    assert (listed_run["array"]["children"], listed_run["array"]["attempts"]) == (1, 1)


def test_cancel_ends_a_run_and_says_so(
    store: Store, batch: LocalBatch, capsys: pytest.CaptureFixture[str]
) -> None:
    batch.pause()
    run(["submit", *flags(store, "--children", "2", "--json")])
    run_id = submitted(capsys)
    assert run(["cancel", run_id, "--bucket", store.address.url]) == 0
    assert run_id in capsys.readouterr().out
    assert run(["watch", run_id, "--bucket", store.address.url, "--quiet"]) == 130
    assert read_audit(store, run_id).status == "interrupted"
    assert run(["cancel", run_id, "--bucket", store.address.url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "interrupted"


def test_a_model_gives_the_same_bits_on_batch_and_here(
    store: Store, server: MotoServer, batch: LocalBatch
) -> None:
    local = open_store(server.new_address())
    put_panels(local, ("2024-01",), parts=3)
    nano = ["--model", "gigacast-bolt-nano", "--precision", "float32", "--horizon", "6", "--quiet"]
    # Few series are forecast without torch where nobody says otherwise; an array never is.
    nano += ["--model_engine", "torch"]
    array = ["--executor", "batch", "--children", "1"]
    assert run(["--bucket", store.address.url, *nano, *array]) == 0
    assert run(["--bucket", local.address.url, *nano]) == 0
    forecasts, expected = (
        {
            entry.key: folder.get(entry.key)
            for page in folder.list("forecasts/")
            for entry in page
            if not entry.key.endswith("_manifest.parquet")
        }
        for folder in (store, local)
    )
    # The metadata names the inputs' ETags, which are the same: the content is.
    assert len(forecasts) == 3
    assert forecasts == expected


def test_auto_is_bfloat16_in_an_array_whatever_machine_plans(store: Store) -> None:
    options = {"bucket": store.address.url, "model": "gigacast-bolt-nano", "horizon": 6}
    auto = prepare_array(job_of(load_settings(nest_arguments(options))))
    prepared = prepare(job_of(load_settings(nest_arguments({**options, "precision": "bfloat16"}))))
    assert (auto.info.precision, auto.spec) == ("bfloat16", prepared.spec)


@pytest.mark.parametrize("answer", ["leave", "cancel", None])
def test_ctrl_c_asks_whether_to_leave_the_run_or_cancel_it(
    store: Store,
    batch: LocalBatch,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: str | None,
) -> None:
    def interrupt(self: object, now: ArrayProgress) -> None:
        raise KeyboardInterrupt

    batch.pause()
    monkeypatch.setattr("gigacast.cli.batch._move", interrupt)
    monkeypatch.setattr("sys.stdin.isatty", lambda: answer is not None)
    monkeypatch.setattr("click.prompt", lambda *_, **__: answer)
    assert run(flags(store, "--executor", "batch", "--children", "2")) == 130
    errors = capsys.readouterr().err
    (head,) = store.list_folder("plans/").objects
    run_id = head.key.split("/")[1].removesuffix(".json")
    if answer == "cancel":
        assert f"{run_id} is cancelled" in errors
    else:
        assert f"{run_id} goes on; gigacast watch {run_id} --bucket {store.address.url}" in errors
    cancelled = "cancelled_at" in read_audit(store, run_id).plan["array"]
    assert cancelled is (answer == "cancel")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["watch", "no_such_run"], "no run no_such_run under s3://"),
        (["logs", "no_such_run", "7"], "no run no_such_run under s3://"),
        (["submit", "--model", "seasonal-naive", "--stack", "other"], "other-cpu does not exist"),
        (["submit", "--model", "/tmp"], "/tmp: no config.json"),
        (["submit", "--children", "0"], "children"),
        (["submit", "--queue", "tpu"], "tpu"),
        (["submit", "--stack", "_x"], "--stack"),
    ],
)
def test_a_mistake_is_reported_in_a_single_line(
    store: Store, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run([*arguments, "--bucket", store.address.url]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.startswith("gigacast: ")
    assert len(err.splitlines()) <= 2


def test_missing_credentials_and_a_local_folder_are_reported_in_a_single_line(
    store: Store,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run(["submit", "--bucket", f"file://{tmp_path}"]) == 2
    assert "out of reach of other machines" in capsys.readouterr().err
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    assert run(["submit", *flags(store)]) == 2
    assert "credentials" in capsys.readouterr().err


# -- the program of a child ------------------------------------------------------------------------


def submission(store: Store, batch: LocalBatch, **options: object) -> tuple[Submission, list[str]]:
    batch.pause()
    arguments = {
        "bucket": store.address.url,
        "model": "seasonal-naive",
        "horizon": 6,
        "children": 1,
    }
    settings = load_settings(nest_arguments(arguments))
    chosen = replace(array_options_of(settings), **options)  # type: ignore[arg-type]
    submission_record = submit_run(job_of(settings), chosen, BatchService("us-east-1"))
    array = read_audit(store, submission_record.run_id).plan["array"]
    order = ChildOrder(store.address, submission_record.run_id, array["digest"])  # type: ignore[index]
    return submission_record, list(order.command())


def test_a_child_refuses_a_plan_that_was_changed_under_it(
    store: Store, batch: LocalBatch, capsys: pytest.CaptureFixture[str]
) -> None:
    submitted_run, command = submission(store, batch)
    key = f"plans/{submitted_run.run_id}.json"
    store.put(key, store.get(key).replace(b'"horizon":6', b'"horizon":7'))
    assert child.main(command, {}) == EXIT_USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert "PlanError" in line
    assert "is not the one this job was started with" in line
    assert [*store.list("forecasts/")] == []


def test_a_child_refuses_an_expired_plan_and_a_new_run_continues(
    store: Store, batch: LocalBatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, command = submission(store, batch, valid_for=timedelta(0))
    assert child.main(command, {}) == EXIT_USAGE
    assert "expired at" in capsys.readouterr().err
    _, command = submission(store, batch)
    assert child.main(command, {}) == 0


def test_a_child_without_an_order_is_reported_in_a_single_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert child.main([], {}) == EXIT_USAGE
    assert "not the arguments of a child: no arguments" in capsys.readouterr().err


def test_a_child_logs_json_lines_with_run_child_and_attempt(
    store: Store, batch: LocalBatch, capsys: pytest.CaptureFixture[str]
) -> None:
    submitted_run, command = submission(store, batch)
    assert child.main(command, {"AWS_BATCH_JOB_ATTEMPT": "2"}) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["finished"] * 3 + ["closed"]
    assert {(line["run"], line["child"], line["attempt"]) for line in lines} == {
        (submitted_run.run_id, 0, 2)
    }
    assert child.main(command, dict(os.environ)) == 0
    again = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    assert again == ["closed"]
    summary = read_audit(store, f"{submitted_run.run_id}/0")
    assert (summary.files_processed, len(summary.plan["attempts"])) == (3, 2)  # type: ignore[arg-type]
