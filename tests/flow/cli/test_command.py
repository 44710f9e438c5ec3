"""The command line as people use it: what it prints, where it writes, how it exits."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from gigacast.cli.program import program, run
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.commands import commands
from tests.support.moto_server import MotoServer
from tests.support.panels import hourly_panel, put_frame, put_panels

ROOT = Path(__file__).parents[3]
NAIVE = ["--model", "seasonal-naive", "--horizon", "6"]


@pytest.fixture(autouse=True)
def _no_settings_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.fixture
def bucket(tmp_path: Path) -> Store:
    (tmp_path / "bucket").mkdir()
    store = open_store(StoreAddress(f"file://{tmp_path}/bucket"))
    put_panels(store)
    return store


def flags(store: Store) -> list[str]:
    return ["--bucket", store.address.url, *NAIVE]


def keys(store: Store, prefix: str = "") -> list[str]:
    return [entry.key for page in store.list(prefix) for entry in page]


# -- the main command ------------------------------------------------------------------------------


def test_flags_without_a_command_forecast(
    bucket: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(flags(bucket)) == 0
    out, err = capsys.readouterr()
    assert "4 partitions: 0 done, 4 to forecast" in err
    assert "partitions      4 done" in out
    assert run(flags(bucket)) == 0
    assert "4 skipped" in capsys.readouterr().out


def test_hyphens_and_underscores_both_work(bucket: Store) -> None:
    assert run([*flags(bucket), "--dry-run", "--n-jobs", "1", "--context-length=24"]) == 0
    assert run([*flags(bucket), "--dry_run", "--n_jobs", "1", "--context_length", "24"]) == 0
    assert keys(bucket, "forecasts/") == []


def test_with_json_stdout_has_nothing_else(
    bucket: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*flags(bucket), "--json"]) == 0
    out, err = capsys.readouterr()
    summary = json.loads(out)
    assert (summary["status"], summary["partitions"]["done"], summary["series"]) == (
        "completed",
        4,
        12,
    )
    assert err == ""


def test_quiet_prints_nothing(bucket: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*flags(bucket), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_year_and_month_have_both_spellings(
    bucket: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    for year, month in (("--year", "--month"), ("--years", "--months")):
        assert run([*flags(bucket), year, "2024", month, "2", "--dry_run"]) == 0
        assert "2 partitions: 0 done, 2 to forecast" in capsys.readouterr().err


def test_a_failed_partition_ends_with_one_and_its_error(
    bucket: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.put("2024/01/part-00001.parquet", b"this is no Parquet")
    assert run(flags(bucket)) == 1
    out, _ = capsys.readouterr()
    assert "1 failed" in out
    assert "CorruptedFileError" in out


def test_the_settings_file_of_the_working_folder_is_read(
    bucket: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("config").mkdir()
    Path("config/settings.yaml").write_text("model: {prediction_length: 5}\n")
    assert run(["--bucket", bucket.address.url, "--model", "seasonal-naive", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 12 * 5


# -- looking ---------------------------------------------------------------------------------------


def test_a_plan_says_how_files_are_named_where_it_takes_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bucket").mkdir()
    store = open_store(StoreAddress(f"file://{tmp_path}/bucket"))
    store.put("2024/01/sales.parquet", b"not read")
    assert run(["plan", *flags(store)]) == 0
    assert "sales.parquet): expected {YYYY}/{MM}/part-NAME.parquet" in capsys.readouterr().out
    assert run(flags(store)) == 2
    assert "expected {YYYY}/{MM}/part-NAME.parquet" in capsys.readouterr().err


def test_plan_counts_exactly_and_estimates_from_receipts(
    bucket: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", *flags(bucket)]) == 0
    assert "no receipts of earlier runs" in capsys.readouterr().out
    run([*flags(bucket), "--months", "1", "--quiet"])
    assert run(["plan", *flags(bucket), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["done"], plan["pending"]) == (2, 2)
    assert plan["pending_bytes"] == sum(
        m.size_bytes for page in bucket.list("2024/02/") for m in page
    )
    assert plan["estimate"]["series"] == pytest.approx(6, abs=1)
    assert plan["processes"] == {"count": 1, "reason": "little work"}


@pytest.mark.parametrize(("executor", "number"), [("inline", "1"), ("joblib", "3"), ("dask", None)])
def test_a_plan_says_the_processes_of_this_machine_only(
    executor: str, number: str | None, bucket: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", *flags(bucket), "--n_jobs", "3", "--executor", executor]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[1] for line in lines if line[:1] == ["processes"]] == ([number] if number else [])


def test_status_counts_by_month_and_names_failed_partitions(
    bucket: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.put("2024/01/part-00001.parquet", b"this is no Parquet")
    run([*flags(bucket), "--quiet"])
    bucket.delete(["2024/02/part-00001.parquet"])
    assert run(["status", *flags(bucket), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["months"] == [
        {"month": "2024-01", "failed": 1, "done": 1, "pending": 1, "superseded": 0, "orphaned": 0},
        {"month": "2024-02", "failed": 0, "done": 1, "pending": 0, "superseded": 0, "orphaned": 1},
    ]
    assert status["failures"][0]["partition"] == "2024/01/part-00001"
    assert run(["status", *flags(bucket)]) == 0
    assert "2024-01" in capsys.readouterr().out


def test_show_draws_a_forecast(bucket: Store, capsys: pytest.CaptureFixture[str]) -> None:
    run([*flags(bucket), "--quiet"])
    assert run(["show", "2024/01/part-00000", *flags(bucket), "--item", "0-b"]) == 0
    out = capsys.readouterr().out
    assert "0-b" in out
    assert "median" in out


def test_show_of_an_unknown_partition_lists_the_existing_ones(
    bucket: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["show", "2024/01/part-00000", *flags(bucket)]) == 2
    assert "not forecast yet" in capsys.readouterr().err
    run([*flags(bucket), "--quiet"])
    assert run(["show", "2024/01/part-7", *flags(bucket)]) == 2
    assert "2024/01/part-00000" in capsys.readouterr().err
    assert run(["show", "2024/01/part-00000", *flags(bucket), "--item", "zzz"]) == 2
    assert "no item 'zzz'" in capsys.readouterr().err


def test_plot_writes_a_png(bucket: Store, tmp_path: Path) -> None:
    run([*flags(bucket), "--quiet"])
    picture = tmp_path / "pictures" / "x.png"
    assert run(["plot", "2024/01/part-00000", *flags(bucket), "--output", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_verify_passes_unchanged_forecasts_and_fails_changed_ones(
    bucket: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    run([*flags(bucket), "--quiet"])
    assert run(["verify", *flags(bucket), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["series"] == 12
    change_a_forecast(bucket)
    assert run(["verify", *flags(bucket)]) == 1
    assert "different" in capsys.readouterr().out


def change_a_forecast(store: Store) -> None:
    """Write another number into a forecast, with a receipt that covers it up."""
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    from gigacast.lake.layout import parse_receipt_key, receipt_key

    (receipt,) = [k for k in keys(store, "timings/") if "2024/01/part-00000" in k]
    named = parse_receipt_key(receipt)
    assert named is not None
    table = pq.read_table(io.BytesIO(store.get(named.output_key)))
    wrong = pa.array([1e6] * len(table), pa.float32())
    table = table.set_column(table.schema.get_field_index("0.9"), table.schema.field("0.9"), wrong)
    sink = io.BytesIO()
    pq.write_table(table, sink)
    etag = store.put(named.output_key, sink.getvalue())
    store.put(receipt_key(named.output_key, named.input_id, etag), store.get(receipt))


def test_prune_first_shows_the_objects_that_it_would_delete(
    bucket: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    run([*flags(bucket), "--quiet"])
    bucket.delete(["2024/02/part-00001.parquet"])
    run(["--bucket", bucket.address.url, "--model", "seasonal-naive", "--horizon", "3", "--quiet"])
    before = keys(bucket)
    assert run(["prune", *flags(bucket)]) == 0
    out = capsys.readouterr().out
    assert "2024/02/part-00001.parquet" in out
    assert "nothing deleted" in out
    assert keys(bucket) == before
    assert run(["prune", *flags(bucket), "--yes"]) == 0
    assert len(before) - len(keys(bucket)) == 2
    assert run(["prune", *flags(bucket), "--yes", "--old_specs"]) == 0
    specs = {key.split("/")[3] for key in keys(bucket, "forecasts/")}
    assert len(specs) == 1


# -- wrong use -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--bukcet", "x"], "No such option"),
        (["--bucket", "file:///nowhere/at/all"], "/nowhere/at/all"),
        (["--bucket", "Not A Bucket"], "--bucket: "),
        ([], "--bucket"),
        (["--bucket", "{bucket}", "--horizon", "many"], "horizon"),
        (["--bucket", "{bucket}", "--horizon", "0"], "--horizon: "),
        (["--bucket", "{bucket}", "--quantiles", "0.1,high"], "quantiles"),
        (["--bucket", "{bucket}", "--quantiles", "0.5,1.5"], "1.5"),
        (["--bucket", "{bucket}", "--years", "1999"], "no partition"),
        (["--bucket", "{bucket}", "--prefix", "none"], "none"),
        (["--bucket", "{bucket}", "--model", "no-such-model"], "no-such-model"),
        (["--bucket", "{bucket}", "--config", "none.yaml"], "none.yaml"),
        (["--bucket", "{bucket}", "--freq", "often"], "often"),
        (["--bucket", "{bucket}", "--device", "tpu"], "tpu"),
        (["frocast"], "frocast"),
    ],
)
def test_wrong_usage_ends_in_one_clear_line(
    bucket: Store, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    words = [argument.format(bucket=bucket.address.url) for argument in arguments]
    assert run(["forecast", *words] if not words or words[0].startswith("-") else words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    first, *hints = err.splitlines()
    assert says in err
    assert first.startswith("gigacast: ")
    assert all(line.startswith("  hint: ") for line in hints)


def test_a_missing_bucket_on_s3_is_one_clear_line(
    moto_server: MotoServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--bucket", "there-is-none", *NAIVE]) == 2
    assert "there-is-none" in capsys.readouterr().err


def test_missing_credentials_are_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], moto_server: MotoServer
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    assert run(["--bucket", "some-bucket", *NAIVE]) == 2
    assert "credential" in capsys.readouterr().err.lower()


@pytest.mark.parametrize("name", ["", *sorted(commands())])
def test_the_help_of_every_command_has_a_sentence_for_each_flag(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*name.split(), "--help"]) == 0
    out = capsys.readouterr().out
    assert "Usage: gigacast" in out
    assert "\\b" not in out  # click's mark for lines that are not wrapped was not understood
    command = commands()[name] if name else program
    for parameter in command.params:
        assert getattr(parameter, "help", None) or parameter.param_type_name == "argument"


# -- processes that end before they are done ---------------------------------------------------


def start(store: Store, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "main.py"), *flags(store), *more]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )


def wait_until_some_are_done(store: Store, process: subprocess.Popen[str], count: int = 2) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if len(keys(store, "timings/")) >= count:
            return
        time.sleep(0.01)


@pytest.fixture
def many(tmp_path: Path) -> Store:
    """Enough partitions, each large enough, that a run lasts a few seconds."""
    (tmp_path / "many").mkdir()
    store = open_store(StoreAddress(f"file://{tmp_path}/many"))
    frame = hourly_panel(items=[f"i{n}" for n in range(800)], steps=72)
    put_frame(store, "2024/01/part-00000.parquet", frame)
    content = store.get("2024/01/part-00000.parquet")
    for part in range(1, 60):
        store.put(f"2024/01/part-{part:05d}.parquet", content)
    return store


def predictions(store: Store) -> dict[str, bytes]:
    return {key: store.get(key) for key in keys(store, "forecasts/") if "/part-" in key}


@pytest.mark.parametrize("jobs", [["--n_jobs", "1"], ["--n_jobs", "2"]], ids=["inline", "joblib"])
def test_a_killed_and_repeated_run_equals_an_uninterrupted_one(
    many: Store, tmp_path: Path, jobs: list[str]
) -> None:
    process = start(many, *jobs)
    wait_until_some_are_done(many, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    receipt_count = len(keys(many, "timings/"))
    assert receipt_count < 60
    audits = [json.loads(many.get(key)) for key in keys(many, "audit/")]
    assert [audit["end_time"] for audit in audits] == [None]
    assert run([*flags(many), "--quiet"]) == 0
    copy = tmp_path / "undisturbed"
    shutil.copytree(tmp_path / "many" / "2024", copy / "2024", copy_function=shutil.copy2)
    undisturbed = open_store(StoreAddress(f"file://{copy}"))
    assert run([*flags(undisturbed), "--quiet"]) == 0
    assert predictions(many) == predictions(undisturbed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("jobs", [["--n_jobs", "1"], ["--n_jobs", "2"]], ids=["inline", "joblib"])
def test_an_interrupted_run_closes_its_audit_and_leaves_nothing_half_written(
    many: Store, jobs: list[str], number: signal.Signals
) -> None:
    process = start(many, *jobs)
    wait_until_some_are_done(many, process)
    children = psutil.Process(process.pid).children(recursive=True)
    if number is signal.SIGINT:
        os.killpg(process.pid, number)  # as the terminal does
    else:
        process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "interrupted" in err.splitlines()[-1]
    assert psutil.wait_procs(children, timeout=10)[1] == []
    (key,) = keys(many, "audit/")
    audit = json.loads(many.get(key))
    assert audit["status"] == "interrupted"
    assert 0 < len(keys(many, "timings/")) < 60
    assert run([*flags(many), "--quiet"]) == 0
    assert len(predictions(many)) == 60


def test_show_reports_a_series_without_a_frequency(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = open_store(StoreAddress(f"file://{tmp_path}/bucket"))
    put_frame(store, "2024/01/part-00000.parquet", hourly_panel(items=["a"], steps=1))
    assert run([*flags(store), "--quiet"]) == 0
    assert run(["show", "2024/01/part-00000", *flags(store)]) == 2
    assert "no frequency" in capsys.readouterr().err


def test_a_bucket_in_the_environment_is_enough(
    bucket: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GIGACAST_RUN__BUCKET", bucket.address.url)
    monkeypatch.setenv("GIGACAST_MODEL__MODEL_PATH", "seasonal-naive")
    assert run([]) == 0
    assert "4 done" in capsys.readouterr().out


def test_an_endpoint_without_a_host_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--bucket", "some-bucket", "--endpoint_url", "http://", *NAIVE]) == 2
    assert "names no host" in capsys.readouterr().err
