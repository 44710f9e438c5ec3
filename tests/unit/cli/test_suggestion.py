"""Commands are proposed at the place that was named."""

import shlex
from pathlib import Path

import pytest

from gigacast.cli.program import run
from gigacast.cli.suggestion import place_of, placed_hint


def test_only_flags_that_name_the_bucket_are_repeated() -> None:
    words = "models list --bucket b --years 2024 --prefix=a/b --endpoint_url http://h:1 --region r"
    assert place_of(words.split()) == "--bucket b --prefix a/b --endpoint_url http://h:1 --region r"
    assert place_of(["--bucket"]) == place_of(["forecast"]) == ""


def test_values_that_the_shell_would_split_are_quoted() -> None:
    place = place_of(["--bucket", "file:///my lake"])
    assert shlex.split(place) == ["--bucket", "file:///my lake"]


def test_commands_in_a_hint_get_the_bucket_flags_and_other_words_do_not() -> None:
    hint = "`gigacast models show a` says more, or `restore`"
    placed = "`gigacast models show a --bucket b` says more, or `restore`"
    assert placed_hint(hint, "--bucket b") == placed
    assert placed_hint(hint, "") == hint


@pytest.mark.parametrize("flags", [["--bucket", "{}"], ["--bucket={}"]])
def test_a_suggested_command_can_be_typed_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    location = [flag.format(f"file://{tmp_path}") for flag in flags]
    place = f"--bucket file://{tmp_path}"
    assert run(["models", "list", *location]) == 0
    assert f"`gigacast models download chronos-bolt-tiny {place}`" in capsys.readouterr().out
    assert run(["models", "show", "none", *location]) == 2
    assert f"`gigacast models publish FOLDER {place}`" in capsys.readouterr().err
    assert run(["data", "versions", *location]) == 0
    assert f"`gigacast data import bars.csv raw/NAME {place}`" in capsys.readouterr().out
