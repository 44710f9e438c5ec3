"""Closed streams, other locales and read-only homes end in clear lines, not in tracebacks."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from gigacast.cli.program import run
from gigacast.core.utf8 import needs_utf8
from tests.flow.cli.test_hostile_text import DRIVEN
from tests.support.surroundings import SURROUNDINGS, run_in, together

NAIVE = ("--model", "seasonal-naive", "--horizon", "2")


@pytest.fixture
def bucket(tmp_path: Path) -> str:
    (tmp_path / "2024/01").mkdir(parents=True)
    days = pd.date_range("2024-01-01", periods=20)
    frame = pd.DataFrame({"item_id": "käse", "timestamp": days, "target": range(20)})
    frame.to_parquet(tmp_path / "2024/01/part-ü.parquet")
    return tmp_path.as_uri()


def gigacast(*words: str, redirect: str = "", **environment: str) -> tuple[int, str]:
    """Return the exit code and what was printed to stderr."""
    command = ["sh", "-c", f'exec "$@" {redirect}', "sh", sys.executable, "-m", "gigacast", *words]
    result = subprocess.run(
        command, capture_output=True, timeout=120, env={**os.environ, **environment}, check=False
    )
    return result.returncode, result.stderr.decode()


@pytest.mark.parametrize("redirect", [">&-", ">&- 2>&-", "<&- >&- 2>&-", "<&- >&-"])
def test_a_run_with_closed_streams_finishes(bucket: str, redirect: str) -> None:
    code, errors = gigacast("--bucket", bucket, *NAIVE, redirect=redirect)
    assert code == 0
    assert "Traceback" not in errors
    assert ("the standard output is closed" in errors) == ("2>" not in redirect)
    assert gigacast("status", "--bucket", bucket, *NAIVE, redirect=redirect)[0] == 0
    # No file got the number of a closed stream, and so what is printed.
    for path in Path(bucket.removeprefix("file://")).rglob("*.json"):
        assert path.read_text().startswith("{")


def test_a_full_disk_is_reported_in_one_line(bucket: str) -> None:
    code, errors = gigacast("plan", "--bucket", bucket, *NAIVE, redirect=">/dev/full")
    assert code == 1
    assert errors.strip() == "gigacast: the output can't be written: No space left on device"


def test_a_run_needs_neither_locale_nor_home(bucket: str) -> None:
    environment = {"PYTHONIOENCODING": "ascii:strict", "HOME": "/proc", "XDG_CACHE_HOME": "/proc"}
    # A process for all: what they need of their surroundings is settled when it starts.
    program = "import sys; from gigacast.cli.program import run\n"
    program += "for words in sys.argv[1:]: print('exit code', run(words.split()), flush=True)"
    commands = [
        " ".join([*words, "--bucket", bucket, *NAIVE])
        for words in (["forecast"], ["status"], ["plan"], ["show", "2024/01/part-ü"])
    ]
    ended = subprocess.run(
        [sys.executable, "-c", program, *commands],
        capture_output=True,
        timeout=120,
        env={**os.environ, **environment},
        check=False,
    )
    errors = ended.stderr.decode()
    assert (ended.returncode, "Traceback" in errors) == (0, False), errors
    assert [line for line in ended.stdout.splitlines() if line.startswith(b"exit code")] == [
        b"exit code 0"
    ] * 4


def test_a_working_folder_that_is_gone_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert run(["train", "finetune", "--data", "x.csv"]) == 2
    message = "gigacast: the working folder is gone: No such file or directory"
    assert capsys.readouterr().err.splitlines() == [message, "  hint: change to another folder"]


ASCII = SURROUNDINGS["LC_ALL=C"].environment


def test_files_whose_names_cannot_be_decoded_are_skipped_and_named(bucket: str) -> None:
    folder = Path(bucket.removeprefix("file://"))
    umlaut = folder / "größe"
    shutil.copytree(folder / "2024", umlaut / "2024")
    month = os.fsencode(umlaut / "2024/01")
    shutil.copy(month + "/part-ü.parquet".encode(), month + b"/part-\xfc.parquet")
    # Words, variables, keys and paths are read in UTF-8 in any locale.
    variables = {**ASCII, "GIGACAST_RUN__BUCKET": umlaut.as_uri().replace("%C3%B6%C3%9F", "öß")}
    code, errors = gigacast("forecast", *NAIVE, **variables)
    assert (code, "Traceback" in errors) == (0, False), errors
    assert "its name cannot be a key" in errors


def test_texts_are_read_in_utf8_whatever_the_locale() -> None:
    utf8, latin1 = "käse".encode(), "käse".encode("latin-1")
    assert needs_utf8("ascii", [b"plain"])
    assert not needs_utf8("utf-8", [utf8])
    assert needs_utf8("iso8859-1", [b"plain", utf8])
    assert not needs_utf8("iso8859-1", [b"plain"])
    assert not needs_utf8("iso8859-1", [utf8, latin1])


def test_words_that_are_not_utf8_are_refused(
    bucket: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = os.fsdecode(b"k\xe4se")
    assert run(["ls", "items", "--like", odd, "--bucket", bucket]) == 2
    assert "the argument 'k\\udce4se' is not UTF-8" in capsys.readouterr().err
    monkeypatch.setenv("GIGACAST_RUN__PREFIX", odd)
    assert run(["plan", "--bucket", bucket]) == 2
    message = "environment variable GIGACAST_RUN__PREFIX: 'k\\udce4se' is not UTF-8"
    assert message in capsys.readouterr().err


SLOW = {"train finetune", "train pretrain"}  # they import torch
PAIRS = [
    ("closed output", "narrow terminal"),
    ("full disk", "read-only home"),
    ("LC_ALL=C", "long names"),
]


@pytest.mark.parametrize("names", PAIRS, ids=" and ".join)
def test_every_command_ends_in_clear_lines_in_two_of_six_surroundings(
    names: tuple[str, str], tmp_path: Path
) -> None:
    # Each of them in each: `make surroundings`.
    quick = [(command, lines) for command, lines in DRIVEN.items() if command not in SLOW]
    commands = quick[PAIRS.index(names) :: len(PAIRS)]
    first_lines = [(command, lines[0]) for command, lines in commands]
    ended = run_in(together(*names), [("ls", "items {b} --like {h}"), *first_lines], tmp_path)
    assert {one.words: (one.fault, one.errors) for one in ended if one.fault} == {}
    # The item that is looked for has a name that is not ASCII.
    for one in ended[:2]:
        assert one.code == (1 if "full disk" in names else 0), one.errors


def test_each_surrounding_is_in_a_pair() -> None:
    assert sorted(name for names in PAIRS for name in names) == sorted(SURROUNDINGS)
