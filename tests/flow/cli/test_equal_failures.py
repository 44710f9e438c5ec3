"""An equal failure of seventy partitions is shown once with its count; the audit has them all."""

import json
from pathlib import Path

import pytest

from gigacast.cli.program import run

NAIVE = ("--model", "seasonal-naive", "--horizon", "2")
COMMANDS = {
    "forecast": NAIVE,
    "backtest": (*NAIVE, "--windows", "1"),
    "data bucket": ("--item_column", "item"),
}


@pytest.fixture
def bucket(tmp_path: Path) -> str:
    folder = tmp_path / "2024/01"
    folder.mkdir(parents=True)
    for number in range(70):  # no two are of the same size
        (folder / f"part-{number:03d}.parquet").write_bytes(b"x" * (100 + number))
    return tmp_path.as_uri()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_failure_of_seventy_partitions_is_printed_once(
    command: str, bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command.split(), *COMMANDS[command], "--bucket", bucket]) > 0
    out, err = capsys.readouterr()
    assert err.count("no magic number") <= 2  # when it happens, and at the end of a backtest
    assert out.count("no magic number") == ("backtest" not in command)
    assert "and 69 more" in out + err


def test_the_log_and_the_audit_have_each_of_seventy_failures(
    bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["forecast", *NAIVE, "--bucket", bucket, "--log", "json"]) == 1
    out, err = capsys.readouterr()
    records = [json.loads(line) for line in err.splitlines()]
    assert len({record["partition"] for record in records if record["event"] == "failed"}) == 70
    assert out.count("no magic number") == 1
    (audit,) = (tmp_path / "audit").glob("*.json")
    content = json.loads(audit.read_text())
    assert content["files_failed"] == 70
    assert json.dumps(content).count("no magic number") >= 70
