"""No command shows control characters of data or a credential, whatever is named like that."""

import json
import logging
import subprocess
import sys
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.cli.program import main, run
from gigacast.core.text import is_unprintable
from gigacast.storage.retry import RetryPolicy
from tests.support.commands import commands

HOSTILE = "a\x1b[2J\x1b]0;title\x07b\x9b31mc\u202ed\u2066e\x7f"
SECRET = "hunter2"
ENDPOINT = f"http://ann:{SECRET}@127.0.0.1:9"
NAIVE = "--model seasonal-naive --horizon 2"
# {h} is the hostile text, {b} the flags for the bucket, {f} a local file, {d} an empty folder.
DRIVEN = {
    "init": ["{b} --output {d}/{h}.yaml", "{b} --json --output {d}/x{h}.yaml"],
    "config show": ["{b} --symbol {h}", "{b} --symbol {h} --json"],
    "completion": ["{h}"],
    "forecast": [f"{{b}} {NAIVE}", "{b} --model {h}", "{b} --symbol {h}", "{b} --targets {h}"],
    "plan": [f"{{b}} {NAIVE}", f"{{b}} {NAIVE} --json"],
    "status": [f"{{b}} {NAIVE}", f"{{b}} {NAIVE} --json"],
    "show": [f"2024/01/part-{{h}} {{b}} {NAIVE}", f"2024/01/part-0 {{b}} {NAIVE} --item {{h}}"],
    "ls": ["{b}", "items {b} --like {h}", "items {h} {b}", "partitions {b} --spec {h}"],
    "plot": [f"2024/01/part-0 {{b}} {NAIVE} --item {{h}} --output {{d}}/{{h}}.png"],
    "verify": [f"{{b}} {NAIVE}", "{b} --model {h}"],
    "read": ["{b} --output {d}/x.csv", "{b} --origin {h}", "{b} --partition {h}"],
    "prune": [f"{{b}} {NAIVE}"],
    "backtest": [f"{{b}} {NAIVE} --windows 1 --segment symbol", f"{{b}} {NAIVE} --segment {{h}}"],
    "evaluate": ["{b}", "{b} --model {h}"],
    "anomalies": ["{b}", "{b} --model {h}", "{b} --json"],
    "reconcile": [f"{{b}} {NAIVE} --item_column item", f"{{b}} {NAIVE} --sum {{h}}"],
    "report": ["{b}", "{h} {b}"],
    "submit": ["{b} --model {h}"],
    "watch": ["{h} {b}"],
    "cancel": ["{h} {b}"],
    "logs": ["{h} {b}"],
    "models list": ["{b}"],
    "models show": ["{h} {b}"],
    "models publish": ["{d} --name {h} {b}", "{d}/{h} --name m {b}"],
    "models switch": ["{h} v1 {b}", "m {h} {b}"],
    "models rollback": ["{h} {b}"],
    "models delete": ["{h}/v1 {b}"],
    "models diff": ["{h} v1 v2 {b}"],
    "models verify": ["{h} {b}"],
    "models backup": ["{d}/x.tar {h} {b}"],
    "models restore": ["{f} {b}", "{d}/{h} {b}"],
    "models download": ["{h} {b}"],
    "models select": ["mine {b} --model seasonal-naive --model {h} --horizon 2", "{h} {b}"],
    "data discover": ["{b} --files", "{b} --json"],
    "data import": ["{f} raw/{h} {b}", "{d}/{h} raw/x {b}"],
    "data publish": ["{f} cleaned/{h} {b}", "{f} cleaned/quotes {b}"],
    "data describe": ["raw/{h} {b}", "cleaned/quotes {b}", "cleaned/quotes {b} --json"],
    "data versions": ["{b}", "{b} --json"],
    "data lineage": ["cleaned/quotes {b}"],
    "data diff": ["cleaned/{h} cleaned/quotes {b}"],
    "data validate": ["{f} {b}", "{f} {b} --schema {h}"],
    "data infer": ["{f} {b}", "{f} {b} --json"],
    "data deprecate": ["cleaned/v1/quotes {b} --why {h}"],
    "data retire": ["cleaned/{h} {b}"],
    "data quality": ["{b}", "{b} --item_column {h}", "cleaned/quotes {b} --json"],
    "data bucket": ["{b}", "{b} --item_column {h}", "{b} --into {h}"],
    "data clean": ["partitions cleaned/mine {b}", "raw/{h} cleaned/mine {b}"],
    "data features": ["{f} features/v1/mine {b} --recipe {h}"],
    "feature-store compile": ["{d}/{h}.py {b}"],
    "feature-store show": ["{h} {b}", "{b}"],
    "feature-store analyze": ["{h} {b}"],
    "feature-store lineage": ["{h} {b}"],
    "feature-store backfill": ["{h} {b}"],
    "feature-store label": ["{h} {b} --ds 2024-01-01", "a.b.c {b} --ds {h}"],
    "feature-store upload": ["{h} {b} --ds 2024-01-01", "a.b.c {b} --ds {h}"],
    "feature-store upload-metadata": ["{h} {b}"],
    "feature-store fetch": ["{h} {b} -k {{}}", "a.b.c {b} -k {h}", '{h} {b} -k {{"{h}":1}}'],
    "feature-store serve": ["{b} --online_store {h}"],
    "feature-store logs": ["{h} {b}"],
    "feature-store consistency": ["{h} {b}"],
    "feature-store compare": ["{h} {h} {b} --keys {h}"],
    "feature-store stats": ["{h} {b}"],
    "feature-store status": ["{h} {b}"],
    "feature-store stream": ["{h} {b}", "a.b.c {b} --online_store {h}"],
    "train finetune": ["{b} --model {h}", "--data {d}/{h}.csv"],
    "train pretrain": ["--recipe {d}/{h}.yaml --output {d}"],
}
# It generates its own data in its own server.
NOT_DRIVEN = {"demo", "serve-report"}
# Commands that refuse this bucket or show nothing of the data in it.
SILENT = {"submit", "models list", "data versions", "data lineage", "data deprecate"}
ESCAPED = (r"\x1b[2J", r"\u001b[2J")
MISUSED = ("No such option", "Missing ", "unexpected extra argument")


