"""A shell completes commands and flags, and no job runs meanwhile."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gigacast.cli.program import main, run

ROOT = Path(__file__).parents[3]


@pytest.fixture
def completions(monkeypatch, capsys, tmp_path):
    """Return the words that bash offers after some words, the last one unfinished."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "lake").mkdir()
    # Settings with which the program alone would run.
    (tmp_path / "config/settings.yaml").write_text(f"run: {{bucket: 'file://{tmp_path}/lake'}}\n")

    def complete(words: str) -> list[str]:
        monkeypatch.setenv("_GIGACAST_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
        monkeypatch.setattr(sys, "argv", ["gigacast"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
        assert list((tmp_path / "lake").iterdir()) == []
        lines = capsys.readouterr().out.splitlines()
        return [line.partition(",")[2] for line in lines]

    return complete


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("gigacast ", {"forecast", "demo", "data", "config"}),
        ("gigacast fo", {"forecast"}),
        ("gigacast --buc", {"--bucket"}),
        ("gigacast --bucket b --hor", {"--horizon"}),
        ("gigacast data qu", {"quality"}),
        ("gigacast forecast --fall", {"--fallback"}),
        ("gigacast forecast --fallback ", {"seasonal_naive", "drop"}),
        ("gigacast completion z", {"zsh"}),
    ],
)
def test_words_are_completed_and_nothing_runs(completions, words, expected):
    assert expected <= set(completions(words))


def test_no_word_is_offered_for_an_unknown_start(completions):
    assert [*filter(None, completions("gigacast forecast --no_such"))] == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_asks_the_program(capsys, shell):
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "_GIGACAST_COMPLETE" in script
    assert f"{shell}_complete" in script


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_reads_the_script(capsys):
    assert run(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_an_unknown_shell_is_refused(capsys):
    assert run(["completion", "tcsh"]) == 2
    assert "'tcsh' is not one of" in capsys.readouterr().err
