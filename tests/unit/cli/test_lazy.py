"""Commands are imported when they are called: help and version start without them."""

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from gigacast.cli.data.command import data
from gigacast.cli.lazy import LazyCommand, LazyGroup
from gigacast.cli.program import program, run

ROOT = Path(__file__).parents[3]
HEAVY = {
    "botocore",
    "gigacast.cli.forecast",
    "gigacast.settings",
    "numpy",
    "obstore",
    "pyarrow",
    "pydantic",
    "rich",
    "yaml",
}
LISTED = [
    (group, name)
    for group in (program, data)
    for name, command in group.commands.items()
    if isinstance(command, LazyCommand)
]


def modules_after(*arguments: str, script: str = "") -> set[str]:
    """Run a program in a process of its own and return the modules it imported."""
    code = (
        "import atexit, json, sys\n"
        "atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))\n"
        f"sys.argv[1:] = {list(arguments)!r}\n"
    )
    code += script or "import runpy; runpy.run_module('gigacast', run_name='__main__')"
    process = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert process.returncode == 0, process.stderr
    return set(json.loads(process.stderr.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["-h"]])
def test_help_and_version_import_nothing_that_runs_a_job(arguments: list[str]) -> None:
    assert modules_after(*arguments) & HEAVY == set()


@pytest.mark.parametrize(
    "script",
    ["import gigacast.cli", "import runpy; runpy.run_path('main.py', run_name='__main__')"],
)
def test_every_way_to_start_imports_as_little(script: str) -> None:
    assert modules_after("--help", script=script) & HEAVY == set()


def test_a_command_of_a_group_does_not_import_its_neighbours() -> None:
    loaded = modules_after("data", "discover", "--help")
    assert "gigacast.cli.data.discover" in loaded
    assert "gigacast.cli.data.clean" not in loaded


@pytest.mark.parametrize(("group", "name"), LISTED, ids=[name for _, name in LISTED])
@pytest.mark.parametrize("width", [30, 45, 1_000])
def test_the_listed_help_of_a_command_is_its_own(group: click.Group, name: str, width: int) -> None:
    listed = group.commands[name]
    assert isinstance(listed, LazyCommand)
    command = listed.load()
    assert command.name == name
    assert listed.get_short_help_str(width) == command.get_short_help_str(width)


@pytest.mark.parametrize(
    ("words", "suggestion"), [(["forcast"], "'forecast'"), (["data", "qualiti"], "'quality'")]
)
def test_a_misspelt_command_gets_the_correct_one_suggested(
    words: list[str], suggestion: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 2
    assert suggestion in capsys.readouterr().err


def test_a_group_may_have_commands_of_both_kinds() -> None:
    assert isinstance(data, LazyGroup)
    assert not isinstance(data.commands["publish"], LazyCommand)
    assert isinstance(data.commands["clean"], LazyCommand)