def table(rows: int = 12) -> pa.Table:
    times = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day) for day in range(rows)]
    return pa.table(
        {
            "item": [HOSTILE] * rows + ["calm"] * rows,
            "timestamp": times * 2,
            "target": [float(day) for day in range(2 * rows)],
            HOSTILE: [f"{HOSTILE}{day}" for day in range(2 * rows)],
        }
    )


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    month = tmp_path / "bucket" / "2024" / "01"
    month.mkdir(parents=True)
    pq.write_table(table(), month / "part-0.parquet")
    # A name that is skipped with a warning, one that is taken, and a file that is not what it says.
    pq.write_table(table(), month / f"part-{HOSTILE}.parquet")
    pq.write_table(table(), month / "part-\u202e1.parquet")
    (month / "part-9.parquet").write_bytes(HOSTILE.encode() * 20)
    pq.write_table(table(), tmp_path / "local.parquet")
    (tmp_path / "empty").mkdir()
    return tmp_path


def words(line: str, place: list[str], folder: Path) -> list[str]:
    texts = {"h": HOSTILE, "f": str(folder / "local.parquet"), "d": str(folder / "empty")}
    arguments: list[str] = []
    for word in line.split():
        arguments += place if word == "{b}" else [word.format(**texts)]
    return arguments


def check(shown: str, command: str) -> None:
    for line in shown.split("\n"):
        assert not is_unprintable(line), f"{command}: {line!r}"
    assert SECRET not in shown, command


def leaves() -> set[str]:
    return {name for name, found in commands().items() if not isinstance(found, click.Group)}


def test_every_command_is_driven() -> None:
    assert set(DRIVEN) | NOT_DRIVEN == leaves()


def log_as_outside_of_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send log records where they go for people; pytest adds its handlers after all fixtures."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])


def test_no_command_shows_what_could_move_a_terminal(
    bucket: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bucket / "empty")
    log_as_outside_of_tests(monkeypatch)
    place = ["--bucket", f"file://{bucket}/bucket"]
    printed = dict.fromkeys(DRIVEN, "")
    for command, lines in DRIVEN.items():
        for line in lines:
            code = run([*command.split(), *words(line, place, bucket)])
            out, err = capsys.readouterr()
            assert code in {0, 1, 2}, (command, err)
            assert not any(wrong in err for wrong in MISUSED), (command, line, err)
            check(out + err, f"{command} {line}")
            printed[command] += out + err
    # The texts did arrive, in their printable form.
    silent = {name for name, text in printed.items() if not any(form in text for form in ESCAPED)}
    assert silent == SILENT, silent ^ SILENT
    assert r"\u202e" in "".join(printed.values())


