"""The command lines of Chronon's quickstart, run as they are written."""

import io
import json
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gigacast.cli.commands import FEATURE_COMMANDS
from gigacast.cli.lazy import LazyCommand
from gigacast.errors import ConfigError
from gigacast.feature_store.definition.window_edge import DAY
from gigacast.feature_store.online.fetcher import Fetcher
from gigacast.feature_store.run import MODES, WITHOUT_MEANING, translate
from tests.support.features.quickstart_store import write_table
from tests.support.features.repository import write_repository
from tests.support.features.vectors import SHARED

LINES = """
    compile.py --conf=joins/quickstart/training_set.py
    run.py --conf production/joins/quickstart/training_set.v1
    run.py --mode upload --conf production/group_bys/quickstart/purchases.v1 --ds  2023-12-01
    run.py --mode upload --conf production/group_bys/quickstart/returns.v1 --ds  2023-12-01
    run.py --mode metadata-upload --conf production/joins/quickstart/training_set.v2
    run.py --mode fetch --type join --name quickstart/training_set.v2 -k '{"user_id":"5"}'
    run.py --mode fetch --type group-by --name quickstart/purchases.v1 -k '{"user_id":"5"}'
    run.py --mode local-streaming --conf production/group_bys/quickstart/returns.v1
"""
EVENT = b"1701475200000,F8E3E287-EA5D-6C4B-915D-A5E51A5557EC,91,81,356\n"
END = 19_693 * DAY  # 2023-12-02, when the batch of 2023-12-01 ends
Output = pytest.CaptureFixture[str]


def lines_of(text: str) -> list[str]:
    return [line.strip() for line in re.findall(r"(?:run|compile)\.py -[^`\n]*", text)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working folder: the repository of definitions, with its tables."""
    repository = write_repository(tmp_path / "repository")
    row = {"ds": "2023-12-01", "ts": END - 5000, "user_id": "5"}
    write_table(repository, "returns", [{**row, "refund_amt": 3}])
    write_table(repository, "purchases", [{**row, "purchase_price": 8}])
    write_table(repository, "checkouts", [{**row, "ts": END - 4000}])
    write_table(
        repository,
        "users",
        [{"ds": "2023-11-30", "user_id": "5", "account_created_ds": "d", "email_verified": "1"}],
    )
    monkeypatch.chdir(repository)
    return repository


def run_line(line: str, monkeypatch: pytest.MonkeyPatch) -> int:
    script, *words = shlex.split(line)
    monkeypatch.setattr(sys, "argv", [script, *words])
    # A module that is run must not be imported before; another test may have imported them.
    for name in (f"gigacast.feature_store.{script[:-3]}", "gigacast.__main__"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(SystemExit) as end:
        runpy.run_module(f"gigacast.feature_store.{script[:-3]}", run_name="__main__")
    code: Any = end.value.code
    return int(code or 0)


def test_every_line_of_the_quickstart_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(EVENT)))
    # The batch of the quickstart is of 2023; a fetch of today is refused by name.
    defaults: Any = Fetcher.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "clock", lambda: END / 1000)
    codes = [(line, run_line(line, monkeypatch)) for line in lines_of(LINES)]

    assert [entry for entry in codes if entry[1]] == []
    assert "quickstart_returns_v1_refund_amt_sum_3d" in capsys.readouterr().out
    fetch = 'run.py --mode fetch --name quickstart/training_set.v2 -k \'{"user_id":"91"}\' --json'
    assert run_line(f"{fetch} --at-millis {END + 1}", monkeypatch) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["values"]["quickstart_returns_v1_refund_amt_sum_3d"] == 356


def test_the_lines_are_those_of_the_quickstart() -> None:
    seed = SHARED / "seeds" / "chronon-feature-platform.md"
    if not seed.is_file():
        pytest.skip("the quickstart's text is not beside this repository")
    written = lines_of(seed.read_text())
    assert [" ".join(line.split()) for line in written] == [
        " ".join(line.split()) for line in lines_of(LINES)
    ]


def test_the_module_runs_as_a_program(folder: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "gigacast.feature_store.compile"]
    done = subprocess.run(
        [*command, "--conf=joins/quickstart/training_set.py", "-y"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, "quickstart.training_set.v1" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_is_a_command_with_the_flags_of_the_table(mode: str) -> None:
    entry = MODES[mode]
    words = translate(["--mode", mode, "--conf", "team/file.v1", *_values(entry.flags)])
    assert words[:3] == ["feature-store", entry.words[0], "team/file.v1"]
    command = LazyCommand(words[1], FEATURE_COMMANDS[words[1]]).load()
    options = {name for option in command.params for name in option.opts}
    assert {word for word in words if word.startswith("--")} <= options


def _values(flags: tuple[str, ...]) -> list[str]:
    switches = {"force-overwrite", "feature-display", "table-display"}
    return [word for flag in flags for word in ([f"--{flag}"] + ["1"] * (flag not in switches))]


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("--mode uplaod --conf a.v1", "--mode uplaod: no mode", "did you mean upload?"),
        ("--mode upload --cnf a.v1", "--cnf: no flag", "did you mean --conf?"),
        ("--mode upload --conf a.v1 --force-overwrite", "does not take it", "it takes --ds"),
        ("--mode upload --conf", "--conf: its value is missing", "write --conf VALUE"),
        ("upload", "'upload' is no flag", "write --conf"),
        ("--mode model-transform-batch", "is left out", "gigacast forecast"),
        ("--mode upload --wildly-other 1", "--wildly-other: no flag", "feature-store.md"),
    ],
)
def test_what_is_unknown_is_named(line: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as error:
        translate(line.split())
    assert message in error.value.message
    assert hint in str(error.value.hint)


@pytest.mark.parametrize("flag", WITHOUT_MEANING)
def test_a_flag_that_means_nothing_here_says_why(flag: str) -> None:
    with pytest.raises(ConfigError) as error:
        translate(["--mode", "upload", f"--{flag}", "x"])
    assert f"--{flag}: means nothing here" in error.value.message
    assert "leave it out: " in str(error.value.hint)


def test_a_wrong_line_ends_with_the_code_of_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    assert run_line("run.py --mode nothing", monkeypatch) == 2
    assert "hint: the modes are" in capsys.readouterr().err