def test_every_command_answers_in_json_errors_included(
    bucket: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bucket / "empty")
    log_as_outside_of_tests(monkeypatch)
    place = ["--bucket", f"file://{bucket}/bucket"]
    # Commands whose first line is one that works here, besides the errors of the others.
    works = {"completion": "bash", "read": "{b} --item {h}", "serve-report": "{b} --port 99999"}
    codes: dict[str, int] = {}
    for command, lines in {**DRIVEN, "serve-report": []}.items():
        line = works.get(command) or lines[0]
        arguments = [*words(line, place, bucket), *([] if "--json" in line else ["--json"])]
        codes[command] = run([*command.split(), *arguments])
        out, err = capsys.readouterr()
        assert not any(wrong in err for wrong in MISUSED), (command, err)
        answer = json.loads(out)  # one value, and nothing beside it
        is_error = isinstance(answer, dict) and "error" in answer
        assert is_error or codes[command] in {0, 1}, (command, answer)
        if is_error and isinstance(answer["error"], dict):
            assert answer["error"]["exit_code"] == codes[command]
            assert set(answer["error"]) == {"kind", "message", "hint", "exit_code"}
    assert [codes[name] for name in ("completion", "plan", "forecast", "read")] == [0, 0, 1, 0]


def test_no_command_shows_the_credentials_of_an_endpoint(
    bucket: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(bucket / "empty")
    log_as_outside_of_tests(monkeypatch)
    monkeypatch.setattr(RetryPolicy, "delay_s", lambda *_: 0.0)
    monkeypatch.setenv("GIGACAST_RUN__OUTAGE_MINUTES", "0")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, SECRET)
    place = ["--bucket", "s3://bucket", "--endpoint_url", ENDPOINT]
    codes: dict[str, int] = {}
    for command, lines in DRIVEN.items():
        code = run([*command.split(), *words(lines[0], place, bucket)])
        out, err = capsys.readouterr()
        check(out + err, command)
        codes[command] = code
    # An endpoint that refuses connections is an outage; the same command may work later.
    reading = ("forecast", "plan", "status", "backtest", "models list", "data versions")
    assert {command: codes[command] for command in reading} == dict.fromkeys(reading, 75)


def test_the_files_that_a_run_leaves_hold_no_credential(
    bucket: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = bucket / "settings.yaml"
    config.write_text(f"run: {{endpoint_url: '{ENDPOINT}'}}\n")
    place = ["--bucket", f"file://{bucket}/bucket", "--config", str(config)]
    run(["forecast", *place, "--model", "seasonal-naive", "--horizon", "2"])
    capsys.readouterr()
    audits = list((bucket / "bucket" / "audit").rglob("*.json"))
    assert audits
    for path in (bucket / "bucket").rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


def test_quiet_prints_the_errors_and_nothing_else(
    bucket: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--bucket", f"file://{bucket}/bucket", "--model", "seasonal-naive", "--horizon", "2"]
    assert run(["forecast", *place, "--quiet"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0] == "Failed"
    assert any("2024/01/part-9" in line for line in lines)
    assert any("CorruptedFileError" in line for line in lines)
    assert not any("done" in line for line in lines)
    for words in (
        ["backtest", *place, "--windows", "1"],
        ["anomalies", *place, "--rolling"],
        ["reconcile", *place],
        ["data", "bucket", *place[:2]],
        ["data", "quality", *place[:2]],
        ["data", "clean", "partitions", "cleaned/mine", *place[:2]],
    ):
        assert run([*words, "--quiet"]) == 1, words
        out, err = capsys.readouterr()
        assert out == "", words
        assert "2024/01/part-9" in err, words


def test_warnings_of_libraries_are_shown_safely(tmp_path: Path) -> None:
    code = (
        "import logging, warnings; from gigacast.report.terminal import shown_safely\n"
        f"text = {HOSTILE!r} + ' http://u:{SECRET}@h/'\n"
        "with shown_safely():\n"
        "    logging.getLogger('library').warning('%s', text)\n"
        "    warnings.warn(text)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    check(ended.stderr, "warnings")
    assert ended.stderr.count(r"\x1b[2J") == 2


def test_the_traceback_of_a_fault_is_shown_safely(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(arguments: list[str]) -> int:
        raise RuntimeError(f"{HOSTILE} http://u:{SECRET}@h/")

    monkeypatch.setattr("gigacast.cli.program.run", broken)
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 1
    err = capsys.readouterr().err
    check(err, "traceback")
    assert r"RuntimeError: a\x1b[2J" in err


def test_a_configured_log_stays_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    from gigacast.report.terminal import shown_safely

    before = (logging.lastResort, warnings.showwarning)
    with shown_safely():
        logging.getLogger("gigacast").warning("kept")
    assert caplog.messages == ["kept"]
    assert (logging.lastResort, warnings.showwarning) == before
